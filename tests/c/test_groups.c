// Consumer groups: queues are divided, what one member drops goes to another, failures end in the
// dead-letter topic, offsets survive, and the end of a store ends polls.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)
#define INVALID_STATUS(call) CHECK_STATUS(CAIRN_STATUS_INVALID_ARGUMENT, call)

enum { QUEUES = 4, COUNT = 40, LONG_MS = 20000 };

// Opens a store whose delays are over at once.
static cairn_store *open_quick(const char *directory, const char *name) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_options_set(options, CAIRN_STR("message_delay_level"), CAIRN_STR("0s 0s 0s"),
                               &error));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    cairn_options_free(options);
    return store;
}

static void fill(cairn_store *store, const char *topic, int begin, int end) {
    cairn_error *error = NULL;
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    for (int number = begin; number < end; number++) {
        char body[16];
        snprintf(body, sizeof body, "%d", number);
        cairn_message message = message_of(topic, body);
        message.queue_id = number % QUEUES;
        CHECK_OK(cairn_store_append(store, &message, &result, &error));
    }
    CHECK_OK(cairn_store_wait_dispatched(store, result.end_offset, LONG_MS, &error));
}

static cairn_consumer_options *from_first(const char *topic) {
    cairn_error *error = NULL;
    cairn_consumer_options *options = cairn_consumer_options_new();
    CHECK_OK(cairn_consumer_options_subscribe(options, cairn_str_from(topic), NULL, &error));
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_consumer_options_set_start_from(options, CAIRN_START_FROM_FIRST, 0));
    return options;
}

static cairn_consumer *join(cairn_store *store, cairn_consumer_options *options) {
    cairn_error *error = NULL;
    cairn_consumer *consumer = NULL;
    CHECK_OK(cairn_consumer_open(store, CAIRN_STR("g"), options, &consumer, &error));
    cairn_consumer_options_free(options);
    return consumer;
}

static cairn_batch *poll(const cairn_consumer *consumer, size_t max_messages, uint64_t timeout_ms) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    CHECK_OK(cairn_consumer_poll(consumer, max_messages, timeout_ms, &batch, &error));
    CHECK(cairn_batch_len(batch) <= max_messages && cairn_batch_next_offset(batch) == -1);
    CHECK((cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_FOUND) == (cairn_batch_len(batch) > 0));
    return batch;
}

static int number_at(const cairn_batch *batch, size_t index) {
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    char body[16] = {0};
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, index, &view));
    CHECK(view.body.length < sizeof body);
    memcpy(body, view.body.data, view.body.length);
    return atoi(body);
}

// Takes and acknowledges `count` messages, and counts each.
static void take(const cairn_consumer *consumer, int count, int *seen) {
    cairn_error *error = NULL;
    while (count > 0) {
        cairn_batch *batch = poll(consumer, (size_t)count, LONG_MS);
        size_t length = cairn_batch_len(batch);
        CHECK(length > 0);
        for (size_t index = 0; index < length; index++) {
            bool done = false;
            seen[number_at(batch, index)]++;
            CHECK(cairn_delivery_topic(batch, index).length > 0);
            CHECK_OK(cairn_delivery_acknowledge(consumer, batch, index, &done, &error));
            CHECK(done);
            CHECK_OK(cairn_delivery_acknowledge(consumer, batch, index, &done, &error));
            CHECK(!done);
        }
        count -= (int)length;
        cairn_batch_free(batch);
    }
}

static size_t assigned(const cairn_consumer *consumer) {
    cairn_error *error = NULL;
    cairn_assigned_queues *queues = NULL;
    CHECK_OK(cairn_consumer_assigned(consumer, &queues, &error));
    size_t length = cairn_assigned_queues_len(queues);
    cairn_assigned_queue queue = CAIRN_ASSIGNED_QUEUE_INIT;
    for (size_t index = 0; index < length; index++) {
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_assigned_queues_get(queues, index, &queue));
        CHECK(same_text(queue.topic, "t") && queue.queue_id >= 0 && queue.queue_id < QUEUES);
    }
    INVALID_STATUS(cairn_assigned_queues_get(queues, length, &queue));
    queue.struct_size = 4;
    INVALID_STATUS(cairn_assigned_queues_get(queues, 0, &queue));
    cairn_assigned_queues_free(queues);
    return length;
}

static void a_member_takes_over_what_another_dropped(const char *directory) {
    cairn_store *store = open_quick(directory, "members");
    fill(store, "t", 0, COUNT);
    cairn_consumer *one = join(store, from_first("t"));
    cairn_consumer *two = join(store, from_first("t"));
    CHECK(assigned(one) == QUEUES / 2 && assigned(two) == QUEUES / 2);
    int seen[COUNT] = {0};
    take(one, COUNT / 2, seen);
    cairn_batch *dropped = poll(two, 10, LONG_MS);
    CHECK(cairn_batch_len(dropped) > 0);
    // A message belongs to whoever got it.
    cairn_error *error = NULL;
    INVALID(cairn_delivery_acknowledge(one, dropped, 0, NULL, &error));
    INVALID(cairn_delivery_retry_later(one, dropped, 0, NULL, &error));
    INVALID(cairn_delivery_acknowledge(two, dropped, cairn_batch_len(dropped), NULL, &error));
    cairn_consumer_free(two);
    CHECK(assigned(one) == QUEUES);
    CHECK(number_at(dropped, 0) % QUEUES >= QUEUES / 2);
    take(one, COUNT / 2, seen);
    for (int number = 0; number < COUNT; number++) {
        CHECK(seen[number] == 1);
    }
    cairn_batch *none = poll(one, 1, 0);
    CHECK(cairn_batch_len(none) == 0);
    cairn_batch_free(none);
    // A batch of no consumer has no deliveries.
    CHECK_OK(cairn_store_read_at(store, 0, &none, &error));
    CHECK(cairn_delivery_topic(none, 0).data == NULL);
    INVALID(cairn_delivery_acknowledge(one, none, 0, NULL, &error));
    cairn_batch_free(none);
    cairn_batch_free(dropped);
    cairn_consumer_free(one);
    close_store(store);
}

static void a_failing_message_ends_in_the_dead_letter_topic(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_quick(directory, "retried");
    fill(store, "t", 0, 1);
    cairn_consumer_options *options = from_first("t");
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_consumer_options_set_max_reconsume_times(options, 2));
    cairn_consumer *consumer = join(store, options);
    for (int attempt = 0; attempt < 3; attempt++) {
        bool done = false;
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        cairn_batch *batch = poll(consumer, 5, LONG_MS);
        CHECK(cairn_batch_len(batch) == 1);
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
        CHECK(view.reconsume_times == attempt && same_bytes(view.body, "0"));
        CHECK(same_text(view.topic, attempt == 0 ? "t" : "%RETRY%g"));
        CHECK(same_text(cairn_delivery_topic(batch, 0), "t"));
        CHECK_OK(cairn_delivery_retry_later(consumer, batch, 0, &done, &error));
        CHECK(done);
        CHECK_OK(cairn_delivery_retry_later(consumer, batch, 0, &done, &error));
        CHECK(!done);
        cairn_batch_free(batch);
    }
    CHECK_OK(cairn_store_wait_message(store, CAIRN_STR("%DLQ%g"), 0, 0, LONG_MS, &error));
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    cairn_batch *dead = NULL;
    request.topic = CAIRN_STR("%DLQ%g");
    CHECK_OK(cairn_store_read(store, &request, &dead, &error));
    CHECK(cairn_batch_len(dead) == 1 && number_at(dead, 0) == 0);
    cairn_batch_free(dead);
    cairn_consumer_free(consumer);
    close_store(store);
}

static void offsets_are_told_set_and_kept(const char *directory) {
    cairn_error *error = NULL;
    cairn_groups *groups = NULL;
    cairn_group_progress *progress = NULL;
    int64_t offset = 0;
    bool moved = false;
    int seen[COUNT] = {0};
    cairn_store *store = open_quick(directory, "offsets");
    fill(store, "t", 0, COUNT);
    CHECK_OK(cairn_store_groups(store, &groups, &error));
    CHECK(cairn_groups_len(groups) == 0);
    cairn_groups_free(groups);
    cairn_consumer *consumer = join(store, from_first("t"));
    take(consumer, COUNT, seen);
    CHECK_OK(cairn_consumer_seek(consumer, CAIRN_STR("t"), 1, 7, &moved, &error));
    CHECK(moved);
    CHECK_OK(cairn_consumer_seek(consumer, CAIRN_STR("t"), QUEUES, 0, &moved, &error));
    CHECK(!moved);
    INVALID(cairn_consumer_seek(consumer, CAIRN_STR("t"), 1, -1, &moved, &error));
    CHECK_OK(cairn_consumer_commit(consumer, &error));
    cairn_consumer_free(consumer);
    CHECK_OK(cairn_store_commit_offset(store, CAIRN_STR("h"), CAIRN_STR("t"), 0, 4, &error));
    CHECK_FAILS(CAIRN_STATUS_OFFSET_OUT_OF_RANGE,
                cairn_store_commit_offset(store, CAIRN_STR("h"), CAIRN_STR("t"), 0, 11, &error));
    CHECK_FAILS(CAIRN_STATUS_GROUP_ILLEGAL,
                cairn_store_commit_offset(store, CAIRN_STR("a b"), CAIRN_STR("t"), 0, 1, &error));
    INVALID(cairn_store_commit_offset(store, CAIRN_STR("h"), CAIRN_STR("t"), 0, -1, &error));
    CHECK_OK(cairn_store_persist_offsets(store, &error));
    close_store(store);

    store = open_quick(directory, "offsets");
    CHECK_OK(cairn_store_groups(store, &groups, &error));
    CHECK(cairn_groups_len(groups) == 2 && same_text(cairn_groups_get(groups, 0), "g"));
    CHECK(same_text(cairn_groups_get(groups, 1), "h") && cairn_groups_get(groups, 2).length == 0);
    CHECK_OK(cairn_store_consumer_offset(store, CAIRN_STR("h"), CAIRN_STR("t"), 0, &offset,
                                         &error));
    CHECK(offset == 4);
    CHECK_OK(cairn_store_consumer_offset(store, CAIRN_STR("h"), CAIRN_STR("t"), 1, &offset,
                                         &error));
    CHECK(offset == -1);
    CHECK_OK(cairn_store_group_progress(store, CAIRN_STR("g"), &progress, &error));
    CHECK(cairn_group_progress_len(progress) == QUEUES);
    cairn_queue_progress queue = CAIRN_QUEUE_PROGRESS_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_group_progress_get(progress, 1, &queue));
    CHECK(same_text(queue.topic, "t") && queue.queue_id == 1 && queue.committed == 7);
    CHECK(queue.min_offset == 0 && queue.max_offset == COUNT / QUEUES && queue.lag == 3);
    INVALID_STATUS(cairn_group_progress_get(progress, QUEUES, &queue));
    // An older program's struct ends before what it does not know.
    memset(&queue, 0x5A, sizeof queue);
    queue.struct_size = (uint32_t)offsetof(cairn_queue_progress, min_offset);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_group_progress_get(progress, 1, &queue));
    CHECK(queue.committed == 7 && queue.min_offset == 0x5A5A5A5A5A5A5A5A);
    queue.struct_size = 8;
    INVALID_STATUS(cairn_group_progress_get(progress, 1, &queue));
    cairn_group_progress_free(progress);
    cairn_groups_free(groups);
    // What was sought comes again, and only that.
    memset(seen, 0, sizeof seen);
    consumer = join(store, from_first("t"));
    take(consumer, 3, seen);
    CHECK(seen[29] == 1 && seen[33] == 1 && seen[37] == 1);
    cairn_consumer_free(consumer);
    close_store(store);
}

static void options_are_kept_and_checked(const char *directory) {
    cairn_error *error = NULL;
    cairn_filter *filter = NULL;
    cairn_consumer *consumer = NULL;
    cairn_store *store = open_quick(directory, "options");
    cairn_consumer_options *options = cairn_consumer_options_new();
    const int32_t wrong[] = {-1, 3, INT32_MIN, INT32_MAX};
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        INVALID_STATUS(cairn_consumer_options_set_mode(options, wrong[index]));
        INVALID_STATUS(cairn_consumer_options_set_order(options, wrong[index]));
        INVALID_STATUS(cairn_consumer_options_set_start_from(options, wrong[index], 0));
    }
    INVALID_STATUS(cairn_consumer_options_set_max_in_hand(options, 0));
    INVALID_STATUS(cairn_consumer_options_set_max_reconsume_times(options, -1));
    INVALID(cairn_consumer_open(store, CAIRN_STR("g"), options, &consumer, &error));
    CHECK_OK(cairn_filter_from_sql(CAIRN_STR("TAGS IS NULL"), &filter, &error));
    CHECK_OK(cairn_consumer_options_subscribe(options, CAIRN_STR("t"), filter, &error));
    cairn_filter_free(filter);
    CHECK_FAILS(CAIRN_STATUS_GROUP_ILLEGAL,
                cairn_consumer_open(store, CAIRN_STR(""), options, &consumer, &error));
    CHECK(consumer == NULL);
    // Orderly, one at a time: the next comes when the one before is acknowledged. The longest
    // times that can be said are no trouble.
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_consumer_options_set_mode(
                                      options, CAIRN_CONSUME_MODE_BROADCASTING));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_consumer_options_set_order(
                                      options, CAIRN_CONSUME_ORDER_ORDERLY));
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_consumer_options_set_start_from(options, CAIRN_START_FROM_TIMESTAMP, 0));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_consumer_options_set_max_in_hand(options, 1));
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_consumer_options_set_consume_timeout_ms(options, UINT64_MAX));
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_consumer_options_set_suspend_queue_ms(options, UINT64_MAX));
    fill(store, "t", 0, 1);
    fill(store, "t", 4, 5);
    consumer = join(store, options);
    cairn_batch *first = poll(consumer, 9, LONG_MS);
    cairn_batch *nothing = poll(consumer, 9, 20);
    CHECK(cairn_batch_len(first) == 1 && cairn_batch_len(nothing) == 0);
    CHECK_OK(cairn_delivery_acknowledge(consumer, first, 0, NULL, &error));
    cairn_batch *second = poll(consumer, 9, LONG_MS);
    CHECK(number_at(first, 0) == 0 && number_at(second, 0) == 4);
    CHECK_OK(cairn_delivery_retry_later(consumer, second, 0, NULL, &error));
    cairn_batch_free(first);
    cairn_batch_free(second);
    cairn_batch_free(nothing);
    cairn_consumer_free(consumer);
    close_store(store);
}

typedef struct waiter {
    cairn_consumer *consumer;
    atomic_bool waiting;
} waiter;

static void *poll_until_closed(void *argument) {
    waiter *own = argument;
    for (;;) {
        cairn_error *error = NULL;
        cairn_batch *batch = NULL;
        atomic_store(&own->waiting, true);
        cairn_status status =
            cairn_consumer_poll(own->consumer, 1, CAIRN_WAIT_FOREVER, &batch, &error);
        if (status != CAIRN_STATUS_OK) {
            check_fails(CAIRN_STATUS_STORE_CLOSED, status, &error, "poll", __FILE__, __LINE__);
            return NULL;
        }
        bool closed = cairn_consumer_is_closed(own->consumer);
        CHECK(closed || cairn_batch_len(batch) == 0);
        cairn_batch_free(batch);
        if (closed) {
            return NULL;
        }
    }
}

static void closing_ends_a_poll(const char *directory, bool close_the_store) {
    cairn_error *error = NULL;
    cairn_store *store = open_quick(directory, "ended");
    waiter own = {join(store, from_first("none")), false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, poll_until_closed, &own) == 0);
    while (!atomic_load(&own.waiting)) {
    }
    struct timespec pause = {0, 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    if (close_the_store) {
        cairn_store_free(store);
    } else {
        CHECK_OK(cairn_consumer_close(own.consumer, &error));
        CHECK_OK(cairn_consumer_close(own.consumer, &error));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    if (close_the_store) {
        // Nothing of the files is touched any more: they may be somebody else's.
        bool moved = false;
        cairn_assigned_queues *queues = NULL;
        const cairn_consumer *left = own.consumer;
        CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_consumer_commit(left, &error));
        CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_consumer_assigned(left, &queues, &error));
        CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                    cairn_consumer_seek(left, CAIRN_STR("t"), 0, 0, &moved, &error));
        CHECK_OK(cairn_consumer_close(left, &error));
    } else {
        close_store(store);
    }
    cairn_consumer_free(own.consumer);
}

static void *wait_for_dispatch(void *store) {
    cairn_error *error = NULL;
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                cairn_store_wait_dispatched(store, 1 << 20, CAIRN_WAIT_FOREVER, &error));
    return NULL;
}

static void closing_ends_a_wait_for_dispatch(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_quick(directory, "dispatch");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_dispatch, store) == 0);
    struct timespec pause = {0, 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    CHECK_OK(cairn_store_close(store, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    cairn_store_free(store);
}

static void a_forked_child_has_no_consumer(const char *directory) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_store *store = open_quick(directory, "forked");
    cairn_consumer *consumer = join(store, from_first("t"));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(CAIRN_STATUS_FORKED, cairn_consumer_poll(consumer, 1, 0, &batch, &error));
        CHECK_FAILS(CAIRN_STATUS_FORKED, cairn_consumer_commit(consumer, &error));
        CHECK_FAILS(CAIRN_STATUS_FORKED, cairn_consumer_close(consumer, &error));
        cairn_consumer_free(consumer);
        cairn_store_free(store);
        _exit(0);
    }
    int ended = -1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    int seen[1] = {0};
    fill(store, "t", 0, 1);
    take(consumer, 1, seen);
    cairn_consumer_free(consumer);
    close_store(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    a_member_takes_over_what_another_dropped(directory);
    a_failing_message_ends_in_the_dead_letter_topic(directory);
    offsets_are_told_set_and_kept(directory);
    options_are_kept_and_checked(directory);
    closing_ends_a_poll(directory, false);
    closing_ends_a_poll(directory, true);
    closing_ends_a_wait_for_dispatch(directory);
    a_forked_child_has_no_consumer(directory);
    return 0;
}
