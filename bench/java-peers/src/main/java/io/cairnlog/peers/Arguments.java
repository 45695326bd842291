package io.cairnlog.peers;

import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;

/** The command line, that of {@code cairnlog bench} and the name of the store. */
final class Arguments {
    private static final String USAGE = "--peer rocketmq|chronicle [--mode async|sync] [--size N]"
        + " [--threads N] [--inflight N] [--seconds S] [--json] DIRECTORY";

    String peer = "";
    boolean sync;
    int size = 1024;
    int threads = 1;
    int inflight = 1;
    double seconds = 1;
    Path directory;

    /** What is not understood is an {@link IllegalArgumentException}. */
    static Arguments parse(List<String> words) {
        Arguments parsed = new Arguments();
        for (Iterator<String> left = words.iterator(); left.hasNext();) {
            parsed.take(left.next(), left);
        }
        if (parsed.directory == null || parsed.peer.isEmpty() || parsed.size < 1
            || parsed.threads < 1 || parsed.inflight < 1 || !(parsed.seconds > 0)) {
            throw new IllegalArgumentException(USAGE);
        }
        return parsed;
    }

    private void take(String word, Iterator<String> left) {
        if (!word.startsWith("--")) {
            directory = Path.of(word).toAbsolutePath();
            return;
        }
        if (word.equals("--json")) {
            return;
        }
        if (!left.hasNext()) {
            throw new IllegalArgumentException(USAGE);
        }
        String value = left.next();
        switch (word) {
            case "--peer":
                peer = value;
                break;
            case "--mode":
                sync = value.equals("sync");
                break;
            case "--size":
                size = Integer.parseInt(value);
                break;
            case "--threads":
                threads = Integer.parseInt(value);
                break;
            case "--inflight":
                inflight = Integer.parseInt(value);
                break;
            case "--seconds":
                seconds = Double.parseDouble(value);
                break;
            default:
                throw new IllegalArgumentException(USAGE);
        }
    }
}
