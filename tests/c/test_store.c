// A store from opening to reopening: what is appended comes back, what is refused leaves no trace,
// and handles and views live as long as they promise.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void every_field_comes_back(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "fields");
    cairn_str keys[] = {CAIRN_STR("k1"), CAIRN_STR("k2")};
    cairn_property properties[] = {{CAIRN_STR("a"), CAIRN_STR("1")},
                                   {CAIRN_STR("b"), CAIRN_STR("caf\xc3\xa9")}};
    cairn_message message = message_of("fields", "the body");
    message.queue_id = 3;
    message.tag = CAIRN_STR("tag");
    message.keys = keys;
    message.key_count = 2;
    message.properties = properties;
    message.property_count = 2;
    message.flag = -7;
    message.sys_flag = 1;
    message.born_timestamp_ms = 1700000000123;
    message.born_host.address_length = 16;
    message.born_host.address[15] = 1;
    message.born_host.port = 65535;
    message.reconsume_times = 2;
    message.prepared_transaction_offset = 99;
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    CHECK_OK(cairn_store_append(store, &message, &result, &error));
    CHECK(result.physical_offset == 0 && result.queue_offset == 0 && result.queue_id == 3);
    CHECK(result.message_count == 1 && result.end_offset == result.size_bytes);
    CHECK(result.store_host.address_length == 4 && result.store_host.port == 10911);

    cairn_batch *batch = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_OK(cairn_store_read_at(store, 0, &batch, &error));
    CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_FOUND && cairn_batch_len(batch) == 1);
    CHECK(cairn_batch_next_offset(batch) == result.end_offset);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(same_text(view.topic, "fields") && same_bytes(view.body, "the body"));
    CHECK(same_text(view.tag, "tag") && same_text(view.keys, "k1 k2"));
    CHECK(view.queue_id == 3 && view.flag == -7 && (view.sys_flag & 1) == 1);
    CHECK(view.born_timestamp_ms == 1700000000123 && view.reconsume_times == 2);
    CHECK(view.born_host.address_length == 16 && view.born_host.address[15] == 1);
    CHECK(view.born_host.port == 65535 && view.store_host.port == 10911);
    CHECK(view.prepared_transaction_offset == 99 && view.magic == -626843481);
    CHECK(view.store_timestamp_ms == result.store_timestamp_ms && view.queue_offset == 0);
    CHECK(view.record_length == result.size_bytes && view.end_offset == result.end_offset);
    // The record as stored: its length in big-endian comes first.
    CHECK(view.record_data[2] == (uint8_t)(view.record_length >> 8));
    CHECK(view.record_data[3] == (uint8_t)view.record_length);

    cairn_str value;
    CHECK(cairn_message_view_property(&view, CAIRN_STR("b"), &value));
    CHECK(same_text(value, "caf\xc3\xa9"));
    CHECK(!cairn_message_view_property(&view, CAIRN_STR("c"), &value));
    cairn_property property;
    size_t cursor = 0;
    bool seen_a = false;
    while (cairn_message_view_next_property(&view, &cursor, &property)) {
        seen_a = seen_a || (same_text(property.name, "a") && same_text(property.value, "1"));
    }
    CHECK(seen_a && cursor == 4);
    char id[57];
    char same[57];
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_message_view_message_id(&view, id, sizeof id));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_append_result_message_id(&result, same, sizeof same));
    CHECK(strcmp(id, "7F00000100002A9F0000000000000000") == 0 && strcmp(id, same) == 0);
    cairn_batch_free(batch);
    close_store(store);
}

// One status per cause, and the log stays as it was.
static void refusals(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "refusals");
    cairn_message message = message_of("", "body");
    CHECK_FAILS(CAIRN_STATUS_TOPIC_EMPTY, cairn_store_append(store, &message, NULL, &error));
    message = message_of("a b", "body");
    CHECK_FAILS(CAIRN_STATUS_TOPIC_ILLEGAL, cairn_store_append(store, &message, NULL, &error));
    message = message_of("\xff\xfe", "body");
    CHECK_FAILS(CAIRN_STATUS_TOPIC_ILLEGAL, cairn_store_append(store, &message, NULL, &error));
    message = message_of("topic", "");
    CHECK_FAILS(CAIRN_STATUS_BODY_EMPTY, cairn_store_append(store, &message, NULL, &error));
    message = message_of("topic", "body");
    message.queue_id = -1;
    CHECK_FAILS(CAIRN_STATUS_QUEUE_ID_ILLEGAL, cairn_store_append(store, &message, NULL, &error));
    message.queue_id = 0;
    cairn_property property = {CAIRN_STR("a\x01"), CAIRN_STR("b")};
    message.properties = &property;
    message.property_count = 1;
    CHECK_FAILS(CAIRN_STATUS_PROPERTIES_ILLEGAL, cairn_store_append(store, &message, NULL, &error));
    property.name = CAIRN_STR("\xc3");
    CHECK_FAILS(CAIRN_STATUS_PROPERTIES_ILLEGAL, cairn_store_append(store, &message, NULL, &error));
    message.property_count = 0;
    uint8_t *large = calloc(1, 5 * 1024 * 1024);
    CHECK(large != NULL);
    message.body.data = large;
    message.body.length = 5 * 1024 * 1024;
    CHECK_FAILS(CAIRN_STATUS_BODY_TOO_LARGE, cairn_store_append(store, &message, NULL, &error));
    message.body.length = 64 * 1024;
    CHECK_FAILS(CAIRN_STATUS_MESSAGE_TOO_LARGE, cairn_store_append(store, &message, NULL, &error));
    free(large);
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.min_offset == 0 && positions.max_offset == 0);

    cairn_batch *batch = NULL;
    CHECK_FAILS(CAIRN_STATUS_OFFSET_OUT_OF_RANGE,
                cairn_store_read_at(store, 1000000, &batch, &error));
    CHECK(batch == NULL);
    message = message_of("topic", "body");
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    CHECK_FAILS(CAIRN_STATUS_NOT_A_RECORD, cairn_store_read_at(store, 1, &batch, &error));
    CHECK_FAILS(CAIRN_STATUS_OFFSET_OUT_OF_RANGE,
                cairn_store_wait_durable(store, 1000000, 0, &error));
    close_store(store);
}

static void many_and_batches(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "many");
    cairn_message messages[3] = {message_of("many", "0"), message_of("many", "1"),
                                 message_of("many", "")};
    cairn_append_result results[3] = {CAIRN_APPEND_RESULT_INIT, CAIRN_APPEND_RESULT_INIT,
                                      CAIRN_APPEND_RESULT_INIT};
    size_t appended = 0;
    CHECK_FAILS(CAIRN_STATUS_BODY_EMPTY,
                cairn_store_append_many(store, messages, 3, results, &appended, &error));
    CHECK(appended == 2 && results[1].queue_offset == 1 && results[2].size_bytes == 0);

    cairn_batch_items *items = cairn_batch_items_new();
    CHECK_OK(cairn_batch_items_add(items, 5, bytes_of("b0"), bytes_of("p\x01v\x02"), &error));
    CHECK_OK(cairn_batch_items_add(items, 6, bytes_of("b1"), bytes_of(""), &error));
    cairn_message shared = message_of("many", "");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    CHECK_OK(cairn_store_append_batch(store, &shared, cairn_batch_items_bytes(items), &result,
                                      &error));
    CHECK(result.message_count == 2 && result.queue_offset == 2);
    cairn_batch *batch = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_OK(cairn_store_read_log(store, result.physical_offset, 10, 1 << 20, 0, &batch, &error));
    CHECK(cairn_batch_len(batch) == 2);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 1, &view));
    CHECK(same_bytes(view.body, "b1") && view.flag == 6 && view.queue_offset == 3);
    cairn_batch_free(batch);

    shared.topic = CAIRN_STR("inner");
    CHECK_OK(cairn_store_append_inner_batch(store, &shared, cairn_batch_items_bytes(items), &result,
                                            &error));
    CHECK(result.message_count == 2);
    CHECK_OK(cairn_store_read_log(store, result.physical_offset, 10, 1 << 20, 0, &batch, &error));
    CHECK(cairn_batch_len(batch) == 1);
    cairn_batch_free(batch);
    CHECK_FAILS(CAIRN_STATUS_BATCH_ILLEGAL,
                cairn_store_append_batch(store, &shared, bytes_of("no batch"), NULL, &error));
    cairn_batch_items_free(items);

    int64_t next = -1;
    CHECK_OK(cairn_store_next_queue_offset(store, CAIRN_STR("many"), 0, &next, &error));
    CHECK(next == 4);
    CHECK_OK(cairn_store_next_queue_offset(store, CAIRN_STR("unknown"), 0, &next, &error));
    CHECK(next == 0);

    cairn_stats *stats = NULL;
    cairn_store_stats totals = CAIRN_STORE_STATS_INIT;
    CHECK_OK(cairn_store_take_stats(store, &stats, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_stats_totals(stats, &totals));
    CHECK(totals.messages == 6 && totals.bytes > 0 && totals.refused >= 1);
    uint64_t timed = 0;
    for (size_t slot = 0; slot < CAIRN_LATENCY_CLASSES; slot++) {
        timed += totals.append_latency_counts[slot];
    }
    CHECK(timed > 0);
    bool seen = false;
    for (size_t index = 0; index < cairn_stats_topic_count(stats); index++) {
        cairn_topic_stats topic = CAIRN_TOPIC_STATS_INIT;
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_stats_topic(stats, index, &topic));
        seen = seen || (same_text(topic.topic, "many") && topic.messages == 4 && topic.bytes > 0);
    }
    CHECK(seen);
    cairn_stats_free(stats);
    close_store(store);
}

// Calls on a closed store give STORE_CLOSED; what was read before stays readable, even when the
// store is freed.
static void after_closing(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "closing");
    cairn_message message = message_of("closing", "it stays");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_batch *batch = NULL;
    cairn_batch *none = NULL;
    cairn_queue *queue = NULL;
    cairn_queue *no_queue = NULL;
    size_t appended = 0;
    CHECK_OK(cairn_queue_open(store, CAIRN_STR("closing"), 0, &queue, &error));
    CHECK_OK(cairn_queue_append(queue, &message, &result, &error));
    CHECK_OK(cairn_store_read_at(store, result.physical_offset, &batch, &error));
    CHECK(!cairn_store_is_closed(store));
    CHECK_OK(cairn_store_close(store, &error));
    CHECK(cairn_store_is_closed(store));
    CHECK_OK(cairn_store_close(store, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_append(store, &message, NULL, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                cairn_store_append_many(store, &message, 1, NULL, &appended, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_flush(store, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_wait_durable(store, 0, 0, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_read_at(store, 0, &none, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                cairn_store_read_log(store, 0, 1, 1, 0, &none, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                cairn_queue_open(store, CAIRN_STR("closing"), 0, &no_queue, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_queue_append(queue, &message, NULL, &error));
    CHECK(none == NULL && no_queue == NULL);
    cairn_store_free(store);
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_queue_append(queue, &message, NULL, &error));
    cairn_queue_free(queue);
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(same_bytes(view.body, "it stays"));
    cairn_batch_free(batch);
}

// Enough for several files; all of it comes back after reopening, in order.
static void reopening(const char *directory) {
    enum { COUNT = 2000 };
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "reopening");
    char body[200];
    memset(body, 'x', sizeof body);
    for (int number = 0; number < COUNT; number++) {
        cairn_message message = message_of("reopening", "");
        snprintf(body, sizeof body, "%d", number);
        message.body.data = (const uint8_t *)body;
        message.body.length = sizeof body;
        CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    }
    cairn_store *second = NULL;
    CHECK_FAILS(CAIRN_STATUS_STORE_LOCKED,
                cairn_store_open(cairn_store_path(store), NULL, &second, &error));
    CHECK(second == NULL);
    CHECK_OK(cairn_store_flush(store, &error));
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.durable_offset == positions.max_offset);
    CHECK(positions.committed_offset == positions.max_offset);
    CHECK_OK(cairn_store_wait_durable(store, positions.max_offset, 0, &error));
    // Freeing without closing closes.
    cairn_store_free(store);

    store = open_store(directory, "reopening");
    cairn_recovery_report report = CAIRN_RECOVERY_REPORT_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_recovery_get(cairn_store_recovery(store), &report));
    CHECK(report.created == 0 && report.clean_stop == 1 && report.files > 3);
    CHECK(report.end_offset == positions.max_offset && report.bytes_set_aside == 0);
    CHECK(report.set_aside.data == NULL && report.damage.data == NULL);
    CHECK(cairn_store_segment_size_bytes(store) == 64 * 1024);
    CHECK(cairn_store_path(store).length > strlen(directory));
    int number = 0;
    int64_t from = 0;
    for (;;) {
        cairn_batch *batch = NULL;
        CHECK_OK(cairn_store_read_log(store, from, 64, 1 << 20, 0, &batch, &error));
        size_t length = cairn_batch_len(batch);
        for (size_t index = 0; index < length; index++, number++) {
            cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
            CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, index, &view));
            CHECK(view.queue_offset == number && atoi((const char *)view.body.data) == number);
        }
        from = cairn_batch_next_offset(batch);
        int32_t outcome = cairn_batch_outcome(batch);
        cairn_batch_free(batch);
        if (outcome == CAIRN_READ_OUTCOME_END_OF_LOG) {
            break;
        }
        CHECK(length > 0 && length <= 64);
    }
    CHECK(number == COUNT);
    close_store(store);
}

static void plans_and_options(const char *directory) {
    cairn_error *error = NULL;
    char path[4096];
    cairn_recovery *recovery = NULL;
    cairn_recovery_report report = CAIRN_RECOVERY_REPORT_INIT;
    snprintf(path, sizeof path, "%s/reopening", directory);
    CHECK_OK(cairn_plan_recovery(cairn_str_from(path), NULL, &recovery, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_recovery_get(recovery, &report));
    CHECK(report.clean_stop == 1 && report.end_offset > 0);
    cairn_recovery_free(recovery);

    cairn_options *options = NULL;
    cairn_store *store = NULL;
    CHECK_OK(cairn_options_from_properties(
        CAIRN_STR("# a broker's file\nbrokerName = b\nflushDiskType = SYNC_FLUSH\n"
                  "mappedFileSizeCommitLog=131072\nnamesrvAddr=x\n"),
        &options, &error));
    CHECK(cairn_options_unknown_count(options) == 2);
    CHECK(same_text(cairn_options_unknown_name(options, 1), "namesrvAddr"));
    CHECK(cairn_options_unknown_name(options, 2).length == 0);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_create_if_missing(options, 0));
    snprintf(path, sizeof path, "%s/from-properties", directory);
    CHECK_FAILS(CAIRN_STATUS_STORE_NOT_FOUND,
                cairn_store_open(cairn_str_from(path), options, &store, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_create_if_missing(options, 1));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    CHECK(cairn_store_segment_size_bytes(store) == 131072);
    // A synchronous append is durable when it returns.
    cairn_message message = message_of("sync", "body");
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.max_offset > 0 && positions.durable_offset == positions.max_offset);
    cairn_options_free(options);
    close_store(store);
    CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT,
                cairn_options_from_properties(CAIRN_STR("flushDiskType=NEVER"), &options, &error));
    CHECK(options == NULL);
}

// The error names the file and carries the operating system's code.
static void errors_say_where(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/a-file", directory);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fclose(file) == 0);
    CHECK(cairn_store_open(cairn_str_from(path), NULL, &store, &error) != CAIRN_STATUS_OK);
    CHECK(store == NULL && strstr(cairn_error_message(error), "a-file") != NULL);
    cairn_str named = cairn_error_path(error);
    CHECK(named.length >= strlen(path) && memcmp(named.data, path, strlen(path)) == 0);
    CHECK(cairn_error_os_code(error) != 0);
    cairn_error_free(error);
    CHECK(cairn_store_open(cairn_str_from(path), NULL, &store, NULL) != CAIRN_STATUS_OK);
}

// A child made by fork() has copies of the handles, but the store belongs to the parent.
static void a_forked_child_cannot_write(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "forked");
    cairn_message message = message_of("forked", "of the parent");
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(CAIRN_STATUS_FORKED, cairn_store_append(store, &message, NULL, &error));
        CHECK_FAILS(CAIRN_STATUS_FORKED, cairn_store_close(store, &error));
        cairn_store_free(store);
        _exit(0);
    }
    int ended = -1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    int64_t next = 0;
    CHECK_OK(cairn_store_next_queue_offset(store, CAIRN_STR("forked"), 0, &next, &error));
    CHECK(next == 2);
    close_store(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    every_field_comes_back(directory);
    refusals(directory);
    many_and_batches(directory);
    after_closing(directory);
    reopening(directory);
    plans_and_options(directory);
    errors_say_where(directory);
    a_forked_child_cannot_write(directory);
    return 0;
}
