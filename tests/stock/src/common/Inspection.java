/*
 * One look at one store directory through the stock RocketMQ store.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.QueryMessageResult;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** Opens a copy of a directory, waits for the dispatcher to catch up, and tells what it sees. */
final class Inspection {
    /** Most messages a key look-up returns. */
    private static final int MAX_KEY_RESULTS = 64;

    private final Options options;
    private final Consumer<Map<String, Object>> sink;
    private final Map<String, Object> summary = new LinkedHashMap<>();
    /** Topic and key of every message seen. */
    private final Set<List<String>> keys = new LinkedHashSet<>();

    Inspection(Options options, Consumer<Map<String, Object>> sink) {
        this.options = options;
        this.sink = sink;
    }

    /** Runs the inspection; the summary is the last line given to the sink. */
    void run() throws Exception {
        Path parent = Files.createTempDirectory(
            Paths.get(System.getProperty("java.io.tmpdir")), "judge");
        Path root = parent.resolve("store");
        DefaultMessageStore store = null;
        try {
            prepare(root);
            summary.put("type", "summary");
            summary.put("rocketmq_version", MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION));
            summary.put("last_exit_ok", !Files.exists(root.resolve("abort")));
            // 4.9's constructor fills a table that all stores of the process share, without a lock.
            synchronized (Inspection.class) {
                store = Compat.newStore(config(root), options.batchTopics);
            }
            boolean loaded = store.load();
            summary.put("load_ok", loaded);
            if (loaded) {
                look(store);
                summary.put("files", Directories.list(root));
                if (options.keep != null) {
                    store.shutdown();
                    store = null;
                    Directories.copy(root, options.keep);
                }
            }
            sink.accept(summary);
        } finally {
            if (store != null) {
                store.shutdown();
            }
            Directories.remove(parent);
        }
    }

    /** Copies the directory to look at, as the options say. */
    void prepare(Path root) throws Exception {
        Directories.copy(options.root, root);
        for (String name : options.drop) {
            Directories.remove(root.resolve(name));
        }
        Path abort = root.resolve("abort");
        if (options.abort.equals("absent")) {
            Files.deleteIfExists(abort);
        } else if (options.abort.equals("present") && !Files.exists(abort)) {
            Files.createFile(abort);
        }
    }

    /** How the copy is to be opened. */
    MessageStoreConfig config(Path root) throws IOException {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(root.toString());
        config.setStorePathCommitLog(options.logDirectories.stream()
            .map(name -> root.resolve(name).toString()).collect(Collectors.joining(",")));
        config.setHaListenPort(0);
        config.setMaxHashSlotNum(options.indexSlots);
        config.setMaxIndexNum(options.indexItems);
        int log = options.commitLogSize > 0 ? options.commitLogSize
            : Directories.mappedFileSize(root.resolve(options.logDirectories.get(0)), 1);
        int queue = options.queueSize > 0 ? options.queueSize
            : Directories.mappedFileSize(root.resolve("consumequeue"), 3);
        if (log > 0) {
            config.setMappedFileSizeCommitLog(log);
        }
        if (queue > 0) {
            config.setMappedFileSizeConsumeQueue(queue);
        }
        // Else the answers to reads would depend on the memory of the machine.
        config.setMaxTransferCountOnMessageInMemory(options.transferCount);
        config.setMaxTransferCountOnMessageInDisk(options.transferCount);
        config.setMaxTransferBytesOnMessageInMemory(options.transferBytes);
        config.setMaxTransferBytesOnMessageInDisk(options.transferBytes);
        Compat.configure(config);
        if (options.verifyPropertyCrc) {
            Compat.verifyPropertyCrc(config);
        }
        return config;
    }

    private void look(DefaultMessageStore store) throws Exception {
        summary.put("max_phy_offset_after_load", store.getMaxPhyOffset());
        Compat.beforeStart(store);
        store.start();
        summary.put("dispatch_caught_up", waitForDispatch(store));
        if (options.queries == null) {
            summary.put("messages", messages(store));
        } else {
            new Queries(store, answer -> sink.accept(typed("answer", answer)))
                .run(options.queries);
        }
        if (options.keys) {
            for (List<String> pair : keys) {
                key(store, pair.get(0), pair.get(1));
            }
        }
        if (options.walk) {
            Records.Walk walk = Records.walk(store);
            walk.records.forEach(record -> sink.accept(typed("log_record", record)));
            walk.blanks.forEach(blank -> sink.accept(typed("log_blank", blank)));
            summary.put("log_records", walk.records.size());
            summary.put("log_walk_end", walk.end);
            summary.put("log_walk_stopped", walk.stopped);
        }
        summary.put("max_phy_offset", store.getMaxPhyOffset());
        summary.put("min_phy_offset", store.getMinPhyOffset());
        summary.put("queues", Records.queueList(store));
    }

    /** Waits at most 30 s until the dispatcher has had nothing to do for half a second. */
    static boolean waitForDispatch(DefaultMessageStore store) throws InterruptedException {
        int quiet = 0;
        for (int i = 0; i < 600 && quiet < 10; i++) {
            quiet = store.dispatchBehindBytes() == 0 ? quiet + 1 : 0;
            Thread.sleep(50);
        }
        return quiet >= 10;
    }

    private long messages(DefaultMessageStore store) throws Exception {
        long count = 0;
        for (Map.Entry<String, Map<Integer, long[]>> topic : Compat.queues(store).entrySet()) {
            for (Map.Entry<Integer, long[]> queue : topic.getValue().entrySet()) {
                for (long index = queue.getValue()[0]; index < queue.getValue()[1]; index++) {
                    count += message(store, topic.getKey(), queue.getKey(), index);
                }
            }
        }
        return count;
    }

    /** Tells about one queue index; the number of records found there is the result. */
    private int message(DefaultMessageStore store, String topic, int queueId, long index)
        throws Exception {
        GetMessageResult got = store.getMessage("judge", topic, queueId, index, 1, null);
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("type", "message");
        line.put("queue_topic", topic);
        line.put("queue", queueId);
        line.put("index", index);
        line.put("status", got == null ? "null" : got.getStatus().toString());
        long[] unit = Compat.unit(store, topic, queueId, index);
        line.put("unit_physical_offset", unit == null ? null : unit[0]);
        line.put("unit_size", unit == null ? null : unit[1]);
        line.put("tags_code", unit == null ? null : unit[2]);
        int found = 0;
        if (got != null) {
            for (ByteBuffer buffer : got.getMessageBufferList()) {
                Map<String, Object> record = Records.describe(buffer);
                line.putAll(record);
                collectKeys(record);
                found++;
            }
            got.release();
        }
        sink.accept(line);
        return found;
    }

    private void collectKeys(Map<String, Object> record) {
        Map<?, ?> properties = (Map<?, ?>) record.get("properties");
        String topic = (String) record.get("topic");
        if (properties.get("UNIQ_KEY") != null) {
            keys.add(List.of(topic, (String) properties.get("UNIQ_KEY")));
        }
        if (properties.get("KEYS") != null) {
            for (String key : ((String) properties.get("KEYS")).split(" ")) {
                if (!key.isEmpty()) {
                    keys.add(List.of(topic, key));
                }
            }
        }
    }

    private void key(DefaultMessageStore store, String topic, String key) {
        QueryMessageResult found = store.queryMessage(
            topic, key, MAX_KEY_RESULTS, 0, Long.MAX_VALUE);
        List<Long> offsets = new ArrayList<>();
        for (ByteBuffer buffer : found.getMessageBufferList()) {
            offsets.add(
                MessageDecoder.decode(buffer.duplicate(), false, false).getCommitLogOffset());
        }
        found.release();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", topic);
        line.put("key", key);
        line.put("physical_offsets", offsets);
        sink.accept(typed("key", line));
    }

    private static Map<String, Object> typed(String type, Map<String, Object> rest) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("type", type);
        line.putAll(rest);
        return line;
    }
}
