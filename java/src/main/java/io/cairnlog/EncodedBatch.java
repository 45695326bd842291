package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Objects;

/**
 * Messages of one queue in a client's batch encoding; immutable, usable from any thread. Stored as
 * consecutive records by {@link CairnStore#appendBatch} and as one by {@link
 * CairnStore#appendInnerBatch}.
 */
public final class EncodedBatch {
  private final Message shared;
  private final byte[] items;

  private EncodedBatch(Message shared, byte[] items) {
    this.shared = Objects.requireNonNull(shared, "shared");
    this.items = items;
  }

  /**
   * Encodes messages; callable from any thread.
   *
   * @param shared what all of them share: topic, queue, system flag, hosts, tag, keys and
   *     properties, which are appended to those of each item; its body and flag are not used
   * @param items body, flag, tag, keys and properties of each; the rest is not used
   * @return the batch
   * @throws CairnException {@link Status#BATCH_ILLEGAL} if an item is too long, {@link
   *     Status#PROPERTIES_ILLEGAL} if a property is empty or holds a separator
   */
  public static EncodedBatch of(Message shared, List<Message> items) {
    NativeLoader.load();
    long bytes = 4;
    for (Message item : items) {
      bytes += item.encodedBytes();
    }
    ByteBuffer request = Wire.reader(new byte[Math.toIntExact(bytes)]);
    request.putInt(items.size());
    items.forEach(item -> item.write(request));
    return new EncodedBatch(shared, Native.encodeBatchItems(request.array()));
  }

  /**
   * Takes what a client has encoded; callable from any thread.
   *
   * @param shared what all messages share, as in {@link #of}
   * @param items RocketMQ's client encoding: items one after the other, each an int size of the
   *     item, an int magic and an int CRC (both ignored), an int flag, an int body length and the
   *     body, a short properties length and the properties, all big-endian; not copied
   * @return the batch, which the append checks
   */
  public static EncodedBatch ofEncoded(Message shared, byte[] items) {
    return new EncodedBatch(shared, Objects.requireNonNull(items, "items"));
  }

  /**
   * Returns the number of bytes of the items; callable from any thread.
   *
   * @return the number
   */
  public int sizeBytes() {
    return items.length;
  }

  long encodedBytes() {
    return shared.encodedBytes(ByteBuffer.wrap(items));
  }

  void write(ByteBuffer to) {
    shared.writeWithBody(to, ByteBuffer.wrap(items));
  }
}
