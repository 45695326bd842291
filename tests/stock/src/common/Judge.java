/*
 * The judge's program: looks at store directories through the stock RocketMQ store.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Opens copies of the directories {@code [OPTION...] ROOT [[OPTION...] ROOT]...} and prints JSON
 * lines.
 *
 * <p>A line of type {@code store} precedes the lines of each directory. Its last line is of type
 * {@code summary}, or of type {@code failure} when the directory could not be looked at. The exit
 * code is 0 unless there was a failure. A store that refuses to load is a finding, not a failure.
 */
public final class Judge {
    /** Directories looked at side by side: most of the time goes into waiting for threads. */
    private static final int PARALLEL = 16;

    private Judge() {
    }

    private static List<Map<String, Object>> judge(Options options) {
        List<Map<String, Object>> lines = new ArrayList<>();
        Map<String, Object> first = new LinkedHashMap<>();
        first.put("type", "store");
        first.put("root", options.root.toString());
        lines.add(first);
        try {
            new Inspection(options, lines::add).run();
        } catch (Exception | LinkageError e) {
            StringWriter trace = new StringWriter();
            e.printStackTrace(new PrintWriter(trace, true));
            Map<String, Object> failure = new LinkedHashMap<>();
            failure.put("type", "failure");
            failure.put("text", trace.toString());
            lines.add(failure);
        }
        return lines;
    }

    private static int run(List<Options> all, PrintStream out) throws Exception {
        ExecutorService workers = Executors.newFixedThreadPool(PARALLEL);
        List<Future<List<Map<String, Object>>>> results = new ArrayList<>();
        for (Options options : all) {
            results.add(workers.submit(() -> judge(options)));
        }
        int code = 0;
        for (Future<List<Map<String, Object>>> result : results) {
            for (Map<String, Object> line : result.get()) {
                code = "failure".equals(line.get("type")) ? 1 : code;
                out.println(Json.of(line));
            }
        }
        workers.shutdown();
        return code;
    }

    /** Runs the judge; RocketMQ's own output goes to the standard error output. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false,
            StandardCharsets.UTF_8);
        System.setOut(System.err);
        int code = 64;
        try {
            code = run(Options.parse(Arrays.asList(arguments)), out);
        } catch (Exception e) {
            e.printStackTrace();
        }
        out.flush();
        // RocketMQ leaves threads behind that would keep the process alive.
        Runtime.getRuntime().halt(code);
    }
}
