/*
 * What the judge is asked about one store directory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** Sizes and preparations for one directory; sizes of zero are found out from its files. */
final class Options {
    Path root;
    int commitLogSize;
    int queueSize;
    /** Must be the writer's: in index files of another size nothing would be found. */
    int indexSlots = 5_000_000;
    int indexItems = 20_000_000;
    /** as-is, present or absent: what to do with the abort file of the copy before opening. */
    String abort = "as-is";
    /** Names directly under the store root that are removed from the copy before opening. */
    List<String> drop = new ArrayList<>();
    /** Names directly under the store root that hold the commit log. */
    List<String> logDirectories = List.of("commitlog");
    /** Topics whose queues are batch queues (5.x). */
    List<String> batchTopics = new ArrayList<>();
    boolean keys = true;
    boolean walk;
    boolean verifyPropertyCrc;
    /** When set, a file of JSON lines: these questions are answered, and no message listed. */
    Path queries;
    /** Most messages and bytes of one read, wherever the store thinks the messages are. */
    int transferCount = 32;
    int transferBytes = 262_144;
    /** When set, the copy is closed cleanly and kept under this name. */
    Path keep;
    /** When set, a file with offset and size of a record in each line, and a survey is made. */
    Path survey;
    /** Whether a survey also starts the store, as a broker does, and not only loads it. */
    boolean start;

    /** Reads {@code [OPTION...] ROOT} as often as it occurs; options count for the next root. */
    static List<Options> parse(List<String> arguments) {
        List<Options> all = new ArrayList<>();
        Options next = new Options();
        Iterator<String> words = arguments.iterator();
        while (words.hasNext()) {
            String word = words.next();
            if (word.startsWith("--")) {
                next.set(word, words);
            } else {
                next.root = Paths.get(word);
                all.add(next);
                next = new Options();
            }
        }
        return all;
    }

    private void set(String option, Iterator<String> words) {
        switch (option) {
            case "--commitlog-size": commitLogSize = Integer.parseInt(words.next()); break;
            case "--cq-size": queueSize = Integer.parseInt(words.next()); break;
            case "--index-slots": indexSlots = Integer.parseInt(words.next()); break;
            case "--index-items": indexItems = Integer.parseInt(words.next()); break;
            case "--abort": abort = abortMode(words.next()); break;
            case "--drop": drop.add(entryName(words.next())); break;
            case "--log-directories": logDirectories = entryNames(words.next()); break;
            case "--batch-topic": batchTopics.add(words.next()); break;
            case "--no-keys": keys = false; break;
            case "--walk": walk = true; break;
            case "--verify-prop-crc": verifyPropertyCrc = true; break;
            case "--queries": queries = Paths.get(words.next()); break;
            case "--transfer-count": transferCount = Integer.parseInt(words.next()); break;
            case "--transfer-bytes": transferBytes = Integer.parseInt(words.next()); break;
            case "--keep": keep = Paths.get(words.next()); break;
            case "--survey": survey = Paths.get(words.next()); break;
            case "--start": start = true; break;
            default: throw new IllegalArgumentException("unknown option " + option);
        }
    }

    private static String abortMode(String mode) {
        if (!List.of("as-is", "present", "absent").contains(mode)) {
            throw new IllegalArgumentException("abort is as-is, present or absent, not " + mode);
        }
        return mode;
    }

    private static List<String> entryNames(String names) {
        List<String> all = new ArrayList<>();
        for (String name : names.split(",")) {
            all.add(entryName(name));
        }
        return all;
    }

    private static String entryName(String name) {
        if (name.indexOf('/') >= 0 || name.startsWith(".")) {
            throw new IllegalArgumentException("not an entry of a store root: " + name);
        }
        return name;
    }
}
