package io.cairnlog.peers;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;

import org.HdrHistogram.AtomicHistogram;
import org.HdrHistogram.Histogram;

/** The appends that are measured, the same for every store. */
final class Load {
    private static final long MAX_NANOSECONDS = 60_000_000_000L;
    /** Bodies of so many bytes are appended at most, over all threads, warm-up and measured. */
    private static final long MAX_BYTES = 1L << 30;
    /** How long is appended before it is measured: what is hot is compiled by then. */
    private static final double WARM_UP_SECONDS = 1.5;

    private final Peer peer;
    private final Arguments arguments;
    private final byte[] body;
    private final CyclicBarrier warm;

    Load(Peer peer, Arguments arguments) {
        this.peer = peer;
        this.arguments = arguments;
        body = body(arguments.size);
        warm = new CyclicBarrier(arguments.threads);
    }

    /** What a thread did, or all of them. */
    static final class Total {
        long warmUp;
        long started;
        long ended;
        Histogram latencies;

        private void add(Total other) {
            warmUp += other.warmUp;
            started = Math.min(started, other.started);
            ended = Math.max(ended, other.ended);
            latencies.add(other.latencies);
        }
    }

    /** Appends with all threads and adds up what they did. */
    Total run() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(arguments.threads);
        try {
            List<Future<Total>> running = new ArrayList<>();
            for (int thread = 0; thread < arguments.threads; thread++) {
                int number = thread;
                running.add(threads.submit(() -> one(number)));
            }
            Total all = running.get(0).get();
            for (Future<Total> other : running.subList(1, running.size())) {
                all.add(other.get());
            }
            return all;
        } finally {
            threads.shutdownNow();
        }
    }

    private Total one(int thread) throws Exception {
        Total total = new Total();
        try (Peer.Writer writer = peer.writer(thread)) {
            total.warmUp = phase(writer, WARM_UP_SECONDS, new Total()).getTotalCount();
            warm.await();
            total.latencies = phase(writer, arguments.seconds, total);
        } catch (Exception failure) {
            warm.reset();
            throw failure;
        }
        return total;
    }

    private Histogram phase(Peer.Writer writer, double seconds, Total total) throws Exception {
        long messages = MAX_BYTES / (2L * arguments.threads * arguments.size);
        long nanoseconds = (long) (seconds * 1e9);
        total.started = System.nanoTime();
        Histogram latencies = arguments.inflight == 1
            ? oneByOne(writer, messages, total.started, nanoseconds)
            : pipelined(writer, messages, total.started, nanoseconds);
        total.ended = System.nanoTime();
        return latencies;
    }

    /** One clock reading per append: the end of one is the beginning of the next. */
    private Histogram oneByOne(Peer.Writer writer, long messages, long started, long limit)
        throws Exception {
        Histogram latencies = new Histogram(MAX_NANOSECONDS, 3);
        long before = started;
        for (long index = 0; index < messages && before - started < limit; index++) {
            writer.append(body);
            long now = System.nanoTime();
            latencies.recordValue(Math.min(now - before, MAX_NANOSECONDS));
            before = now;
        }
        return latencies;
    }

    private Histogram pipelined(Peer.Writer writer, long messages, long started, long limit)
        throws Exception {
        Histogram latencies = new AtomicHistogram(MAX_NANOSECONDS, 3);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Semaphore free = new Semaphore(arguments.inflight);
        for (long index = 0; index < messages && failure.get() == null; index++) {
            free.acquire();
            long begun = System.nanoTime();
            if (begun - started >= limit) {
                free.release();
                break;
            }
            writer.appendAsync(body).whenComplete((ignored, failed) -> {
                if (failed == null) {
                    long latency = System.nanoTime() - begun;
                    latencies.recordValue(Math.min(latency, MAX_NANOSECONDS));
                } else {
                    failure.compareAndSet(null, failed);
                }
                free.release();
            });
        }
        free.acquire(arguments.inflight);
        if (failure.get() != null) {
            throw new IllegalStateException("an append failed", failure.get());
        }
        return latencies;
    }

    /** Bytes that compress and check like data, the same as those of {@code cairnlog bench}. */
    private static byte[] body(int size) {
        byte[] made = new byte[size];
        int state = 0x9E3779B9;
        for (int index = 0; index < size; index++) {
            state ^= state << 13;
            state ^= state >>> 17;
            state ^= state << 5;
            made[index] = (byte) (state >>> 24);
        }
        return made;
    }
}
