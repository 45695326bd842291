//! What a store can be told: default, unit and limits of each option, in one table.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::codec::record::CrcCheck;
use crate::consume_queue::{BATCH_UNIT_BYTES, UNIT_BYTES};
use crate::delay::{DEFAULT_DELAY_LEVELS, DelayLevels};
use crate::error::{Error, Result};
use crate::progress::{RecoveryListener, RecoveryProgress};
use crate::retention::delete_hours;
use crate::status::Status;

/// The smallest commit log file, in bytes.
pub const MIN_SEGMENT_SIZE_BYTES: u64 = 64 * 1024;
/// The largest commit log file, in bytes; RocketMQ's default.
pub const MAX_SEGMENT_SIZE_BYTES: u64 = 1 << 30;
/// File sizes are multiples of this.
pub(crate) const SEGMENT_SIZE_UNIT_BYTES: u64 = 4096;

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushMode {
    /// Once the record is in the page cache: it survives the death of the process, and a power cut
    /// after the next flush. RocketMQ's `ASYNC_FLUSH`.
    Async,
    /// Once the record is synced to the device: it survives a power cut. RocketMQ's `SYNC_FLUSH`.
    Sync,
}

/// How appending threads wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendLockKind {
    /// Never sleep: for more cores than appending threads.
    Spin,
    /// Sleep when the lock is taken.
    Mutex,
    /// Spin for a while that adapts to how long the lock is held, then sleep.
    Adaptive,
}

/// What opening does with a damaged record that has good records behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagePolicy {
    /// Fail with [`Status::Corruption`] and change nothing.
    Refuse,
    /// Cut the log at the damaged record, after copying the removed bytes to `lost+found/`.
    Truncate,
}

/// A field is read once, when the store is opened.
macro_rules! options {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr,
       $name:literal | $rocketmq:literal, $parse:expr;)+) => {
        /// The options of a store. All take effect when the store is opened.
        ///
        /// ```
        /// use cairnlog::{FlushMode, StoreOptions};
        ///
        /// let mut options = StoreOptions::default();
        /// options.flush_mode = FlushMode::Sync;
        /// options.set("segment_size_bytes", "64M")?;
        /// options.set("syncFlushTimeout", "3000")?; // RocketMQ's own name
        /// # Ok::<(), cairnlog::Error>(())
        /// ```
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct StoreOptions {
            $($(#[doc = $doc])+ pub $field: $type,)+
            pub(crate) recovery_listener: RecoveryListener,
        }

        impl Default for StoreOptions {
            fn default() -> Self {
                Self { $($field: $default,)+ recovery_listener: RecoveryListener::default() }
            }
        }

        impl StoreOptions {
            /// The names [`StoreOptions::set`] takes: ours, and RocketMQ's (empty if it has none).
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $rocketmq),)+];

            fn assign(&mut self, name: &str, value: &str) -> Option<Parsed<()>> {
                $(
                    if name == $name || (!$rocketmq.is_empty() && name == $rocketmq) {
                        let parse: fn(&str) -> Parsed<$type> = $parse;
                        return Some(parse(value).map(|parsed| self.$field = parsed));
                    }
                )+
                None
            }
        }
    };
}

options! {
    /// Whether a store is made where there is none. Default true.
    create_if_missing: bool = true, "create_if_missing" | "", parse_bool;
    /// Directories of the commit log; new files go to them in turn. Default: `commitlog` in the
    /// store's directory.
    commit_log_paths: Vec<PathBuf> = Vec::new(),
        "commit_log_paths" | "storePathCommitLog", parse_paths;
    /// Further directories whose commit log files are read, never written. Default none.
    read_only_commit_log_paths: Vec<PathBuf> = Vec::new(),
        "read_only_commit_log_paths" | "readOnlyCommitLogStorePaths", parse_paths;
    /// The size of a commit log file in bytes, for a store that has none yet: a multiple of 4096
    /// from 64 KiB to 1 GiB. An existing store keeps the size it has. Default 1 GiB.
    segment_size_bytes: u64 = MAX_SEGMENT_SIZE_BYTES,
        "segment_size_bytes" | "mappedFileSizeCommitLog", parse_size;
    /// When an append is acknowledged. Default [`FlushMode::Async`].
    flush_mode: FlushMode = FlushMode::Async, "flush_mode" | "flushDiskType", parse_flush_mode;
    /// How long a synchronous append waits for its sync, in milliseconds, at least 1. Default 5000.
    sync_flush_timeout_ms: u64 = 5000, "sync_flush_timeout_ms" | "syncFlushTimeout", parse_positive;
    /// The period of the asynchronous flush, in milliseconds, at least 1. Default 500.
    flush_interval_ms: u64 = 500, "flush_interval_ms" | "flushIntervalCommitLog", parse_positive;
    /// Unflushed pages of 4096 bytes from which the asynchronous flush starts. Default 4.
    flush_least_pages: u64 = 4, "flush_least_pages" | "flushCommitLogLeastPages", parse_number;
    /// After this time, in milliseconds, whatever there is gets flushed. Default 10000.
    flush_thorough_interval_ms: u64 = 10_000,
        "flush_thorough_interval_ms" | "flushCommitLogThoroughInterval", parse_number;
    /// Whether the asynchronous flush sleeps its full period even when appends wake it. Default
    /// true. `flush` and waits for durability are served at once in either case.
    flush_timed: bool = true, "flush_timed" | "flushCommitLogTimed", parse_bool;
    /// Whether each append wakes the asynchronous flush; without effect while `flush_timed`.
    /// Default false.
    wake_flush_when_append: bool = false,
        "wake_flush_when_append" | "wakeFlushWhenPutMessage", parse_bool;
    /// Whether appends go to locked private buffers first. An acknowledged message of an
    /// asynchronous store then survives the death of the process only after it was committed.
    /// Default false.
    transient_store_pool_enable: bool = false,
        "transient_store_pool_enable" | "transientStorePoolEnable", parse_bool;
    /// The number of those buffers, each of one file size, from 1 to 64; from 2 together with
    /// `fast_fail_if_no_buffer`. Default 5.
    transient_store_pool_size: usize = 5,
        "transient_store_pool_size" | "transientStorePoolSize", parse_pool_size;
    /// Whether an append fails with [`Status::PoolExhausted`] when no buffer is free, instead of
    /// going to the mapping. Default false.
    fast_fail_if_no_buffer: bool = false,
        "fast_fail_if_no_buffer" | "fastFailIfNoBufferInStorePool", parse_bool;
    /// The period of the commit from the buffers to the page cache, in milliseconds, at least 1.
    /// Default 200.
    commit_interval_ms: u64 = 200, "commit_interval_ms" | "commitIntervalCommitLog", parse_positive;
    /// Uncommitted pages of 4096 bytes from which the commit starts. Default 4.
    commit_least_pages: u64 = 4, "commit_least_pages" | "commitCommitLogLeastPages", parse_number;
    /// After this time, in milliseconds, whatever there is gets committed. Default 200.
    commit_thorough_interval_ms: u64 = 200,
        "commit_thorough_interval_ms" | "commitCommitLogThoroughInterval", parse_number;
    /// Whether each append wakes the commit. Default true.
    wake_commit_when_append: bool = true,
        "wake_commit_when_append" | "wakeCommitWhenPutMessage", parse_bool;
    /// The largest body in bytes, at least 1; a record may have 65536 more. Default 4 MiB.
    max_message_size_bytes: u32 = 4 * 1024 * 1024,
        "max_message_size_bytes" | "maxMessageSize", parse_message_size;
    /// How appending threads wait for each other. Default [`AppendLockKind::Mutex`].
    append_lock: AppendLockKind = AppendLockKind::Mutex, "append_lock" | "", parse_append_lock;
    /// An append that holds the lock longer, since another first asked for it, makes further ones
    /// fail with [`Status::PageCacheBusy`], in milliseconds. Default 1000.
    page_cache_busy_timeout_ms: u64 = 1000,
        "page_cache_busy_timeout_ms" | "osPageCacheBusyTimeOutMills", parse_number;
    /// Whether new files are touched and locked in memory whole; a finished file is unlocked six
    /// seconds later. Default false.
    warm_mapped_file_enable: bool = false,
        "warm_mapped_file_enable" | "warmMapedFileEnable", parse_bool;
    /// Bytes of space reserved, and memory populated, ahead of the append position by the
    /// background service, from 1 MiB to 1 GiB. Of a file that is used further than that, as much
    /// is reserved ahead as is used. Default 32 MiB.
    reserve_ahead_bytes: u64 = 32 * 1024 * 1024, "reserve_ahead_bytes" | "", parse_reserve;
    /// Whether the process gets a handler for SIGBUS, with the first store that it opens so, and
    /// keeps it. Pages that are missing because another program shortened a file, or its device
    /// fails, then read as zeros, and the call that met them fails; without, the signal ends the
    /// process. Signals that are not about a store's files go to the handler that was there before.
    /// For a process that must keep its own handlers. Default true.
    sigbus_guard_enable: bool = true, "sigbus_guard_enable" | "", parse_bool;
    /// Whether each record that is appended carries a CRC over header, body and properties
    /// (`__CRC32#`), without which damage to header and properties may go unseen. To be switched
    /// off where RocketMQ before 5.2 reads the files: it takes the CRC for an ordinary property. A
    /// store may have records of both kinds. Default true.
    append_record_crc: bool = true, "append_record_crc" | "enabledAppendPropCRC", parse_bool;
    /// Whether opening verifies the CRC of every record. Default true.
    check_crc_on_recover: bool = true, "check_crc_on_recover" | "checkCRCOnRecover", parse_bool;
    /// Whether reading verifies the CRC of each message that it returns: by queue, by key, in scans
    /// and to consumers. Without, damage to a body since the store was opened goes unseen.
    /// [`Store::read_at`](crate::Store::read_at) always verifies. Default true.
    check_crc_on_read: bool = true, "check_crc_on_read" | "", parse_bool;
    /// What opening does with damage in the middle of the log. Default [`DamagePolicy::Refuse`].
    damage_policy: DamagePolicy = DamagePolicy::Refuse, "damage_policy" | "", parse_damage_policy;
    /// Whether records are dispatched to consume queues: without, the store is a log that is read
    /// by physical offset only, and an opening walks all of it if it was not closed before. Default
    /// true.
    consume_queue_enable: bool = true, "consume_queue_enable" | "", parse_bool;
    /// The size of a consume queue file in bytes, for a store that has none yet, rounded up to a
    /// multiple of 20; from 20 to 1 GiB. Default 6000000.
    consume_queue_file_size_bytes: u64 = 6_000_000,
        "consume_queue_file_size_bytes" | "mappedFileSizeConsumeQueue", parse_size;
    /// The size of a file of a batch consume queue in bytes, for queues that have none yet, rounded
    /// up to a multiple of 46; from 46 to 1 GiB. Default 13800000.
    batch_consume_queue_file_size_bytes: u64 = 13_800_000,
        "batch_consume_queue_file_size_bytes" | "mapperFileSizeBatchConsumeQueue", parse_size;
    /// Consume queue files kept open at the same time, at least 1. Default 512.
    max_open_queue_files: usize = 512, "max_open_queue_files" | "", parse_count;
    /// How soon dispatched records are made durable in consume queues, and what is durable is noted
    /// in the checkpoint, in milliseconds, at least 1. An opening after a crash goes on from what
    /// is noted. Default 1000.
    flush_consume_queue_interval_ms: u64 = 1000,
        "flush_consume_queue_interval_ms" | "flushIntervalConsumeQueue", parse_positive;
    /// Whether keys are put into the key index. Default true.
    message_index_enable: bool = true,
        "message_index_enable" | "messageIndexEnable", parse_bool;
    /// Hash slots of a key index file, from 1 to 2147483647; existing files must have as many.
    /// Default 5000000.
    max_hash_slot_num: u32 = 5_000_000, "max_hash_slot_num" | "maxHashSlotNum", parse_u32;
    /// Entries of a key index file, of which one is never used, from 2 to 2147483647; existing
    /// files must have as many. Default 20000000.
    max_index_num: u32 = 20_000_000, "max_index_num" | "maxIndexNum", parse_u32;
    /// How soon committed consumer offsets and new topics are in their files, in milliseconds, at
    /// least 1. Default 5000.
    flush_consumer_offset_interval_ms: u64 = 5000,
        "flush_consumer_offset_interval_ms" | "flushConsumerOffsetInterval", parse_positive;
    /// Whether a synchronous store shows consumers messages before they are durable. Default false.
    read_uncommitted: bool = false, "read_uncommitted" | "readUnCommitted", parse_bool;
    /// The delay of each level, counted from 1: numbers with `s`, `m`, `h` or `d`, separated by
    /// spaces. Default RocketMQ's 18 levels from 1s to 2h.
    message_delay_level: String = DEFAULT_DELAY_LEVELS.to_owned(),
        "message_delay_level" | "messageDelayLevel", |text| Ok(text.to_owned());
    /// Whether delayed messages are delivered when their time has come. Without, they are stored
    /// and wait for an opening with it. Needs consume queues. Default true.
    schedule_enable: bool = true, "schedule_enable" | "", parse_bool;
    /// How soon it is stored which delayed messages were delivered, in milliseconds, at least 1.
    /// After a crash those are delivered again for which that was not. Default 10000.
    flush_delay_offset_interval_ms: u64 = 10_000,
        "flush_delay_offset_interval_ms" | "flushDelayOffsetInterval", parse_positive;
    /// From which age on it is asked what is to become of an open transaction, in milliseconds, at
    /// least 1; see [`Store::set_transaction_checker`](crate::Store::set_transaction_checker).
    /// Default 6000.
    transaction_timeout_ms: u64 = 6000,
        "transaction_timeout_ms" | "transactionTimeOut", parse_positive;
    /// How often it is asked at most, at least 1. Default 15.
    transaction_check_max: u32 = 15, "transaction_check_max" | "transactionCheckMax", parse_u32;
    /// The time between two times, in milliseconds, at least 1. Default 30000.
    transaction_check_interval_ms: u64 = 30_000,
        "transaction_check_interval_ms" | "transactionCheckInterval", parse_positive;
    /// Whether old files go away by themselves, as in RocketMQ, and appends are refused with
    /// [`Status::DiskUsageHigh`] while the file system is too full. Default false: nothing is
    /// removed unless it is asked for, with [`Store::remove_expired`](crate::Store::remove_expired)
    /// or [`Store::remove_before`](crate::Store::remove_before).
    retention_enable: bool = false, "retention_enable" | "", parse_bool;
    /// The age from which a commit log file is expired, in hours, at most 8760000: that of its
    /// newest message, by store time, so that copying a store does not make it young again. Default
    /// 72.
    file_reserved_time_hours: u64 = 72,
        "file_reserved_time_hours" | "fileReservedTime", parse_number;
    /// The hours of the day, local time from 0 to 23 separated by `;`, in which expired files are
    /// removed; empty for none. Default `04`.
    delete_when: String = "04".to_owned(),
        "delete_when" | "deleteWhen", |text| Ok(text.to_owned());
    /// Bytes of the commit log that are kept at most, the newest file in any case; older ones are
    /// removed at any hour. 0 for no limit. Default 0.
    max_total_bytes: u64 = 0, "max_total_bytes" | "", parse_number;
    /// Commit log files removed in one round at most, at least 1. Default 10.
    delete_file_batch_max: u64 = 10,
        "delete_file_batch_max" | "deleteFileBatchMax", parse_positive;
    /// The pause between two of them, in milliseconds. Default 100.
    delete_commit_log_files_interval_ms: u64 = 100,
        "delete_commit_log_files_interval_ms" | "deleteCommitLogFilesInterval", parse_number;
    /// The period of the rounds, in milliseconds, at least 1. Default 10000.
    clean_resource_interval_ms: u64 = 10_000,
        "clean_resource_interval_ms" | "cleanResourceInterval", parse_positive;
    /// Whether files that are not expired are removed, too, while the file system is filled beyond
    /// `disk_space_clean_forcibly_ratio`. Default true.
    clean_file_forcibly_enable: bool = true,
        "clean_file_forcibly_enable" | "cleanFileForciblyEnable", parse_bool;
    /// The use of the file system, in per cent from 10 to 95, beyond which expired files are
    /// removed at any hour. Of several commit log directories the one on the least used file system
    /// counts, here and below; the consume queues count by themselves. Default 75.
    disk_max_used_space_ratio: u32 = 75,
        "disk_max_used_space_ratio" | "diskMaxUsedSpaceRatio", parse_per_cent;
    /// The use, in per cent from 30 to 85, beyond which the oldest files are removed whatever their
    /// age. Default 85.
    disk_space_clean_forcibly_ratio: u32 = 85,
        "disk_space_clean_forcibly_ratio" | "diskSpaceCleanForciblyRatio", parse_per_cent;
    /// The use, in per cent from 35 to 90, beyond which appends are refused with
    /// [`Status::DiskUsageHigh`] until a later round finds room. Default 90.
    disk_space_warning_ratio: u32 = 90,
        "disk_space_warning_ratio" | "diskSpaceWarningLevelRatio", parse_per_cent;
    /// The address stored as each record's store host. Default 127.0.0.1:10911.
    store_host: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10911),
        "store_host" | "", |text| text.parse().map_err(|_| "address:port".to_owned());
}

impl StoreOptions {
    /// Has `listen` told how far opening is: at most ten times a second, and once more at the end
    /// of each [`RecoveryPhase`](crate::RecoveryPhase). It replaces an earlier one.
    ///
    /// It is called on the thread that opens, while no lock of the library is held, and opening
    /// goes on when it returns. If it panics, it is not called again, and opening goes on without.
    ///
    /// ```
    /// use cairnlog::StoreOptions;
    ///
    /// let mut options = StoreOptions::default();
    /// options.on_recovery_progress(|progress| {
    ///     let (done, total) = (progress.bytes_done, progress.bytes_total);
    ///     println!("{}: {done} of {total} bytes", progress.phase.name());
    /// });
    /// ```
    pub fn on_recovery_progress(
        &mut self,
        listen: impl Fn(RecoveryProgress) + Send + Sync + 'static,
    ) {
        self.recovery_listener = RecoveryListener::new(listen);
    }

    /// Sets an option by name, ours or RocketMQ's, from text.
    ///
    /// Sizes and counts are decimal and may end in `K`, `M` or `G` (powers of 1024); booleans are
    /// `true` and `false`; modes are named as in [`FlushMode`], [`AppendLockKind`] and
    /// [`DamagePolicy`], in any case; RocketMQ's `ASYNC_FLUSH` and `SYNC_FLUSH` count too; several
    /// paths are separated by commas.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: no option has this name, or it cannot have this value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        // Two switches of RocketMQ together choose one of ours.
        match (name, value.trim()) {
            ("useReentrantLockWhenPutMessage", "true") => {
                self.append_lock = AppendLockKind::Mutex;
                return Ok(());
            }
            ("useReentrantLockWhenPutMessage", "false") => {
                self.append_lock = AppendLockKind::Spin;
                return Ok(());
            }
            ("useABSLock", "true") => {
                self.append_lock = AppendLockKind::Adaptive;
                return Ok(());
            }
            ("useABSLock", "false") => return Ok(()),
            _ => {}
        }
        match self.assign(name, value.trim()) {
            Some(Ok(())) => Ok(()),
            Some(Err(expected)) => Err(Error::new(
                Status::InvalidArgument,
                format!("option {name} cannot have this value"),
            )
            .expected(expected, format!("{value:?}"))),
            None => Err(Error::new(Status::InvalidArgument, format!("there is no option {name}"))),
        }
    }

    /// Reads options from RocketMQ's `broker.conf` (Java properties: `name=value` lines, `#` and
    /// `!` begin comments) over the defaults. Returns the names that are no option here, in order;
    /// a broker's own settings are among them.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: a known option has an impossible value.
    pub fn from_properties(text: &str) -> Result<(Self, Vec<String>)> {
        let mut options = Self::default();
        let mut unknown = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            let name = name.trim();
            let known = LOCK_SWITCHES.contains(&name)
                || Self::NAMES.iter().any(|(ours, theirs)| *ours == name || *theirs == name);
            if known {
                options.set(name, value)?;
            } else {
                unknown.push(name.to_owned());
            }
        }
        Ok((options, unknown))
    }

    /// How thoroughly messages are looked at that are read.
    pub(crate) fn crc_check_on_read(&self) -> CrcCheck {
        if self.check_crc_on_read { CrcCheck::Verify } else { CrcCheck::Skip }
    }

    /// The size of a new consume queue file: whole units.
    pub(crate) fn consume_queue_file_bytes(&self) -> u64 {
        self.consume_queue_file_size_bytes.next_multiple_of(UNIT_BYTES)
    }

    /// The size of a new file of a batch consume queue: whole units.
    pub(crate) fn batch_consume_queue_file_bytes(&self) -> u64 {
        self.batch_consume_queue_file_size_bytes.next_multiple_of(BATCH_UNIT_BYTES)
    }

    /// The limits of the options of retention.
    fn validate_retention(&self) -> Result<()> {
        let hours = self.file_reserved_time_hours;
        check(hours <= 8_760_000, "file_reserved_time_hours", "at most 8760000", hours)?;
        delete_hours(&self.delete_when)?;
        for (name, value) in [
            ("delete_file_batch_max", self.delete_file_batch_max),
            ("clean_resource_interval_ms", self.clean_resource_interval_ms),
        ] {
            check(value >= 1, name, "at least 1", value)?;
        }
        for (name, limits, expected, value) in [
            ("disk_max_used_space_ratio", 10..=95, "10 to 95", self.disk_max_used_space_ratio),
            (
                "disk_space_clean_forcibly_ratio",
                30..=85,
                "30 to 85",
                self.disk_space_clean_forcibly_ratio,
            ),
            ("disk_space_warning_ratio", 35..=90, "35 to 90", self.disk_space_warning_ratio),
        ] {
            check(limits.contains(&value), name, expected, u64::from(value))?;
        }
        Ok(())
    }

    /// Checks the limits of every option.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: a value lies outside the limits its field states.
    pub fn validate(&self) -> Result<()> {
        let size = self.segment_size_bytes;
        check(
            (MIN_SEGMENT_SIZE_BYTES..=MAX_SEGMENT_SIZE_BYTES).contains(&size)
                && size.is_multiple_of(SEGMENT_SIZE_UNIT_BYTES),
            "segment_size_bytes",
            "a multiple of 4096 from 64 KiB to 1 GiB",
            size,
        )?;
        let at_least_one = [
            ("sync_flush_timeout_ms", self.sync_flush_timeout_ms),
            ("flush_interval_ms", self.flush_interval_ms),
            ("commit_interval_ms", self.commit_interval_ms),
            ("flush_consumer_offset_interval_ms", self.flush_consumer_offset_interval_ms),
            ("max_open_queue_files", self.max_open_queue_files as u64),
            ("flush_consume_queue_interval_ms", self.flush_consume_queue_interval_ms),
            ("flush_delay_offset_interval_ms", self.flush_delay_offset_interval_ms),
            ("max_message_size_bytes", u64::from(self.max_message_size_bytes)),
            ("transaction_timeout_ms", self.transaction_timeout_ms),
            ("transaction_check_max", u64::from(self.transaction_check_max)),
            ("transaction_check_interval_ms", self.transaction_check_interval_ms),
        ];
        for (name, value) in at_least_one {
            check(value >= 1, name, "at least 1", value)?;
        }
        check(
            (1..=64).contains(&self.transient_store_pool_size),
            "transient_store_pool_size",
            "1 to 64",
            self.transient_store_pool_size as u64,
        )?;
        // The next file takes its buffer before the current one gives its own back.
        check(
            self.transient_store_pool_size >= 2
                || !(self.transient_store_pool_enable && self.fast_fail_if_no_buffer),
            "transient_store_pool_size",
            "2 to 64 with fast_fail_if_no_buffer",
            self.transient_store_pool_size as u64,
        )?;
        check(
            (20..=1 << 30).contains(&self.consume_queue_file_size_bytes),
            "consume_queue_file_size_bytes",
            "20 bytes to 1 GiB",
            self.consume_queue_file_size_bytes,
        )?;
        check(
            (46..=1 << 30).contains(&self.batch_consume_queue_file_size_bytes),
            "batch_consume_queue_file_size_bytes",
            "46 bytes to 1 GiB",
            self.batch_consume_queue_file_size_bytes,
        )?;
        DelayLevels::parse(&self.message_delay_level)?;
        self.validate_retention()?;
        check(
            (1 << 20..=1 << 30).contains(&self.reserve_ahead_bytes),
            "reserve_ahead_bytes",
            "1 MiB to 1 GiB",
            self.reserve_ahead_bytes,
        )
    }
}

/// Fails unless a value lies in its limits.
fn check(ok: bool, name: &'static str, expected: &'static str, found: u64) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::new(Status::InvalidArgument, format!("option {name} is out of its limits"))
        .expected(expected, found))
}

/// RocketMQ's two switches that together choose an [`AppendLockKind`].
const LOCK_SWITCHES: [&str; 2] = ["useReentrantLockWhenPutMessage", "useABSLock"];

type Parsed<T> = std::result::Result<T, String>;

fn parse_bool(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| "true or false".to_owned())
}

fn parse_size(text: &str) -> Parsed<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "a number, as in 4096 or 64M".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "a number below 2^64".to_owned())
}

fn parse_number(text: &str) -> Parsed<u64> {
    parse_size(text)
}

fn parse_positive(text: &str) -> Parsed<u64> {
    match parse_size(text)? {
        0 => Err("at least 1".to_owned()),
        number => Ok(number),
    }
}

fn parse_message_size(text: &str) -> Parsed<u32> {
    u32::try_from(parse_positive(text)?).map_err(|_| "at most 4294967295".to_owned())
}

fn parse_pool_size(text: &str) -> Parsed<usize> {
    usize::try_from(parse_positive(text)?).map_err(|_| "1 to 64".to_owned())
}

fn parse_u32(text: &str) -> Parsed<u32> {
    u32::try_from(parse_positive(text)?).map_err(|_| "1 to 4294967295".to_owned())
}

fn parse_count(text: &str) -> Parsed<usize> {
    usize::try_from(parse_positive(text)?).map_err(|_| "at least 1".to_owned())
}

fn parse_reserve(text: &str) -> Parsed<u64> {
    parse_positive(text)
}

fn parse_per_cent(text: &str) -> Parsed<u32> {
    text.parse().map_err(|_| "a number of per cent, as in 75".to_owned())
}

fn parse_paths(text: &str) -> Parsed<Vec<PathBuf>> {
    Ok(text.split(',').map(str::trim).filter(|p| !p.is_empty()).map(PathBuf::from).collect())
}

fn parse_flush_mode(text: &str) -> Parsed<FlushMode> {
    match text.to_ascii_lowercase().as_str() {
        "async" | "async_flush" => Ok(FlushMode::Async),
        "sync" | "sync_flush" => Ok(FlushMode::Sync),
        _ => Err("async or sync".to_owned()),
    }
}

fn parse_append_lock(text: &str) -> Parsed<AppendLockKind> {
    match text.to_ascii_lowercase().as_str() {
        "spin" => Ok(AppendLockKind::Spin),
        "mutex" => Ok(AppendLockKind::Mutex),
        "adaptive" => Ok(AppendLockKind::Adaptive),
        _ => Err("spin, mutex or adaptive".to_owned()),
    }
}

fn parse_damage_policy(text: &str) -> Parsed<DamagePolicy> {
    match text.to_ascii_lowercase().as_str() {
        "refuse" => Ok(DamagePolicy::Refuse),
        "truncate" => Ok(DamagePolicy::Truncate),
        _ => Err("refuse or truncate".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_broker_conf() {
        let text = "# a broker\nbrokerName = a\nflushDiskType=SYNC_FLUSH\n\
                    mappedFileSizeCommitLog=67108864\nuseReentrantLockWhenPutMessage=false\n";
        let (options, unknown) = StoreOptions::from_properties(text).unwrap();
        assert_eq!(options.flush_mode, FlushMode::Sync);
        assert_eq!(options.segment_size_bytes, 64 << 20);
        assert_eq!(options.append_lock, AppendLockKind::Spin);
        assert_eq!(unknown, ["brokerName"]);
    }

    #[test]
    fn refuses_unknown_names_and_impossible_values() {
        let mut options = StoreOptions::default();
        assert_eq!(options.set("nope", "1").unwrap_err().status(), Status::InvalidArgument);
        assert_eq!(
            options.set("flush_mode", "maybe").unwrap_err().to_string(),
            "option flush_mode cannot have this value: expected async or sync, found \"maybe\""
        );
        options.segment_size_bytes = 65_537;
        assert_eq!(options.validate().unwrap_err().status(), Status::InvalidArgument);
        options.set("segment_size_bytes", "64K").unwrap();
        options.validate().unwrap();
    }

    #[test]
    fn every_name_can_be_set() {
        for (ours, theirs) in StoreOptions::NAMES {
            let mut options = StoreOptions::default();
            for name in [*ours, *theirs].iter().filter(|name| !name.is_empty()) {
                let refused = options.set(name, "\u{7}").err().map(|error| error.status());
                assert!(matches!(refused, None | Some(Status::InvalidArgument)), "{name}");
            }
        }
    }
}
