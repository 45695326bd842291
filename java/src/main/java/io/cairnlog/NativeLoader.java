package io.cairnlog;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Loads the native library, once per process and from any thread.
 *
 * <p>Tried in this order: the file named by {@code -Dio.cairnlog.library.path}, and nothing else
 * where it is set; the resource {@code META-INF/native/<os>-<arch>[-musl]/} of the jar, extracted
 * to a directory that only its owner can enter; {@code java.library.path}. A library of another
 * ABI number is refused. A failure lists every place.
 */
final class NativeLoader {
  /** The library file to load instead of searching. */
  static final String PATH_PROPERTY = "io.cairnlog.library.path";

  /** Counted up with every change of a native or a layout; its twin is in natives.rs. */
  static final int ABI_VERSION = 5;

  private static final String LIBRARY = "cairnlog_jni";
  private static final Set<PosixFilePermission> OWNER_ONLY =
      PosixFilePermissions.fromString("rwx------");

  private static boolean loaded;

  private NativeLoader() {}

  /** The number of the library; registered before anything else is. */
  private static native int abiVersion();

  /** Registers everything else. */
  private static native void registerNatives();

  /** Loads the library unless it is loaded; a failure is found again by the next call. */
  static synchronized void load() {
    if (loaded) {
      return;
    }
    List<String> tried = new ArrayList<>();
    String path = System.getProperty(PATH_PROPERTY);
    boolean found =
        path != null
            ? tryFile(Path.of(path), "-D" + PATH_PROPERTY, tried)
            : tryResource(tried) || tryLibraryPath(tried);
    if (!found) {
      throw new UnsatisfiedLinkError(
          "the native library of cairnlog cannot be loaded; tried: " + String.join("; ", tried));
    }
    registerNatives();
    Diagnostics.start();
    loaded = true;
  }

  private static boolean tryFile(Path file, String origin, List<String> tried) {
    try {
      System.load(file.toAbsolutePath().toString());
      return checkAbi(origin + " " + file, tried);
    } catch (UnsatisfiedLinkError refused) {
      tried.add(origin + " " + file + " (" + refused.getMessage() + ")");
      return false;
    }
  }

  private static boolean checkAbi(String place, List<String> tried) {
    int found = abiVersion();
    if (found == ABI_VERSION) {
      return true;
    }
    tried.add(place + " (its ABI number is " + found + ", expected " + ABI_VERSION + ")");
    return false;
  }

  private static boolean tryResource(List<String> tried) {
    String resource = "/META-INF/native/" + platform() + "/" + System.mapLibraryName(LIBRARY);
    URL url = NativeLoader.class.getResource(resource);
    if (url == null) {
      tried.add("jar:" + resource + " (not in the jar)");
      return false;
    }
    try {
      return tryFile(extract(url), "jar:" + resource + " at", tried);
    } catch (IOException refused) {
      tried.add("jar:" + resource + " (cannot be extracted: " + refused + ")");
      return false;
    }
  }

  private static boolean tryLibraryPath(List<String> tried) {
    String place = "java.library.path " + System.getProperty("java.library.path");
    try {
      System.loadLibrary(LIBRARY);
      return checkAbi(place, tried);
    } catch (UnsatisfiedLinkError refused) {
      tried.add(place + " (" + refused.getMessage() + ")");
      return false;
    }
  }

  /** {@code <os>-<arch>}, and {@code -musl} where that is the C library. */
  static String platform() {
    String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String name = os.startsWith("mac") ? "macos" : os.startsWith("windows") ? "windows" : "linux";
    String arch = System.getProperty("os.arch");
    String machine = arch.equals("amd64") ? "x86_64" : arch.equals("arm64") ? "aarch64" : arch;
    return name + "-" + machine + (name.equals("linux") && isMusl() ? "-musl" : "");
  }

  /** Whether this process runs on musl: its loader is mapped then. */
  private static boolean isMusl() {
    try {
      return Files.readString(Path.of("/proc/self/maps")).contains("/ld-musl-");
    } catch (IOException | SecurityException unknown) {
      return false;
    }
  }

  /** The version of this package, as the jar says; "development" outside a jar. */
  private static String version() {
    String version = NativeLoader.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }

  /** Puts the library where only its owner can change it, under a name that tells its bytes. */
  private static Path extract(URL library) throws IOException {
    String digest;
    try (InputStream stream = library.openStream()) {
      digest = digest(stream);
    }
    Path directory = ownDirectory();
    Path file = directory.resolve(System.mapLibraryName(LIBRARY + "-" + digest.substring(0, 16)));
    if (Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
      try (InputStream stream = Files.newInputStream(file)) {
        if (digest(stream).equals(digest)) {
          return file;
        }
      }
    }
    Path written = Files.createTempFile(directory, "extracting-", ".tmp");
    try (InputStream stream = library.openStream()) {
      Files.copy(stream, written, StandardCopyOption.REPLACE_EXISTING);
      // Another process may have loaded the file that is replaced; it keeps the old one.
      Files.move(
          written, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(written);
    }
    return file;
  }

  /**
   * A directory named by version and user, made anew under another name if somebody else has it or
   * could change it.
   */
  private static Path ownDirectory() throws IOException {
    Path parent = Path.of(System.getProperty("java.io.tmpdir"));
    String user = System.getProperty("user.name").replaceAll("[^A-Za-z0-9_.-]", "_");
    Path directory = parent.resolve("cairnlog-" + version() + "-" + user);
    boolean posix = parent.getFileSystem().supportedFileAttributeViews().contains("posix");
    FileAttribute<?>[] attributes =
        posix
            ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(OWNER_ONLY)}
            : new FileAttribute<?>[0];
    try {
      return Files.createDirectory(directory, attributes);
    } catch (FileAlreadyExistsException there) {
      if (isOwnDirectory(directory, posix)) {
        return directory;
      }
      return Files.createTempDirectory(parent, "cairnlog-" + version() + "-", attributes);
    }
  }

  private static boolean isOwnDirectory(Path directory, boolean posix) throws IOException {
    if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    if (!posix) {
      return true;
    }
    // A file made now belongs to this process, whatever names and numbers its user has.
    Path probe = Files.createTempFile("cairnlog-", ".probe");
    try {
      return Files.getOwner(directory, LinkOption.NOFOLLOW_LINKS).equals(Files.getOwner(probe))
          && Files.getPosixFilePermissions(directory, LinkOption.NOFOLLOW_LINKS).equals(OWNER_ONLY);
    } finally {
      Files.delete(probe);
    }
  }

  private static String digest(InputStream stream) throws IOException {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException("every Java platform has SHA-256", impossible);
    }
    byte[] piece = new byte[1 << 16];
    for (int read = stream.read(piece); read >= 0; read = stream.read(piece)) {
      digest.update(piece, 0, read);
    }
    StringBuilder text = new StringBuilder();
    for (byte value : digest.digest()) {
      text.append(String.format("%02x", value));
    }
    return text.toString();
  }
}
