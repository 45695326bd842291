package io.cairnlog;

/**
 * Which messages a reader wants: by tag, or by a condition on the properties; immutable, usable
 * from any thread. Both kinds of expressions are understood as RocketMQ does.
 */
public final class Filter {
  private static final int KIND_ALL = 0;
  private static final int KIND_TAGS = 1;
  private static final int KIND_SQL = 2;

  private static final Filter ALL = new Filter(KIND_ALL, "*");

  private final int kind;
  private final String expression;
  private final byte[] utf8;

  private Filter(int kind, String expression) {
    this.kind = kind;
    this.expression = expression;
    this.utf8 = Wire.utf8(expression);
  }

  /**
   * Wants every message; callable from any thread.
   *
   * @return the filter
   */
  public static Filter all() {
    return ALL;
  }

  /**
   * Wants messages with one of some tags; callable from any thread.
   *
   * @param expression tags with {@code ||} between them, as {@code "new || paid"}; {@code *} and
   *     the empty text want every message. At most 64 KiB
   * @return the filter
   * @throws CairnException {@link Status#FILTER_ILLEGAL} if the expression names no tag or is too
   *     long
   */
  public static Filter tags(String expression) {
    return checked(KIND_TAGS, expression);
  }

  /**
   * Wants messages for whose properties a condition is true; callable from any thread.
   *
   * <p>Understood are {@code AND}, {@code OR}, {@code NOT}, parentheses, comparisons with numbers,
   * texts and truth values, {@code BETWEEN}, {@code IN}, {@code CONTAINS}, {@code STARTSWITH},
   * {@code ENDSWITH} and {@code IS NULL}. A message that lacks a property the condition needs is
   * passed over. {@code TAGS} and {@code KEYS} are properties too.
   *
   * @param expression the condition, as {@code "price > 10 AND region IN ('north', 'west')"}; at
   *     most 64 KiB
   * @return the filter
   * @throws CairnException {@link Status#FILTER_ILLEGAL} if the condition is malformed; its {@link
   *     CairnException#offset()} says where, in bytes from the start
   */
  public static Filter sql(String expression) {
    return checked(KIND_SQL, expression);
  }

  private static Filter checked(int kind, String expression) {
    Filter filter = new Filter(kind, expression);
    NativeLoader.load();
    Native.checkFilter(kind, filter.utf8);
    return filter;
  }

  /** Writes the filter as queues.rs reads it. */
  void write(Wire.Writer writer) {
    writer.putInt(kind).putBytes(utf8);
  }

  /**
   * Returns the expression; callable from any thread.
   *
   * @return what the filter was made from, {@code *} for every message
   */
  @Override
  public String toString() {
    return expression;
  }
}
