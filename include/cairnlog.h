// cairnlog: the storage engine of Apache RocketMQ as a native, embeddable library.
//
// Conventions, all of them on one page in docs/c-abi.md:
//
// * A call that can fail returns a cairn_status, 0 for success. Its last parameter,
//   cairn_error **out_error, may be NULL; otherwise it is set to NULL first and, on failure, to an
//   object to be freed with cairn_error_free.
// * T **out gives an object to the caller, who frees it with its _free function. Those accept NULL
//   and cannot fail.
// * Text and bytes are a pointer and a length, without a terminator.
// * Structs that begin with struct_size are begun with their CAIRN_..._INIT, so that a program
//   compiled against an older or newer header works.
// * Every function of a store may be called from any thread; cairn_store_free comes last.
//
// This file is generated: change ffi/src and run `make header`.


#ifndef CAIRNLOG_H
#define CAIRNLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The result of the function must be looked at.
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define CAIRN_MUST_CHECK [[nodiscard]]
#elif defined(__GNUC__)
#define CAIRN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define CAIRN_MUST_CHECK
#endif

// The version of this header; cairn_version_number() tells that of the loaded library.
#define CAIRN_VERSION_MAJOR 0
#define CAIRN_VERSION_MINOR 1
#define CAIRN_VERSION_PATCH 0
#define CAIRN_VERSION_NUMBER 1000
#define CAIRN_VERSION_STRING "0.1.0"

// What structs with a struct_size begin with: the size, and zero everywhere else.
#ifdef __cplusplus
template <typename Struct> inline Struct cairn_init() {
    Struct value = Struct();
    value.struct_size = static_cast<uint32_t>(sizeof(Struct));
    return value;
}
#define CAIRN_INIT(type) (cairn_init<type>())
#else
#define CAIRN_INIT(type) {.struct_size = (uint32_t)sizeof(type)}
#endif
#define CAIRN_MESSAGE_INIT CAIRN_INIT(cairn_message)
#define CAIRN_APPEND_RESULT_INIT CAIRN_INIT(cairn_append_result)
#define CAIRN_POSITIONS_INIT CAIRN_INIT(cairn_positions)
#define CAIRN_READ_REQUEST_INIT CAIRN_INIT(cairn_read_request)
#define CAIRN_MESSAGE_VIEW_INIT CAIRN_INIT(cairn_message_view)
#define CAIRN_ASSIGNED_QUEUE_INIT CAIRN_INIT(cairn_assigned_queue)
#define CAIRN_QUEUE_PROGRESS_INIT CAIRN_INIT(cairn_queue_progress)
#define CAIRN_RECOVERY_PROGRESS_INIT CAIRN_INIT(cairn_recovery_progress)
#define CAIRN_RECOVERY_REPORT_INIT CAIRN_INIT(cairn_recovery_report)
#define CAIRN_STORE_STATS_INIT CAIRN_INIT(cairn_store_stats)
#define CAIRN_TOPIC_STATS_INIT CAIRN_INIT(cairn_topic_stats)
#define CAIRN_TRANSACTION_CHECK_INIT CAIRN_INIT(cairn_transaction_check)

// A cairn_str of a string literal.
#ifdef __cplusplus
#define CAIRN_STR(literal) (cairn_str{"" literal, sizeof(literal) - 1})
#else
#define CAIRN_STR(literal) ((cairn_str){"" literal, sizeof(literal) - 1})
#endif


// Counts the ABI: the major half (times 65536) changes only with a new soname, the minor half with
// every added symbol, number or field.
#define CAIRN_ABI_VERSION 3

// Waits without a limit, where a function takes a time in milliseconds.
#define CAIRN_WAIT_FOREVER 18446744073709551615ull

// The number of classes of append times.
#define CAIRN_LATENCY_CLASSES 13

// What came of a call: zero for success, else the cause, one number per cause.
//
// 1-99: the call was wrong. 100-199: the state of the store refuses it. 200-299: the machine
// refused it. 300-399: the data is damaged. 900: a bug of cairnlog. A number is never changed or
// used again; be ready for numbers that a later version adds.
enum cairn_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The call did what it says.
    CAIRN_STATUS_OK = 0,
    // An argument is outside its limits, or an option is unknown.
    CAIRN_STATUS_INVALID_ARGUMENT = 1,
    // The topic has no characters.
    CAIRN_STATUS_TOPIC_EMPTY = 2,
    // The topic exceeds 255 bytes.
    CAIRN_STATUS_TOPIC_TOO_LONG = 3,
    // The topic holds something other than ASCII letters, digits, `%`, `-`, `_` and `|`.
    CAIRN_STATUS_TOPIC_ILLEGAL = 4,
    // The body has no bytes.
    CAIRN_STATUS_BODY_EMPTY = 5,
    // The body exceeds `max_message_size_bytes`.
    CAIRN_STATUS_BODY_TOO_LARGE = 6,
    // The encoded properties exceed 32767 bytes.
    CAIRN_STATUS_PROPERTIES_TOO_LARGE = 7,
    // A property name or value is empty or holds a separator byte (0x01, 0x02) where it must not.
    CAIRN_STATUS_PROPERTIES_ILLEGAL = 8,
    // The record, or the batch, is larger than a commit log file can hold.
    CAIRN_STATUS_MESSAGE_TOO_LARGE = 9,
    // The queue id is negative.
    CAIRN_STATUS_QUEUE_ID_ILLEGAL = 10,
    // The batch encoding is malformed, or the batch is of a kind that cannot be stored.
    CAIRN_STATUS_BATCH_ILLEGAL = 11,
    // The physical offset lies outside the readable part of the log.
    CAIRN_STATUS_OFFSET_OUT_OF_RANGE = 12,
    // No record begins at the physical offset.
    CAIRN_STATUS_NOT_A_RECORD = 13,
    // The directory holds no store.
    CAIRN_STATUS_STORE_NOT_FOUND = 14,
    // The filter expression is malformed, or names something that cannot be filtered by.
    CAIRN_STATUS_FILTER_ILLEGAL = 15,
    // The group name is empty, too long or holds an illegal character.
    CAIRN_STATUS_GROUP_ILLEGAL = 16,
    // No open transaction has this half message.
    CAIRN_STATUS_NO_SUCH_TRANSACTION = 17,
    // The store was closed.
    CAIRN_STATUS_STORE_CLOSED = 100,
    // Another opener, in this or another process, holds the store.
    CAIRN_STATUS_STORE_LOCKED = 101,
    // An earlier write or sync failed: writes are refused until the store is opened again.
    CAIRN_STATUS_FENCED = 102,
    // The store does not take writes at present.
    CAIRN_STATUS_NOT_WRITEABLE = 103,
    // An append has held the append lock longer than `page_cache_busy_timeout_ms`; try again.
    CAIRN_STATUS_PAGE_CACHE_BUSY = 104,
    // The record is in the log, but its sync did not finish within `sync_flush_timeout_ms`:
    // its durability is unknown. The error carries where it lies.
    CAIRN_STATUS_FLUSH_TIMEOUT = 105,
    // What was waited for did not happen in the given time.
    CAIRN_STATUS_WAIT_TIMEOUT = 106,
    // The call came from a child made by `fork()`; only the process that opened the store may
    // use it.
    CAIRN_STATUS_FORKED = 107,
    // Every transient pool buffer is taken, and the store is set to fail fast.
    CAIRN_STATUS_POOL_EXHAUSTED = 108,
    // The store was opened for reading only.
    CAIRN_STATUS_READ_ONLY = 109,
    // A consume queue or an index file cannot be written, so records are not yet dispatched.
    // The error carries the cause; the dispatcher goes on by itself once it is gone.
    CAIRN_STATUS_DISPATCH_BLOCKED = 110,
    // The file system is filled beyond `disk_space_warning_ratio`: appends are refused until
    // there is room.
    CAIRN_STATUS_DISK_USAGE_HIGH = 111,
    // A system call failed; the error carries the operating system's code.
    CAIRN_STATUS_IO = 200,
    // The device or the quota is full. Nothing was stored; appends work again once there is room.
    CAIRN_STATUS_DISK_FULL = 201,
    // The operating system denies access to the file or directory.
    CAIRN_STATUS_PERMISSION_DENIED = 202,
    // The machine has no memory, or no lockable memory, left.
    CAIRN_STATUS_OUT_OF_MEMORY = 203,
    // The process, or the machine, has no file descriptor left; works again once it has.
    CAIRN_STATUS_TOO_MANY_OPEN_FILES = 204,
    // The file system is mounted for reading only.
    CAIRN_STATUS_READ_ONLY_FILE_SYSTEM = 205,
    // A file would exceed the size limit of the process (`RLIMIT_FSIZE`) or of the file system.
    CAIRN_STATUS_FILE_TOO_LARGE = 206,
    // A file or directory of the store is gone: somebody removed it.
    CAIRN_STATUS_PATH_NOT_FOUND = 207,
    // A record is damaged and good records lie behind it.
    CAIRN_STATUS_CORRUPTION = 300,
    // A file or directory in the store does not belong there.
    CAIRN_STATUS_FOREIGN_FILE = 301,
    // A file has a length the store cannot have.
    CAIRN_STATUS_WRONG_FILE_SIZE = 302,
    // A file in the middle of the log is missing.
    CAIRN_STATUS_MISSING_FILE = 303,
    // A bug of cairnlog; please report it.
    CAIRN_STATUS_INTERNAL = 900,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_status cairn_status;
#else
typedef int32_t cairn_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How appending threads wait for each other.
enum cairn_append_lock
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Sleep when the lock is taken. The default.
    CAIRN_APPEND_LOCK_MUTEX = 0,
    // Never sleep: for more cores than appending threads.
    CAIRN_APPEND_LOCK_SPIN = 1,
    // Spin for a while that adapts to how long the lock is held, then sleep.
    CAIRN_APPEND_LOCK_ADAPTIVE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_append_lock cairn_append_lock;
#else
typedef int32_t cairn_append_lock;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Who gets a message.
enum cairn_consume_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // One member of the group; the group's offsets are kept in the store. The default.
    CAIRN_CONSUME_MODE_CLUSTERING = 0,
    // Every member. Each begins where `cairn_consumer_options_set_start_from` says, and what it
    // cannot process is dropped.
    CAIRN_CONSUME_MODE_BROADCASTING = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_consume_mode cairn_consume_mode;
#else
typedef int32_t cairn_consume_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Whether a queue's next message may be handed out before the last is acknowledged.
enum cairn_consume_order
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It may. The default.
    CAIRN_CONSUME_ORDER_CONCURRENT = 0,
    // It waits: the messages of a queue are processed in their order.
    CAIRN_CONSUME_ORDER_ORDERLY = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_consume_order cairn_consume_order;
#else
typedef int32_t cairn_consume_order;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What became of messages that a callback got.
enum cairn_consume_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // All were processed.
    CAIRN_CONSUME_STATUS_SUCCESS = 0,
    // They are to be handed out again, as `cairn_delivery_retry_later` says.
    CAIRN_CONSUME_STATUS_RETRY_LATER = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_consume_status cairn_consume_status;
#else
typedef int32_t cairn_consume_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What opening does with a damaged record that has good records behind it.
enum cairn_damage_policy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Fail with `CAIRN_STATUS_CORRUPTION` and change nothing. The default.
    CAIRN_DAMAGE_POLICY_REFUSE = 0,
    // Cut the log at the damaged record, after copying the removed bytes to `lost+found/`.
    CAIRN_DAMAGE_POLICY_TRUNCATE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_damage_policy cairn_damage_policy;
#else
typedef int32_t cairn_damage_policy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// When an append is acknowledged.
enum cairn_flush_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Once the record is in the page cache: it survives the death of the process, and a power cut
    // after the next flush. RocketMQ's `ASYNC_FLUSH`. The default.
    CAIRN_FLUSH_MODE_ASYNC = 0,
    // Once the record is synced to the device: it survives a power cut. RocketMQ's `SYNC_FLUSH`.
    CAIRN_FLUSH_MODE_SYNC = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_flush_mode cairn_flush_mode;
#else
typedef int32_t cairn_flush_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How important a diagnostic message is. A higher number is a less important one.
enum cairn_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // None at all; as a limit only.
    CAIRN_LOG_LEVEL_OFF = 0,
    // Something failed and somebody has to act.
    CAIRN_LOG_LEVEL_ERROR = 1,
    // Something is wrong, and work goes on.
    CAIRN_LOG_LEVEL_WARN = 2,
    // A step that an operator wants to know of: opened, recovered, closed.
    CAIRN_LOG_LEVEL_INFO = 3,
    // For finding faults.
    CAIRN_LOG_LEVEL_DEBUG = 4,
    // Everything.
    CAIRN_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_log_level cairn_log_level;
#else
typedef int32_t cairn_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a reading found. Finding nothing is no error. The numbers below 100 are RocketMQ's, for
// queues.
enum cairn_read_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // At least one message.
    CAIRN_READ_OUTCOME_FOUND = 0,
    // None of the messages that were looked at is wanted; go on at the batch's next offset.
    CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE = 1,
    // Retention removed the messages that were looked at; go on at the batch's next offset.
    CAIRN_READ_OUTCOME_MESSAGE_WAS_REMOVING = 2,
    // The queue has no file there; go on at the batch's next offset. A store that is only read
    // stays at the same offset while the log has messages that the file had: wait for them.
    CAIRN_READ_OUTCOME_OFFSET_FOUND_NULL = 3,
    // The offset lies behind the end of the queue, which is the batch's next offset.
    CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_BADLY = 4,
    // The offset is the end of the queue: nothing has come yet.
    CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE = 5,
    // The offset lies in front of the queue's first message, which is the batch's next offset.
    CAIRN_READ_OUTCOME_OFFSET_TOO_SMALL = 6,
    // There is no such queue.
    CAIRN_READ_OUTCOME_NO_MATCHED_LOGIC_QUEUE = 7,
    // The queue has had no message yet.
    CAIRN_READ_OUTCOME_NO_MESSAGE_IN_QUEUE = 8,
    // Nothing yet: the physical offset is the end of the log.
    CAIRN_READ_OUTCOME_END_OF_LOG = 100,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_read_outcome cairn_read_outcome;
#else
typedef int32_t cairn_read_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What opening a store is busy with, in the order the phases come in.
enum cairn_recovery_phase
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It looks for the end of the log: every record is checked.
    CAIRN_RECOVERY_PHASE_LOG = 0,
    // It brings records to the consume queues and the key index.
    CAIRN_RECOVERY_PHASE_QUEUES = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_recovery_phase cairn_recovery_phase;
#else
typedef int32_t cairn_recovery_phase;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where a group begins with a queue of which it has committed nothing.
enum cairn_start_from
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // With the first message that comes after the consumer joined. The default.
    CAIRN_START_FROM_LAST = 0,
    // With the first message there is.
    CAIRN_START_FROM_FIRST = 1,
    // With the first message stored at or after a time.
    CAIRN_START_FROM_TIMESTAMP = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_start_from cairn_start_from;
#else
typedef int32_t cairn_start_from;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which of the messages around a time is meant.
enum cairn_time_boundary
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The first message stored at or after the time; the end of the queue if there is none.
    CAIRN_TIME_BOUNDARY_LOWER = 0,
    // The last message stored at or before the time; the first message if there is none.
    CAIRN_TIME_BOUNDARY_UPPER = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_time_boundary cairn_time_boundary;
#else
typedef int32_t cairn_time_boundary;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What is to become of an open transaction.
enum cairn_transaction_answer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It is not known yet: it is asked again later.
    CAIRN_TRANSACTION_ANSWER_UNKNOWN = 0,
    // Its message goes to its queue.
    CAIRN_TRANSACTION_ANSWER_COMMIT = 1,
    // Nobody will ever see its message.
    CAIRN_TRANSACTION_ANSWER_ROLLBACK = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_transaction_answer cairn_transaction_answer;
#else
typedef int32_t cairn_transaction_answer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Whether an append waits for the sync in a store with synchronous flush.
enum cairn_wait_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It waits: the message survives a power cut when the append returns. The default.
    CAIRN_WAIT_MODE_STORE_OK = 0,
    // It does not: the message survives the death of the process. RocketMQ's `WAIT` property with
    // the value `false`.
    CAIRN_WAIT_MODE_NONE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cairn_wait_mode cairn_wait_mode;
#else
typedef int32_t cairn_wait_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The queues that were assigned to a consumer at one moment. They do not change.
typedef struct cairn_assigned_queues cairn_assigned_queues;

// Messages that were read. Its views point into the mapped files, which stay as they are until the
// batch is freed, also when the store was closed or freed before. It does not change, so several
// threads may look at it, and it may be freed by any.
typedef struct cairn_batch cairn_batch;

// Messages in RocketMQ's client encoding, for `cairn_store_append_batch`. Used by one thread at a
// time.
typedef struct cairn_batch_items cairn_batch_items;

// A member of a consumer group that asks for messages. Any number of threads may use it.
//
// It may outlive the store's handle; once the store is closed, it gives
// `CAIRN_STATUS_STORE_CLOSED`.
typedef struct cairn_consumer cairn_consumer;

// How a consumer consumes. Used by one thread at a time; opening a consumer copies it, so one
// object may serve many, and may be freed at once.
typedef struct cairn_consumer_options cairn_consumer_options;

// Why a call failed: a status, a sentence that names file, offset, what was expected and what was
// found, and where the record lies if it was appended all the same.
//
// An error belongs to whoever received it and is freed with `cairn_error_free`. It does not
// change, so several threads may look at it.
typedef struct cairn_error cairn_error;

// Which messages a reader wants: made once, used for any number of reads, of any store, by any
// number of threads at once. A read or a tail keeps what it needs of it.
typedef struct cairn_filter cairn_filter;

// How far a group had come at one moment, queue by queue. It does not change.
typedef struct cairn_group_progress cairn_group_progress;

// The groups of a store at one moment. They do not change.
typedef struct cairn_groups cairn_groups;

// The half messages of the transactions that were open at one moment. They do not change.
typedef struct cairn_open_transactions cairn_open_transactions;

// The options of a store. Used by one thread at a time; opening copies them, so one object may
// open many stores, and may be freed at once.
typedef struct cairn_options cairn_options;

// A member of a consumer group whose messages go to a function, on threads of its own.
typedef struct cairn_push_consumer cairn_push_consumer;

// A topic and queue whose checks are done once. Any number of threads may use it.
//
// It may outlive the store's handle; once the store is closed, its appends give
// `CAIRN_STATUS_STORE_CLOSED`.
typedef struct cairn_queue cairn_queue;

// The queues of a topic at one moment. They do not change.
typedef struct cairn_queue_ids cairn_queue_ids;

// A message inside a batch, for the functions that take a view.
typedef struct cairn_record cairn_record;

// What opening a store found and did, or would do. It does not change.
typedef struct cairn_recovery cairn_recovery;

// The statistics of a store at one moment. They do not change.
typedef struct cairn_stats cairn_stats;

// A store: one directory, open for appending and reading, or for reading only.
//
// Every function may be called from any thread at the same time, except `cairn_store_free`, which
// is last. After `cairn_store_close` calls give `CAIRN_STATUS_STORE_CLOSED`.
typedef struct cairn_store cairn_store;

// A place in a queue that moves on with each message read. Any number of threads may use it: each
// message goes to one of them.
//
// It may outlive the store's handle; once the store is closed, it gives
// `CAIRN_STATUS_STORE_CLOSED`.
typedef struct cairn_tail cairn_tail;

// The topics of a store at one moment. They do not change.
typedef struct cairn_topics cairn_topics;

// Text: UTF-8, not terminated. With a length of zero the pointer is not looked at.
typedef struct cairn_str {
    // The first byte; null in a text that is absent.
    const char *data;
    // The number of bytes.
    size_t length;
} cairn_str;

// An address of a producer or a store.
typedef struct cairn_host {
    // The address in network byte order; an IPv4 address takes the first four bytes.
    uint8_t address[16];
    // The length of the address: 4 for IPv4, 16 for IPv6, 0 when there is none.
    uint32_t address_length;
    // The port, 0 to 65535.
    uint32_t port;
} cairn_host;

// Where a message, or a batch, came to lie. Set `struct_size` before passing it in, or begin with
// `CAIRN_APPEND_RESULT_INIT`.
typedef struct cairn_append_result {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // Bytes written for all records of the call, blanks not included.
    uint32_t size_bytes;
    // Where the first record begins in the log.
    int64_t physical_offset;
    // One past the last byte of the call: `cairn_store_wait_durable` takes it.
    int64_t end_offset;
    // The first message's index in its queue; 0 for prepared and rolled back transactions.
    int64_t queue_offset;
    // The queue.
    int32_t queue_id;
    // The number of messages.
    uint32_t message_count;
    // The store's clock at the append, milliseconds since the Unix epoch; never decreasing along
    // the log.
    int64_t store_timestamp_ms;
    // The address stored as the store's host.
    struct cairn_host store_host;
} cairn_append_result;

// The positions of the log, each only moving forward. Begin with `CAIRN_POSITIONS_INIT`.
typedef struct cairn_positions {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // The first byte the log still has.
    int64_t min_offset;
    // One past the last byte that was appended.
    int64_t max_offset;
    // Everything below is in the page cache: it is readable and survives the death of the process.
    int64_t committed_offset;
    // Everything below is synced to the device: it survives a power cut.
    int64_t durable_offset;
    // Everything below can be found in the queues and by key; `min_offset` in a store without
    // queues.
    int64_t dispatched_offset;
} cairn_positions;

// Bytes. With a length of zero the pointer is not looked at.
typedef struct cairn_bytes {
    // The first byte; null in bytes that are absent.
    const uint8_t *data;
    // The number of bytes.
    size_t length;
} cairn_bytes;

// A property: a name and a value, neither of them empty. The value holds no byte 0x02, the name
// neither 0x01 nor 0x02.
typedef struct cairn_property {
    // The name.
    struct cairn_str name;
    // The value.
    struct cairn_str value;
} cairn_property;

// One message to append. Begin with `CAIRN_MESSAGE_INIT` and set what you need; everything is
// borrowed for the call.
typedef struct cairn_message {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // The queue inside the topic, from 0.
    int32_t queue_id;
    // The topic: 1 to 255 bytes of ASCII letters, digits, `%`, `-`, `_` and `|`.
    struct cairn_str topic;
    // The payload, at least one byte.
    struct cairn_bytes body;
    // The tag consumers filter by (property `TAGS`); empty: none.
    struct cairn_str tag;
    // Keys the message can be found by (property `KEYS`); a key is not empty and holds no space.
    const struct cairn_str *keys;
    // The number of keys.
    size_t key_count;
    // Further properties.
    const struct cairn_property *properties;
    // The number of further properties.
    size_t property_count;
    // An application's own number, not looked at by the store.
    int32_t flag;
    // RocketMQ's system flag bits; 0x10 and 0x20 are set from the addresses, 0xC0 is refused.
    int32_t sys_flag;
    // The producer's clock, milliseconds since the Unix epoch; 0: the store's clock.
    int64_t born_timestamp_ms;
    // The producer's address; `address_length` 0: the store's own.
    struct cairn_host born_host;
    // How often the message was consumed before.
    int32_t reconsume_times;
    // Whether the append waits for the sync: a `cairn_wait_mode`.
    int32_t wait_mode;
    // For a committed transaction, the physical offset of its half message; else 0.
    int64_t prepared_transaction_offset;
    // After which delay the message comes to its queue: a level of the option
    // `message_delay_level`, counted from 1, the highest for a larger number; 0 for none. A
    // delayed message is stored in the topic `SCHEDULE_TOPIC_XXXX` at first, which is what the
    // result of the append then speaks of.
    uint32_t delay_level;
    // Zero.
    uint32_t reserved;
} cairn_message;

// Takes the end of an asynchronous append: exactly once, when the message is acknowledged or will
// not be; never when the append itself returned a failure.
//
// It runs on the store's completion thread, one call after the other. `result` says where the
// message lies; it is null when that is unknown. `error` is null exactly if `status` is
// `CAIRN_STATUS_OK`. Both are borrowed for the call. `user_data` is what was passed to the append.
//
// It may append, without waiting for the outcome, and read. It must not close or free the store,
// wait for durability or flush, and must not leave by an exception or `longjmp`.
typedef void (*cairn_append_callback)(cairn_status status,
                                      const struct cairn_append_result *result,
                                      const struct cairn_error *error,
                                      void *user_data);

// A message that was read. Begin with `CAIRN_MESSAGE_VIEW_INIT`. Everything it points to lives
// until `cairn_batch_free`.
typedef struct cairn_message_view {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // The queue inside the topic.
    int32_t queue_id;
    // The message inside its batch; `cairn_message_view_property` needs it.
    const struct cairn_record *record;
    // The record's bytes as stored; `record_length` of them.
    const uint8_t *record_data;
    // Where the record begins in the log.
    int64_t physical_offset;
    // One past the record's last byte in the log.
    int64_t end_offset;
    // The index in the queue.
    int64_t queue_offset;
    // The store's clock at the append, milliseconds since the Unix epoch.
    int64_t store_timestamp_ms;
    // The producer's clock, milliseconds since the Unix epoch.
    int64_t born_timestamp_ms;
    // For a committed transaction, the physical offset of its half message; else 0.
    int64_t prepared_transaction_offset;
    // The topic.
    struct cairn_str topic;
    // The payload.
    struct cairn_bytes body;
    // The tag; absent if there is none.
    struct cairn_str tag;
    // The keys, separated by spaces; absent if there are none.
    struct cairn_str keys;
    // The message's own properties as stored: those without the appended record CRC.
    struct cairn_bytes properties;
    // The length of the record in bytes.
    uint32_t record_length;
    // The record's magic: -626843481 (V1) or -626843477 (V2).
    int32_t magic;
    // The stored CRC-32 of the body, its top bit cleared.
    uint32_t body_crc;
    // The application's own number.
    int32_t flag;
    // RocketMQ's system flag bits.
    int32_t sys_flag;
    // How often the message was consumed before.
    int32_t reconsume_times;
    // The producer's address.
    struct cairn_host born_host;
    // The store's address.
    struct cairn_host store_host;
} cairn_message_view;

// What is read from a queue. Begin with `CAIRN_READ_REQUEST_INIT`; a field that stays zero has its
// default.
typedef struct cairn_read_request {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // The queue inside the topic.
    int32_t queue_id;
    // The topic.
    struct cairn_str topic;
    // The index of the first message wanted. A negative one is too small.
    int64_t offset;
    // Messages returned at most; 0 for 32.
    size_t max_messages;
    // Bytes of records returned at most, but at least one message; 0 for 128 MiB.
    size_t max_bytes;
    // Which messages are wanted; null for all.
    const struct cairn_filter *filter;
} cairn_read_request;

// A queue that is assigned to a consumer. Begin with `CAIRN_ASSIGNED_QUEUE_INIT`.
typedef struct cairn_assigned_queue {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // The queue inside the topic.
    int32_t queue_id;
    // The topic. It lives as long as the list.
    struct cairn_str topic;
} cairn_assigned_queue;

// Takes messages of one queue, in their order, and returns a `cairn_consume_status` for all of
// them; any other number counts as `CAIRN_CONSUME_STATUS_RETRY_LATER`.
//
// It runs on the push consumer's own threads, several at once unless there is one, any number of
// times, and never again once `cairn_push_consumer_close` or `cairn_push_consumer_free` returned.
// A message may come more than once. `batch` is borrowed for the call and must not be freed;
// `user_data` is what was passed to `cairn_push_consumer_start`.
//
// It may call the library, also to append and to wait; but it must not close or free a store, nor
// free a push consumer, and `cairn_push_consumer_close` refuses it. It must not leave by an
// exception or `longjmp`.
typedef int32_t (*cairn_consume_callback)(const struct cairn_batch *batch, void *user_data);

// How far a group has come with one queue. Begin with `CAIRN_QUEUE_PROGRESS_INIT`.
typedef struct cairn_queue_progress {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // The queue inside the topic.
    int32_t queue_id;
    // The topic. It lives as long as the list.
    struct cairn_str topic;
    // The index the group consumes next.
    int64_t committed;
    // The index of the queue's first message.
    int64_t min_offset;
    // One past the index of the queue's last message.
    int64_t max_offset;
    // Messages of the queue that the group has not consumed.
    uint64_t lag;
} cairn_queue_progress;

// An open transaction that a checker is asked about, from the library. A later version may write
// more fields than `struct_size` of the program's header says, never fewer.
typedef struct cairn_transaction_check {
    // The size of this struct as the library knows it.
    uint32_t struct_size;
    // Which time this transaction is asked about, from 1 on.
    uint32_t times;
    // Where the half message lies now; `cairn_store_commit_transaction` takes it.
    int64_t half_offset;
    // The half message, as it was before this check, alone in a batch that is not to be freed. Its
    // own topic is that of half messages.
    const struct cairn_batch *batch;
    // The topic the message is meant for.
    struct cairn_str topic;
    // The message's unique key (property `UNIQ_KEY`), RocketMQ's id of the transaction, or absent.
    struct cairn_str id;
    // The queue the message is meant for.
    int32_t queue_id;
    // Zero.
    uint32_t reserved;
} cairn_transaction_check;

// Says what is to become of an open transaction, by a `cairn_transaction_answer`; any other number
// counts as `CAIRN_TRANSACTION_ANSWER_UNKNOWN`.
//
// It runs on a thread of the store, for one transaction after the other, any number of times, and
// never again once `cairn_store_close` returned, or another checker was set and a call that was
// running has ended. `check` and what it points to are borrowed for the call; `user_data` is what
// was passed to `cairn_store_set_transaction_checker`.
//
// It may call the library, also to append, to wait, and to end this or other transactions; but it
// must not free a store, and `cairn_store_close` refuses it. It must not leave by an exception or
// `longjmp`.
typedef int32_t (*cairn_transaction_callback)(const struct cairn_transaction_check *check,
                                              void *user_data);

// Takes back the `user_data` of a callback that is not called any more. It runs once, on any
// thread, and must not leave by an exception or `longjmp`.
typedef void (*cairn_release_callback)(void *user_data);

// The report of a recovery. Begin with `CAIRN_RECOVERY_REPORT_INIT`.
typedef struct cairn_recovery_report {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // 1 if the directory held no store before, else 0.
    uint32_t created;
    // 1 if the store was closed cleanly the last time, else 0.
    uint32_t clean_stop;
    // Zero.
    uint32_t reserved;
    // The commit log files found.
    uint64_t files;
    // The records walked.
    uint64_t records;
    // The first byte the log has.
    int64_t min_offset;
    // One past the last byte of the last good record.
    int64_t end_offset;
    // Bytes copied to `lost+found/` and then cut or set to zero.
    uint64_t bytes_set_aside;
    // Files removed behind the end.
    uint64_t files_removed;
    // How long it took, in microseconds.
    uint64_t duration_us;
    // The file that holds the bytes set aside; absent if there is none. It lives as long as the
    // `cairn_recovery`.
    struct cairn_str set_aside;
    // What was wrong at the end, if there was something behind it; else absent. It lives as long
    // as the `cairn_recovery`.
    struct cairn_str damage;
} cairn_recovery_report;

// How far opening a store is, from the library. A later version may write more fields than
// `struct_size` of the program's header says, never fewer.
typedef struct cairn_recovery_progress {
    // The size of this struct as the library knows it.
    uint32_t struct_size;
    // A `cairn_recovery_phase`.
    int32_t phase;
    // Bytes of the log that this phase has done. Never falls within a phase.
    uint64_t bytes_done;
    // Bytes of the log that this phase has to do: `bytes_done` in its last call, else more. While
    // the end of the log is looked for, free space in its last file counts, so the last call of
    // that phase may state fewer than those before.
    uint64_t bytes_total;
} cairn_recovery_progress;

// Is told how far opening a store is: at most ten times a second, and once more at the end of each
// `cairn_recovery_phase`.
//
// It runs on the thread that opens, inside `cairn_store_open` or `cairn_plan_recovery`, which goes
// on when it returns. `progress` is borrowed for the call; `user_data` is what was passed to
// `cairn_options_set_recovery_progress`.
//
// It may call the library, but must not change or free the options that open. It must not leave by
// an exception or `longjmp`.
typedef void (*cairn_recovery_progress_callback)(const struct cairn_recovery_progress *progress,
                                                 void *user_data);

// The figures of a store since it was opened. Begin with `CAIRN_STORE_STATS_INIT`.
typedef struct cairn_store_stats {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // Messages appended.
    uint64_t messages;
    // Bytes of their records.
    uint64_t bytes;
    // Append calls that stored nothing.
    uint64_t refused;
    // Sync calls on commit log files.
    uint64_t syncs;
    // The longest append call, in milliseconds.
    uint64_t append_latency_max_ms;
    // Append calls by the time they took, waits for the sync included, in RocketMQ's classes: up
    // to 0, 10, 50, 100, 200, 500 ms, 1, 2, 3, 4, 5, 10 s, and above.
    uint64_t append_latency_counts[CAIRN_LATENCY_CLASSES];
    // Delayed messages that were put into their queues.
    uint64_t delayed_delivered;
    // Delayed messages that were passed over when their time had come, because they can never be
    // put into a queue: they name none that can be, are damaged, or retention removed them.
    uint64_t delayed_undeliverable;
} cairn_store_stats;

// The figures of a topic since the store was opened. Begin with `CAIRN_TOPIC_STATS_INIT`.
typedef struct cairn_topic_stats {
    // The size of this struct as the program knows it.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // The topic. It lives as long as the statistics.
    struct cairn_str topic;
    // Messages appended.
    uint64_t messages;
    // Bytes of their records.
    uint64_t bytes;
} cairn_topic_stats;

// Takes diagnostic messages, on any thread and on several at once, any number of times.
//
// `level` is a `cairn_log_level`, `target` the part of the library that speaks, `message` one
// line. Both texts are borrowed for the call. It must not call `cairn_set_log_callback`, close or
// free a store, and must not leave by an exception or `longjmp`; what other calls on cairnlog
// report while it runs is dropped.
typedef void (*cairn_log_callback)(int32_t level,
                                   struct cairn_str target,
                                   struct cairn_str message,
                                   void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the name of a status in capitals, as in `"STORE_LOCKED"`; never null. A number that no
// status has gives `"UNKNOWN"`. The text lives as long as the library is loaded.
const char *cairn_status_name(int32_t status);

// Returns the version of the loaded library as a number to compare with `CAIRN_VERSION_NUMBER`:
// major times 1000000, minor times 1000, patch.
uint32_t cairn_version_number(void);

// Returns the version of the loaded library, as in `"0.1.0"`. The text lives as long as the
// library is loaded.
const char *cairn_version_string(void);

// Checks that the loaded library fits the header a program was compiled with; pass
// `CAIRN_ABI_VERSION`.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when the major halves differ or the library is older than
// the header.
CAIRN_MUST_CHECK cairn_status cairn_abi_check(uint32_t header_abi_version);

// Measures a terminated text, as a program has it in `argv`. Null gives an empty text.
//
// # Safety
// - `text` is null or points to a terminated text that outlives the result.
struct cairn_str cairn_str_from(const char *text);

// Returns the status of an error, the same that the call returned. Null gives `CAIRN_STATUS_OK`.
//
// # Safety
// - `error` is null or live.
CAIRN_MUST_CHECK cairn_status cairn_error_status(const struct cairn_error *error);

// Returns the operating system's error number (`errno`), 0 if no system call failed.
//
// # Safety
// - `error` is null or live.
int32_t cairn_error_os_code(const struct cairn_error *error);

// Returns the sentence, terminated, UTF-8. It lives as long as the error. Null gives an empty
// text.
//
// # Safety
// - `error` is null or live.
const char *cairn_error_message(const struct cairn_error *error);

// Returns the file or directory concerned, as the operating system spells it; an empty text if
// there is none. It lives as long as the error.
//
// # Safety
// - `error` is null or live.
struct cairn_str cairn_error_path(const struct cairn_error *error);

// Returns the offset concerned, a physical offset for the log, else a position in the file or the
// argument; -1 if there is none.
//
// # Safety
// - `error` is null or live.
int64_t cairn_error_offset(const struct cairn_error *error);

// Tells whether the record is in the log although the call failed, as after
// `CAIRN_STATUS_FLUSH_TIMEOUT`.
//
// # Safety
// - `error` is null or live.
bool cairn_error_has_appended(const struct cairn_error *error);

// Tells where the record lies that is in the log although the call failed.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when there is none; `cairn_error_has_appended` tells.
//
// # Safety
// - `error` is null or live.
// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_error_appended(const struct cairn_error *error,
                                  struct cairn_append_result *out_result);

// Frees an error. Null is accepted.
//
// # Safety
// - `error` is null or live, and not used afterwards.
void cairn_error_free(struct cairn_error *error);

// Makes options with every default. Null only if memory ran out.
struct cairn_options *cairn_options_new(void);

// Makes options from RocketMQ's `broker.conf` (`name=value` lines, `#` and `!` begin comments)
// over the defaults. Names that are no option here, a broker's own settings among them, are passed
// over and listed by `cairn_options_unknown_name`.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when a known option has an impossible value.
//
// # Safety
// - `text` is readable for its length.
// - `out_options` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_options_from_properties(struct cairn_str text,
                                           struct cairn_options **out_options,
                                           struct cairn_error **out_error);

// Returns how many names `cairn_options_from_properties` passed over.
//
// # Safety
// - `options` is null or live.
size_t cairn_options_unknown_count(const struct cairn_options *options);

// Returns a name that `cairn_options_from_properties` passed over, in the order of the text; an
// empty text beyond the last. It lives as long as the options.
//
// # Safety
// - `options` is null or live.
struct cairn_str cairn_options_unknown_name(const struct cairn_options *options, size_t index);

// Sets any option by name, ours or RocketMQ's, from text: `flush_mode` or `flushDiskType`,
// `segment_size_bytes` or `mappedFileSizeCommitLog`, and so on.
//
// Sizes and counts are decimal and may end in `K`, `M` or `G` (powers of 1024); booleans are
// `true` and `false`; several paths are separated by commas.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when there is no such option or it cannot have this value;
// the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
// - `name` and `value` are readable for their lengths.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_options_set(struct cairn_options *options,
                               struct cairn_str name,
                               struct cairn_str value,
                               struct cairn_error **out_error);

// Sets the size of a commit log file in bytes, for a store that has none yet: a multiple of 4096
// from 65536 to 1073741824. An existing store keeps the size it has. Default 1073741824.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_segment_size_bytes(struct cairn_options *options,
                                                  uint64_t value);

// Sets when an append is acknowledged: a `cairn_flush_mode`.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_flush_mode(struct cairn_options *options,
                                          int32_t value);

// Sets how appending threads wait for each other: a `cairn_append_lock`.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_append_lock(struct cairn_options *options,
                                           int32_t value);

// Sets what opening does with damage in the middle of the log: a `cairn_damage_policy`.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_damage_policy(struct cairn_options *options,
                                             int32_t value);

// Sets whether a store is made where there is none: 0 or 1. Default 1.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_create_if_missing(struct cairn_options *options,
                                                 int32_t value);

// Sets how long a synchronous append waits for its sync, in milliseconds, at least 1. Default
// 5000.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_sync_flush_timeout_ms(struct cairn_options *options,
                                                     uint64_t value);

// Sets the period of the asynchronous flush, in milliseconds, at least 1. Default 500.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_flush_interval_ms(struct cairn_options *options,
                                                 uint64_t value);

// Sets the largest body in bytes, at least 1. Default 4194304.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_max_message_size_bytes(struct cairn_options *options,
                                                      uint32_t value);

// Sets the space reserved, and the memory populated, ahead of the append position, in bytes, from
// 1048576 to 1073741824. Default 33554432.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_reserve_ahead_bytes(struct cairn_options *options,
                                                   uint64_t value);

// Sets whether appends go to locked private buffers first: 0 or 1. An acknowledged message of an
// asynchronous store then survives the death of the process only after it was committed. Default
// 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_transient_store_pool_enable(struct cairn_options *options,
                                                           int32_t value);

// Sets whether each record that is appended carries a CRC over header, body and properties: 0 or
// 1. RocketMQ before 5.2 reads such records but takes the CRC for an ordinary property. Default 1.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_append_record_crc(struct cairn_options *options,
                                                 int32_t value);

// Sets whether opening verifies the CRC of every record: 0 or 1. Default 1.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_check_crc_on_recover(struct cairn_options *options,
                                                    int32_t value);

// Sets whether records are dispatched to consume queues: 0 or 1. Without them the store is a log
// that is read by physical offset only, and an opening walks all of it if it was not closed
// before. Default 1.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_consume_queue_enable(struct cairn_options *options,
                                                    int32_t value);

// Sets whether keys are put into the key index, which `cairn_store_query_key` needs: 0 or 1.
// Default 1.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_message_index_enable(struct cairn_options *options,
                                                    int32_t value);

// Sets whether a synchronous store shows consumers messages before they are durable: 0 or 1.
// Default 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
//
// # Safety
// - `options` is null or live, and used by this thread only.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_read_uncommitted(struct cairn_options *options,
                                                int32_t value);

// Frees options. Null is accepted.
//
// # Safety
// - `options` is null or live, and not used afterwards.
void cairn_options_free(struct cairn_options *options);

// Writes RocketMQ's `offsetMsgId` of the first record, 32 or 56 characters in upper-case hex, and
// a terminator.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when `capacity` is less than 57 or the host has no
// address.
//
// # Safety
// - `result` is null, or readable for as many bytes as its `struct_size` says.
// - `out_text` is null or writable for `capacity` bytes.
CAIRN_MUST_CHECK
cairn_status cairn_append_result_message_id(const struct cairn_append_result *result,
                                            char *out_text,
                                            size_t capacity);

// Opens a store, or makes one: recovers what is there, takes the lock, starts the services.
//
// `options` may be null for every default. On failure `*out_store` is null. Among the statuses:
// `CAIRN_STATUS_STORE_LOCKED` (another opener holds it; the message names its process where
// known), `CAIRN_STATUS_CORRUPTION` (a damaged record with good ones behind it),
// `CAIRN_STATUS_FOREIGN_FILE`, `CAIRN_STATUS_WRONG_FILE_SIZE`, `CAIRN_STATUS_PERMISSION_DENIED`,
// `CAIRN_STATUS_STORE_NOT_FOUND`. A failed opening has changed nothing.
//
// # Safety
// - `path` is readable for its length.
// - `options` is null or live.
// - `out_store` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_open(struct cairn_str path,
                              const struct cairn_options *options,
                              struct cairn_store **out_store,
                              struct cairn_error **out_error);

// Opens the store in a directory for reading only, beside the process that writes it, which may be
// this one, or beside nobody. It takes no lock, makes no file and changes nothing; the right to
// read the directory is enough.
//
// What reads works as on a store that `cairn_store_open` gave, `cairn_tail_open` included. It sees
// what the writer stored until then: messages of a queue once the writer dispatched them, records
// of the log as soon as they are whole. Waiting calls look again in pauses that double up to 50 ms
// while nothing comes. The writer may close the store, die, and open it again. What retention
// removes can be read no longer a second later, at most; batches stay valid. Should the writer cut
// the log below what was read, which it does only after damage, reading there gives
// `CAIRN_STATUS_CORRUPTION`, and the reader has to be opened again.
//
// All other calls give `CAIRN_STATUS_READ_ONLY`: those that append, flush or remove, and those on
// groups, transactions, statistics and dispatching.
//
// Of the options, which may be null, those count that say where the log's files are, whether there
// is a key index, and how many queue files stay open. On failure `*out_store` is null. Among the
// statuses: `CAIRN_STATUS_STORE_NOT_FOUND` (there is no commit log with a file),
// `CAIRN_STATUS_FOREIGN_FILE`, `CAIRN_STATUS_WRONG_FILE_SIZE`, `CAIRN_STATUS_MISSING_FILE`,
// `CAIRN_STATUS_PERMISSION_DENIED`.
//
// # Safety
// - `path` is readable for its length.
// - `options` is null or live.
// - `out_store` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_open_reader(struct cairn_str path,
                                     const struct cairn_options *options,
                                     struct cairn_store **out_store,
                                     struct cairn_error **out_error);

// Tells whether the store was opened by `cairn_store_open_reader`; false for null.
//
// # Safety
// - `store` is null or live.
bool cairn_store_is_reader(const struct cairn_store *store);

// Returns the path the store was opened with. It lives as long as the store.
//
// # Safety
// - `store` is null or live.
struct cairn_str cairn_store_path(const struct cairn_store *store);

// Returns the size of a commit log file in bytes; 0 for null.
//
// # Safety
// - `store` is null or live.
uint64_t cairn_store_segment_size_bytes(const struct cairn_store *store);

// Returns what opening found and did. It lives as long as the store; do not free it. Null for
// null and for a store that is only read.
//
// # Safety
// - `store` is null or live.
const struct cairn_recovery *cairn_store_recovery(const struct cairn_store *store);

// Tells the positions of the log. They are read one after the other, so that durable is at most
// committed and committed at most max, also while others append. A store that is only read knows
// nothing of what is durable or dispatched: both are -1, and `committed_offset` is `max_offset`.
//
// # Safety
// - `store` is null or live.
// - `out_positions` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_positions(const struct cairn_store *store,
                                   struct cairn_positions *out_positions,
                                   struct cairn_error **out_error);

// Tells the offset the next message of a queue gets, 0 for a queue that has none yet.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_offset` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_next_queue_offset(const struct cairn_store *store,
                                           struct cairn_str topic,
                                           int32_t queue_id,
                                           int64_t *out_offset,
                                           struct cairn_error **out_error);

// Waits until everything below `physical_offset` is durable, at most `timeout_ms` milliseconds
// (`CAIRN_WAIT_FOREVER`: without limit). The offset is usually a result's `end_offset`.
//
// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_FENCED` when a sync
// failed, `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` for an offset beyond the log.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_wait_durable(const struct cairn_store *store,
                                      int64_t physical_offset,
                                      uint64_t timeout_ms,
                                      struct cairn_error **out_error);

// Makes everything appended so far durable, and returns when it is.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_flush(struct cairn_store *store,
                               struct cairn_error **out_error);

// Flushes until everything is durable, runs every callback still due, stops the services and gives
// up the lock. The handle stays valid until `cairn_store_free`; batches stay valid until they are
// freed. A second call returns what the first did. Not to be called from a callback; that of
// `cairn_store_set_transaction_checker` is refused with `CAIRN_STATUS_INVALID_ARGUMENT`.
//
// On failure something appended may not be durable; the error says why. The store is closed all
// the same.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_close(struct cairn_store *store,
                               struct cairn_error **out_error);

// Tells whether the store was closed; true for null.
//
// # Safety
// - `store` is null or live.
bool cairn_store_is_closed(const struct cairn_store *store);

// Frees a store; closes it first if that was not done, and then tells a failure to the log
// callback only. Null is accepted. Batches, queue handles and tails stay valid until they are
// freed. Not to be called from a callback.
//
// # Safety
// - `store` is null or live, and no call on it is running or comes later.
void cairn_store_free(struct cairn_store *store);

// Appends one message and returns when it is as safe as the store's flush mode promises.
//
// `out_result` may be null. A refused message leaves the log as it was.
// `CAIRN_STATUS_FLUSH_TIMEOUT` means that the record is in the log and its durability unknown;
// `cairn_error_appended` says where it lies.
//
// # Safety
// - `store` is null or live.
// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to.
// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_append(struct cairn_store *store,
                                const struct cairn_message *message,
                                struct cairn_append_result *out_result,
                                struct cairn_error **out_error);

// Appends messages in order and waits for all of them once. It stops at the first that is refused;
// those before it stay appended.
//
// `*out_appended` says how many were appended, also after a failure; as many elements of
// `out_results`, which may be null, are written. The elements of both arrays lie `struct_size` of
// the first one apart, and all must state the same size.
//
// # Safety
// - `store` is null or live.
// - `messages` is null, or readable for `count` elements, and so is what they point to.
// - `out_results` is null, or writable for `count` elements.
// - `out_appended` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_append_many(struct cairn_store *store,
                                     const struct cairn_message *messages,
                                     size_t count,
                                     struct cairn_append_result *out_results,
                                     size_t *out_appended,
                                     struct cairn_error **out_error);

// Appends a message and returns at once; `callback` takes its end.
//
// On success the callback runs exactly once, at the latest inside `cairn_store_close`; it may run
// before this function returns. On failure it does not run.
//
// # Safety
// - `store` is null or live.
// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to, until this function returns.
// - `callback` is null or may be called with `user_data` from another thread.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_append_async(struct cairn_store *store,
                                      const struct cairn_message *message,
                                      cairn_append_callback callback,
                                      void *user_data,
                                      struct cairn_error **out_error);

// Appends a batch that a client encoded, as consecutive records: all of them or none.
//
// `shared` gives what the messages have in common: topic, queue, system flag, addresses, tag, keys
// and properties, which are added to those of each item; its body and flag are not used. `items`
// is RocketMQ's client encoding, as `cairn_batch_items` makes it. `out_result` may be null.
//
// # Safety
// - `store` is null or live.
// - `shared` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to.
// - `items` is readable for its length.
// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_append_batch(struct cairn_store *store,
                                      const struct cairn_message *shared,
                                      struct cairn_bytes items,
                                      struct cairn_append_result *out_result,
                                      struct cairn_error **out_error);

// Appends a batch that a client encoded, as one record that carries all items (an inner batch).
//
// Arguments as for `cairn_store_append_batch`.
//
// # Safety
// - As for `cairn_store_append_batch`.
CAIRN_MUST_CHECK
cairn_status cairn_store_append_inner_batch(struct cairn_store *store,
                                            const struct cairn_message *shared,
                                            struct cairn_bytes items,
                                            struct cairn_append_result *out_result,
                                            struct cairn_error **out_error);

// Prepares a topic and queue for appending.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_queue` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_queue_open(struct cairn_store *store,
                              struct cairn_str topic,
                              int32_t queue_id,
                              struct cairn_queue **out_queue,
                              struct cairn_error **out_error);

// Appends a message to the prepared queue; the message's own topic and queue are not looked at.
// Otherwise as `cairn_store_append`.
//
// # Safety
// - `queue` is null or live.
// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to.
// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_queue_append(struct cairn_queue *queue,
                                const struct cairn_message *message,
                                struct cairn_append_result *out_result,
                                struct cairn_error **out_error);

// Appends a message to the prepared queue and returns at once. Otherwise as
// `cairn_store_append_async`.
//
// # Safety
// - `queue` is null or live.
// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to, until this function returns.
// - `callback` is null or may be called with `user_data` from another thread.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_queue_append_async(struct cairn_queue *queue,
                                      const struct cairn_message *message,
                                      cairn_append_callback callback,
                                      void *user_data,
                                      struct cairn_error **out_error);

// Frees a prepared queue. Null is accepted. What was appended through it stays.
//
// # Safety
// - `queue` is null or live, and no call on it is running or comes later.
void cairn_queue_free(struct cairn_queue *queue);

// Makes an empty batch. Null only if memory ran out.
struct cairn_batch_items *cairn_batch_items_new(void);

// Adds a message. `properties` is the stored form: name, byte 0x01, value, byte 0x02, and so on;
// it may be empty. Everything is copied.
//
// Gives `CAIRN_STATUS_BATCH_ILLEGAL` for a body above 2147483647 or properties above 32767 bytes.
//
// # Safety
// - `items` is null or live, and used by this thread only.
// - `body` and `properties` are readable for their lengths.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_batch_items_add(struct cairn_batch_items *items,
                                   int32_t flag,
                                   struct cairn_bytes body,
                                   struct cairn_bytes properties,
                                   struct cairn_error **out_error);

// Returns the encoding. It lives until the next change of the batch.
//
// # Safety
// - `items` is null or live.
struct cairn_bytes cairn_batch_items_bytes(const struct cairn_batch_items *items);

// Frees a batch. Null is accepted.
//
// # Safety
// - `items` is null or live, and not used afterwards.
void cairn_batch_items_free(struct cairn_batch_items *items);

// Returns the name of a read outcome in capitals, as in `"FOUND"`; never null. A number that no
// outcome has gives `"UNKNOWN"`. The text lives as long as the library is loaded.
const char *cairn_read_outcome_name(int32_t outcome);

// Reads the message whose record begins at `physical_offset`.
//
// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE`, `CAIRN_STATUS_NOT_A_RECORD` or
// `CAIRN_STATUS_CORRUPTION`; `*out_batch` is then null.
//
// # Safety
// - `store` is null or live.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_read_at(const struct cairn_store *store,
                                 int64_t physical_offset,
                                 struct cairn_batch **out_batch,
                                 struct cairn_error **out_error);

// Reads messages in the order of the log, from a record boundary on: at most `max_messages` and,
// beyond the first, at most `max_bytes` of records. Where there is nothing yet, it waits up to
// `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without limit).
//
// Begin with the log's `min_offset` and go on with `cairn_batch_next_offset`. When the time runs
// out, or the store is closed while this waits, the batch is empty and its outcome
// `CAIRN_READ_OUTCOME_END_OF_LOG`.
//
// # Safety
// - `store` is null or live.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_read_log(const struct cairn_store *store,
                                  int64_t from_offset,
                                  size_t max_messages,
                                  size_t max_bytes,
                                  uint64_t timeout_ms,
                                  struct cairn_batch **out_batch,
                                  struct cairn_error **out_error);

// Returns what the reading found: a `cairn_read_outcome`; `CAIRN_READ_OUTCOME_END_OF_LOG` for
// null.
//
// # Safety
// - `batch` is null or live.
int32_t cairn_batch_outcome(const struct cairn_batch *batch);

// Returns the number of messages.
//
// # Safety
// - `batch` is null or live.
size_t cairn_batch_len(const struct cairn_batch *batch);

// Returns where to go on reading: an index of the queue, or a physical offset if the batch was
// read by one; -1 for messages that were looked up or handed out, and for null.
//
// # Safety
// - `batch` is null or live.
int64_t cairn_batch_next_offset(const struct cairn_batch *batch);

// Returns where what was read from began at the time: the index of the queue's first message, or
// the log's first offset if the batch was read by physical offset; -1 for messages that were
// looked up, and for null.
//
// # Safety
// - `batch` is null or live.
int64_t cairn_batch_min_offset(const struct cairn_batch *batch);

// Returns where what was read from ended at the time: one past the index of the queue's last
// message, or past the readable log if the batch was read by physical offset; -1 for messages
// that were looked up, and for null.
//
// # Safety
// - `batch` is null or live.
int64_t cairn_batch_max_offset(const struct cairn_batch *batch);

// Gives a view of a message of the batch, from 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
//
// # Safety
// - `batch` is null or live.
// - `out_view` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_batch_get(const struct cairn_batch *batch,
                             size_t index,
                             struct cairn_message_view *out_view);

// Finds a property by name. Of a name that occurs twice it gives the last value. Returns whether
// there is one; `*out_value` is absent if not.
//
// # Safety
// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
//   live.
// - `key` is readable for its length.
// - `out_value` is null or writable.
bool cairn_message_view_property(const struct cairn_message_view *view,
                                 struct cairn_str key,
                                 struct cairn_str *out_value);

// Gives the properties one after the other, in stored order: set `*cursor` to 0, then call until
// it returns false.
//
// # Safety
// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
//   live.
// - `cursor` and `out_property` are null or writable.
bool cairn_message_view_next_property(const struct cairn_message_view *view,
                                      size_t *cursor,
                                      struct cairn_property *out_property);

// Writes RocketMQ's `offsetMsgId` of a message, 32 or 56 characters in upper-case hex, and a
// terminator.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when `capacity` is less than 57 or the view was not
// filled.
//
// # Safety
// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
//   live.
// - `out_text` is null or writable for `capacity` bytes.
CAIRN_MUST_CHECK
cairn_status cairn_message_view_message_id(const struct cairn_message_view *view,
                                           char *out_text,
                                           size_t capacity);

// Frees a batch; its views end with it. Null is accepted.
//
// # Safety
// - `batch` is null or live, and neither it nor its views are used afterwards.
void cairn_batch_free(struct cairn_batch *batch);

// Makes a filter for messages with one of the tags in `A || B || C`. `*` and the empty text stand
// for all messages.
//
// Gives `CAIRN_STATUS_FILTER_ILLEGAL` when the expression names no tag, is longer than 64 KiB or
// is no UTF-8; `*out_filter` is then null.
//
// # Safety
// - `expression` is readable for its length.
// - `out_filter` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_filter_from_tags(struct cairn_str expression,
                                    struct cairn_filter **out_filter,
                                    struct cairn_error **out_error);

// Makes a filter for messages for whose properties a condition in SQL92 is true, as in
// `price BETWEEN 10 AND 20 AND region IN ('north', 'west')`.
//
// There are `AND`, `OR`, `NOT`, the comparisons `= <> > >= < <=`, `BETWEEN`, `IN`, `CONTAINS`,
// `STARTSWITH`, `ENDSWITH` and `IS NULL`, numbers, `'text'`, `TRUE` and `FALSE`. The names `TAGS`
// and `KEYS` stand for the tag and the keys. A message without a property that the condition asks
// for, or with a value that cannot be compared so, is not wanted.
//
// Gives `CAIRN_STATUS_FILTER_ILLEGAL` when the condition is malformed, longer than 64 KiB or no
// UTF-8; `*out_filter` is then null, and `cairn_error_offset` tells where, in bytes from the
// start.
//
// # Safety
// - `expression` is readable for its length.
// - `out_filter` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_filter_from_sql(struct cairn_str expression,
                                   struct cairn_filter **out_filter,
                                   struct cairn_error **out_error);

// Tells whether a message that was read is wanted, as when the log is read by physical offset. A
// null filter wants every message; a view that was not filled is never wanted.
//
// # Safety
// - `filter` is null or live.
// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
//   live.
bool cairn_filter_matches(const struct cairn_filter *filter, const struct cairn_message_view *view);

// Frees a filter. Null is accepted. Tails that were opened with it go on.
//
// # Safety
// - `filter` is null or live, and not used afterwards.
void cairn_filter_free(struct cairn_filter *filter);

// Reads messages of a queue from an index on. It does not wait. Where nothing is found the batch
// is empty, `cairn_batch_outcome` says why and `cairn_batch_next_offset` where to go on.
//
// One call looks at 800 messages or `max_messages`, whichever is more, and at one file of the
// queue, so fewer messages than asked for do not mean that the queue ends. A message can be read a
// moment after its append returned: once it was dispatched to its queue, in a synchronous store
// only when it is durable (unless `read_uncommitted` is set).
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues,
// `CAIRN_STATUS_CORRUPTION` when the queue points to something that is not its message;
// `*out_batch` is then null.
//
// # Safety
// - `store` is null or live.
// - `request` is null, or readable for as many bytes as its `struct_size` says; its topic is
//   readable for its length and its filter is null or live.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_read(const struct cairn_store *store,
                              const struct cairn_read_request *request,
                              struct cairn_batch **out_batch,
                              struct cairn_error **out_error);

// Finds the newest messages of a topic that have a key: one of their keys, or the unique key that
// a RocketMQ client gave them. They were stored from `begin_ms` to `end_ms`, both included, in
// milliseconds since the Unix epoch. At most `max_messages`, in the order of the log.
//
// If there are none, the batch is empty and its outcome `CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE`.
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for a `max_messages` of zero and in a store without
// consume queues or key index.
//
// # Safety
// - `store` is null or live.
// - `topic` and `key` are readable for their lengths.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_query_key(const struct cairn_store *store,
                                   struct cairn_str topic,
                                   struct cairn_str key,
                                   int64_t begin_ms,
                                   int64_t end_ms,
                                   size_t max_messages,
                                   struct cairn_batch **out_batch,
                                   struct cairn_error **out_error);

// Finds the message with an id: RocketMQ's `offsetMsgId`, as `cairn_message_view_message_id` and
// `cairn_append_result_message_id` write it, or else the unique key that a RocketMQ client gave
// it.
//
// If there is none, or it has another topic, the batch is empty and its outcome
// `CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE`. Fails as `cairn_store_query_key` does.
//
// # Safety
// - `store` is null or live.
// - `topic` and `message_id` are readable for their lengths.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_find_by_message_id(const struct cairn_store *store,
                                            struct cairn_str topic,
                                            struct cairn_str message_id,
                                            struct cairn_batch **out_batch,
                                            struct cairn_error **out_error);

// Waits until a queue can be read at an index, at most `timeout_ms` milliseconds
// (`CAIRN_WAIT_FOREVER`: without limit). The queue need not exist yet.
//
// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_STORE_CLOSED` when the
// store is closed meanwhile.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_wait_message(const struct cairn_store *store,
                                      struct cairn_str topic,
                                      int32_t queue_id,
                                      int64_t queue_offset,
                                      uint64_t timeout_ms,
                                      struct cairn_error **out_error);

// Waits until everything below `physical_offset` can be found in the queues and by key, at most
// `timeout_ms` milliseconds (`CAIRN_WAIT_FOREVER`: without limit). The offset is usually a
// result's `end_offset`.
//
// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_STORE_CLOSED` when the
// store is closed meanwhile; `cairn_store_check_dispatch` tells whether anything is in the way.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_wait_dispatched(const struct cairn_store *store,
                                         int64_t physical_offset,
                                         uint64_t timeout_ms,
                                         struct cairn_error **out_error);

// Tells whether records come into the queues and the key index.
//
// Gives `CAIRN_STATUS_DISPATCH_BLOCKED` while a file of theirs cannot be written; the error says
// which and why. Nothing is lost: the store tries again every second.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_check_dispatch(const struct cairn_store *store,
                                        struct cairn_error **out_error);

// Tells the index of a queue's first message and one past that of its last; both are 0 for a queue
// that never had a message.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_first` and `out_next` are null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_queue_range(const struct cairn_store *store,
                                     struct cairn_str topic,
                                     int32_t queue_id,
                                     int64_t *out_first,
                                     int64_t *out_next,
                                     struct cairn_error **out_error);

// Tells the index of the message of a queue that was stored around a time, in milliseconds since
// the Unix epoch; `boundary` is a `cairn_time_boundary`. -1 for a queue that never had a message.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for a number that is no boundary.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_offset` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_offset_at_time(const struct cairn_store *store,
                                        struct cairn_str topic,
                                        int32_t queue_id,
                                        int64_t timestamp_ms,
                                        int32_t boundary,
                                        int64_t *out_offset,
                                        struct cairn_error **out_error);

// Lists the topics that have had messages, sorted. Free the list with `cairn_topics_free`.
//
// # Safety
// - `store` is null or live.
// - `out_topics` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_topics(const struct cairn_store *store,
                                struct cairn_topics **out_topics,
                                struct cairn_error **out_error);

// Returns the number of topics.
//
// # Safety
// - `topics` is null or live.
size_t cairn_topics_len(const struct cairn_topics *topics);

// Returns the name of a topic, from 0; an absent text beyond the last. It lives as long as the
// list.
//
// # Safety
// - `topics` is null or live.
struct cairn_str cairn_topics_get(const struct cairn_topics *topics, size_t index);

// Frees a list of topics; its names end with it. Null is accepted.
//
// # Safety
// - `topics` is null or live, and neither it nor its names are used afterwards.
void cairn_topics_free(struct cairn_topics *topics);

// Lists the queues of a topic that have had messages, ascending; none for a topic that never had
// one. Free the list with `cairn_queue_ids_free`.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `out_queue_ids` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_queues_of(const struct cairn_store *store,
                                   struct cairn_str topic,
                                   struct cairn_queue_ids **out_queue_ids,
                                   struct cairn_error **out_error);

// Returns the number of queues.
//
// # Safety
// - `queue_ids` is null or live.
size_t cairn_queue_ids_len(const struct cairn_queue_ids *queue_ids);

// Returns a queue of the list, from 0; -1 beyond the last.
//
// # Safety
// - `queue_ids` is null or live.
int32_t cairn_queue_ids_get(const struct cairn_queue_ids *queue_ids, size_t index);

// Frees a list of queues. Null is accepted.
//
// # Safety
// - `queue_ids` is null or live, and not used afterwards.
void cairn_queue_ids_free(struct cairn_queue_ids *queue_ids);

// Opens a place in a queue at an index, to follow the queue from there; the queue need not exist
// yet. `filter` may be null for all messages, and may be freed at once.
//
// Messages that retention removed are passed over: the tail goes on with the first that is there.
//
// # Safety
// - `store` is null or live.
// - `topic` is readable for its length.
// - `filter` is null or live.
// - `out_tail` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_tail_open(const struct cairn_store *store,
                             struct cairn_str topic,
                             int32_t queue_id,
                             int64_t from_offset,
                             const struct cairn_filter *filter,
                             struct cairn_tail **out_tail,
                             struct cairn_error **out_error);

// Reads the next messages, at most `max_messages`. Where there is none yet it waits up to
// `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without limit) for the first,
// and not for more.
//
// When the time runs out, or the store is closed while this waits, the batch is empty and its
// outcome `CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE`. A call on a store that was closed before gives
// `CAIRN_STATUS_STORE_CLOSED`.
//
// # Safety
// - `tail` is null or live.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_tail_next(const struct cairn_tail *tail,
                             size_t max_messages,
                             uint64_t timeout_ms,
                             struct cairn_batch **out_batch,
                             struct cairn_error **out_error);

// Returns the index where the next call goes on, which is where a later tail is opened; -1 for
// null. While a call runs it is that of before. It never waits.
//
// # Safety
// - `tail` is null or live.
int64_t cairn_tail_offset(const struct cairn_tail *tail);

// Frees a tail. Null is accepted. Batches it gave stay valid until they are freed.
//
// # Safety
// - `tail` is null or live, and no call on it is running or comes later.
void cairn_tail_free(struct cairn_tail *tail);

// Makes options with every default and no subscription. Null only if memory ran out.
struct cairn_consumer_options *cairn_consumer_options_new(void);

// Adds a topic, or changes its filter; a consumer subscribes to at least one. `filter` may be null
// for all messages, and may be freed at once. All members of a group should subscribe to the same.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
// - `topic` is readable for its length.
// - `filter` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_subscribe(struct cairn_consumer_options *options,
                                              struct cairn_str topic,
                                              const struct cairn_filter *filter,
                                              struct cairn_error **out_error);

// Sets who gets a message: a `cairn_consume_mode`.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_mode(struct cairn_consumer_options *options,
                                             int32_t mode);

// Sets whether a queue is processed in its order: a `cairn_consume_order`.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_order(struct cairn_consumer_options *options,
                                              int32_t order);

// Sets where queues without a committed offset are begun: a `cairn_start_from`. `timestamp_ms`, in
// milliseconds since the Unix epoch, counts for `CAIRN_START_FROM_TIMESTAMP` only.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_start_from(struct cairn_consumer_options *options,
                                                   int32_t start_from,
                                                   int64_t timestamp_ms);

// Sets how many messages of one queue are in hand at most, at least 1. Default 1000.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_max_in_hand(struct cairn_consumer_options *options,
                                                    size_t messages);

// Sets after how many milliseconds a message that is not acknowledged is handed out again. Default
// 900000 (15 minutes).
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_consume_timeout_ms(struct cairn_consumer_options *options,
                                                           uint64_t timeout_ms);

// Sets how often a message is tried again, from 0, before it goes to the dead-letter topic
// `%DLQ%group`. Default 16.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_max_reconsume_times(struct cairn_consumer_options *options,
                                                            int32_t times);

// Sets how many milliseconds an orderly queue pauses before it tries its message again. Default
// 1000.
//
// # Safety
// - `options` is null, or live and used by nobody else during the call.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_options_set_suspend_queue_ms(struct cairn_consumer_options *options,
                                                         uint64_t pause_ms);

// Frees options. Null is accepted. Consumers that were opened with them go on.
//
// # Safety
// - `options` is null or live, and not used afterwards.
void cairn_consumer_options_free(struct cairn_consumer_options *options);

// Joins a group as one more member. The queues of its topics are divided among the group's members
// in this store anew whenever one comes or goes.
//
// Gives `CAIRN_STATUS_GROUP_ILLEGAL` for an impossible name, `CAIRN_STATUS_INVALID_ARGUMENT` when
// there is no subscription or the store has no consume queues, `CAIRN_STATUS_TOPIC_ILLEGAL` and
// the like for an impossible topic; `*out_consumer` is then null.
//
// # Safety
// - `store` is null or live.
// - `group` is readable for its length.
// - `options` is null or live.
// - `out_consumer` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_open(const struct cairn_store *store,
                                 struct cairn_str group,
                                 const struct cairn_consumer_options *options,
                                 struct cairn_consumer **out_consumer,
                                 struct cairn_error **out_error);

// Gives messages of one of the consumer's queues, at most `max_messages`, of which the first is
// waited for, up to `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without
// limit). Each is in hand until it is acknowledged, sent back or its time is over.
//
// When the time runs out, or consumer or store are closed while this waits, the batch is empty and
// its outcome `CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE`. So it is at once after
// `cairn_consumer_close`. A call on a store that was closed before gives
// `CAIRN_STATUS_STORE_CLOSED`.
//
// # Safety
// - `consumer` is null or live.
// - `out_batch` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_poll(const struct cairn_consumer *consumer,
                                 size_t max_messages,
                                 uint64_t timeout_ms,
                                 struct cairn_batch **out_batch,
                                 struct cairn_error **out_error);

// Returns the topic that a delivered message was first appended to, also if it is tried again and
// so comes from the group's retry topic; absent for a message that was not delivered to a
// consumer. It lives as long as the batch.
//
// # Safety
// - `batch` is null or live.
struct cairn_str cairn_delivery_topic(const struct cairn_batch *batch, size_t index);

// Says that a message was processed. `*out_done` tells whether that counted: not if the message is
// no longer this consumer's, because its time was over or it was acknowledged before; it may be
// null.
//
// The message is given by its batch, which the consumer gave, and its place there, from 0; else
// the call gives `CAIRN_STATUS_INVALID_ARGUMENT`.
//
// # Safety
// - `consumer` is null or live.
// - `batch` is null or live.
// - `out_done` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_delivery_acknowledge(const struct cairn_consumer *consumer,
                                        const struct cairn_batch *batch,
                                        size_t index,
                                        bool *out_done,
                                        struct cairn_error **out_error);

// Says that a message could not be processed now. It is handed out again: in an orderly queue
// after a pause, with everything behind it waiting; else by way of the group's retry topic, after
// a delay that grows with each attempt. After `max_reconsume_times` it goes to the dead-letter
// topic `%DLQ%group`. When broadcasting it is dropped.
//
// `*out_done` and the message are as for `cairn_delivery_acknowledge`. On failure the message
// stays in hand.
//
// # Safety
// - `consumer` is null or live.
// - `batch` is null or live.
// - `out_done` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_delivery_retry_later(const struct cairn_consumer *consumer,
                                        const struct cairn_batch *batch,
                                        size_t index,
                                        bool *out_done,
                                        struct cairn_error **out_error);

// Goes to an index of a queue, forwards or backwards; messages of the queue that are in hand are
// no longer. `*out_moved` tells whether the queue is assigned to this consumer; if not, nothing
// happens. It may be null.
//
// # Safety
// - `consumer` is null or live.
// - `topic` is readable for its length.
// - `out_moved` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_seek(const struct cairn_consumer *consumer,
                                 struct cairn_str topic,
                                 int32_t queue_id,
                                 int64_t offset,
                                 bool *out_moved,
                                 struct cairn_error **out_error);

// Makes the group's offsets durable now, instead of within `flush_consumer_offset_interval_ms`.
//
// # Safety
// - `consumer` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_commit(const struct cairn_consumer *consumer,
                                   struct cairn_error **out_error);

// Lists the queues that are assigned to the consumer at present. Free the list with
// `cairn_assigned_queues_free`.
//
// # Safety
// - `consumer` is null or live.
// - `out_queues` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_assigned(const struct cairn_consumer *consumer,
                                     struct cairn_assigned_queues **out_queues,
                                     struct cairn_error **out_error);

// Returns the number of queues.
//
// # Safety
// - `queues` is null or live.
size_t cairn_assigned_queues_len(const struct cairn_assigned_queues *queues);

// Gives a queue of the list, from 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
//
// # Safety
// - `queues` is null or live.
// - `out_queue` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_assigned_queues_get(const struct cairn_assigned_queues *queues,
                                       size_t index,
                                       struct cairn_assigned_queue *out_queue);

// Frees a list of queues; its topics end with it. Null is accepted.
//
// # Safety
// - `queues` is null or live, and neither it nor its topics are used afterwards.
void cairn_assigned_queues_free(struct cairn_assigned_queues *queues);

// Leaves the group; what is in hand is handed out to others. Polls under way end. The handle stays
// valid until `cairn_consumer_free`. A second call does nothing.
//
// # Safety
// - `consumer` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_consumer_close(const struct cairn_consumer *consumer,
                                  struct cairn_error **out_error);

// Tells whether the consumer was closed; true for null.
//
// # Safety
// - `consumer` is null or live.
bool cairn_consumer_is_closed(const struct cairn_consumer *consumer);

// Frees a consumer; it leaves its group first. Null is accepted. Batches it gave stay valid until
// they are freed.
//
// # Safety
// - `consumer` is null or live, and no call on it is running or comes later.
void cairn_consumer_free(struct cairn_consumer *consumer);

// Joins a group as one more member, and calls `callback` for its messages: on `threads` threads (0
// for 4, at most 1024), with at most `max_batch` messages a time (0 for 1). An orderly consumer
// has one call at a time for each queue.
//
// The statuses are those of `cairn_consumer_open`, and `CAIRN_STATUS_OUT_OF_MEMORY` when a thread
// cannot be started; `*out_push` is then null, and the callback is not called any more.
//
// # Safety
// - `store` is null or live.
// - `group` is readable for its length.
// - `options` is null or live.
// - `callback` is null or may be called with `user_data` from other threads.
// - `out_push` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_push_consumer_start(const struct cairn_store *store,
                                       struct cairn_str group,
                                       const struct cairn_consumer_options *options,
                                       cairn_consume_callback callback,
                                       void *user_data,
                                       size_t threads,
                                       size_t max_batch,
                                       struct cairn_push_consumer **out_push,
                                       struct cairn_error **out_error);

// Waits for the calls of the callback that are running, ends the threads and leaves the group. The
// handle stays valid until `cairn_push_consumer_free`. A second call does nothing.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT`, and does nothing, when a callback of any push consumer
// calls it: it would wait for itself.
//
// # Safety
// - `push` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_push_consumer_close(const struct cairn_push_consumer *push,
                                       struct cairn_error **out_error);

// Frees a push consumer; closes it first if that was not done. Null is accepted. Not to be called
// from a callback.
//
// # Safety
// - `push` is null or live, and no call on it is running or comes later.
void cairn_push_consumer_free(struct cairn_push_consumer *push);

// Lists the groups that have committed an offset, sorted. Free the list with `cairn_groups_free`.
//
// # Safety
// - `store` is null or live.
// - `out_groups` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_groups(const struct cairn_store *store,
                                struct cairn_groups **out_groups,
                                struct cairn_error **out_error);

// Returns the number of groups.
//
// # Safety
// - `groups` is null or live.
size_t cairn_groups_len(const struct cairn_groups *groups);

// Returns the name of a group, from 0; an absent text beyond the last. It lives as long as the
// list.
//
// # Safety
// - `groups` is null or live.
struct cairn_str cairn_groups_get(const struct cairn_groups *groups, size_t index);

// Frees a list of groups; its names end with it. Null is accepted.
//
// # Safety
// - `groups` is null or live, and neither it nor its names are used afterwards.
void cairn_groups_free(struct cairn_groups *groups);

// Tells how far a group has come with each queue it committed an offset of; none for a group that
// is not known. Free it with `cairn_group_progress_free`.
//
// # Safety
// - `store` is null or live.
// - `group` is readable for its length.
// - `out_progress` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_group_progress(const struct cairn_store *store,
                                        struct cairn_str group,
                                        struct cairn_group_progress **out_progress,
                                        struct cairn_error **out_error);

// Returns the number of queues.
//
// # Safety
// - `progress` is null or live.
size_t cairn_group_progress_len(const struct cairn_group_progress *progress);

// Gives the progress with one queue, from 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
//
// # Safety
// - `progress` is null or live.
// - `out_queue` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_group_progress_get(const struct cairn_group_progress *progress,
                                      size_t index,
                                      struct cairn_queue_progress *out_queue);

// Frees the progress of a group; its topics end with it. Null is accepted.
//
// # Safety
// - `progress` is null or live, and neither it nor its topics are used afterwards.
void cairn_group_progress_free(struct cairn_group_progress *progress);

// Tells the index a group consumes next; -1 if it has committed none.
//
// # Safety
// - `store` is null or live.
// - `group` and `topic` are readable for their length.
// - `out_offset` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_consumer_offset(const struct cairn_store *store,
                                         struct cairn_str group,
                                         struct cairn_str topic,
                                         int32_t queue_id,
                                         int64_t *out_offset,
                                         struct cairn_error **out_error);

// Sets the index a group consumes next, for applications that read queues themselves. It is
// durable within `flush_consumer_offset_interval_ms`, or when `cairn_store_persist_offsets` has
// returned. Consumers that are members of the group at present do not see it;
// `cairn_consumer_seek` moves those.
//
// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` when the queue does not reach that far.
//
// # Safety
// - `store` is null or live.
// - `group` and `topic` are readable for their length.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_commit_offset(struct cairn_store *store,
                                       struct cairn_str group,
                                       struct cairn_str topic,
                                       int32_t queue_id,
                                       int64_t offset,
                                       struct cairn_error **out_error);

// Makes committed offsets and the list of topics durable now.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_persist_offsets(struct cairn_store *store,
                                         struct cairn_error **out_error);

// Stores a message that comes to its queue only when the transaction is committed: its half
// message. The result says where that lies; `physical_offset` is what commit and rollback take.
//
// The transaction stays open until one of them, also over closing and opening the store. The
// transaction type in the message's `sys_flag` is not looked at, and a delay begins with the
// commit.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues; else the statuses are
// those of `cairn_store_append`.
//
// # Safety
// - `store` is null or live.
// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
//   points to.
// - `out_half` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_begin_transaction(struct cairn_store *store,
                                           const struct cairn_message *message,
                                           struct cairn_append_result *out_half,
                                           struct cairn_error **out_error);

// Puts the message of an open transaction into its queue. `out_result` says where it lies, and may
// be null.
//
// Gives `CAIRN_STATUS_NO_SUCH_TRANSACTION` when no open transaction has its half message there. On
// another failure the transaction stays open, unless `cairn_error_appended` says where the message
// lies: it is committed then, but after a crash the transaction may be open again.
//
// # Safety
// - `store` is null or live.
// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_commit_transaction(struct cairn_store *store,
                                            int64_t half_offset,
                                            struct cairn_append_result *out_result,
                                            struct cairn_error **out_error);

// Ends an open transaction: nobody will ever see its message.
//
// Gives `CAIRN_STATUS_NO_SUCH_TRANSACTION` when no open transaction has its half message there.
//
// # Safety
// - `store` is null or live.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_rollback_transaction(struct cairn_store *store,
                                              int64_t half_offset,
                                              struct cairn_error **out_error);

// Lists the open transactions, oldest first, by the physical offsets of their half messages, which
// `cairn_store_read_at` reads. Free the list with `cairn_open_transactions_free`.
//
// # Safety
// - `store` is null or live.
// - `out_transactions` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_open_transactions(const struct cairn_store *store,
                                           struct cairn_open_transactions **out_transactions,
                                           struct cairn_error **out_error);

// Returns the number of transactions.
//
// # Safety
// - `transactions` is null or live.
size_t cairn_open_transactions_len(const struct cairn_open_transactions *transactions);

// Returns the physical offset of a half message of the list, from 0; -1 beyond the last.
//
// # Safety
// - `transactions` is null or live.
int64_t cairn_open_transactions_get(const struct cairn_open_transactions *transactions,
                                    size_t index);

// Frees a list of transactions. Null is accepted.
//
// # Safety
// - `transactions` is null or live, and not used afterwards.
void cairn_open_transactions_free(struct cairn_open_transactions *transactions);

// Sets the function that is asked about transactions that stay open, in the place of the one that
// was set before.
//
// It is asked about each whose message is older than the option `transaction_timeout_ms`, or than
// the seconds in its property `CHECK_IMMUNITY_TIME_IN_SECONDS`; as long as the answer is unknown,
// again each `transaction_check_interval_ms`, `transaction_check_max` times in all, over closing
// and opening the store, too. Then the half message goes to queue 0 of the topic
// `TRANS_CHECK_MAX_TIME_TOPIC`, and the transaction is ended.
//
// `release`, which may be null, is called with `user_data` once `callback` is not called any more:
// when another one was set, or the store was closed; not if this call fails.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues.
//
// # Safety
// - `store` is null or live.
// - `callback` is null or may be called with `user_data` from other threads.
// - `release` is null or may be called with `user_data` from other threads.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_set_transaction_checker(struct cairn_store *store,
                                                 cairn_transaction_callback callback,
                                                 cairn_release_callback release,
                                                 void *user_data,
                                                 struct cairn_error **out_error);

// Removes the commit log files that are expired (`file_reserved_time_hours`) or too much
// (`max_total_bytes`), whatever the hour and whether `retention_enable` is set or not; then what
// the queues have for them.
//
// Files go whole and oldest first. The one that is appended to stays, and so does whatever is not
// yet durable or not yet dispatched. Views into removed files stay valid, and keep their space.
// `*out_files` and `*out_bytes` tell how many files went and their bytes; both may be null, and
// are left as they are on failure.
//
// Gives `CAIRN_STATUS_IO` and the like when a file cannot be removed; it stays in the log with all
// that follow.
//
// # Safety
// - `store` is null or live.
// - `out_files` and `out_bytes` are null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_remove_expired(struct cairn_store *store,
                                        uint64_t *out_files,
                                        uint64_t *out_bytes,
                                        struct cairn_error **out_error);

// Removes the commit log files that end at or in front of a physical offset; else as
// `cairn_store_remove_expired`.
//
// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` when the log does not reach that far.
//
// # Safety
// - `store` is null or live.
// - `out_files` and `out_bytes` are null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_remove_before(struct cairn_store *store,
                                       int64_t physical_offset,
                                       uint64_t *out_files,
                                       uint64_t *out_bytes,
                                       struct cairn_error **out_error);

// Tells what opening would do. It only reads, takes no lock and changes nothing. Free the result
// with `cairn_recovery_free`.
//
// `options` may be null for every default. Fails as `cairn_store_open` would.
//
// # Safety
// - `path` is readable for its length.
// - `options` is null or live.
// - `out_recovery` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_plan_recovery(struct cairn_str path,
                                 const struct cairn_options *options,
                                 struct cairn_recovery **out_recovery,
                                 struct cairn_error **out_error);

// Gives the report of a recovery.
//
// # Safety
// - `recovery` is null or live.
// - `out_report` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_recovery_get(const struct cairn_recovery *recovery,
                                struct cairn_recovery_report *out_report);

// Frees the result of `cairn_plan_recovery`. Null is accepted. That of `cairn_store_recovery`
// belongs to the store and is not freed.
//
// # Safety
// - `recovery` is null or live, came from `cairn_plan_recovery`, and is not used afterwards.
void cairn_recovery_free(struct cairn_recovery *recovery);

// Sets the function that is told how far opening a store with these options is, in the place of
// the one that was set before; null for none. `cairn_plan_recovery` tells of
// `CAIRN_RECOVERY_PHASE_LOG` only, `cairn_store_open_reader` nothing.
//
// `release`, which may be null, is called once with `user_data` when `callback` is not called any
// more: when this function was called again, or the options were freed, also while a store that
// they opened is open; not if this call fails. Without a `callback` neither it nor `user_data` is
// looked at.
//
// # Safety
// - `options` is null or live, and used by this thread only.
// - `callback` is null or may be called with `user_data` by the thread that uses the options.
// - `release` is null or may be called with `user_data` by the thread that uses the options.
CAIRN_MUST_CHECK
cairn_status cairn_options_set_recovery_progress(struct cairn_options *options,
                                                 cairn_recovery_progress_callback callback,
                                                 cairn_release_callback release,
                                                 void *user_data);

// Takes the statistics of a store. Free them with `cairn_stats_free`.
//
// # Safety
// - `store` is null or live.
// - `out_stats` is null or writable.
// - `out_error` is null or writable.
CAIRN_MUST_CHECK
cairn_status cairn_store_take_stats(const struct cairn_store *store,
                                    struct cairn_stats **out_stats,
                                    struct cairn_error **out_error);

// Gives the figures of the whole store.
//
// # Safety
// - `stats` is null or live.
// - `out_totals` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_stats_totals(const struct cairn_stats *stats,
                                struct cairn_store_stats *out_totals);

// Returns the number of topics.
//
// # Safety
// - `stats` is null or live.
size_t cairn_stats_topic_count(const struct cairn_stats *stats);

// Gives the figures of a topic, from 0.
//
// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
//
// # Safety
// - `stats` is null or live.
// - `out_topic` is null, or writable for as many bytes as its `struct_size` says.
CAIRN_MUST_CHECK
cairn_status cairn_stats_topic(const struct cairn_stats *stats,
                               size_t index,
                               struct cairn_topic_stats *out_topic);

// Frees statistics. Null is accepted.
//
// # Safety
// - `stats` is null or live, and not used afterwards.
void cairn_stats_free(struct cairn_stats *stats);

// Sends diagnostics of the whole process to a function, in place of the one before; null for none.
// When this returns, the one before is not running and will not be called again.
//
// `max_level` is the least important `cairn_log_level` wanted. Gives
// `CAIRN_STATUS_INVALID_ARGUMENT` for a number that is none, or when called from such a function.
//
// # Safety
// - `callback` is null, or may be called with `user_data` from any thread, on several at once,
//   until it is replaced.
CAIRN_MUST_CHECK
cairn_status cairn_set_log_callback(cairn_log_callback callback,
                                    void *user_data,
                                    int32_t max_level);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CAIRNLOG_H */
