package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Where the library is looked for, each case in a JVM of its own. */
class NativeLoaderTest extends StoreTestCase {
  private static final String LIBRARY = System.getProperty("cairnlog.test.native");

  /** Loads the library and says which one it was. */
  static final class Loader {
    public static void main(String[] arguments) throws Exception {
      try {
        NativeLoader.load();
        NativeLoader.load();
        System.out.println("loaded " + Native.liveObjectCount());
        if (Files.exists(Path.of("/proc/self/maps"))) {
          try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            maps.filter(line -> line.contains("cairnlog_jni"))
                .map(line -> line.substring(line.indexOf('/')))
                .distinct()
                .forEach(System.out::println);
          }
        }
      } catch (UnsatisfiedLinkError refused) {
        System.out.println(refused.getMessage());
        System.exit(3);
      }
    }
  }

  private String inTemporary() {
    return "-Djava.io.tmpdir=" + directory;
  }

  @Test
  void thePropertyComesFirstAndAlone() throws Exception {
    Said said =
        runJvm(0, List.of("-Dio.cairnlog.library.path=" + LIBRARY, inTemporary()), Loader.class);
    assertTrue(said.contains("loaded 0"), said.toString());
    assertTrue(said.contains(Path.of(LIBRARY).toRealPath().toString()), said.toString());
    try (Stream<Path> extracted = Files.list(directory)) {
      assertEquals(0, extracted.count(), "nothing is extracted then");
    }
    String nowhere = "-Dio.cairnlog.library.path=/nowhere/lib.so";
    said = runJvm(3, List.of(nowhere, inTemporary()), Loader.class);
    assertTrue(said.contains("tried: -Dio.cairnlog.library.path /nowhere/lib.so"), said.toString());
    assertFalse(said.contains("META-INF"), said.toString());
  }

  @Test
  void theJarsLibraryIsExtractedForItsOwnerOnly() throws Exception {
    Said said = runJvm(0, List.of(inTemporary()), Loader.class);
    assertTrue(said.contains(directory + "/cairnlog-"), said.toString());
    Path place = onlyDirectory();
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(place)));
    List<Path> files = list(place);
    assertEquals(1, files.size(), files.toString());

    // A second start takes the same file, a damaged one is replaced.
    runJvm(0, List.of(inTemporary()), Loader.class);
    assertEquals(files, list(place));
    Files.write(files.get(0), new byte[] {1, 2, 3});
    runJvm(0, List.of(inTemporary()), Loader.class);
    assertEquals(Files.size(Path.of(LIBRARY)), Files.size(files.get(0)));

    // A directory that others can write to is not trusted.
    Files.setPosixFilePermissions(place, PosixFilePermissions.fromString("rwxrwxrwx"));
    said = runJvm(0, List.of(inTemporary()), Loader.class);
    assertTrue(said.contains("loaded 0"), said.toString());
    assertFalse(said.contains(place + "/"), said.toString());
  }

  private Path onlyDirectory() throws Exception {
    List<Path> all = list(directory);
    assertEquals(1, all.size(), all.toString());
    return all.get(0);
  }

  private static List<Path> list(Path place) throws Exception {
    try (Stream<Path> files = Files.list(place)) {
      return files.sorted().collect(Collectors.toList());
    }
  }

  @Test
  void aFailureListsEveryPlace() throws Exception {
    Path none = directory.resolve("none");
    List<String> options = List.of("-Djava.io.tmpdir=" + none, "-Djava.library.path=/nowhere");
    Said said = runJvm(3, options, Loader.class);
    String resource = "jar:/META-INF/native/" + NativeLoader.platform() + "/";
    assertTrue(said.contains(resource), said.toString());
    assertTrue(said.contains("cannot be extracted"), said.toString());
    assertTrue(said.contains("java.library.path /nowhere"), said.toString());
  }

  @Test
  void theLibraryPathComesLast() throws Exception {
    Path none = directory.resolve("none");
    Said said =
        runJvm(
            0,
            List.of(
                "-Djava.io.tmpdir=" + none,
                "-Djava.library.path=" + Path.of(LIBRARY).getParent()),
            Loader.class);
    assertTrue(said.contains("loaded 0"), said.toString());
  }
}
