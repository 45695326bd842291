package io.cairnlog;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the system says that this process has of stores: threads, mapped files and open ones. */
final class Leftovers {
  private static final Path SELF = Path.of("/proc/self");

  /** Threads that live as long as the process. The system keeps 15 characters of a name. */
  private static final Set<String> OF_THE_PROCESS = Set.of("cairnlog-diagno", "cairnlog-comple");

  private Leftovers() {}

  /** Names all that is there, where the system can tell. */
  static List<String> of(Path directory) {
    List<String> found = new ArrayList<>();
    if (!Files.isDirectory(SELF)) {
      return found;
    }
    try {
      String below = directory.toRealPath() + "/";
      for (Path task : entries(SELF.resolve("task"))) {
        String name = textOf(task.resolve("comm")).strip();
        if (name.startsWith("cairn") && !OF_THE_PROCESS.contains(name)) {
          found.add("thread " + name);
        }
      }
      for (Path descriptor : entries(SELF.resolve("fd"))) {
        String target = targetOf(descriptor);
        if (target.startsWith(below)) {
          found.add("descriptor " + target);
        }
      }
      textOf(SELF.resolve("maps"))
          .lines()
          .filter(line -> line.contains(below))
          .forEach(line -> found.add("mapping " + line));
      return found;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Path> entries(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.collect(Collectors.toList());
    }
  }

  /** The text of a file, or nothing if what it tells of has ended. */
  private static String textOf(Path file) throws IOException {
    try {
      return Files.readString(file);
    } catch (NoSuchFileException e) {
      return "";
    } catch (IOException e) {
      if (String.valueOf(e.getMessage()).contains("No such process")) {
        return "";
      }
      throw e;
    }
  }

  private static String targetOf(Path link) throws IOException {
    try {
      return Files.readSymbolicLink(link).toString();
    } catch (NoSuchFileException e) {
      return "";
    }
  }
}
