// Reading by queue: each outcome, filters, lookups by key, id and time, lists, waits, and what is
// left of batches when their store is gone.
#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)

static void append(cairn_store *store, cairn_message message, cairn_append_result *result) {
    cairn_error *error = NULL;
    CHECK_OK(cairn_store_append(store, &message, result, &error));
}

// Waits until everything appended is in the queues.
static void settle(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK_OK(cairn_store_wait_dispatched(store, positions.max_offset, 10000, &error));
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.dispatched_offset == positions.max_offset);
    CHECK_OK(cairn_store_check_dispatch(store, &error));
}

static void fill(cairn_store *store, const char *topic, int32_t queue_id, int count) {
    for (int number = 0; number < count; number++) {
        char body[16];
        snprintf(body, sizeof body, "%d", number);
        cairn_message message = message_of(topic, body);
        message.queue_id = queue_id;
        append(store, message, NULL);
    }
    settle(store);
}

static cairn_read_request request_of(const char *topic, int32_t queue_id, int64_t offset) {
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    request.topic = cairn_str_from(topic);
    request.queue_id = queue_id;
    request.offset = offset;
    return request;
}

static cairn_batch *read_batch(const cairn_store *store, cairn_read_request request) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    CHECK_OK(cairn_store_read(store, &request, &batch, &error));
    CHECK(batch != NULL);
    return batch;
}

static cairn_message_view view_of(const cairn_batch *batch, size_t index) {
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, index, &view));
    return view;
}

// Reads and compares outcome, number of messages and next offset.
static void expect(const cairn_store *store, cairn_read_request request, int32_t outcome,
                   size_t length, int64_t next_offset) {
    cairn_batch *batch = read_batch(store, request);
    if (cairn_batch_outcome(batch) != outcome || cairn_batch_len(batch) != length ||
        cairn_batch_next_offset(batch) != next_offset) {
        fprintf(stderr, "offset %" PRId64 " gave %s, %zu messages, next %" PRId64 "\n",
                request.offset, cairn_read_outcome_name(cairn_batch_outcome(batch)),
                cairn_batch_len(batch), cairn_batch_next_offset(batch));
        exit(1);
    }
    cairn_batch_free(batch);
}

// A store whose queue files hold ten messages.
static cairn_store *open_small_queues(const char *directory, const char *name) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_options_set(options, CAIRN_STR("consume_queue_file_size_bytes"),
                               CAIRN_STR("200"), &error));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    cairn_options_free(options);
    return store;
}

static void outcomes(const char *directory) {
    cairn_store *store = open_small_queues(directory, "outcomes");
    fill(store, "t", 2, 25);
    expect(store, request_of("none", 0, 0), CAIRN_READ_OUTCOME_NO_MATCHED_LOGIC_QUEUE, 0, 0);
    expect(store, request_of("t", 0, 5), CAIRN_READ_OUTCOME_NO_MATCHED_LOGIC_QUEUE, 0, 0);
    expect(store, request_of("t", -1, 0), CAIRN_READ_OUTCOME_NO_MATCHED_LOGIC_QUEUE, 0, 0);
    expect(store, request_of("t", INT32_MAX, 0), CAIRN_READ_OUTCOME_NO_MATCHED_LOGIC_QUEUE, 0, 0);
    expect(store, request_of("t", 2, -1), CAIRN_READ_OUTCOME_OFFSET_TOO_SMALL, 0, 0);
    expect(store, request_of("t", 2, INT64_MIN), CAIRN_READ_OUTCOME_OFFSET_TOO_SMALL, 0, 0);
    expect(store, request_of("t", 2, 25), CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE, 0, 25);
    expect(store, request_of("t", 2, 26), CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_BADLY, 0, 25);
    expect(store, request_of("t", 2, INT64_MAX), CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_BADLY, 0, 25);
    // One file of the queue at a time.
    expect(store, request_of("t", 2, 0), CAIRN_READ_OUTCOME_FOUND, 10, 10);
    expect(store, request_of("t", 2, 24), CAIRN_READ_OUTCOME_FOUND, 1, 25);

    cairn_read_request request = request_of("t", 2, 3);
    request.max_messages = SIZE_MAX;
    request.max_bytes = SIZE_MAX;
    expect(store, request, CAIRN_READ_OUTCOME_FOUND, 7, 10);
    request.max_messages = 4;
    cairn_batch *batch = read_batch(store, request);
    CHECK(cairn_batch_len(batch) == 4 && cairn_batch_next_offset(batch) == 7);
    CHECK(cairn_batch_min_offset(batch) == 0 && cairn_batch_max_offset(batch) == 25);
    cairn_message_view view = view_of(batch, 3);
    CHECK(view.queue_offset == 6 && view.queue_id == 2);
    CHECK(same_text(view.topic, "t") && same_bytes(view.body, "6"));
    // The first message is always given, a second one if it fits.
    request.max_bytes = 1;
    expect(store, request, CAIRN_READ_OUTCOME_FOUND, 1, 4);
    request.max_bytes = 2 * (size_t)view.record_length;
    expect(store, request, CAIRN_READ_OUTCOME_FOUND, 2, 5);
    // Views live on.
    close_store(store);
    CHECK(same_text(view.topic, "t") && same_bytes(view.body, "6"));
    cairn_str none;
    CHECK(!cairn_message_view_property(&view, CAIRN_STR("none"), &none));
    cairn_batch_free(batch);
}

// A file of the queue is gone, as when retention removes it in this moment.
static void outcomes_of_missing_files(const char *directory) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    snprintf(path, sizeof path, "%s/missing", directory);
    CHECK_OK(cairn_options_set(options, CAIRN_STR("consume_queue_file_size_bytes"),
                               CAIRN_STR("200"), &error));
    CHECK_OK(cairn_options_set(options, CAIRN_STR("max_open_queue_files"), CAIRN_STR("1"), &error));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    fill(store, "t", 0, 35);
    close_store(store);
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    // Now another file is the one that is kept open.
    expect(store, request_of("t", 0, 30), CAIRN_READ_OUTCOME_FOUND, 5, 35);
    snprintf(path, sizeof path, "%s/missing/consumequeue/t/0/00000000000000000200", directory);
    CHECK(remove(path) == 0);
    expect(store, request_of("t", 0, 12), CAIRN_READ_OUTCOME_OFFSET_FOUND_NULL, 0, 20);
    expect(store, request_of("t", 0, 20), CAIRN_READ_OUTCOME_FOUND, 10, 30);
    cairn_options_free(options);
    close_store(store);
}

static cairn_filter *tags_filter(const char *expression) {
    cairn_error *error = NULL;
    cairn_filter *filter = NULL;
    CHECK_OK(cairn_filter_from_tags(cairn_str_from(expression), &filter, &error));
    return filter;
}

static cairn_filter *sql_filter(const char *expression) {
    cairn_error *error = NULL;
    cairn_filter *filter = NULL;
    CHECK_OK(cairn_filter_from_sql(cairn_str_from(expression), &filter, &error));
    return filter;
}

// Reads with a filter, frees it, and checks the bodies, all of one character.
static void expect_bodies(cairn_store *store, cairn_filter *filter, const char *bodies) {
    cairn_read_request request = request_of("f", 0, 0);
    request.filter = filter;
    cairn_batch *batch = read_batch(store, request);
    cairn_batch *all = NULL;
    cairn_error *error = NULL;
    CHECK(cairn_batch_len(batch) == strlen(bodies) && cairn_batch_next_offset(batch) == 4);
    CHECK(cairn_batch_outcome(batch) == (*bodies == '\0' ? CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE
                                                         : CAIRN_READ_OUTCOME_FOUND));
    for (size_t index = 0; index < cairn_batch_len(batch); index++) {
        CHECK(view_of(batch, index).body.data[0] == (uint8_t)bodies[index]);
    }
    // The filter answers alike for what was read in the order of the log.
    CHECK_OK(cairn_store_read_log(store, 0, 100, 1 << 20, 0, &all, &error));
    CHECK(cairn_batch_len(all) == 4);
    size_t wanted = 0;
    for (size_t index = 0; index < 4; index++) {
        cairn_message_view view = view_of(all, index);
        if (cairn_filter_matches(filter, &view)) {
            CHECK(view.body.data[0] == (uint8_t)bodies[wanted]);
            wanted++;
        }
    }
    CHECK(wanted == strlen(bodies));
    cairn_batch_free(all);
    cairn_filter_free(filter);
    cairn_batch_free(batch);
}

static void filters(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "filters");
    const char *tags[] = {"Aa", "BB", "c", ""};
    const char *bodies[] = {"0", "1", "2", "3"};
    const char *prices[] = {"5", "6", "seven", "8"};
    for (size_t index = 0; index < 4; index++) {
        cairn_property property = {CAIRN_STR("price"), cairn_str_from(prices[index])};
        cairn_message message = message_of("f", bodies[index]);
        message.tag = cairn_str_from(tags[index]);
        message.properties = &property;
        message.property_count = 1;
        append(store, message, NULL);
    }
    settle(store);
    expect_bodies(store, NULL, "0123");
    expect_bodies(store, tags_filter("*"), "0123");
    expect_bodies(store, tags_filter(""), "0123");
    expect_bodies(store, tags_filter("c || Aa"), "02");
    // The hashes of Aa and BB are equal.
    expect_bodies(store, tags_filter("BB"), "1");
    expect_bodies(store, tags_filter("none"), "");
    expect_bodies(store, sql_filter("price > 5"), "13");
    expect_bodies(store, sql_filter("price > 5 AND TAGS IN ('BB', 'c')"), "1");
    expect_bodies(store, sql_filter("missing IS NOT NULL"), "");

    cairn_filter *filter = (cairn_filter *)store;
    CHECK_FAILS(CAIRN_STATUS_FILTER_ILLEGAL,
                cairn_filter_from_tags(CAIRN_STR(" || "), &filter, &error));
    CHECK(filter == NULL);
    const char *malformed[] = {"", "price >", "price > 'a'", "a = 1 b", "(a = 1", "a IN ()",
                               "a BETWEEN 5 AND 1", "\xff"};
    for (size_t index = 0; index < sizeof malformed / sizeof malformed[0]; index++) {
        filter = (cairn_filter *)store;
        CHECK_FAILS(CAIRN_STATUS_FILTER_ILLEGAL,
                    cairn_filter_from_sql(cairn_str_from(malformed[index]), &filter, &error));
        CHECK(filter == NULL);
    }
    CHECK(cairn_filter_from_sql(CAIRN_STR("a = 1 b"), &filter, &error) ==
          CAIRN_STATUS_FILTER_ILLEGAL);
    CHECK(cairn_error_offset(error) == 6);
    cairn_error_free(error);
    error = NULL;
    char *large = malloc(70000);
    CHECK(large != NULL);
    memset(large, 'a', 70000);
    cairn_str long_text = {large, 70000};
    CHECK_FAILS(CAIRN_STATUS_FILTER_ILLEGAL, cairn_filter_from_tags(long_text, &filter, &error));
    CHECK_FAILS(CAIRN_STATUS_FILTER_ILLEGAL, cairn_filter_from_sql(long_text, &filter, &error));
    free(large);
    close_store(store);
}

static void keys_and_ids(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "keys");
    cairn_str keys[] = {CAIRN_STR("k1"), CAIRN_STR("k2")};
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_batch *batch = NULL;
    for (int number = 0; number < 3; number++) {
        const char *bodies[] = {"0", "1", "2"};
        cairn_message message = message_of("k", bodies[number]);
        message.keys = keys;
        message.key_count = number == 1 ? 1 : 2;
        append(store, message, &result);
    }
    settle(store);
    CHECK_OK(cairn_store_query_key(store, CAIRN_STR("k"), keys[1], 0, INT64_MAX, SIZE_MAX, &batch,
                                   &error));
    CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_FOUND && cairn_batch_len(batch) == 2);
    CHECK(same_bytes(view_of(batch, 0).body, "0") && same_bytes(view_of(batch, 1).body, "2"));
    CHECK(cairn_batch_next_offset(batch) == -1 && cairn_batch_min_offset(batch) == -1);
    CHECK(cairn_batch_max_offset(batch) == -1);
    cairn_batch_free(batch);
    // The newest ones.
    CHECK_OK(cairn_store_query_key(store, CAIRN_STR("k"), keys[0], INT64_MIN, INT64_MAX, 1, &batch,
                                   &error));
    CHECK(cairn_batch_len(batch) == 1 && same_bytes(view_of(batch, 0).body, "2"));
    cairn_batch_free(batch);
    const int64_t time = result.store_timestamp_ms;
    const int64_t outside[][2] = {{0, 1}, {time + 1000, INT64_MAX}, {time, time - 1000}, {-5, -1}};
    for (size_t index = 0; index < sizeof outside / sizeof outside[0]; index++) {
        CHECK_OK(cairn_store_query_key(store, CAIRN_STR("k"), keys[0], outside[index][0],
                                       outside[index][1], 9, &batch, &error));
        CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE);
        CHECK(cairn_batch_len(batch) == 0);
        cairn_batch_free(batch);
    }

    char id[57];
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_append_result_message_id(&result, id, sizeof id));
    CHECK_OK(cairn_store_find_by_message_id(store, CAIRN_STR("k"), cairn_str_from(id), &batch,
                                            &error));
    CHECK(cairn_batch_len(batch) == 1);
    cairn_message_view view = view_of(batch, 0);
    CHECK(view.physical_offset == result.physical_offset && same_bytes(view.body, "2"));
    close_store(store);
    CHECK(same_bytes(view.body, "2") && same_text(view.keys, "k1 k2"));
    cairn_batch_free(batch);

    store = open_store(directory, "keys");
    CHECK_OK(cairn_store_find_by_message_id(store, CAIRN_STR("other"), cairn_str_from(id), &batch,
                                            &error));
    CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE);
    cairn_batch_free(batch);
    CHECK_OK(cairn_store_find_by_message_id(store, CAIRN_STR("k"), CAIRN_STR(""), &batch, &error));
    CHECK(cairn_batch_len(batch) == 0);
    cairn_batch_free(batch);
    close_store(store);
}

static void ranges_times_and_lists(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "ranges");
    cairn_topics *topics = NULL;
    cairn_queue_ids *queues = NULL;
    int64_t first = 7;
    int64_t next = 7;
    CHECK_OK(cairn_store_topics(store, &topics, &error));
    CHECK(cairn_topics_len(topics) == 0 && cairn_topics_get(topics, 0).data == NULL);
    cairn_topics_free(topics);
    fill(store, "b", 3, 5);
    fill(store, "a", 0, 1);
    fill(store, "b", 1, 2);
    CHECK_OK(cairn_store_topics(store, &topics, &error));
    CHECK_OK(cairn_store_queues_of(store, CAIRN_STR("b"), &queues, &error));
    CHECK_OK(cairn_store_queue_range(store, CAIRN_STR("b"), 3, &first, &next, &error));
    CHECK(first == 0 && next == 5);
    first = next = 7;
    CHECK_OK(cairn_store_queue_range(store, CAIRN_STR("b"), -3, &first, &next, &error));
    CHECK(first == 0 && next == 0);

    cairn_batch *batch = read_batch(store, request_of("b", 3, 4));
    int64_t time = view_of(batch, 0).store_timestamp_ms;
    cairn_batch_free(batch);
    const struct {
        int64_t time;
        int32_t boundary;
        int64_t offset;
    } expected[] = {
        {0, CAIRN_TIME_BOUNDARY_LOWER, 0},         {0, CAIRN_TIME_BOUNDARY_UPPER, 0},
        {INT64_MIN, CAIRN_TIME_BOUNDARY_LOWER, 0}, {INT64_MIN, CAIRN_TIME_BOUNDARY_UPPER, 0},
        {time + 1, CAIRN_TIME_BOUNDARY_LOWER, 5},  {time, CAIRN_TIME_BOUNDARY_UPPER, 4},
        {INT64_MAX, CAIRN_TIME_BOUNDARY_LOWER, 5}, {INT64_MAX, CAIRN_TIME_BOUNDARY_UPPER, 4},
    };
    for (size_t index = 0; index < sizeof expected / sizeof expected[0]; index++) {
        CHECK_OK(cairn_store_offset_at_time(store, CAIRN_STR("b"), 3, expected[index].time,
                                            expected[index].boundary, &next, &error));
        CHECK(next == expected[index].offset);
    }
    CHECK_OK(cairn_store_offset_at_time(store, CAIRN_STR("none"), 0, 0, 0, &next, &error));
    CHECK(next == -1);
    const int32_t wrong[] = {-1, 2, INT32_MIN, INT32_MAX};
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        INVALID(cairn_store_offset_at_time(store, CAIRN_STR("b"), 3, 0, wrong[index], &next,
                                           &error));
    }
    // Lists outlive the store.
    close_store(store);
    CHECK(cairn_topics_len(topics) == 2 && same_text(cairn_topics_get(topics, 0), "a"));
    CHECK(same_text(cairn_topics_get(topics, 1), "b") && cairn_topics_get(topics, 2).length == 0);
    CHECK(cairn_queue_ids_len(queues) == 2 && cairn_queue_ids_get(queues, 0) == 1);
    CHECK(cairn_queue_ids_get(queues, 1) == 3 && cairn_queue_ids_get(queues, SIZE_MAX) == -1);
    cairn_topics_free(topics);
    cairn_queue_ids_free(queues);
}

static void older_and_newer_requests(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "requests");
    cairn_batch *batch = NULL;
    struct {
        cairn_read_request known;
        uint64_t unknown;
    } newer = {request_of("r", 0, 0), 0};
    fill(store, "r", 0, 40);
    newer.known.struct_size = (uint32_t)sizeof newer;
    // By its address: the unknown part does not go where `known` is copied to.
    CHECK_OK(cairn_store_read(store, &newer.known, &batch, &error));
    CHECK(cairn_batch_len(batch) == 32 && cairn_batch_next_offset(batch) == 32);
    cairn_batch_free(batch);
    newer.unknown = 1;
    INVALID(cairn_store_read(store, &newer.known, &batch, &error));
    CHECK(batch == NULL);
    // What lies behind the stated size is not looked at.
    cairn_read_request older = request_of("r", 0, 0);
    older.max_messages = 1;
    older.filter = (const cairn_filter *)(uintptr_t)8;
    older.struct_size = (uint32_t)offsetof(cairn_read_request, filter);
    expect(store, older, CAIRN_READ_OUTCOME_FOUND, 1, 1);
    older.struct_size = (uint32_t)offsetof(cairn_read_request, max_messages);
    expect(store, older, CAIRN_READ_OUTCOME_FOUND, 32, 32);
    for (uint32_t size = 0; size < offsetof(cairn_read_request, max_messages); size++) {
        older.struct_size = size;
        INVALID(cairn_store_read(store, &older, &batch, &error));
    }
    older.struct_size = UINT32_MAX;
    INVALID(cairn_store_read(store, &older, &batch, &error));
    // A program that knows no dispatched_offset.
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    positions.struct_size = (uint32_t)offsetof(cairn_positions, dispatched_offset);
    positions.dispatched_offset = 77;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.max_offset > 0 && positions.dispatched_offset == 77);
    close_store(store);
}

static void stores_without_queues_or_index(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_batch *batch = NULL;
    cairn_tail *tail = NULL;
    char path[4096];
    cairn_options *options = small_options();
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_consume_queue_enable(options, 0));
    snprintf(path, sizeof path, "%s/without-queues", directory);
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    append(store, message_of("t", "body"), NULL);
    cairn_read_request request = request_of("t", 0, 0);
    INVALID(cairn_store_read(store, &request, &batch, &error));
    INVALID(cairn_store_wait_message(store, CAIRN_STR("t"), 0, 0, 0, &error));
    INVALID(cairn_tail_open(store, CAIRN_STR("t"), 0, 0, NULL, &tail, &error));
    CHECK(batch == NULL && tail == NULL);
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK(positions.dispatched_offset == 0 && positions.max_offset > 0);
    close_store(store);
    cairn_options_free(options);

    options = small_options();
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_message_index_enable(options, 0));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_read_uncommitted(options, 1));
    snprintf(path, sizeof path, "%s/without-index", directory);
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    fill(store, "t", 0, 1);
    expect(store, request_of("t", 0, 0), CAIRN_READ_OUTCOME_FOUND, 1, 1);
    INVALID(cairn_store_query_key(store, CAIRN_STR("t"), CAIRN_STR("k"), 0, 1, 1, &batch, &error));
    close_store(store);
    cairn_options_free(options);
}

static void waits(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "waits");
    CHECK_FAILS(CAIRN_STATUS_WAIT_TIMEOUT,
                cairn_store_wait_message(store, CAIRN_STR("w"), 0, 0, 20, &error));
    fill(store, "w", 0, 2);
    CHECK_OK(cairn_store_wait_message(store, CAIRN_STR("w"), 0, 1, CAIRN_WAIT_FOREVER, &error));
    CHECK_FAILS(CAIRN_STATUS_WAIT_TIMEOUT,
                cairn_store_wait_message(store, CAIRN_STR("w"), 0, 2, 0, &error));
    CHECK_FAILS(CAIRN_STATUS_WAIT_TIMEOUT,
                cairn_store_wait_message(store, CAIRN_STR("w"), 0, INT64_MAX, 1, &error));
    CHECK_FAILS(CAIRN_STATUS_WAIT_TIMEOUT,
                cairn_store_wait_dispatched(store, INT64_MAX, 20, &error));
    CHECK_OK(cairn_store_wait_dispatched(store, 0, 0, &error));
    INVALID(cairn_store_wait_dispatched(store, -1, 0, &error));
    INVALID(cairn_store_wait_message(store, CAIRN_STR("w"), 0, INT64_MIN, 0, &error));
    CHECK_FAILS(CAIRN_STATUS_QUEUE_ID_ILLEGAL,
                cairn_store_wait_message(store, CAIRN_STR("w"), -1, 0, 0, &error));
    CHECK_FAILS(CAIRN_STATUS_TOPIC_EMPTY,
                cairn_store_wait_message(store, CAIRN_STR(""), 0, 0, 0, &error));
    CHECK_FAILS(CAIRN_STATUS_TOPIC_ILLEGAL,
                cairn_store_wait_message(store, CAIRN_STR("a/b"), 0, 0, 0, &error));
    cairn_read_request request = request_of("\xff", 0, 0);
    cairn_batch *batch = NULL;
    CHECK_FAILS(CAIRN_STATUS_TOPIC_ILLEGAL, cairn_store_read(store, &request, &batch, &error));
    CHECK(strcmp(cairn_read_outcome_name(CAIRN_READ_OUTCOME_FOUND), "FOUND") == 0);
    CHECK(strcmp(cairn_read_outcome_name(-7), "UNKNOWN") == 0);

    // After closing nothing is read or waited for any more.
    CHECK_OK(cairn_store_close(store, &error));
    request = request_of("w", 0, 0);
    int64_t offset = 0;
    const cairn_status closed = CAIRN_STATUS_STORE_CLOSED;
    CHECK_FAILS(closed, cairn_store_read(store, &request, &batch, &error));
    CHECK_FAILS(closed, cairn_store_wait_message(store, CAIRN_STR("w"), 0, 0, 0, &error));
    CHECK_FAILS(closed, cairn_store_wait_dispatched(store, 0, 0, &error));
    CHECK_FAILS(closed,
                cairn_store_queue_range(store, CAIRN_STR("w"), 0, &offset, &offset, &error));
    CHECK_FAILS(closed, cairn_store_query_key(store, CAIRN_STR("w"), CAIRN_STR("k"), 0, 1, 1,
                                              &batch, &error));
    cairn_store_free(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    outcomes(directory);
    outcomes_of_missing_files(directory);
    filters(directory);
    keys_and_ids(directory);
    ranges_times_and_lists(directory);
    older_and_newer_requests(directory);
    stores_without_queues_or_index(directory);
    waits(directory);
    return 0;
}
