/*
 * What differs between RocketMQ releases: this file is for 5.x.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

import org.apache.rocketmq.common.BoundaryType;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.TopicAttributes;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.attribute.CQType;
import org.apache.rocketmq.remoting.protocol.filter.FilterAPI;
import org.apache.rocketmq.store.DefaultMessageFilter;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.DispatchRequest;
import org.apache.rocketmq.store.MessageFilter;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.queue.ConsumeQueueInterface;
import org.apache.rocketmq.store.queue.CqUnit;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/** The calls whose names or arguments changed between releases. */
final class Compat {
    private Compat() {
    }

    static DefaultMessageStore newStore(MessageStoreConfig config, List<String> batchTopics)
        throws IOException {
        BrokerConfig broker = new BrokerConfig();
        broker.setBrokerName("judge");
        ConcurrentMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
        for (String name : batchTopics) {
            TopicConfig topic = new TopicConfig(name);
            topic.getAttributes().put(TopicAttributes.QUEUE_TYPE_ATTRIBUTE.getName(),
                CQType.BatchCQ.toString());
            topics.put(name, topic);
        }
        return new DefaultMessageStore(config, new BrokerStatsManager("judge", false),
            (topic, queueId, offset, tags, time, bitmap, properties) -> { }, broker,
            topics);
    }

    static void configure(MessageStoreConfig config) {
        config.setTimerWheelEnable(false);
    }

    static void verifyPropertyCrc(MessageStoreConfig config) {
        config.setEnabledAppendPropCRC(true);
        config.setForceVerifyPropCRC(true);
    }

    static void beforeStart(DefaultMessageStore store) {
    }

    static DispatchRequest check(DefaultMessageStore store, ByteBuffer record) {
        return store.getCommitLog().checkMessageAndReturnSize(record, true, false, true);
    }

    /** Topic, queue id, then {min index, max index}, as the store's own queue table has them. */
    static Map<String, Map<Integer, long[]>> queues(DefaultMessageStore store) {
        Map<String, Map<Integer, long[]>> all = new TreeMap<>();
        for (Map.Entry<String, ConcurrentMap<Integer, ConsumeQueueInterface>> topic
            : store.getConsumeQueueTable().entrySet()) {
            Map<Integer, long[]> ids = new TreeMap<>();
            for (Map.Entry<Integer, ConsumeQueueInterface> queue : topic.getValue().entrySet()) {
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
        ConcurrentMap<Integer, ConsumeQueueInterface> ids = store.getConsumeQueueTable().get(topic);
        ConsumeQueueInterface queue = ids == null ? null : ids.get(queueId);
        if (queue == null || index < queue.getMinOffsetInQueue()
            || index >= queue.getMaxOffsetInQueue()) {
            return null;
        }
        CqUnit unit = queue.get(index);
        return unit == null ? null : new long[] {unit.getPos(), unit.getSize(), unit.getTagsCode()};
    }

    static MessageFilter tagFilter(String topic, String expression) throws Exception {
        return new DefaultMessageFilter(FilterAPI.buildSubscriptionData(topic, expression));
    }

    static MessageFilter propertyFilter(String expression) throws Exception {
        return new PropertyFilter(expression);
    }

    /** Queue index at a time; the boundary is LOWER or UPPER. */
    static Long offsetAtTime(DefaultMessageStore store, String topic, int queueId, long time,
        String boundary) {
        return store.getOffsetInQueueByTime(topic, queueId, time, BoundaryType.valueOf(boundary));
    }
}
