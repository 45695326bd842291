package io.cairnlog;

import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A message read from the log; immutable, usable from any thread.
 *
 * <p>Everything but the body was copied and stays. {@link #body()} and {@link #bodyBuffer()} need
 * the batch open; a buffer they gave out stays good afterwards, also after the store was closed.
 */
public final class MessageView {
  private final MessageBatch batch;
  private final int index;
  private final int sizeBytes;
  private final int magic;
  private final int bodyCrc;
  private final int queueId;
  private final int flag;
  private final long queueOffset;
  private final long physicalOffset;
  private final int sysFlag;
  private final long bornTimestampMs;
  private final long storeTimestampMs;
  private final int reconsumeTimes;
  private final long preparedTransactionOffset;
  private final int bodySizeBytes;
  private final InetSocketAddress bornHost;
  private final InetSocketAddress storeHost;
  private final String topic;
  private final Map<String, String> properties;
  private final List<String> keys;
  private final String offsetMessageId;

  /** Reads the fields as outcome.rs writes them. */
  MessageView(MessageBatch batch, int index, ByteBuffer from) {
    this.batch = batch;
    this.index = index;
    sizeBytes = from.getInt();
    magic = from.getInt();
    bodyCrc = from.getInt();
    queueId = from.getInt();
    flag = from.getInt();
    queueOffset = from.getLong();
    physicalOffset = from.getLong();
    sysFlag = from.getInt();
    bornTimestampMs = from.getLong();
    storeTimestampMs = from.getLong();
    reconsumeTimes = from.getInt();
    preparedTransactionOffset = from.getLong();
    bodySizeBytes = from.getInt();
    bornHost = AppendResult.readHost(from);
    storeHost = AppendResult.readHost(from);
    topic = Wire.readText(from);
    Map<String, String> pairs = new LinkedHashMap<>();
    for (int left = from.getInt(); left > 0; left--) {
      String name = Wire.readText(from);
      pairs.put(name, Wire.readText(from));
    }
    properties = Collections.unmodifiableMap(pairs);
    List<String> found = new ArrayList<>();
    for (int left = from.getInt(); left > 0; left--) {
      found.add(Wire.readText(from));
    }
    keys = Collections.unmodifiableList(found);
    offsetMessageId = Wire.readText(from);
  }

  /**
   * Copies the payload; callable from any thread.
   *
   * @return the payload in an array of its own
   * @throws StoreClosedException if the batch was closed
   */
  public byte[] body() {
    return batch.copyBody(index);
  }

  /**
   * Shows the payload without copying it; callable from any thread.
   *
   * @return a read-only direct buffer over the log; the file stays mapped while the buffer, or any
   *     view made from it, is reachable, even after the batch and the store were closed
   * @throws StoreClosedException if the batch was closed
   */
  public ByteBuffer bodyBuffer() {
    return batch.showBody(index);
  }

  /**
   * Returns the size of the payload; callable from any thread.
   *
   * @return bytes
   */
  public int bodySizeBytes() {
    return bodySizeBytes;
  }

  /**
   * Returns the size of the record; callable from any thread.
   *
   * @return bytes
   */
  public int sizeBytes() {
    return sizeBytes;
  }

  /**
   * Returns the record's magic number; callable from any thread.
   *
   * @return 0xDAA320A7 (V1) or 0xDAA320AB (V2)
   */
  public int magic() {
    return magic;
  }

  /**
   * Returns the stored CRC-32 of the body; callable from any thread.
   *
   * @return the CRC, its top bit cleared
   */
  public int bodyCrc() {
    return bodyCrc;
  }

  /**
   * Returns the topic; callable from any thread.
   *
   * @return the topic
   */
  public String topic() {
    return topic;
  }

  /**
   * Returns the queue; callable from any thread.
   *
   * @return the queue's number in its topic
   */
  public int queueId() {
    return queueId;
  }

  /**
   * Returns the application's own number; callable from any thread.
   *
   * @return the number
   */
  public int flag() {
    return flag;
  }

  /**
   * Returns the index in the queue; callable from any thread.
   *
   * @return the index, counted from 0
   */
  public long queueOffset() {
    return queueOffset;
  }

  /**
   * Returns where the record begins; callable from any thread.
   *
   * @return the position in the log in bytes
   */
  public long physicalOffset() {
    return physicalOffset;
  }

  /**
   * Returns the position behind the record; callable from any thread.
   *
   * @return one past the last byte
   */
  public long endOffset() {
    return physicalOffset + sizeBytes;
  }

  /**
   * Returns RocketMQ's system flag bits; callable from any thread.
   *
   * @return the bits
   */
  public int sysFlag() {
    return sysFlag;
  }

  /**
   * Returns the producer's clock; callable from any thread.
   *
   * @return milliseconds since the Unix epoch
   */
  public long bornTimestampMs() {
    return bornTimestampMs;
  }

  /**
   * Returns the producer's address; callable from any thread.
   *
   * @return the address
   */
  public InetSocketAddress bornHost() {
    return bornHost;
  }

  /**
   * Returns the store's clock at the append; callable from any thread.
   *
   * @return milliseconds since the Unix epoch
   */
  public long storeTimestampMs() {
    return storeTimestampMs;
  }

  /**
   * Returns the store's address; callable from any thread.
   *
   * @return the address
   */
  public InetSocketAddress storeHost() {
    return storeHost;
  }

  /**
   * Returns how often the message was consumed before; callable from any thread.
   *
   * @return the number
   */
  public int reconsumeTimes() {
    return reconsumeTimes;
  }

  /**
   * Returns the half message of a committed transaction; callable from any thread.
   *
   * @return its physical offset, else 0
   */
  public long preparedTransactionOffset() {
    return preparedTransactionOffset;
  }

  /**
   * Returns the properties; callable from any thread.
   *
   * @return names and values in stored order, of a repeated name the last value; unmodifiable
   */
  public Map<String, String> properties() {
    return properties;
  }

  /**
   * Returns a property; callable from any thread.
   *
   * @param name the name
   * @return the value, empty if there is none
   */
  public Optional<String> property(String name) {
    return Optional.ofNullable(properties.get(name));
  }

  /**
   * Returns the tag; callable from any thread.
   *
   * @return the tag, empty if there is none
   */
  public Optional<String> tag() {
    return property("TAGS");
  }

  /**
   * Returns the keys; callable from any thread.
   *
   * @return the keys; unmodifiable
   */
  public List<String> keys() {
    return keys;
  }

  /**
   * Returns RocketMQ's {@code offsetMsgId}; callable from any thread.
   *
   * @return host, port and physical offset in hex
   */
  public String offsetMessageId() {
    return offsetMessageId;
  }

  @Override
  public String toString() {
    return "MessageView[topic="
        + topic
        + ", queueId="
        + queueId
        + ", queueOffset="
        + queueOffset
        + ", physicalOffset="
        + physicalOffset
        + ", bodySizeBytes="
        + bodySizeBytes
        + "]";
  }
}
