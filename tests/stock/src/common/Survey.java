/*
 * What a store keeps, in few words: for thousands of damaged directories.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;

import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.SelectMappedBufferResult;

/**
 * Opens a copy of a directory and tells which records are where they are expected, and which each
 * index of each queue leads to.
 *
 * <p>Loading does the whole recovery. Starting the services as well takes seconds of waiting; only
 * 4.9 does something then that can be seen: it dispatches what recovery left.
 */
final class Survey {
    /** A damaged queue may claim any length. */
    private static final long MAX_INDEXES = 20_000;

    private final Options options;
    private final Map<String, Object> line = new LinkedHashMap<>();

    Survey(Options options) {
        this.options = options;
    }

    /** Returns the line that tells; that RocketMQ throws is told, too. */
    Map<String, Object> run() throws Exception {
        line.put("type", "survey");
        Path parent = Files.createTempDirectory(
            Paths.get(System.getProperty("java.io.tmpdir")), "survey");
        Path root = parent.resolve("store");
        Inspection inspection = new Inspection(options, ignored -> { });
        inspection.prepare(root);
        DefaultMessageStore store = null;
        try {
            // 4.9's constructor fills a table that all stores of the process share, without a lock.
            synchronized (Inspection.class) {
                store = Compat.newStore(inspection.config(root), options.batchTopics);
            }
            boolean loaded = store.load();
            line.put("loaded", loaded);
            if (loaded) {
                look(store);
            }
        } catch (Exception | LinkageError | VirtualMachineError e) {
            line.put("threw", e.toString());
        } finally {
            end(store);
            Directories.remove(parent);
        }
        return line;
    }

    private void end(DefaultMessageStore store) {
        if (store == null) {
            return;
        }
        try {
            if (options.start) {
                store.shutdown();
            } else {
                store.getAllocateMappedFileService().shutdown();
                // Unmaps the files of the copy.
                store.destroy();
            }
        } catch (RuntimeException | VirtualMachineError e) {
            line.put("threw_at_end", e.toString());
        }
    }

    private void look(DefaultMessageStore store) throws Exception {
        if (options.start) {
            Compat.beforeStart(store);
            store.start();
            line.put("dispatched", Inspection.waitForDispatch(store));
        } else {
            // Else it would answer no read: it counts as shut down until it is started.
            Field shutdown = DefaultMessageStore.class.getDeclaredField("shutdown");
            shutdown.setAccessible(true);
            shutdown.setBoolean(store, false);
        }
        line.put("min", store.getMinPhyOffset());
        line.put("max", store.getMaxPhyOffset());
        List<Object> kept = new ArrayList<>();
        for (String probe : Files.readAllLines(options.survey)) {
            String[] words = probe.split(" ");
            kept.add(record(store, Long.parseLong(words[0]), Integer.parseInt(words[1])));
        }
        line.put("kept", kept);
        List<Object> queues = new ArrayList<>();
        for (Map.Entry<String, Map<Integer, long[]>> topic : Compat.queues(store).entrySet()) {
            for (Map.Entry<Integer, long[]> queue : topic.getValue().entrySet()) {
                queues.add(queue(store, topic.getKey(), queue.getKey(), queue.getValue()));
            }
        }
        line.put("queues", queues);
    }

    /** The CRC-32 of so many bytes of the log, or null when the log has none there. */
    private static Long record(DefaultMessageStore store, long offset, int size) {
        // For offset 0 RocketMQ takes the first file there is.
        SelectMappedBufferResult found = offset < store.getMinPhyOffset() ? null
            : store.selectOneMessageByOffset(offset, size);
        if (found == null) {
            return null;
        }
        try {
            return found.getSize() == size ? crc(found.getByteBuffer()) : null;
        } finally {
            found.release();
        }
    }

    /** What each index of a queue leads to: the CRC-32 of a record, or null. */
    private Map<String, Object> queue(DefaultMessageStore store, String topic, int id,
        long[] range) throws IOException {
        long end = Math.min(range[1], range[0] + MAX_INDEXES);
        List<Object> found = new ArrayList<>();
        for (long index = range[0]; index < end; index++) {
            found.add(message(store, topic, id, index));
        }
        Map<String, Object> queue = new LinkedHashMap<>();
        queue.put("topic", topic);
        queue.put("queue", id);
        queue.put("min", range[0]);
        queue.put("max", range[1]);
        queue.put("found", found);
        return queue;
    }

    private Long message(DefaultMessageStore store, String topic, int id, long index) {
        GetMessageResult got;
        try {
            got = store.getMessage("judge", topic, id, index, 1, null);
        } catch (RuntimeException | VirtualMachineError e) {
            line.putIfAbsent("threw_at_read", e.toString());
            return null;
        }
        if (got == null) {
            return null;
        }
        try {
            List<ByteBuffer> buffers = got.getMessageBufferList();
            return buffers.isEmpty() ? null : crc(buffers.get(0));
        } finally {
            got.release();
        }
    }

    private static long crc(ByteBuffer bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes.duplicate());
        return crc.getValue();
    }
}
