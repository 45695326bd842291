/*
 * Directory trees: copies of stores to look at, and their removal.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the judge does to directories; the stores it is asked about are only ever read. */
final class Directories {
    private Directories() {
    }

    /** Copies a tree; files keep their holes, because a store may consist of sparse gigabytes. */
    static void copy(Path from, Path to) throws IOException, InterruptedException {
        Process copy = new ProcessBuilder(
                "cp", "-r", "--sparse=always", from.toString(), to.toString())
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
        if (copy.waitFor() != 0) {
            throw new IOException("cannot copy " + from + " to " + to);
        }
    }

    /** Removes a tree; nothing happens when there is none. */
    static void remove(Path root) throws IOException {
        if (!Files.exists(root)) {
            return;
        }
        try (Stream<Path> all = Files.walk(root)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).collect(Collectors.toList())) {
                Files.delete(path);
            }
        }
    }

    /** Relative path and size in bytes of every file, sorted. */
    static List<String> list(Path root) throws IOException {
        try (Stream<Path> all = Files.walk(root)) {
            return all.filter(Files::isRegularFile)
                .map(path -> root.relativize(path) + " " + path.toFile().length())
                .sorted().collect(Collectors.toList());
        }
    }

    /** Size in bytes of some file named by its start offset, or 0 when there is none. */
    static int mappedFileSize(Path root, int depth) throws IOException {
        if (!Files.isDirectory(root)) {
            return 0;
        }
        try (Stream<Path> all = Files.walk(root, depth)) {
            for (Path path : all.collect(Collectors.toList())) {
                String name = path.getFileName().toString();
                if (Files.isRegularFile(path) && name.matches("[0-9]{20}")) {
                    return Math.toIntExact(Files.size(path));
                }
            }
        }
        return 0;
    }
}
