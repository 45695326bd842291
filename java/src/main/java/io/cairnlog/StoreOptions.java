package io.cairnlog;

import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.stream.Collectors;

/** What a store can be told; immutable, usable from any thread. All takes effect at opening. */
public final class StoreOptions {
  private final Map<String, String> values;
  private final Executor completionExecutor;
  private final RecoveryProgressListener recoveryProgressListener;

  private StoreOptions(Builder builder) {
    values = new LinkedHashMap<>(builder.values);
    completionExecutor = builder.completionExecutor;
    recoveryProgressListener = builder.recoveryProgressListener;
  }

  /**
   * Returns the options of a store that was told nothing; callable from any thread.
   *
   * @return the defaults
   */
  public static StoreOptions defaults() {
    return builder().build();
  }

  /**
   * Begins a set of options; callable from any thread.
   *
   * @return the builder
   */
  public static Builder builder() {
    return new Builder();
  }

  Executor completionExecutor() {
    return completionExecutor;
  }

  /** Who is told how far opening is; null for nobody. */
  RecoveryProgressListener recoveryProgressListener() {
    return recoveryProgressListener;
  }

  /** The request to open a directory, as store.rs reads it. */
  byte[] openRequest(Path directory) {
    Wire.Writer writer = new Wire.Writer();
    writer.putText(directory.toString()).putInt(values.size());
    values.forEach((name, value) -> writer.putText(name).putText(value));
    return writer.toBytes();
  }

  /** Collects options; for one thread at a time. Limits are checked when a store is opened. */
  public static final class Builder {
    private final Map<String, String> values = new LinkedHashMap<>();
    private Executor completionExecutor = ForkJoinPool.commonPool();
    private RecoveryProgressListener recoveryProgressListener;

    private Builder() {}

    /**
     * Sets any option by name, cairnlog's or RocketMQ's; call on the building thread.
     *
     * @param name as {@code flush_interval_ms} or {@code flushIntervalCommitLog}
     * @param value sizes and counts are decimal and may end in {@code K}, {@code M} or {@code G};
     *     booleans are {@code true} and {@code false}; several paths are separated by commas
     * @return this builder
     */
    public Builder set(String name, String value) {
      values.put(Objects.requireNonNull(name, "name"), Objects.requireNonNull(value, "value"));
      return this;
    }

    private Builder set(String name, Enum<?> value) {
      return set(name, value.name().toLowerCase(Locale.ROOT));
    }

    /**
     * Sets when an append is acknowledged; call on the building thread.
     *
     * @param mode default {@link FlushMode#ASYNC}
     * @return this builder
     */
    public Builder flushMode(FlushMode mode) {
      return set("flush_mode", mode);
    }

    /**
     * Sets the size of a commit log file for a store that has none yet; call on the building
     * thread.
     *
     * @param bytes a multiple of 4096 from 64 KiB to 1 GiB; default 1 GiB. An existing store keeps
     *     the size it has
     * @return this builder
     */
    public Builder segmentSizeBytes(long bytes) {
      return set("segment_size_bytes", Long.toString(bytes));
    }

    /**
     * Sets whether a store is made where there is none; call on the building thread.
     *
     * @param create default true
     * @return this builder
     */
    public Builder createIfMissing(boolean create) {
      return set("create_if_missing", Boolean.toString(create));
    }

    /**
     * Sets the directories of the commit log; call on the building thread.
     *
     * @param paths new files go to them in turn; default is {@code commitlog} in the store's
     *     directory. A path holds no comma
     * @return this builder
     */
    public Builder commitLogPaths(Path... paths) {
      String joined = Arrays.stream(paths).map(Path::toString).collect(Collectors.joining(","));
      return set("commit_log_paths", joined);
    }

    /**
     * Sets how long a synchronous append waits for its sync; call on the building thread.
     *
     * @param timeoutMs milliseconds, at least 1; default 5000
     * @return this builder
     */
    public Builder syncFlushTimeoutMs(long timeoutMs) {
      return set("sync_flush_timeout_ms", Long.toString(timeoutMs));
    }

    /**
     * Sets the period of the asynchronous flush; call on the building thread.
     *
     * @param intervalMs milliseconds, at least 1; default 500
     * @return this builder
     */
    public Builder flushIntervalMs(long intervalMs) {
      return set("flush_interval_ms", Long.toString(intervalMs));
    }

    /**
     * Sets the largest body; call on the building thread.
     *
     * @param bytes at least 1; default 4 MiB
     * @return this builder
     */
    public Builder maxMessageSizeBytes(long bytes) {
      return set("max_message_size_bytes", Long.toString(bytes));
    }

    /**
     * Sets how appending threads wait for each other; call on the building thread.
     *
     * @param kind default {@link AppendLockKind#MUTEX}
     * @return this builder
     */
    public Builder appendLock(AppendLockKind kind) {
      return set("append_lock", kind);
    }

    /**
     * Sets what opening does with damage in the middle of the log; call on the building thread.
     *
     * @param policy default {@link DamagePolicy#REFUSE}
     * @return this builder
     */
    public Builder damagePolicy(DamagePolicy policy) {
      return set("damage_policy", policy);
    }

    /**
     * Sets whether appends go to locked private buffers first; call on the building thread. An
     * acknowledged message of an asynchronous store then survives the death of the process only
     * after it was committed.
     *
     * @param enable default false
     * @return this builder
     */
    public Builder transientStorePoolEnable(boolean enable) {
      return set("transient_store_pool_enable", Boolean.toString(enable));
    }

    /**
     * Sets whether the process gets a handler for SIGBUS, with the first store that it opens so;
     * call on the building thread. Pages of a file that another program shortened then read as
     * zeros, and the call that met them fails. Signals that are not about a store's files go on to
     * the JVM.
     *
     * @param enable default true
     * @return this builder
     */
    public Builder sigbusGuardEnable(boolean enable) {
      return set("sigbus_guard_enable", Boolean.toString(enable));
    }

    /**
     * Sets whether each record that is appended carries a CRC over header, body and properties;
     * call on the building thread. To be switched off where RocketMQ before 5.2 reads the files.
     *
     * @param append default true
     * @return this builder
     */
    public Builder appendRecordCrc(boolean append) {
      return set("append_record_crc", Boolean.toString(append));
    }

    /**
     * Sets whether messages come into consume queues; call on the building thread. Without, the
     * store is a log that is read by physical offset only, and an opening walks all of it if it was
     * not closed before.
     *
     * @param enable default true
     * @return this builder
     */
    public Builder consumeQueueEnable(boolean enable) {
      return set("consume_queue_enable", Boolean.toString(enable));
    }

    /**
     * Sets the size of a consume queue file for queues that have none yet; call on the building
     * thread.
     *
     * @param bytes from 20 to 1 GiB, rounded up to a multiple of 20; default 6000000
     * @return this builder
     */
    public Builder consumeQueueFileSizeBytes(long bytes) {
      return set("consume_queue_file_size_bytes", Long.toString(bytes));
    }

    /**
     * Sets how many consume queue files are kept open at the same time; call on the building
     * thread.
     *
     * @param count at least 1; default 512
     * @return this builder
     */
    public Builder maxOpenQueueFiles(int count) {
      return set("max_open_queue_files", Integer.toString(count));
    }

    /**
     * Sets how soon what was dispatched is made durable in the consume queues, and what is durable
     * is noted in the checkpoint, from which an opening after a crash goes on; call on the building
     * thread.
     *
     * @param intervalMs milliseconds, at least 1; default 1000
     * @return this builder
     */
    public Builder flushConsumeQueueIntervalMs(long intervalMs) {
      return set("flush_consume_queue_interval_ms", Long.toString(intervalMs));
    }

    /**
     * Sets whether keys are put into the key index; call on the building thread.
     *
     * @param enable default true
     * @return this builder
     */
    public Builder messageIndexEnable(boolean enable) {
      return set("message_index_enable", Boolean.toString(enable));
    }

    /**
     * Sets the hash slots of a key index file; call on the building thread.
     *
     * @param count at least 1, and as many as existing files have; default 5000000
     * @return this builder
     */
    public Builder maxHashSlotNum(int count) {
      return set("max_hash_slot_num", Integer.toString(count));
    }

    /**
     * Sets the entries of a key index file, of which one is never used; call on the building
     * thread.
     *
     * @param count at least 2, and as many as existing files have; default 20000000
     * @return this builder
     */
    public Builder maxIndexNum(int count) {
      return set("max_index_num", Integer.toString(count));
    }

    /**
     * Sets whether a synchronous store shows consumers messages before they are durable; call on
     * the building thread.
     *
     * @param enable default false
     * @return this builder
     */
    public Builder readUncommitted(boolean enable) {
      return set("read_uncommitted", Boolean.toString(enable));
    }

    /**
     * Sets the delay of each level, counted from 1; call on the building thread.
     *
     * @param delays numbers with {@code s}, {@code m}, {@code h} or {@code d}, separated by spaces;
     *     default RocketMQ's 18 levels from 1s to 2h
     * @return this builder
     */
    public Builder messageDelayLevel(String delays) {
      return set("message_delay_level", delays);
    }

    /**
     * Sets whether old files go away by themselves, and appends are refused with {@link
     * Status#DISK_USAGE_HIGH} while the file system is too full; call on the building thread.
     *
     * @param enable default false: files are removed by {@link CairnStore#removeExpired} and {@link
     *     CairnStore#removeBefore} only
     * @return this builder
     */
    public Builder retentionEnable(boolean enable) {
      return set("retention_enable", Boolean.toString(enable));
    }

    /**
     * Sets the age from which a commit log file is expired: that of its newest message; call on the
     * building thread.
     *
     * @param hours from 0 to 8760000; default 72
     * @return this builder
     */
    public Builder fileReservedTimeHours(int hours) {
      return set("file_reserved_time_hours", Integer.toString(hours));
    }

    /**
     * Sets the hours of the day in which expired files are removed; call on the building thread.
     *
     * @param hours local time from 0 to 23, separated by {@code ;}, empty for none; default 04
     * @return this builder
     */
    public Builder deleteWhen(String hours) {
      return set("delete_when", hours);
    }

    /**
     * Sets how much of the commit log is kept; call on the building thread.
     *
     * @param bytes at most so many, but the newest file in any case; default 0, no limit
     * @return this builder
     */
    public Builder maxTotalBytes(long bytes) {
      return set("max_total_bytes", Long.toString(bytes));
    }

    /**
     * Sets the address stored as each record's store host; call on the building thread.
     *
     * @param host a resolved address; default 127.0.0.1:10911
     * @return this builder
     */
    public Builder storeHost(InetSocketAddress host) {
      if (host.isUnresolved()) {
        throw new CairnException.Failure(
                Status.INVALID_ARGUMENT, "the store's address is not resolved: " + host)
            .toException();
      }
      String address = host.getAddress().getHostAddress();
      String shown = address.indexOf(':') < 0 ? address : "[" + address + "]";
      return set("store_host", shown + ":" + host.getPort());
    }

    /**
     * Sets where the futures of {@link CairnStore#appendAsync} are completed; call on the building
     * thread. Whole groups are handed over at once, never on a thread of the engine.
     *
     * @param executor default {@link ForkJoinPool#commonPool()}
     * @return this builder
     */
    public Builder completionExecutor(Executor executor) {
      completionExecutor = Objects.requireNonNull(executor, "executor");
      return this;
    }

    /**
     * Sets who is told how far opening is, on the thread that opens; call on the building thread.
     * The last one set is told. {@link CairnStore#planRecovery} tells of {@link RecoveryPhase#LOG}
     * only, and {@link CairnStore#openReader} nothing.
     *
     * @param listener default nobody; the store does not keep it
     * @return this builder
     */
    public Builder onRecoveryProgress(RecoveryProgressListener listener) {
      recoveryProgressListener = Objects.requireNonNull(listener, "listener");
      return this;
    }

    /**
     * Makes the options; call on the building thread.
     *
     * @return the options
     */
    public StoreOptions build() {
      return new StoreOptions(this);
    }
  }
}
