/*
 * A stock broker over a store directory, and what producers and consumers ask of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.netty.channel.ChannelHandlerContext;

import org.apache.rocketmq.broker.BrokerController;
import org.apache.rocketmq.broker.transaction.queue.TransactionalMessageUtil;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.common.sysflag.PullSysFlag;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;
import org.apache.rocketmq.remoting.netty.NettyRequestProcessor;
import org.apache.rocketmq.remoting.netty.NettyServerConfig;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.header.CheckTransactionStateRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.EndTransactionRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.UpdateConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.HeartbeatData;
import org.apache.rocketmq.remoting.protocol.heartbeat.ProducerData;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/**
 * Runs a broker over {@code ROOT} whose files have the sizes {@code LOG QUEUE SLOTS ITEMS}, until
 * the standard input ends. Each line of that is a request, its words parted by tabs; each has one
 * line of JSON as its answer. The broker listens on the loopback interface, on a free port, and
 * has no name server.
 */
public final class Broker {
    private static final long LIMIT_MS = 20_000;
    /** Nobody waits longer for the whole: a broker that is forgotten ends. */
    private static final long LIFE_MS = 240_000;

    private final BrokerController broker;
    private final NettyRemotingClient client = new NettyRemotingClient(new NettyClientConfig());
    private final BlockingQueue<Map<String, Object>> checks = new LinkedBlockingQueue<>();
    private final ExecutorService checker = Executors.newSingleThreadExecutor();
    private final String address;

    private Broker(String[] arguments) throws Exception {
        broker = new BrokerController(brokerConfig(), server(), new NettyClientConfig(),
            storeConfig(arguments));
        if (!broker.initialize()) {
            throw new IllegalStateException("the broker refuses to load " + arguments[0]);
        }
        broker.start();
        address = "127.0.0.1:" + broker.getNettyServerConfig().getListenPort();
        client.registerProcessor(RequestCode.CHECK_TRANSACTION_STATE, new Checked(), checker);
        client.start();
    }

    private static BrokerConfig brokerConfig() {
        BrokerConfig config = new BrokerConfig();
        config.setBrokerName("stock");
        config.setBrokerIP1("127.0.0.1");
        config.setBrokerIP2("127.0.0.1");
        config.setNamesrvAddr(null);
        config.setTransactionCheckInterval(4000);
        config.setTransactionOpBatchInterval(100);
        config.setTransactionTimeOut(1);
        return config;
    }

    private static NettyServerConfig server() {
        NettyServerConfig config = new NettyServerConfig();
        config.setBindAddress("127.0.0.1");
        config.setListenPort(0);
        return config;
    }

    private static MessageStoreConfig storeConfig(String[] arguments) {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(arguments[0]);
        config.setStorePathCommitLog(arguments[0] + "/commitlog");
        config.setMappedFileSizeCommitLog(Integer.parseInt(arguments[1]));
        config.setMappedFileSizeConsumeQueue(Integer.parseInt(arguments[2]));
        config.setMaxHashSlotNum(Integer.parseInt(arguments[3]));
        config.setMaxIndexNum(Integer.parseInt(arguments[4]));
        config.setTimerWheelEnable(false);
        config.setHaListenPort(0);
        // The disk of a developer may be fuller than a broker's.
        config.setDiskMaxUsedSpaceRatio(95);
        config.setDiskSpaceCleanForciblyRatio(97);
        config.setDiskSpaceWarningLevelRatio(99);
        return config;
    }

    private RemotingCommand ask(int code, CommandCustomHeader header, byte[] body)
        throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, header);
        request.setBody(body);
        return client.invokeSync(address, request, LIMIT_MS);
    }

    private static RemotingCommand succeeded(RemotingCommand response) {
        if (response.getCode() != ResponseCode.SUCCESS) {
            throw new IllegalStateException(response.getCode() + ": " + response.getRemark());
        }
        return response;
    }

    private Object answer(String[] words) throws Exception {
        switch (words[0]) {
            case "offset": return offset(words[1], words[2], Integer.parseInt(words[3]));
            case "commit": return commit(words[1], words[2], Integer.parseInt(words[3]),
                Long.parseLong(words[4]));
            case "pull": return pull(words[1], words[2], Integer.parseInt(words[3]),
                Long.parseLong(words[4]), Integer.parseInt(words[5]));
            case "send": return send(words[1], Integer.parseInt(words[2]), words[3],
                Integer.parseInt(words[4]), words[5]);
            case "end": return end(words[1], Long.parseLong(words[2]), Long.parseLong(words[3]),
                words[4]);
            case "producer": return producer(words[1]);
            case "check": return checks.poll(LIMIT_MS, TimeUnit.MILLISECONDS);
            default: throw new IllegalArgumentException(words[0]);
        }
    }

    /** Where a group goes on, or null when the broker knows nothing of it. */
    private Long offset(String group, String topic, int queue) throws Exception {
        QueryConsumerOffsetRequestHeader header = new QueryConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(queue);
        header.setSetZeroIfNotFound(false);
        RemotingCommand response = ask(RequestCode.QUERY_CONSUMER_OFFSET, header, null);
        if (response.getCode() == ResponseCode.QUERY_NOT_FOUND) {
            return null;
        }
        return ((QueryConsumerOffsetResponseHeader) succeeded(response)
            .decodeCommandCustomHeader(QueryConsumerOffsetResponseHeader.class)).getOffset();
    }

    private Object commit(String group, String topic, int queue, long offset) throws Exception {
        UpdateConsumerOffsetRequestHeader header = new UpdateConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(queue);
        header.setCommitOffset(offset);
        succeeded(ask(RequestCode.UPDATE_CONSUMER_OFFSET, header, null));
        return null;
    }

    /** So many messages of a queue from an offset on; fewer if they do not come in time. */
    private List<Object> pull(String group, String topic, int queue, long offset, int count)
        throws Exception {
        List<Object> pulled = new ArrayList<>();
        long until = System.currentTimeMillis() + LIMIT_MS;
        while (pulled.size() < count && System.currentTimeMillis() < until) {
            PullMessageRequestHeader header = new PullMessageRequestHeader();
            header.setConsumerGroup(group);
            header.setTopic(topic);
            header.setQueueId(queue);
            header.setQueueOffset(offset + pulled.size());
            header.setMaxMsgNums(count - pulled.size());
            header.setSysFlag(PullSysFlag.buildSysFlag(false, false, true, false));
            header.setCommitOffset(0L);
            header.setSuspendTimeoutMillis(0L);
            header.setSubscription("*");
            header.setSubVersion(0L);
            RemotingCommand response = ask(RequestCode.PULL_MESSAGE, header, null);
            if (response.getCode() == ResponseCode.SUCCESS) {
                ByteBuffer body = ByteBuffer.wrap(response.getBody());
                MessageDecoder.decodes(body).forEach(message -> pulled.add(describe(message)));
            } else if (response.getCode() == ResponseCode.PULL_NOT_FOUND
                || response.getCode() == ResponseCode.PULL_RETRY_IMMEDIATELY) {
                Thread.sleep(20);
            } else {
                throw new IllegalStateException(response.getCode() + ": " + response.getRemark());
            }
        }
        return pulled;
    }

    /** Sends a message; it is a half message when a group of producers is given. */
    private Map<String, Object> send(String topic, int queue, String body, int delayLevel,
        String group) throws Exception {
        Map<String, String> properties = new TreeMap<>();
        properties.put(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, "id-" + body);
        if (delayLevel > 0) {
            properties.put(MessageConst.PROPERTY_DELAY_TIME_LEVEL, "" + delayLevel);
        }
        boolean half = !group.equals("-");
        if (half) {
            properties.put(MessageConst.PROPERTY_TRANSACTION_PREPARED, "true");
            properties.put(MessageConst.PROPERTY_PRODUCER_GROUP, group);
        }
        SendMessageRequestHeader header = new SendMessageRequestHeader();
        header.setProducerGroup(group);
        header.setTopic(topic);
        header.setDefaultTopic("TBW102");
        header.setDefaultTopicQueueNums(4);
        header.setQueueId(queue);
        header.setSysFlag(half ? MessageSysFlag.TRANSACTION_PREPARED_TYPE : 0);
        header.setBornTimestamp(System.currentTimeMillis());
        header.setFlag(0);
        header.setReconsumeTimes(0);
        header.setProperties(MessageDecoder.messageProperties2String(properties));
        SendMessageResponseHeader sent = (SendMessageResponseHeader) succeeded(
            ask(RequestCode.SEND_MESSAGE, header, body.getBytes(StandardCharsets.UTF_8)))
            .decodeCommandCustomHeader(SendMessageResponseHeader.class);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("queue_offset", sent.getQueueOffset());
        out.put("physical_offset",
            MessageDecoder.decodeMessageId(sent.getMsgId()).getOffset());
        return out;
    }

    /**
     * Ends a transaction as a producer does; how is "commit" or "rollback". The broker answers
     * before it has stored that the transaction ended, and forgets it when it is stopped then.
     */
    private Object end(String group, long queueOffset, long physicalOffset, String how)
        throws Exception {
        EndTransactionRequestHeader header = new EndTransactionRequestHeader();
        header.setTopic("");
        header.setProducerGroup(group);
        header.setTranStateTableOffset(queueOffset);
        header.setCommitLogOffset(physicalOffset);
        header.setCommitOrRollback(how.equals("commit")
            ? MessageSysFlag.TRANSACTION_COMMIT_TYPE : MessageSysFlag.TRANSACTION_ROLLBACK_TYPE);
        header.setFromTransactionCheck(false);
        header.setMsgId("");
        header.setTransactionId("");
        long ended = storedEnds();
        succeeded(ask(RequestCode.END_TRANSACTION, header, null));
        long until = System.currentTimeMillis() + LIMIT_MS;
        while (storedEnds() == ended) {
            if (System.currentTimeMillis() > until) {
                throw new IllegalStateException("the broker does not store what ended");
            }
            Thread.sleep(5);
        }
        return null;
    }

    private long storedEnds() throws Exception {
        return broker.getMessageStore()
            .getMaxOffsetInQueue(TransactionalMessageUtil.buildOpTopic(), 0);
    }

    /** Makes this client a producer of the group: it is asked about open transactions. */
    private Object producer(String group) throws Exception {
        ProducerData producer = new ProducerData();
        producer.setGroupName(group);
        HeartbeatData heartbeat = new HeartbeatData();
        heartbeat.setClientID("client");
        heartbeat.setProducerDataSet(Collections.singleton(producer));
        RemotingCommand request = RemotingCommand.createRequestCommand(RequestCode.HEART_BEAT,
            null);
        request.setBody(heartbeat.encode());
        succeeded(client.invokeSync(address, request, LIMIT_MS));
        return null;
    }

    /** Notes what the broker asks about a transaction; nothing is answered. */
    private final class Checked implements NettyRequestProcessor {
        @Override
        public RemotingCommand processRequest(ChannelHandlerContext context,
            RemotingCommand request) throws Exception {
            CheckTransactionStateRequestHeader header = (CheckTransactionStateRequestHeader)
                request.decodeCommandCustomHeader(CheckTransactionStateRequestHeader.class);
            ByteBuffer body = ByteBuffer.wrap(request.getBody());
            Map<String, Object> check = describe(MessageDecoder.decode(body));
            check.put("half_queue_offset", header.getTranStateTableOffset());
            check.put("half_physical_offset", header.getCommitLogOffset());
            checks.add(check);
            return null;
        }

        @Override
        public boolean rejectRequest() {
            return false;
        }
    }

    private static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("topic", message.getTopic());
        out.put("queue", message.getQueueId());
        out.put("queue_offset", message.getQueueOffset());
        out.put("physical_offset", message.getCommitLogOffset());
        out.put("store_timestamp", message.getStoreTimestamp());
        out.put("sys_flag", message.getSysFlag());
        out.put("body", new String(message.getBody(), StandardCharsets.UTF_8));
        out.put("properties", new TreeMap<>(message.getProperties()));
        return out;
    }

    private static void endInTime() {
        Thread watch = new Thread(() -> {
            try {
                Thread.sleep(LIFE_MS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            Runtime.getRuntime().halt(3);
        });
        watch.setDaemon(true);
        watch.start();
    }

    /** Runs the broker; RocketMQ's own output goes to the standard error output. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true,
            StandardCharsets.UTF_8);
        System.setOut(System.err);
        endInTime();
        int code = 1;
        try {
            Broker broker = new Broker(arguments);
            out.println("null");
            BufferedReader lines = new BufferedReader(
                new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                out.println(Json.of(broker.answer(line.split("\t"))));
            }
            broker.broker.shutdown();
            code = 0;
        } catch (Exception | LinkageError e) {
            e.printStackTrace();
        }
        // RocketMQ leaves threads behind that would keep the process alive.
        Runtime.getRuntime().halt(code);
    }
}
