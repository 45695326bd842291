package io.cairnlog;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;

/**
 * How numbers, text and bytes cross to the engine: little-endian, text and bytes behind their
 * length as an int. The other side is wire.rs.
 */
final class Wire {
  private Wire() {}

  static ByteBuffer reader(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  static byte[] readBytes(ByteBuffer from) {
    byte[] bytes = new byte[from.getInt()];
    from.get(bytes);
    return bytes;
  }

  static String readText(ByteBuffer from) {
    return new String(readBytes(from), StandardCharsets.UTF_8);
  }

  static String readOptionalText(ByteBuffer from) {
    if (from.getInt(from.position()) == -1) {
      from.getInt();
      return null;
    }
    return readText(from);
  }

  static boolean readFlag(ByteBuffer from) {
    return from.getInt() != 0;
  }

  /** The UTF-8 of a text; half of a surrogate pair is refused, for it would be lost. */
  static byte[] utf8(String text) {
    for (int i = 0; i < text.length(); i++) {
      char unit = text.charAt(i);
      if (!Character.isSurrogate(unit)) {
        continue;
      }
      boolean pair =
          Character.isHighSurrogate(unit)
              && i + 1 < text.length()
              && Character.isLowSurrogate(text.charAt(i + 1));
      if (!pair) {
        throw new CairnException.Failure(
                Status.INVALID_ARGUMENT, "text holds half of a surrogate pair and has no UTF-8")
            .toException();
      }
      i++;
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** Bytes in a growing array, for requests off the hot path. */
  static final class Writer {
    private ByteBuffer buffer = ByteBuffer.allocate(256).order(ByteOrder.LITTLE_ENDIAN);

    private ByteBuffer room(int bytes) {
      if (buffer.remaining() < bytes) {
        int capacity = Math.max(buffer.capacity() * 2, buffer.position() + bytes);
        ByteBuffer larger = ByteBuffer.allocate(capacity).order(ByteOrder.LITTLE_ENDIAN);
        buffer.flip();
        buffer = larger.put(buffer);
      }
      return buffer;
    }

    Writer putInt(int value) {
      room(4).putInt(value);
      return this;
    }

    Writer putLong(long value) {
      room(8).putLong(value);
      return this;
    }

    Writer putBytes(byte[] value) {
      room(4 + value.length).putInt(value.length).put(value);
      return this;
    }

    Writer putText(String value) {
      return putBytes(utf8(value));
    }

    Writer putOptionalText(String value) {
      return value == null ? putInt(-1) : putText(value);
    }

    <T> Writer putAll(Iterable<T> values, int count, Function<T, String> text) {
      putInt(count);
      for (T value : values) {
        putText(text.apply(value));
      }
      return this;
    }

    byte[] toBytes() {
      byte[] bytes = new byte[buffer.position()];
      buffer.flip();
      buffer.get(bytes);
      return bytes;
    }
  }
}
