package io.cairnlog.peers;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Drives a store in Java with the work of {@code cairnlog bench} and prints the same JSON object.
 */
public final class JavaPeers {
    private JavaPeers() {
    }

    /** Measures appends to the store that the arguments name. */
    public static void main(String[] words) throws Exception {
        // The stores print, too.
        PrintStream output = System.out;
        System.setOut(System.err);
        Arguments arguments = Arguments.parse(Arrays.asList(words));
        String name = "java-peers-" + ProcessHandle.current().pid();
        Path directory = Files.createDirectories(arguments.directory.resolve(name));
        try {
            output.println(measure(arguments, directory));
        } finally {
            remove(directory);
        }
        // RocketMQ leaves threads behind that would keep the process alive.
        System.exit(0);
    }

    private static String measure(Arguments arguments, Path directory) throws Exception {
        try (Peer peer = open(arguments, directory)) {
            return json(arguments, new Load(peer, arguments).run());
        }
    }

    private static Peer open(Arguments arguments, Path directory) throws Exception {
        switch (arguments.peer) {
            case "rocketmq":
                return new RocketmqPeer(directory, arguments.sync);
            case "chronicle":
                return new ChroniclePeer(directory, arguments.sync);
            default:
                throw new IllegalArgumentException("no store is called " + arguments.peer);
        }
    }

    private static String json(Arguments arguments, Load.Total total) {
        boolean rocketmq = arguments.peer.equals("rocketmq");
        double seconds = (total.ended - total.started) / 1e9;
        long messages = total.latencies.getTotalCount();
        return String.format(Locale.ROOT, "{\"peer\":\"%s\",\"version\":\"%s\",\"mode\":\"%s\","
            + "\"size\":%d,\"threads\":%d,\"inflight\":%d,\"seconds\":%f,\"messages\":%d,"
            + "\"messages_per_second\":%f,\"p50_ns\":%d,\"p99_ns\":%d,\"p999_ns\":%d,"
            + "\"p9999_ns\":%d,\"max_ns\":%d,\"appended\":%d}",
            rocketmq ? "RocketMQ (Java)" : "Chronicle Queue", rocketmq ? "5.3.3" : "5.27ea11",
            arguments.sync ? "sync" : "async", arguments.size, arguments.threads,
            arguments.inflight, seconds, messages, messages / seconds,
            total.latencies.getValueAtPercentile(50), total.latencies.getValueAtPercentile(99),
            total.latencies.getValueAtPercentile(99.9), total.latencies.getValueAtPercentile(99.99),
            total.latencies.getMaxValue(), messages + total.warmUp);
    }

    private static void remove(Path directory) throws IOException {
        List<Path> all;
        try (Stream<Path> walked = Files.walk(directory)) {
            all = walked.sorted(Comparator.reverseOrder()).collect(Collectors.toList());
        }
        for (Path path : all) {
            Files.deleteIfExists(path);
        }
    }
}
