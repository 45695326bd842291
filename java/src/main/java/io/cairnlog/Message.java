package io.cairnlog;

import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * One message to append; immutable, usable from any thread and as often as wanted.
 *
 * <p>The body is not copied before the append: its owner must not change it until then.
 */
public final class Message {
  private final String topic;
  private final int queueId;
  private final ByteBuffer body;
  /** Everything but the body, as the engine takes it. */
  private final byte[] head;

  private Message(Builder builder) {
    topic = builder.topic;
    queueId = builder.queueId;
    body = builder.body;
    head = builder.encodeHead();
  }

  /**
   * Begins a message for queue 0 of a topic; callable from any thread.
   *
   * @param topic 1 to 255 bytes of ASCII letters, digits, {@code %}, {@code -}, {@code _} and
   *     {@code |}
   * @param body the payload, at least one byte; not copied
   * @return the builder
   */
  public static Builder builder(String topic, byte[] body) {
    return new Builder(topic, ByteBuffer.wrap(body));
  }

  /**
   * Begins a message for queue 0 of a topic; callable from any thread.
   *
   * @param topic 1 to 255 bytes of ASCII letters, digits, {@code %}, {@code -}, {@code _} and
   *     {@code |}
   * @param body the payload: what remains in the buffer, at least one byte; not copied, and its
   *     position does not move
   * @return the builder
   */
  public static Builder builder(String topic, ByteBuffer body) {
    return new Builder(topic, body.slice());
  }

  /**
   * Begins what the messages of a batch share; callable from any thread. A batch carries the bodies
   * itself.
   *
   * @param topic 1 to 255 bytes of ASCII letters, digits, {@code %}, {@code -}, {@code _} and
   *     {@code |}
   * @return the builder
   */
  public static Builder builder(String topic) {
    return new Builder(topic, ByteBuffer.allocate(0));
  }

  /**
   * Makes a message without tag, keys and properties for queue 0; callable from any thread.
   *
   * @param topic the topic
   * @param body the payload, at least one byte; not copied
   * @return the message
   */
  public static Message of(String topic, byte[] body) {
    return builder(topic, body).build();
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
   * Returns the payload; callable from any thread.
   *
   * @return a read-only view
   */
  public ByteBuffer body() {
    return body.asReadOnlyBuffer();
  }

  /** The bytes that {@link #write} puts. */
  long encodedBytes() {
    return encodedBytes(body);
  }

  /** The bytes that {@link #writeWithBody} puts. */
  long encodedBytes(ByteBuffer otherBody) {
    return (long) head.length + 4 + otherBody.remaining();
  }

  /** Puts the message as message_frame.rs reads it. */
  void write(ByteBuffer to) {
    writeWithBody(to, body);
  }

  /** Puts the message with another body. */
  void writeWithBody(ByteBuffer to, ByteBuffer otherBody) {
    int length = otherBody.remaining();
    to.put(head).putInt(length);
    if (otherBody.hasArray()) {
      // Without the second buffer that a copy of a buffer's place in it needs.
      to.put(otherBody.array(), otherBody.arrayOffset() + otherBody.position(), length);
    } else {
      to.put(otherBody.duplicate());
    }
  }

  /** Collects what a message carries; for one thread at a time. */
  public static final class Builder {
    private final String topic;
    private final ByteBuffer body;
    private int queueId;
    private String tag;
    private List<String> keys = List.of();
    private final Map<String, String> properties = new LinkedHashMap<>();
    private int flag;
    private int sysFlag;
    private long bornTimestampMs = Long.MIN_VALUE;
    private InetSocketAddress bornHost;
    private int reconsumeTimes;
    private long preparedTransactionOffset;
    private int delayLevel;
    private boolean waitStoreOk = true;

    private Builder(String topic, ByteBuffer body) {
      this.topic = Objects.requireNonNull(topic, "topic");
      this.body = body;
    }

    /**
     * Sets the queue inside the topic; call on the building thread.
     *
     * @param queueId the queue, from 0
     * @return this builder
     */
    public Builder queueId(int queueId) {
      this.queueId = queueId;
      return this;
    }

    /**
     * Sets the tag that consumers filter by (property {@code TAGS}); call on the building thread.
     *
     * @param tag the tag, not empty
     * @return this builder
     */
    public Builder tag(String tag) {
      this.tag = Objects.requireNonNull(tag, "tag");
      return this;
    }

    /**
     * Sets the keys the message can be found by (property {@code KEYS}); call on the building
     * thread.
     *
     * @param keys the keys, not empty and without spaces
     * @return this builder
     */
    public Builder keys(String... keys) {
      return keys(Arrays.asList(keys));
    }

    /**
     * Sets the keys the message can be found by (property {@code KEYS}); call on the building
     * thread.
     *
     * @param keys the keys, not empty and without spaces
     * @return this builder
     */
    public Builder keys(Collection<String> keys) {
      this.keys = List.copyOf(keys);
      return this;
    }

    /**
     * Adds a further property; call on the building thread.
     *
     * @param name the name, not empty, without 0x01 and 0x02
     * @param value the value, not empty, without 0x02
     * @return this builder
     */
    public Builder property(String name, String value) {
      properties.put(
          Objects.requireNonNull(name, "name"), Objects.requireNonNull(value, "value"));
      return this;
    }

    /**
     * Adds further properties; call on the building thread.
     *
     * @param properties names and values, as for {@link #property}
     * @return this builder
     */
    public Builder properties(Map<String, String> properties) {
      properties.forEach(this::property);
      return this;
    }

    /**
     * Sets the application's own number, which the store does not look at; call on the building
     * thread.
     *
     * @param flag the number; default 0
     * @return this builder
     */
    public Builder flag(int flag) {
      this.flag = flag;
      return this;
    }

    /**
     * Sets RocketMQ's system flag bits; call on the building thread.
     *
     * @param sysFlag the bits, as 0x1 for a compressed body; the host bits (0x10, 0x20) are set
     *     from the addresses, and 0xC0 is refused
     * @return this builder
     */
    public Builder sysFlag(int sysFlag) {
      this.sysFlag = sysFlag;
      return this;
    }

    /**
     * Sets the producer's clock; call on the building thread.
     *
     * @param time the time, kept in milliseconds; default is the store's time
     * @return this builder
     */
    public Builder bornTime(Instant time) {
      this.bornTimestampMs = time.toEpochMilli();
      return this;
    }

    /**
     * Sets the producer's address; call on the building thread.
     *
     * @param address a resolved address; default is the store's host
     * @return this builder
     */
    public Builder bornHost(InetSocketAddress address) {
      if (address.isUnresolved()) {
        throw new CairnException.Failure(
                Status.INVALID_ARGUMENT, "the producer's address is not resolved: " + address)
            .toException();
      }
      this.bornHost = address;
      return this;
    }

    /**
     * Sets how often the message was consumed before; call on the building thread.
     *
     * @param times the number; default 0
     * @return this builder
     */
    public Builder reconsumeTimes(int times) {
      this.reconsumeTimes = times;
      return this;
    }

    /**
     * Sets the half message of a committed transaction; call on the building thread.
     *
     * @param physicalOffset where the half message lies; default 0
     * @return this builder
     */
    public Builder preparedTransactionOffset(long physicalOffset) {
      this.preparedTransactionOffset = physicalOffset;
      return this;
    }

    /**
     * Sets after which delay the message comes to its queue (property {@code DELAY}, which counts
     * where this is 0); call on the building thread. Until then it is stored in the topic {@code
     * SCHEDULE_TOPIC_XXXX}, where the append says it lies.
     *
     * @param level a level of {@link StoreOptions.Builder#messageDelayLevel}, counted from 1, the
     *     highest for a larger number; default 0, no delay. Messages of batches cannot be delayed
     * @return this builder
     */
    public Builder delayLevel(int level) {
      this.delayLevel = level;
      return this;
    }

    /**
     * Sets whether an append waits for the sync in a store with synchronous flush (property {@code
     * WAIT}); call on the building thread.
     *
     * @param wait whether; default true
     * @return this builder
     */
    public Builder waitStoreOk(boolean wait) {
      this.waitStoreOk = wait;
      return this;
    }

    /**
     * Makes the message; call on the building thread. Limits are checked by the append.
     *
     * @return the message
     * @throws CairnException {@link Status#INVALID_ARGUMENT} if a text holds half of a surrogate
     *     pair
     */
    public Message build() {
      return new Message(this);
    }

    private byte[] encodeHead() {
      Wire.Writer writer = new Wire.Writer();
      writer.putInt(queueId).putInt(flag).putInt(sysFlag).putInt(reconsumeTimes);
      writer.putInt(waitStoreOk ? 1 : 0).putLong(preparedTransactionOffset);
      writer.putLong(bornTimestampMs).putInt(delayLevel);
      if (bornHost == null) {
        writer.putInt(0);
      } else {
        writer.putBytes(bornHost.getAddress().getAddress()).putInt(bornHost.getPort());
      }
      writer.putText(topic).putOptionalText(tag);
      writer.putAll(keys, keys.size(), key -> key);
      List<String> pairs = new ArrayList<>(properties.size() * 2);
      properties.forEach(
          (name, value) -> {
            pairs.add(name);
            pairs.add(value);
          });
      writer.putInt(properties.size());
      pairs.forEach(writer::putText);
      return writer.toBytes();
    }
  }
}
