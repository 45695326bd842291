/*
 * Stored records as RocketMQ's decoder and record check see them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.net.Inet6Address;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.DispatchRequest;
import org.apache.rocketmq.store.SelectMappedBufferResult;

/** Describes stored records with RocketMQ's own decoder. */
final class Records {
    /** Magic of records whose topic length takes two bytes. */
    private static final int MAGIC_LONG_TOPIC = -626843477;

    /** Offset of the born host: what precedes it has a fixed size. */
    private static final int FIXED_FIELDS_BYTES = 72;

    private Records() {
    }

    /** What a walk over the whole log found. */
    static final class Walk {
        final List<Map<String, Object>> records = new ArrayList<>();
        final List<Map<String, Object>> blanks = new ArrayList<>();
        String stopped = "end of the log";
        long end;
    }

    /** Walks the commit log through the store's own record check, CRC included. */
    static Walk walk(DefaultMessageStore store) throws Exception {
        Walk walk = new Walk();
        walk.end = Math.max(0, store.getMinPhyOffset());
        boolean sound = true;
        while (sound && walk.end < store.getMaxPhyOffset()) {
            SelectMappedBufferResult data = store.getCommitLogData(walk.end);
            if (data == null) {
                walk.stopped = "nothing readable at " + walk.end;
                return walk;
            }
            try {
                sound = walkPart(store, data.getByteBuffer(), data.getSize(), walk);
            } finally {
                data.release();
            }
        }
        return walk;
    }

    /** Walks what one file gave; false when it stopped before the end of it. */
    private static boolean walkPart(DefaultMessageStore store, ByteBuffer part, int size, Walk walk)
        throws Exception {
        long start = walk.end;
        int at = 0;
        while (at < size) {
            ByteBuffer here = part.duplicate();
            here.position(at).limit(size);
            DispatchRequest request = Compat.check(store, here);
            if (!request.isSuccess()) {
                walk.stopped = "not a record at " + walk.end + ", size " + request.getMsgSize();
                return false;
            }
            if (request.getMsgSize() == 0) {
                Map<String, Object> blank = new LinkedHashMap<>();
                blank.put("physical_offset", walk.end);
                blank.put("size", part.getInt(at));
                walk.blanks.add(blank);
                walk.end = start + size;
                return true;
            }
            ByteBuffer record = part.duplicate();
            record.position(at).limit(at + request.getMsgSize());
            walk.records.add(describe(record.slice()));
            at += request.getMsgSize();
            walk.end = start + at;
        }
        return true;
    }

    /** One record, exactly delimited. */
    static Map<String, Object> describe(ByteBuffer record) throws Exception {
        ByteBuffer copy = ByteBuffer.allocate(record.remaining());
        copy.put(record.duplicate());
        copy.flip();
        MessageExt message = MessageDecoder.decode(copy.duplicate(), true, false);
        if (message == null) {
            throw new IllegalStateException("RocketMQ's decoder refused the record");
        }
        byte[] body = message.getBody() == null ? new byte[0] : message.getBody();
        byte[] properties = rawProperties(copy, message, body.length);

        Map<String, Object> out = new LinkedHashMap<>();
        out.put("physical_offset", message.getCommitLogOffset());
        out.put("total_size", message.getStoreSize());
        out.put("magic", copy.getInt(4));
        out.put("queue_id", message.getQueueId());
        out.put("flag", message.getFlag());
        out.put("queue_offset", message.getQueueOffset());
        out.put("sys_flag", message.getSysFlag());
        out.put("born_timestamp", message.getBornTimestamp());
        out.put("born_host", host(message.getBornHost()));
        out.put("store_timestamp", message.getStoreTimestamp());
        out.put("store_host", host(message.getStoreHost()));
        out.put("reconsume_times", message.getReconsumeTimes());
        out.put("prepared_transaction_offset", message.getPreparedTransactionOffset());
        out.put("body_length", body.length);
        out.put("body_crc32", message.getBodyCRC());
        out.put("body_sha256", hex(MessageDigest.getInstance("SHA-256").digest(body)));
        out.put("topic", message.getTopic());
        out.put("properties", message.getProperties() == null
            ? new TreeMap<>() : new TreeMap<>(message.getProperties()));
        out.put("properties_raw_hex", hex(properties));
        return out;
    }

    /** The property bytes as stored, which the decoder does not return. */
    private static byte[] rawProperties(ByteBuffer record, MessageExt message, int bodyBytes) {
        int topicAt = FIXED_FIELDS_BYTES + hostBytes(message.getBornHost())
            + hostBytes(message.getStoreHost()) + bodyBytes;
        boolean longTopic = record.getInt(4) == MAGIC_LONG_TOPIC;
        int topicBytes = longTopic ? record.getShort(topicAt) : record.get(topicAt);
        ByteBuffer rest = record.duplicate();
        rest.position(topicAt + (longTopic ? 2 : 1) + topicBytes);
        byte[] raw = new byte[rest.getShort()];
        rest.get(raw);
        if (rest.hasRemaining()) {
            throw new IllegalStateException(rest.remaining() + " bytes after the properties");
        }
        return raw;
    }

    private static int hostBytes(SocketAddress address) {
        return ((InetSocketAddress) address).getAddress() instanceof Inet6Address ? 20 : 8;
    }

    private static String host(SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        String text = inet.getAddress().getHostAddress();
        return inet.getAddress() instanceof Inet6Address
            ? "[" + text + "]:" + inet.getPort() : text + ":" + inet.getPort();
    }

    private static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            out.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return out.toString();
    }

    static List<Map<String, Object>> queueList(DefaultMessageStore store) {
        List<Map<String, Object>> list = new ArrayList<>();
        Compat.queues(store).forEach((topic, ids) -> ids.forEach((id, range) -> {
            Map<String, Object> queue = new LinkedHashMap<>();
            queue.put("topic", topic);
            queue.put("queue_id", id);
            queue.put("min_offset", range[0]);
            queue.put("max_offset", range[1]);
            list.add(queue);
        }));
        return list;
    }
}
