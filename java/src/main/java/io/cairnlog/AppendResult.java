package io.cairnlog;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Where a message, or a batch, came to lie; immutable, usable from any thread. */
public final class AppendResult {
  /** The bytes of one result. */
  static final int BYTES = 60;

  private final long physicalOffset;
  private final long queueOffset;
  private final long storeTimestampMs;
  private final int sizeBytes;
  private final int queueId;
  private final int messageCount;
  // The sixteen bytes of the store's host: an array would be another object for each append.
  private final long hostAddressBegin;
  private final long hostAddressEnd;
  private final int hostAddressBytes;
  private final int hostPort;

  private AppendResult(ByteBuffer from) {
    int at = from.position();
    physicalOffset = from.getLong(at);
    queueOffset = from.getLong(at + 8);
    storeTimestampMs = from.getLong(at + 16);
    sizeBytes = from.getInt(at + 24);
    queueId = from.getInt(at + 28);
    messageCount = from.getInt(at + 32);
    hostAddressBytes = from.getInt(at + 36);
    hostPort = from.getInt(at + 40);
    hostAddressBegin = from.getLong(at + 44);
    hostAddressEnd = from.getLong(at + 52);
    from.position(at + BYTES);
  }

  static AppendResult read(ByteBuffer from) {
    return new AppendResult(from);
  }

  static List<AppendResult> readRemaining(ByteBuffer from) {
    List<AppendResult> results = new ArrayList<>(from.remaining() / BYTES);
    while (from.remaining() >= BYTES) {
      results.add(new AppendResult(from));
    }
    return List.copyOf(results);
  }

  /** Reads an address: the length of the address bytes, the port, 16 bytes. */
  static InetSocketAddress readHost(ByteBuffer from) {
    byte[] address = new byte[from.getInt()];
    int port = from.getInt();
    int start = from.position();
    from.get(address);
    from.position(start + 16);
    return host(address, port);
  }

  private static InetSocketAddress host(byte[] address, int port) {
    try {
      return new InetSocketAddress(InetAddress.getByAddress(address), port);
    } catch (UnknownHostException e) {
      throw new IllegalStateException("an address has " + address.length + " bytes", e);
    }
  }

  /**
   * Returns where the first record begins; callable from any thread.
   *
   * @return the position in the commit log in bytes, counted from the first byte ever written
   */
  public long physicalOffset() {
    return physicalOffset;
  }

  /**
   * Returns the position behind the last record; callable from any thread.
   *
   * @return one past the last byte, as {@link CairnStore#waitDurable} takes it
   */
  public long endOffset() {
    return physicalOffset + sizeBytes;
  }

  /**
   * Returns the index of the first message in its queue; callable from any thread.
   *
   * @return the index, counted from 0; 0 for prepared and rolled back transactions
   */
  public long queueOffset() {
    return queueOffset;
  }

  /**
   * Returns the store's clock at the append; callable from any thread.
   *
   * @return milliseconds since the Unix epoch, never decreasing along the log
   */
  public long storeTimestampMs() {
    return storeTimestampMs;
  }

  /**
   * Returns the size of all records of the call; callable from any thread.
   *
   * @return bytes, blanks not included
   */
  public int sizeBytes() {
    return sizeBytes;
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
   * Returns the number of messages; callable from any thread.
   *
   * @return 1, or the number of items of a batch
   */
  public int messageCount() {
    return messageCount;
  }

  /**
   * Returns the address stored as the store's host; callable from any thread.
   *
   * @return the address
   */
  public InetSocketAddress storeHost() {
    ByteBuffer address = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    address.putLong(hostAddressBegin).putLong(hostAddressEnd);
    return host(Arrays.copyOf(address.array(), hostAddressBytes), hostPort);
  }

  @Override
  public String toString() {
    return "AppendResult[physicalOffset="
        + physicalOffset
        + ", sizeBytes="
        + sizeBytes
        + ", queueId="
        + queueId
        + ", queueOffset="
        + queueOffset
        + ", messageCount="
        + messageCount
        + "]";
  }
}
