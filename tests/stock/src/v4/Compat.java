/*
 * What differs between RocketMQ releases: this file is for 4.9.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicBoolean;

import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.filter.FilterAPI;
import org.apache.rocketmq.store.ConsumeQueue;
import org.apache.rocketmq.store.DefaultMessageFilter;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.DispatchRequest;
import org.apache.rocketmq.store.MessageFilter;
import org.apache.rocketmq.store.SelectMappedBufferResult;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.schedule.ScheduleMessageService;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/** The calls whose names or arguments changed between releases. */
final class Compat {
    private Compat() {
    }

    static DefaultMessageStore newStore(MessageStoreConfig config, List<String> batchTopics)
        throws IOException {
        if (!batchTopics.isEmpty()) {
            throw new UnsupportedOperationException("4.9 has no batch queues");
        }
        BrokerConfig broker = new BrokerConfig();
        broker.setBrokerName("judge");
        return new DefaultMessageStore(config, new BrokerStatsManager("judge", false),
            (topic, queueId, offset, tags, time, bitmap, properties) -> { }, broker);
    }

    static void configure(MessageStoreConfig config) {
    }

    static void verifyPropertyCrc(MessageStoreConfig config) {
        throw new UnsupportedOperationException("4.9 has no property CRC");
    }

    /**
     * Keeps the delayed messages where they are: the 4.9 store delivers due messages by itself,
     * which would append to the log that is being looked at. Marking the service as started makes
     * its start a no-op.
     */
    static void beforeStart(DefaultMessageStore store) throws Exception {
        ScheduleMessageService service = store.getScheduleMessageService();
        Field started = ScheduleMessageService.class.getDeclaredField("started");
        started.setAccessible(true);
        ((AtomicBoolean) started.get(service)).set(true);
    }

    static DispatchRequest check(DefaultMessageStore store, ByteBuffer record) {
        return store.getCommitLog().checkMessageAndReturnSize(record, true, true);
    }

    /** Topic, queue id, then {min index, max index}, as the store's own queue table has them. */
    static Map<String, Map<Integer, long[]>> queues(DefaultMessageStore store) {
        Map<String, Map<Integer, long[]>> all = new TreeMap<>();
        for (Map.Entry<String, ConcurrentMap<Integer, ConsumeQueue>> topic
            : store.getConsumeQueueTable().entrySet()) {
            Map<Integer, long[]> ids = new TreeMap<>();
            for (Map.Entry<Integer, ConsumeQueue> queue : topic.getValue().entrySet()) {
                ids.put(queue.getKey(), new long[] {
                    queue.getValue().getMinOffsetInQueue(),
                    queue.getValue().getMaxOffsetInQueue()});
            }
            all.put(topic.getKey(), ids);
        }
        return all;
    }

    /** {physical offset, size, tags code} of one unit, or null when the queue has no such unit. */
    static long[] unit(DefaultMessageStore store, String topic, int queueId, long index) {
        ConcurrentMap<Integer, ConsumeQueue> ids = store.getConsumeQueueTable().get(topic);
        ConsumeQueue queue = ids == null ? null : ids.get(queueId);
        if (queue == null || index < queue.getMinOffsetInQueue()
            || index >= queue.getMaxOffsetInQueue()) {
            return null;
        }
        SelectMappedBufferResult found = queue.getIndexBuffer(index);
        if (found == null) {
            return null;
        }
        try {
            return new long[] {found.getByteBuffer().getLong(), found.getByteBuffer().getInt(),
                found.getByteBuffer().getLong()};
        } finally {
            found.release();
        }
    }

    static MessageFilter tagFilter(String topic, String expression) throws Exception {
        return new DefaultMessageFilter(FilterAPI.buildSubscriptionData(topic, expression));
    }

    static MessageFilter propertyFilter(String expression) {
        throw new UnsupportedOperationException("Maven has no SQL filter of 4.9.8");
    }

    /**
     * Nothing: 4.9 picks the queue file by its modification time and returns the nearer neighbour,
     * which says more about the copy than about the store.
     */
    static Long offsetAtTime(DefaultMessageStore store, String topic, int queueId, long time,
        String boundary) {
        return null;
    }
}
