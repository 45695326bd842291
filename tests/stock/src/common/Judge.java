/*
 * The judge's program: looks at store directories through the stock RocketMQ store.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Opens copies of the directories {@code [OPTION...] ROOT [[OPTION...] ROOT]...} and prints JSON
 * lines. An argument {@code @FILE} stands for the words in that file, one in a line.
 *
 * <p>A line of type {@code store} precedes the lines of each directory. Its last line is of type
 * {@code summary}, {@code survey} if one was asked for, or {@code failure} when the directory could
 * not be looked at. The exit code is 0 unless there was a failure. A store that refuses to load is
 * a finding, not a failure, and so is one that a survey does not come back from.
 */
public final class Judge {
    /** Directories looked at side by side: most of the time goes into waiting for threads. */
    private static final int PARALLEL = Integer.getInteger("judge.parallel", 16);
    /** A survey that takes longer, counted from the end of the one before, never ends. */
    private static final int MAX_SECONDS = 60;

    private Judge() {
    }

    private static List<Map<String, Object>> judge(Options options) {
        List<Map<String, Object>> lines = new ArrayList<>();
        Map<String, Object> first = new LinkedHashMap<>();
        first.put("type", "store");
        first.put("root", options.root.toString());
        lines.add(first);
        try {
            if (options.survey == null) {
                new Inspection(options, lines::add).run();
            } else {
                lines.add(new Survey(options).run());
            }
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

    /** The words of the command line; those of a file may be more than a command line can hold. */
    private static List<String> words(String[] arguments) throws IOException {
        List<String> words = new ArrayList<>();
        for (String argument : arguments) {
            if (argument.startsWith("@")) {
                words.addAll(Files.readAllLines(Paths.get(argument.substring(1))));
            } else {
                words.add(argument);
            }
        }
        return words;
    }

    private static int run(List<Options> all, PrintStream out) throws Exception {
        ExecutorService workers = Executors.newFixedThreadPool(PARALLEL);
        List<Future<List<Map<String, Object>>>> results = new ArrayList<>();
        for (Options options : all) {
            results.add(workers.submit(() -> judge(options)));
        }
        int code = 0;
        for (int number = 0; number < all.size(); number++) {
            for (Map<String, Object> line : lines(results.get(number), all.get(number))) {
                code = "failure".equals(line.get("type")) ? 1 : code;
                out.println(Json.of(line));
            }
            out.flush();
        }
        workers.shutdown();
        return code;
    }

    private static List<Map<String, Object>> lines(Future<List<Map<String, Object>>> result,
        Options options) throws Exception {
        if (options.survey == null) {
            return result.get();
        }
        try {
            return result.get(MAX_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            return List.of(Map.of("type", "store", "root", options.root.toString()),
                Map.of("type", "survey", "threw", "nothing for " + MAX_SECONDS + " s"));
        }
    }

    /** Runs the judge; RocketMQ's own output goes to the standard error output. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false,
            StandardCharsets.UTF_8);
        System.setOut(System.err);
        int code = 64;
        try {
            code = run(Options.parse(words(arguments)), out);
        } catch (Exception e) {
            e.printStackTrace();
        }
        out.flush();
        // RocketMQ leaves threads behind that would keep the process alive.
        Runtime.getRuntime().halt(code);
    }
}
