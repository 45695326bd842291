package io.cairnlog.peers;

import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.PutMessageStatus;
import org.apache.rocketmq.store.config.FlushDiskType;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * The store of RocketMQ 5.3.3, unchanged and with its defaults, dispatch to queues and index
 * included. A queue for each thread.
 */
final class RocketmqPeer implements Peer {
    private static final String TOPIC = "bench";
    /** A machine that is busy elsewhere must not make it refuse messages. */
    private static final long BUSY_MS = 60_000;

    private final DefaultMessageStore store;

    RocketmqPeer(Path directory, boolean sync) throws Exception {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(directory.toString());
        config.setStorePathCommitLog(directory.resolve("commitlog").toString());
        config.setFlushDiskType(sync ? FlushDiskType.SYNC_FLUSH : FlushDiskType.ASYNC_FLUSH);
        config.setTimerWheelEnable(false);
        config.setHaListenPort(0);
        config.setDiskMaxUsedSpaceRatio(95);
        config.setOsPageCacheBusyTimeOutMills(BUSY_MS);
        config.setSyncFlushTimeout((int) BUSY_MS);
        store = new DefaultMessageStore(config, new BrokerStatsManager("bench", false),
            (topic, queue, offset, tags, time, bitmap, properties) -> { },
            new BrokerConfig(), new ConcurrentHashMap<>());
        if (!store.load()) {
            throw new IllegalStateException("RocketMQ did not load an empty directory");
        }
        store.start();
    }

    @Override
    public Writer writer(int thread) {
        return new Queue(thread);
    }

    @Override
    public void close() {
        store.shutdown();
    }

    private final class Queue implements Writer {
        private final InetSocketAddress host = new InetSocketAddress("127.0.0.1", 10911);
        private final int id;
        /** Used again for each append that is waited for. */
        private MessageExtBrokerInner message;

        Queue(int id) {
            this.id = id;
            message = message();
        }

        private MessageExtBrokerInner message() {
            MessageExtBrokerInner made = new MessageExtBrokerInner();
            made.setTopic(TOPIC);
            made.setQueueId(id);
            made.setBornTimestamp(System.currentTimeMillis());
            made.setBornHost(host);
            made.setStoreHost(host);
            MessageAccessor.setProperties(made, new HashMap<>());
            made.setPropertiesString("");
            return made;
        }

        @Override
        public void append(byte[] body) {
            message.setBody(body);
            check(store.putMessage(message));
        }

        @Override
        public CompletableFuture<?> appendAsync(byte[] body) {
            MessageExtBrokerInner fresh = message();
            fresh.setBody(body);
            return store.asyncPutMessage(fresh).thenAccept(RocketmqPeer::check);
        }
    }

    private static void check(PutMessageResult result) {
        if (result.getPutMessageStatus() != PutMessageStatus.PUT_OK) {
            throw new IllegalStateException("RocketMQ answered " + result.getPutMessageStatus());
        }
    }
}
