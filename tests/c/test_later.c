// What comes later or goes: delayed messages, transactions, and files that are removed.
#include <sched.h>

#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)

enum { LONG_MS = 20000, SEGMENT = 64 * 1024 };

static cairn_store *open_with(const char *directory, const char *name, const char *levels) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_options_set(options, CAIRN_STR("message_delay_level"), cairn_str_from(levels),
                               &error));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    cairn_options_free(options);
    return store;
}

static int64_t queue_end(cairn_store *store, const char *topic) {
    cairn_error *error = NULL;
    int64_t first = -1;
    int64_t next = -1;
    CHECK_OK(cairn_store_queue_range(store, cairn_str_from(topic), 0, &first, &next, &error));
    return next;
}

static void a_delayed_message_arrives(const char *directory) {
    cairn_error *error = NULL;
    cairn_stats *stats = NULL;
    cairn_store *store = open_with(directory, "delayed", "1s");
    cairn_message message = message_of("t", "late");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    // Level 9 is more than there are: it is the highest.
    message.delay_level = 9;
    CHECK_OK(cairn_store_append(store, &message, &result, &error));
    CHECK_OK(cairn_store_wait_dispatched(store, result.end_offset, LONG_MS, &error));
    CHECK(queue_end(store, "SCHEDULE_TOPIC_XXXX") == 1);
    CHECK_OK(cairn_store_wait_message(store, CAIRN_STR("t"), 0, 0, LONG_MS, &error));
    cairn_batch *batch = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    request.topic = CAIRN_STR("t");
    CHECK_OK(cairn_store_read(store, &request, &batch, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(same_bytes(view.body, "late"));
    CHECK(view.store_timestamp_ms >= result.store_timestamp_ms + 990);
    cairn_batch_free(batch);
    // A program that does not know the level has none, whatever lies behind its struct.
    message.struct_size = (uint32_t)offsetof(cairn_message, delay_level);
    CHECK_OK(cairn_store_append(store, &message, &result, &error));
    CHECK(result.queue_offset == 1);
    message = message_of("t", "body");
    message.reserved = 1;
    INVALID(cairn_store_append(store, &message, &result, &error));
    // A message is counted after it is there.
    cairn_store_stats totals = CAIRN_STORE_STATS_INIT;
    do {
        sched_yield();
        CHECK_OK(cairn_store_take_stats(store, &stats, &error));
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_stats_totals(stats, &totals));
        cairn_stats_free(stats);
    } while (totals.delayed_delivered == 0);
    CHECK(totals.delayed_delivered == 1 && totals.delayed_undeliverable == 0);
    close_store(store);
}

static size_t open_transactions(const cairn_store *store, int64_t first) {
    cairn_error *error = NULL;
    cairn_open_transactions *open = NULL;
    CHECK_OK(cairn_store_open_transactions(store, &open, &error));
    size_t length = cairn_open_transactions_len(open);
    CHECK(length == 0 || cairn_open_transactions_get(open, 0) == first);
    CHECK(cairn_open_transactions_get(open, length) == -1);
    cairn_open_transactions_free(open);
    return length;
}

static void transactions_are_committed_or_not(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "transactions");
    cairn_message message = message_of("t", "paid");
    cairn_append_result one = CAIRN_APPEND_RESULT_INIT;
    cairn_append_result two = CAIRN_APPEND_RESULT_INIT;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    CHECK_OK(cairn_store_begin_transaction(store, &message, &one, &error));
    CHECK_OK(cairn_store_begin_transaction(store, &message, &two, &error));
    CHECK(open_transactions(store, one.physical_offset) == 2);
    close_store(store);
    // They stay open over the end of the store.
    store = open_store(directory, "transactions");
    CHECK(open_transactions(store, one.physical_offset) == 2);
    CHECK_OK(cairn_store_commit_transaction(store, one.physical_offset, &placed, &error));
    CHECK(placed.queue_offset == 0 && placed.physical_offset > two.physical_offset);
    CHECK(open_transactions(store, two.physical_offset) == 1);
    CHECK_OK(cairn_store_rollback_transaction(store, two.physical_offset, &error));
    CHECK(open_transactions(store, 0) == 0);
    CHECK_FAILS(CAIRN_STATUS_NO_SUCH_TRANSACTION,
                cairn_store_commit_transaction(store, one.physical_offset, NULL, &error));
    CHECK_FAILS(CAIRN_STATUS_NO_SUCH_TRANSACTION,
                cairn_store_rollback_transaction(store, two.physical_offset, &error));
    INVALID(cairn_store_commit_transaction(store, -1, NULL, &error));
    INVALID(cairn_store_rollback_transaction(store, -1, &error));
    CHECK_OK(cairn_store_wait_message(store, CAIRN_STR("t"), 0, 0, LONG_MS, &error));
    CHECK(queue_end(store, "t") == 1);
    close_store(store);
}

static void files_are_removed(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "removed");
    static char body[1001];
    memset(body, 'x', sizeof body - 1);
    cairn_message message = message_of("t", body);
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    for (int number = 0; number < 300; number++) {
        CHECK_OK(cairn_store_append(store, &message, &result, &error));
    }
    CHECK_OK(cairn_store_flush(store, &error));
    CHECK_OK(cairn_store_wait_dispatched(store, result.end_offset, LONG_MS, &error));
    uint64_t files = 99;
    uint64_t bytes = 99;
    CHECK_OK(cairn_store_remove_expired(store, &files, &bytes, &error));
    CHECK(files == 0 && bytes == 0);
    cairn_batch *kept = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_OK(cairn_store_read_at(store, 0, &kept, &error));
    CHECK_OK(cairn_store_remove_before(store, 2 * SEGMENT + 1, &files, &bytes, &error));
    CHECK(files == 2 && bytes == 2 * SEGMENT);
    CHECK_FAILS(CAIRN_STATUS_OFFSET_OUT_OF_RANGE,
                cairn_store_remove_before(store, INT64_MAX, &files, &bytes, &error));
    INVALID(cairn_store_remove_before(store, -1, &files, &bytes, &error));
    CHECK(files == 2);
    CHECK_OK(cairn_store_remove_before(store, 3 * SEGMENT, NULL, NULL, &error));
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.min_offset == 3 * SEGMENT);
    // What was read before stays; what is read now begins later.
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(kept, 0, &view));
    CHECK(same_bytes(view.body, body));
    cairn_batch_free(kept);
    CHECK_FAILS(CAIRN_STATUS_OFFSET_OUT_OF_RANGE, cairn_store_read_at(store, 0, &kept, &error));
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    request.topic = CAIRN_STR("t");
    CHECK_OK(cairn_store_read(store, &request, &kept, &error));
    CHECK(cairn_batch_outcome(kept) == CAIRN_READ_OUTCOME_OFFSET_TOO_SMALL);
    CHECK(cairn_batch_next_offset(kept) > 100);
    cairn_batch_free(kept);
    CHECK_OK(cairn_store_close(store, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_remove_expired(store, NULL, NULL, &error));
    cairn_store_free(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    a_delayed_message_arrives(directory);
    transactions_are_committed_or_not(directory);
    files_are_removed(directory);
    return 0;
}
