package io.cairnlog.peers;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueue;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.queue.rollcycles.LargeRollCycles;

/**
 * Chronicle Queue, one appender. It writes no CRC, no header but the length, and no index for most
 * excerpts. An append becomes durable by {@code fdatasync} of the file its mapping belongs to: the
 * queue itself has no durable append.
 */
final class ChroniclePeer implements Peer {
    /** Mapped at a time: larger ones are mapped less often. */
    private static final long BLOCK_BYTES = 256 << 20;

    private final Path directory;
    private final SingleChronicleQueue queue;
    private final boolean sync;

    ChroniclePeer(Path directory, boolean sync) {
        this.directory = directory;
        this.sync = sync;
        queue = SingleChronicleQueueBuilder.binary(directory.toFile())
            .rollCycle(LargeRollCycles.LARGE_DAILY)
            .blockSize(BLOCK_BYTES)
            .build();
    }

    @Override
    public Writer writer(int thread) {
        if (thread > 0) {
            throw new UnsupportedOperationException("appends of several threads share no sync");
        }
        return new Excerpts();
    }

    @Override
    public void close() {
        queue.close();
    }

    private final class Excerpts implements Writer {
        private final ExcerptAppender appender = queue.createAppender();
        private Bytes<?> wrapped;
        private byte[] source;
        private FileChannel file;

        @Override
        public void append(byte[] body) throws IOException {
            if (source != body) {
                wrapped = Bytes.allocateDirect(body.length);
                wrapped.write(body);
                source = body;
            }
            appender.writeBytes(wrapped);
            if (sync) {
                file().force(false);
            }
        }

        private FileChannel file() throws IOException {
            if (file == null) {
                List<Path> files;
                try (Stream<Path> listed = Files.list(directory)) {
                    files = listed.filter(path -> path.toString().endsWith(".cq4"))
                        .collect(Collectors.toList());
                }
                if (files.size() != 1) {
                    throw new IOException("expected one file of the queue: " + files);
                }
                file = FileChannel.open(files.get(0), StandardOpenOption.WRITE);
            }
            return file;
        }

        @Override
        public void close() throws IOException {
            appender.close();
            if (wrapped != null) {
                wrapped.releaseLast();
            }
            if (file != null) {
                file.close();
            }
        }
    }
}
