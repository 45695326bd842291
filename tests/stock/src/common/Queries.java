/*
 * Questions about one open store, and what it answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Consumer;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.MessageFilter;
import org.apache.rocketmq.store.QueryMessageResult;

/**
 * Answers JSON lines, each in one line and in the same order.
 *
 * <p>Asking has a side effect inside the store: it creates the queue that is asked about. So the
 * operation {@code topics} is of use as the first.
 */
final class Queries {
    private final DefaultMessageStore store;
    private final Consumer<Map<String, Object>> sink;

    Queries(DefaultMessageStore store, Consumer<Map<String, Object>> sink) {
        this.store = store;
        this.sink = sink;
    }

    /** Answers every line of a file. */
    void run(Path file) throws Exception {
        for (String line : Files.readAllLines(file, StandardCharsets.UTF_8)) {
            sink.accept(answer(JSON.parseObject(line)));
        }
    }

    private Map<String, Object> answer(JSONObject query) throws Exception {
        switch (query.getString("op")) {
            case "read": return read(query);
            case "time": return time(query);
            case "key": return key(query);
            case "range": return range(query);
            case "topics": return topics();
            default: throw new IllegalArgumentException("unknown operation in " + query);
        }
    }

    private Map<String, Object> read(JSONObject query) throws Exception {
        String topic = query.getString("topic");
        MessageFilter filter = null;
        if (query.getString("tags") != null) {
            filter = Compat.tagFilter(topic, query.getString("tags"));
        } else if (query.getString("sql") != null) {
            filter = Compat.propertyFilter(query.getString("sql"));
        }
        GetMessageResult got = store.getMessage("judge", topic, query.getIntValue("queue"),
            query.getLongValue("offset"), query.getIntValue("max"), filter);
        List<Object> offsets = new ArrayList<>();
        List<Object> bodies = new ArrayList<>();
        for (ByteBuffer buffer : got.getMessageBufferList()) {
            Map<String, Object> record = Records.describe(buffer);
            offsets.add(record.get("physical_offset"));
            bodies.add(record.get("body_sha256"));
        }
        got.release();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("status", got.getStatus().toString());
        line.put("next", got.getNextBeginOffset());
        line.put("min", got.getMinOffset());
        line.put("max", got.getMaxOffset());
        line.put("physical_offsets", offsets);
        line.put("body_sha256", bodies);
        return line;
    }

    private Map<String, Object> time(JSONObject query) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("offset", Compat.offsetAtTime(store, query.getString("topic"),
            query.getIntValue("queue"), query.getLongValue("ms"), query.getString("boundary")));
        return line;
    }

    /** Looks a key up and leaves out records that have another key with the same hash. */
    private Map<String, Object> key(JSONObject query) {
        QueryMessageResult found = store.queryMessage(query.getString("topic"),
            query.getString("key"), query.getIntValue("max"), query.getLongValue("begin"),
            query.getLongValue("end"));
        TreeSet<Long> offsets = new TreeSet<>();
        for (ByteBuffer buffer : found.getMessageBufferList()) {
            MessageExt message = MessageDecoder.decode(buffer.duplicate(), false, false);
            if (message.getTopic().equals(query.getString("topic"))
                && hasKey(message, query.getString("key"))) {
                offsets.add(message.getCommitLogOffset());
            }
        }
        found.release();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("physical_offsets", offsets);
        return line;
    }

    private static boolean hasKey(MessageExt message, String key) {
        String keys = message.getKeys();
        return key.equals(message.getProperty("UNIQ_KEY"))
            || keys != null && Arrays.asList(keys.split(" ")).contains(key);
    }

    private Map<String, Object> range(JSONObject query) throws Exception {
        String topic = query.getString("topic");
        int queueId = query.getIntValue("queue");
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("min", store.getMinOffsetInQueue(topic, queueId));
        line.put("max", store.getMaxOffsetInQueue(topic, queueId));
        return line;
    }

    private Map<String, Object> topics() {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topics", Records.queueList(store));
        return line;
    }
}
