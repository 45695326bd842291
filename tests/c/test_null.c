// Every function takes NULL for every pointer: it gives INVALID_ARGUMENT or the neutral value, and
// never touches memory. `run.sh` checks that no exported function is missing here.
#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)
#define INVALID_STATUS(call) CHECK_STATUS(CAIRN_STATUS_INVALID_ARGUMENT, call)

static void ignore(cairn_status status, const cairn_append_result *result, const cairn_error *error,
                   void *user_data) {
    (void)status;
    (void)result;
    (void)error;
    (void)user_data;
}

static int32_t unsure(const cairn_transaction_check *check, void *user_data) {
    (void)check;
    (void)user_data;
    return CAIRN_TRANSACTION_ANSWER_UNKNOWN;
}

static void version(void) {
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_abi_check(CAIRN_ABI_VERSION));
    INVALID_STATUS(cairn_abi_check(CAIRN_ABI_VERSION + 1));
    INVALID_STATUS(cairn_abi_check(CAIRN_ABI_VERSION + (1u << 16)));
    CHECK(cairn_version_number() == CAIRN_VERSION_NUMBER);
    CHECK(strcmp(cairn_version_string(), CAIRN_VERSION_STRING) == 0);
    CHECK(strcmp(cairn_status_name(CAIRN_STATUS_OK), "OK") == 0);
    CHECK(strcmp(cairn_status_name(CAIRN_STATUS_STORE_LOCKED), "STORE_LOCKED") == 0);
    CHECK(strcmp(cairn_status_name(12345), "UNKNOWN") == 0);
    CHECK(strcmp(cairn_read_outcome_name(INT32_MIN), "UNKNOWN") == 0);
    CHECK(cairn_str_from(NULL).length == 0);
    CHECK(same_text(cairn_str_from("four"), "four"));
}

static void errors(void) {
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_error_status(NULL));
    CHECK(cairn_error_os_code(NULL) == 0);
    CHECK(strcmp(cairn_error_message(NULL), "") == 0);
    CHECK(cairn_error_path(NULL).length == 0);
    CHECK(cairn_error_offset(NULL) == -1);
    CHECK(!cairn_error_has_appended(NULL));
    INVALID_STATUS(cairn_error_appended(NULL, &result));
    cairn_error_free(NULL);

    cairn_error *error = NULL;
    INVALID_STATUS(cairn_store_flush(NULL, &error));
    CHECK(error != NULL);
    CHECK(!cairn_error_has_appended(error));
    INVALID_STATUS(cairn_error_appended(error, &result));
    INVALID_STATUS(cairn_error_appended(error, NULL));
    CHECK(strcmp(cairn_error_message(error), "the argument store is null") == 0);
    cairn_error_free(error);
    // The error object may be unwanted.
    INVALID_STATUS(cairn_store_flush(NULL, NULL));
}

static void options(void) {
    cairn_error *error = NULL;
    cairn_options *options = cairn_options_new();
    INVALID_STATUS(cairn_options_set_segment_size_bytes(NULL, 1 << 20));
    INVALID_STATUS(cairn_options_set_flush_mode(NULL, CAIRN_FLUSH_MODE_SYNC));
    INVALID_STATUS(cairn_options_set_append_lock(NULL, CAIRN_APPEND_LOCK_SPIN));
    INVALID_STATUS(cairn_options_set_damage_policy(NULL, CAIRN_DAMAGE_POLICY_REFUSE));
    INVALID_STATUS(cairn_options_set_create_if_missing(NULL, 1));
    INVALID_STATUS(cairn_options_set_sync_flush_timeout_ms(NULL, 1));
    INVALID_STATUS(cairn_options_set_flush_interval_ms(NULL, 1));
    INVALID_STATUS(cairn_options_set_max_message_size_bytes(NULL, 1));
    INVALID_STATUS(cairn_options_set_reserve_ahead_bytes(NULL, 1 << 20));
    INVALID_STATUS(cairn_options_set_transient_store_pool_enable(NULL, 0));
    INVALID_STATUS(cairn_options_set_append_record_crc(NULL, 0));
    INVALID_STATUS(cairn_options_set_check_crc_on_recover(NULL, 0));
    INVALID_STATUS(cairn_options_set_consume_queue_enable(NULL, 1));
    INVALID_STATUS(cairn_options_set_message_index_enable(NULL, 1));
    INVALID_STATUS(cairn_options_set_read_uncommitted(NULL, 1));
    INVALID_STATUS(cairn_options_set_recovery_progress(NULL, NULL, NULL, NULL));
    INVALID(cairn_options_set(NULL, CAIRN_STR("flush_mode"), CAIRN_STR("sync"), &error));
    cairn_str broken = {NULL, 4};
    INVALID(cairn_options_set(options, broken, CAIRN_STR("sync"), &error));
    INVALID(cairn_options_set(options, CAIRN_STR("flush_mode"), broken, &error));
    INVALID(cairn_options_from_properties(CAIRN_STR("a=b"), NULL, &error));
    cairn_options *read = options;
    INVALID(cairn_options_from_properties(broken, &read, &error));
    CHECK(read == NULL);
    CHECK(cairn_options_unknown_count(NULL) == 0);
    CHECK(cairn_options_unknown_name(NULL, 0).length == 0);
    cairn_options_free(options);
    cairn_options_free(NULL);
}

static void without_a_store(void) {
    cairn_error *error = NULL;
    cairn_message message = message_of("topic", "body");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    cairn_batch *batch = NULL;
    cairn_queue *queue = NULL;
    cairn_stats *stats = NULL;
    size_t appended = 99;
    int64_t offset = 0;
    INVALID(cairn_store_append(NULL, &message, &result, &error));
    INVALID(cairn_store_append_many(NULL, &message, 1, &result, &appended, &error));
    CHECK(appended == 0);
    INVALID(cairn_store_append_async(NULL, &message, ignore, NULL, &error));
    INVALID(cairn_store_append_batch(NULL, &message, bytes_of("x"), &result, &error));
    INVALID(cairn_store_append_inner_batch(NULL, &message, bytes_of("x"), &result, &error));
    INVALID(cairn_store_wait_durable(NULL, 0, 0, &error));
    INVALID(cairn_store_flush(NULL, &error));
    INVALID(cairn_store_close(NULL, &error));
    INVALID(cairn_store_positions(NULL, &positions, &error));
    INVALID(cairn_store_next_queue_offset(NULL, CAIRN_STR("t"), 0, &offset, &error));
    INVALID(cairn_store_read_at(NULL, 0, &batch, &error));
    INVALID(cairn_store_read_log(NULL, 0, 1, 1, 0, &batch, &error));
    INVALID(cairn_store_take_stats(NULL, &stats, &error));
    INVALID(cairn_queue_open(NULL, CAIRN_STR("t"), 0, &queue, &error));
    INVALID(cairn_queue_append(NULL, &message, &result, &error));
    INVALID(cairn_queue_append_async(NULL, &message, ignore, NULL, &error));
    CHECK(cairn_store_path(NULL).length == 0);
    CHECK(cairn_store_segment_size_bytes(NULL) == 0);
    CHECK(cairn_store_recovery(NULL) == NULL);
    CHECK(cairn_store_is_closed(NULL));
    cairn_store_free(NULL);
    cairn_queue_free(NULL);
}

static void with_a_store(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "store");
    cairn_message message = message_of("topic", "body");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_queue *queue = NULL;
    size_t appended = 0;
    cairn_str broken = {NULL, 4};
    INVALID(cairn_store_open(cairn_store_path(store), NULL, NULL, &error));
    cairn_store *other = store;
    INVALID(cairn_store_open(broken, NULL, &other, &error));
    INVALID(cairn_store_open_reader(cairn_store_path(store), NULL, NULL, &error));
    INVALID(cairn_store_open_reader(broken, NULL, &other, &error));
    CHECK(!cairn_store_is_reader(NULL) && !cairn_store_is_reader(store));
    CHECK(other == NULL);
    INVALID(cairn_store_append(store, NULL, &result, &error));
    INVALID(cairn_store_append_many(store, NULL, 1, &result, &appended, &error));
    INVALID(cairn_store_append_many(store, &message, 1, &result, NULL, &error));
    INVALID(cairn_store_append_async(store, NULL, ignore, NULL, &error));
    INVALID(cairn_store_append_async(store, &message, NULL, NULL, &error));
    INVALID(cairn_store_append_batch(store, NULL, bytes_of("x"), &result, &error));
    INVALID(cairn_store_append_inner_batch(store, NULL, bytes_of("x"), &result, &error));
    cairn_bytes no_items = {NULL, 4};
    INVALID(cairn_store_append_batch(store, &message, no_items, &result, &error));
    INVALID(cairn_store_positions(store, NULL, &error));
    INVALID(cairn_store_next_queue_offset(store, CAIRN_STR("t"), 0, NULL, &error));
    int64_t offset = 0;
    INVALID(cairn_store_next_queue_offset(store, broken, 0, &offset, &error));
    INVALID(cairn_store_take_stats(store, NULL, &error));
    INVALID(cairn_queue_open(store, CAIRN_STR("t"), 0, NULL, &error));
    INVALID(cairn_queue_open(store, broken, 0, &queue, &error));
    CHECK(queue == NULL);
    CHECK_OK(cairn_queue_open(store, CAIRN_STR("t"), 0, &queue, &error));
    INVALID(cairn_queue_append(queue, NULL, &result, &error));
    INVALID(cairn_queue_append_async(queue, NULL, ignore, NULL, &error));
    INVALID(cairn_queue_append_async(queue, &message, NULL, NULL, &error));
    cairn_queue_free(queue);

    // A message with a length but no pointer.
    cairn_message bad = message;
    bad.body.data = NULL;
    INVALID(cairn_store_append(store, &bad, &result, &error));
    bad = message;
    bad.topic.data = NULL;
    INVALID(cairn_store_append(store, &bad, &result, &error));
    bad = message;
    bad.tag = broken;
    INVALID(cairn_store_append(store, &bad, &result, &error));
    bad = message;
    bad.key_count = 1;
    INVALID(cairn_store_append(store, &bad, &result, &error));
    bad = message;
    bad.property_count = 1;
    INVALID(cairn_store_append(store, &bad, &result, &error));
    bad.property_count = SIZE_MAX;
    INVALID(cairn_store_append(store, &bad, &result, &error));

    // Results may be unwanted.
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    CHECK_OK(cairn_store_append_many(store, &message, 1, NULL, &appended, &error));
    CHECK(appended == 1);
    CHECK_OK(cairn_store_append_many(store, NULL, 0, NULL, &appended, &error));
    CHECK(appended == 0);
    close_store(store);
}

static void batches(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "batches");
    cairn_message message = message_of("topic", "body");
    cairn_batch *batch = NULL;
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    INVALID(cairn_store_read_at(store, 0, NULL, &error));
    INVALID(cairn_store_read_at(store, -1, &batch, &error));
    INVALID(cairn_store_read_log(store, 0, 1, 1, 0, NULL, &error));
    INVALID(cairn_store_read_log(store, -1, 1, 1, 0, &batch, &error));
    INVALID(cairn_store_read_log(store, 0, 0, 1, 0, &batch, &error));
    CHECK_OK(cairn_store_read_at(store, 0, &batch, &error));
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    cairn_str value = CAIRN_STR("stale");
    cairn_property property;
    size_t cursor = 0;
    char id[64];
    INVALID_STATUS(cairn_batch_get(NULL, 0, &view));
    INVALID_STATUS(cairn_batch_get(batch, 0, NULL));
    INVALID_STATUS(cairn_batch_get(batch, 1, &view));
    // A view that was not filled.
    CHECK(!cairn_message_view_property(&view, CAIRN_STR("k"), &value));
    CHECK(value.data == NULL && value.length == 0);
    CHECK(!cairn_message_view_next_property(&view, &cursor, &property));
    INVALID_STATUS(cairn_message_view_message_id(&view, id, sizeof id));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(!cairn_message_view_property(NULL, CAIRN_STR("k"), &value));
    CHECK(!cairn_message_view_property(&view, CAIRN_STR("k"), NULL));
    cairn_str broken = {NULL, 4};
    CHECK(!cairn_message_view_property(&view, broken, &value));
    CHECK(!cairn_message_view_next_property(NULL, &cursor, &property));
    CHECK(!cairn_message_view_next_property(&view, NULL, &property));
    CHECK(!cairn_message_view_next_property(&view, &cursor, NULL));
    INVALID_STATUS(cairn_message_view_message_id(NULL, id, sizeof id));
    INVALID_STATUS(cairn_message_view_message_id(&view, NULL, sizeof id));
    INVALID_STATUS(cairn_message_view_message_id(&view, id, 32));
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    INVALID_STATUS(cairn_append_result_message_id(NULL, id, sizeof id));
    INVALID_STATUS(cairn_append_result_message_id(&result, id, sizeof id));
    CHECK(cairn_batch_len(NULL) == 0);
    CHECK(cairn_batch_next_offset(NULL) == -1);
    CHECK(cairn_batch_min_offset(NULL) == -1);
    CHECK(cairn_batch_max_offset(NULL) == -1);
    CHECK(cairn_batch_outcome(NULL) == CAIRN_READ_OUTCOME_END_OF_LOG);
    cairn_batch_free(batch);
    cairn_batch_free(NULL);
    close_store(store);
}

static void reading_without_a_store(void) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_tail *tail = NULL;
    cairn_topics *topics = NULL;
    cairn_queue_ids *queues = NULL;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    const cairn_str topic = CAIRN_STR("t");
    int64_t offset = 0;
    INVALID(cairn_store_read(NULL, &request, &batch, &error));
    INVALID(cairn_store_query_key(NULL, topic, topic, 0, 1, 1, &batch, &error));
    INVALID(cairn_store_find_by_message_id(NULL, topic, topic, &batch, &error));
    INVALID(cairn_store_wait_message(NULL, topic, 0, 0, 0, &error));
    INVALID(cairn_store_wait_dispatched(NULL, 0, 0, &error));
    INVALID(cairn_store_check_dispatch(NULL, &error));
    INVALID(cairn_store_queue_range(NULL, topic, 0, &offset, &offset, &error));
    INVALID(cairn_store_offset_at_time(NULL, topic, 0, 0, 0, &offset, &error));
    INVALID(cairn_store_topics(NULL, &topics, &error));
    INVALID(cairn_store_queues_of(NULL, topic, &queues, &error));
    INVALID(cairn_tail_open(NULL, topic, 0, 0, NULL, &tail, &error));
    INVALID(cairn_tail_next(NULL, 1, 0, &batch, &error));
    CHECK(cairn_tail_offset(NULL) == -1);
    CHECK(cairn_topics_len(NULL) == 0 && cairn_topics_get(NULL, 0).data == NULL);
    CHECK(cairn_queue_ids_len(NULL) == 0 && cairn_queue_ids_get(NULL, 0) == -1);
    CHECK(!cairn_filter_matches(NULL, NULL));
    cairn_tail_free(NULL);
    cairn_topics_free(NULL);
    cairn_queue_ids_free(NULL);
    cairn_filter_free(NULL);
}

static void reading(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "reading");
    cairn_batch *batch = NULL;
    cairn_tail *tail = NULL;
    cairn_filter *filter = NULL;
    cairn_queue_ids *queues = NULL;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    const cairn_str topic = CAIRN_STR("t");
    const cairn_str broken = {NULL, 4};
    int64_t offset = 0;
    INVALID(cairn_store_read(store, NULL, &batch, &error));
    INVALID(cairn_store_read(store, &request, NULL, &error));
    request.topic = broken;
    INVALID(cairn_store_read(store, &request, &batch, &error));
    INVALID(cairn_store_query_key(store, broken, topic, 0, 1, 1, &batch, &error));
    INVALID(cairn_store_query_key(store, topic, broken, 0, 1, 1, &batch, &error));
    INVALID(cairn_store_query_key(store, topic, topic, 0, 1, 0, &batch, &error));
    INVALID(cairn_store_query_key(store, topic, topic, 0, 1, 1, NULL, &error));
    INVALID(cairn_store_find_by_message_id(store, broken, topic, &batch, &error));
    INVALID(cairn_store_find_by_message_id(store, topic, broken, &batch, &error));
    INVALID(cairn_store_find_by_message_id(store, topic, topic, NULL, &error));
    INVALID(cairn_store_wait_message(store, broken, 0, 0, 0, &error));
    INVALID(cairn_store_queue_range(store, broken, 0, &offset, &offset, &error));
    INVALID(cairn_store_queue_range(store, topic, 0, NULL, &offset, &error));
    INVALID(cairn_store_queue_range(store, topic, 0, &offset, NULL, &error));
    INVALID(cairn_store_offset_at_time(store, broken, 0, 0, 0, &offset, &error));
    INVALID(cairn_store_offset_at_time(store, topic, 0, 0, 0, NULL, &error));
    INVALID(cairn_store_topics(store, NULL, &error));
    INVALID(cairn_store_queues_of(store, topic, NULL, &error));
    INVALID(cairn_store_queues_of(store, broken, &queues, &error));
    INVALID(cairn_filter_from_tags(topic, NULL, &error));
    INVALID(cairn_filter_from_tags(broken, &filter, &error));
    INVALID(cairn_filter_from_sql(topic, NULL, &error));
    INVALID(cairn_filter_from_sql(broken, &filter, &error));
    INVALID(cairn_tail_open(store, topic, 0, 0, NULL, NULL, &error));
    INVALID(cairn_tail_open(store, broken, 0, 0, NULL, &tail, &error));
    CHECK(batch == NULL && tail == NULL && filter == NULL && queues == NULL);
    CHECK_OK(cairn_tail_open(store, topic, 0, 0, NULL, &tail, &error));
    INVALID(cairn_tail_next(tail, 1, 0, NULL, &error));
    INVALID(cairn_tail_next(tail, 0, 0, &batch, &error));
    cairn_tail_free(tail);
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK(!cairn_filter_matches(NULL, &view));
    cairn_message message = message_of("t", "body");
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    CHECK_OK(cairn_store_read_at(store, 0, &batch, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(cairn_filter_matches(NULL, &view));
    cairn_batch_free(batch);
    close_store(store);
}

static void items_reports_and_statistics(const char *directory) {
    cairn_error *error = NULL;
    cairn_batch_items *items = cairn_batch_items_new();
    INVALID(cairn_batch_items_add(NULL, 0, bytes_of("b"), bytes_of(""), &error));
    cairn_bytes broken = {NULL, 4};
    INVALID(cairn_batch_items_add(items, 0, broken, bytes_of(""), &error));
    INVALID(cairn_batch_items_add(items, 0, bytes_of("b"), broken, &error));
    CHECK(cairn_batch_items_bytes(NULL).length == 0);
    CHECK(cairn_batch_items_bytes(items).length == 0);
    cairn_batch_items_free(items);
    cairn_batch_items_free(NULL);

    cairn_recovery *recovery = NULL;
    cairn_str no_path = {NULL, 4};
    cairn_recovery_report report = CAIRN_RECOVERY_REPORT_INIT;
    INVALID(cairn_plan_recovery(cairn_str_from(directory), NULL, NULL, &error));
    INVALID(cairn_plan_recovery(no_path, NULL, &recovery, &error));
    INVALID(cairn_plan_recovery(CAIRN_STR(""), NULL, &recovery, &error));
    INVALID_STATUS(cairn_recovery_get(NULL, &report));
    cairn_recovery_free(NULL);

    cairn_store *store = open_store(directory, "statistics");
    INVALID_STATUS(cairn_recovery_get(cairn_store_recovery(store), NULL));
    cairn_stats *stats = NULL;
    cairn_store_stats totals = CAIRN_STORE_STATS_INIT;
    cairn_topic_stats topic = CAIRN_TOPIC_STATS_INIT;
    CHECK_OK(cairn_store_take_stats(store, &stats, &error));
    INVALID_STATUS(cairn_stats_totals(NULL, &totals));
    INVALID_STATUS(cairn_stats_totals(stats, NULL));
    INVALID_STATUS(cairn_stats_topic(NULL, 0, &topic));
    INVALID_STATUS(cairn_stats_topic(stats, 0, NULL));
    INVALID_STATUS(cairn_stats_topic(stats, 0, &topic));
    CHECK(cairn_stats_topic_count(NULL) == 0);
    CHECK(cairn_stats_topic_count(stats) == 0);
    cairn_stats_free(stats);
    cairn_stats_free(NULL);
    close_store(store);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_set_log_callback(NULL, NULL, CAIRN_LOG_LEVEL_TRACE));
}

static int32_t ignore_batch(const cairn_batch *batch, void *user_data) {
    (void)batch;
    (void)user_data;
    return CAIRN_CONSUME_STATUS_SUCCESS;
}

static void consumers_without_a_store(void) {
    cairn_error *error = NULL;
    cairn_consumer_options *options = cairn_consumer_options_new();
    cairn_consumer *consumer = NULL;
    cairn_push_consumer *push = NULL;
    cairn_batch *batch = NULL;
    cairn_assigned_queues *queues = NULL;
    cairn_assigned_queue queue = CAIRN_ASSIGNED_QUEUE_INIT;
    bool done = true;
    cairn_str broken = {NULL, 4};
    INVALID(cairn_consumer_options_subscribe(NULL, CAIRN_STR("t"), NULL, &error));
    INVALID(cairn_consumer_options_subscribe(options, broken, NULL, &error));
    INVALID_STATUS(cairn_consumer_options_set_mode(NULL, CAIRN_CONSUME_MODE_CLUSTERING));
    INVALID_STATUS(cairn_consumer_options_set_order(NULL, CAIRN_CONSUME_ORDER_CONCURRENT));
    INVALID_STATUS(cairn_consumer_options_set_start_from(NULL, CAIRN_START_FROM_LAST, 0));
    INVALID_STATUS(cairn_consumer_options_set_max_in_hand(NULL, 1));
    INVALID_STATUS(cairn_consumer_options_set_consume_timeout_ms(NULL, 1));
    INVALID_STATUS(cairn_consumer_options_set_max_reconsume_times(NULL, 1));
    INVALID_STATUS(cairn_consumer_options_set_suspend_queue_ms(NULL, 1));
    INVALID(cairn_consumer_open(NULL, CAIRN_STR("g"), options, &consumer, &error));
    INVALID(cairn_consumer_poll(NULL, 1, 0, &batch, &error));
    INVALID(cairn_delivery_acknowledge(NULL, NULL, 0, &done, &error));
    INVALID(cairn_delivery_retry_later(NULL, NULL, 0, &done, &error));
    CHECK(cairn_delivery_topic(NULL, 0).data == NULL);
    INVALID(cairn_consumer_seek(NULL, CAIRN_STR("t"), 0, 0, &done, &error));
    INVALID(cairn_consumer_commit(NULL, &error));
    INVALID(cairn_consumer_assigned(NULL, &queues, &error));
    CHECK(cairn_assigned_queues_len(NULL) == 0);
    INVALID_STATUS(cairn_assigned_queues_get(NULL, 0, &queue));
    cairn_assigned_queues_free(NULL);
    INVALID(cairn_consumer_close(NULL, &error));
    CHECK(cairn_consumer_is_closed(NULL));
    cairn_consumer_free(NULL);
    INVALID(cairn_push_consumer_start(NULL, CAIRN_STR("g"), options, ignore_batch, NULL, 1, 1,
                                      &push, &error));
    INVALID(cairn_push_consumer_close(NULL, &error));
    cairn_push_consumer_free(NULL);
    cairn_consumer_options_free(options);
    cairn_consumer_options_free(NULL);
}

static void groups_without_a_store(void) {
    cairn_error *error = NULL;
    cairn_message message = message_of("t", "body");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_groups *groups = NULL;
    cairn_group_progress *progress = NULL;
    cairn_queue_progress queue = CAIRN_QUEUE_PROGRESS_INIT;
    cairn_open_transactions *open = NULL;
    uint64_t count = 0;
    int64_t offset = 0;
    INVALID(cairn_store_groups(NULL, &groups, &error));
    CHECK(cairn_groups_len(NULL) == 0 && cairn_groups_get(NULL, 0).data == NULL);
    cairn_groups_free(NULL);
    INVALID(cairn_store_group_progress(NULL, CAIRN_STR("g"), &progress, &error));
    CHECK(cairn_group_progress_len(NULL) == 0);
    INVALID_STATUS(cairn_group_progress_get(NULL, 0, &queue));
    cairn_group_progress_free(NULL);
    INVALID(cairn_store_consumer_offset(NULL, CAIRN_STR("g"), CAIRN_STR("t"), 0, &offset, &error));
    INVALID(cairn_store_commit_offset(NULL, CAIRN_STR("g"), CAIRN_STR("t"), 0, 0, &error));
    INVALID(cairn_store_persist_offsets(NULL, &error));
    INVALID(cairn_store_remove_expired(NULL, &count, &count, &error));
    INVALID(cairn_store_remove_before(NULL, 0, &count, &count, &error));
    INVALID(cairn_store_begin_transaction(NULL, &message, &result, &error));
    INVALID(cairn_store_commit_transaction(NULL, 0, &result, &error));
    INVALID(cairn_store_rollback_transaction(NULL, 0, &error));
    INVALID(cairn_store_open_transactions(NULL, &open, &error));
    INVALID(cairn_store_set_transaction_checker(NULL, unsure, NULL, NULL, &error));
    CHECK(cairn_open_transactions_len(NULL) == 0 && cairn_open_transactions_get(NULL, 0) == -1);
    cairn_open_transactions_free(NULL);
}

static void groups(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "groups");
    cairn_consumer_options *options = cairn_consumer_options_new();
    cairn_consumer *consumer = NULL;
    cairn_push_consumer *push = NULL;
    cairn_batch *batch = NULL;
    cairn_message message = message_of("t", "body");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_str broken = {NULL, 4};
    cairn_str group = CAIRN_STR("g");
    int64_t offset = 0;
    CHECK_OK(cairn_consumer_options_subscribe(options, CAIRN_STR("t"), NULL, &error));
    INVALID(cairn_consumer_open(store, group, options, NULL, &error));
    INVALID(cairn_consumer_open(store, group, NULL, &consumer, &error));
    INVALID(cairn_consumer_open(store, broken, options, &consumer, &error));
    INVALID(cairn_push_consumer_start(store, group, options, NULL, NULL, 1, 1, &push, &error));
    INVALID(cairn_push_consumer_start(store, group, NULL, ignore_batch, NULL, 1, 1, &push, &error));
    INVALID(cairn_push_consumer_start(store, group, options, ignore_batch, NULL, 1, 1, NULL,
                                      &error));
    CHECK_OK(cairn_consumer_open(store, group, options, &consumer, &error));
    INVALID(cairn_consumer_poll(consumer, 1, 0, NULL, &error));
    INVALID(cairn_consumer_poll(consumer, 0, 0, &batch, &error));
    INVALID(cairn_delivery_acknowledge(consumer, NULL, 0, NULL, &error));
    INVALID(cairn_delivery_retry_later(consumer, NULL, 0, NULL, &error));
    INVALID(cairn_consumer_seek(consumer, broken, 0, 0, NULL, &error));
    INVALID(cairn_consumer_assigned(consumer, NULL, &error));
    INVALID(cairn_store_groups(store, NULL, &error));
    INVALID(cairn_store_group_progress(store, group, NULL, &error));
    INVALID(cairn_store_consumer_offset(store, group, CAIRN_STR("t"), 0, NULL, &error));
    INVALID(cairn_store_consumer_offset(store, broken, CAIRN_STR("t"), 0, &offset, &error));
    INVALID(cairn_store_commit_offset(store, broken, CAIRN_STR("t"), 0, 0, &error));
    INVALID(cairn_store_commit_offset(store, group, broken, 0, 0, &error));
    INVALID(cairn_store_begin_transaction(store, NULL, &result, &error));
    INVALID(cairn_store_begin_transaction(store, &message, NULL, &error));
    INVALID(cairn_store_open_transactions(store, NULL, &error));
    INVALID(cairn_store_set_transaction_checker(store, NULL, NULL, NULL, &error));
    cairn_consumer_free(consumer);
    cairn_consumer_options_free(options);
    close_store(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    version();
    errors();
    options();
    without_a_store();
    with_a_store(directory);
    batches(directory);
    reading_without_a_store();
    reading(directory);
    consumers_without_a_store();
    groups_without_a_store();
    groups(directory);
    items_reports_and_statistics(directory);
    return 0;
}
