package io.cairnlog.peers;

import java.io.Closeable;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;

/** A store that is open. */
interface Peer extends Closeable {
    /** What one thread appends with; made in that thread. */
    Writer writer(int thread) throws Exception;

    /** Appends of one thread. */
    interface Writer extends Closeable {
        /** Appends a body; in sync mode it is durable afterwards. */
        void append(byte[] body) throws Exception;

        /** Appends a body; the future is complete when it is acknowledged, failed if it is not. */
        default CompletableFuture<?> appendAsync(byte[] body) {
            throw new UnsupportedOperationException("one append at a time");
        }

        @Override
        default void close() throws IOException {
        }
    }
}
