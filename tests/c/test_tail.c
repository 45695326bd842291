// Tails and waits: everything arrives once and in order, also when several threads share a tail;
// waits end in time and when the store is closed or freed; batches outlive both.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)

enum { COUNT = 2000, THREADS = 3 };

static void start(pthread_t *thread, void *(*run)(void *), void *argument) {
    CHECK(pthread_create(thread, NULL, run, argument) == 0);
}

static int64_t now_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static cairn_tail *open_tail(const cairn_store *store, const char *topic, int64_t from,
                             const cairn_filter *filter) {
    cairn_error *error = NULL;
    cairn_tail *tail = NULL;
    CHECK_OK(cairn_tail_open(store, cairn_str_from(topic), 0, from, filter, &tail, &error));
    return tail;
}

static cairn_batch *next_batch(const cairn_tail *tail, size_t max_messages, uint64_t timeout_ms) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    CHECK_OK(cairn_tail_next(tail, max_messages, timeout_ms, &batch, &error));
    return batch;
}

static void expect_nothing(const cairn_tail *tail, uint64_t timeout_ms) {
    cairn_batch *batch = next_batch(tail, 5, timeout_ms);
    CHECK(cairn_batch_len(batch) == 0);
    CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE);
    CHECK(cairn_batch_next_offset(batch) == cairn_tail_offset(tail));
    cairn_batch_free(batch);
}

static void append_numbered(cairn_store *store, const char *topic, int number) {
    cairn_error *error = NULL;
    char body[16];
    snprintf(body, sizeof body, "%d", number);
    cairn_message message = message_of(topic, body);
    message.tag = number % 2 == 0 ? CAIRN_STR("even") : CAIRN_STR("odd");
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
}

static void *append_all(void *argument) {
    for (int number = 0; number < COUNT; number++) {
        append_numbered(argument, "shared", number);
    }
    return NULL;
}

typedef struct sharer {
    const cairn_tail *tail;
    atomic_int *seen;
    atomic_int *total;
} sharer;

static void *read_shared(void *argument) {
    const sharer *own = argument;
    int64_t last = -1;
    while (atomic_load(own->total) < COUNT) {
        cairn_batch *batch = next_batch(own->tail, 7, 20);
        size_t length = cairn_batch_len(batch);
        CHECK(length <= 7);
        for (size_t index = 0; index < length; index++) {
            cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
            char body[16] = {0};
            CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, index, &view));
            CHECK(view.queue_offset > last && view.body.length < sizeof body);
            last = view.queue_offset;
            memcpy(body, view.body.data, view.body.length);
            CHECK(atoi(body) == view.queue_offset);
            atomic_fetch_add(&own->seen[view.queue_offset], 1);
            CHECK(cairn_batch_max_offset(batch) > view.queue_offset);
        }
        atomic_fetch_add(own->total, (int)length);
        cairn_batch_free(batch);
    }
    return NULL;
}

static void a_shared_tail_gives_each_message_once(const char *directory) {
    cairn_store *store = open_store(directory, "shared");
    cairn_tail *tail = open_tail(store, "shared", 0, NULL);
    atomic_int *seen = calloc(COUNT, sizeof *seen);
    atomic_int total = 0;
    CHECK(seen != NULL);
    sharer shared = {tail, seen, &total};
    pthread_t writer;
    pthread_t readers[THREADS];
    for (int index = 0; index < THREADS; index++) {
        start(&readers[index], read_shared, &shared);
    }
    start(&writer, append_all, store);
    CHECK(pthread_join(writer, NULL) == 0);
    for (int index = 0; index < THREADS; index++) {
        CHECK(pthread_join(readers[index], NULL) == 0);
    }
    for (int number = 0; number < COUNT; number++) {
        CHECK(atomic_load(&seen[number]) == 1);
    }
    CHECK(cairn_tail_offset(tail) == COUNT);
    free(seen);
    cairn_tail_free(tail);
    close_store(store);
}

static void filters_offsets_and_limits(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "filtered");
    cairn_filter *filter = NULL;
    CHECK_OK(cairn_filter_from_tags(CAIRN_STR("even"), &filter, &error));
    cairn_tail *tail = open_tail(store, "filtered", 1, filter);
    // The tail keeps what it needs.
    cairn_filter_free(filter);
    CHECK(cairn_tail_offset(tail) == 1);
    expect_nothing(tail, 0);
    for (int number = 0; number < 10; number++) {
        append_numbered(store, "filtered", number);
    }
    CHECK_OK(cairn_store_wait_message(store, CAIRN_STR("filtered"), 0, 9, 10000, &error));
    cairn_batch *one = next_batch(tail, 1, CAIRN_WAIT_FOREVER);
    cairn_batch *rest = next_batch(tail, SIZE_MAX, 10000);
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK(cairn_batch_len(one) == 1 && cairn_batch_outcome(one) == CAIRN_READ_OUTCOME_FOUND);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(one, 0, &view));
    CHECK(same_bytes(view.body, "2") && cairn_batch_next_offset(one) == 4);
    CHECK(cairn_batch_min_offset(one) == 0 && cairn_batch_max_offset(one) == 10);
    CHECK(cairn_batch_len(rest) == 3 && cairn_batch_next_offset(rest) == 10);
    CHECK(cairn_tail_offset(tail) == 10);
    // The wait is as long as it was told, more or less.
    int64_t begin = now_ms();
    expect_nothing(tail, 60);
    int64_t took = now_ms() - begin;
    CHECK(took >= 55 && took < 10000);
    cairn_tail *last = open_tail(store, "filtered", INT64_MAX, NULL);
    expect_nothing(last, 1);
    cairn_tail_free(last);

    tail = (cairn_tail_free(tail), NULL);
    INVALID(cairn_tail_open(store, CAIRN_STR("t"), 0, -1, NULL, &tail, &error));
    INVALID(cairn_tail_open(store, CAIRN_STR("t"), 0, INT64_MIN, NULL, &tail, &error));
    CHECK_FAILS(CAIRN_STATUS_QUEUE_ID_ILLEGAL,
                cairn_tail_open(store, CAIRN_STR("t"), -1, 0, NULL, &tail, &error));
    CHECK_FAILS(CAIRN_STATUS_TOPIC_ILLEGAL,
                cairn_tail_open(store, CAIRN_STR("a b"), 0, 0, NULL, &tail, &error));
    CHECK(tail == NULL);
    // Batches outlive tail and store.
    cairn_store_free(store);
    CHECK(same_bytes(view.body, "2") && same_text(view.tag, "even"));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(rest, 2, &view));
    CHECK(same_bytes(view.body, "8"));
    cairn_batch_free(one);
    cairn_batch_free(rest);
}

typedef struct waiter {
    cairn_tail *tail;
    atomic_bool waiting;
} waiter;

// Reads until the store is closed; nothing else may come.
static void *read_until_closed(void *argument) {
    waiter *own = argument;
    for (;;) {
        cairn_error *error = NULL;
        cairn_batch *batch = NULL;
        atomic_store(&own->waiting, true);
        cairn_status status = cairn_tail_next(own->tail, 3, CAIRN_WAIT_FOREVER, &batch, &error);
        if (status != CAIRN_STATUS_OK) {
            CHECK(batch == NULL);
            check_fails(CAIRN_STATUS_STORE_CLOSED, status, &error, "next", __FILE__, __LINE__);
            return NULL;
        }
        cairn_batch_free(batch);
    }
}

// Closing, and freeing without closing, ends the waits and gives up the lock, in the middle of
// reading too.
static void the_end_of_the_store_ends_a_wait(const char *directory, bool close_first, bool busy) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "ended");
    cairn_tail *tail = open_tail(store, "ended", 0, NULL);
    pthread_t threads[THREADS];
    waiter waiters[THREADS];
    for (int number = 0; busy && number < 300; number++) {
        append_numbered(store, "ended", number);
    }
    for (int index = 0; index < THREADS; index++) {
        waiters[index].tail = tail;
        atomic_init(&waiters[index].waiting, false);
        start(&threads[index], read_until_closed, &waiters[index]);
    }
    for (int index = 0; index < THREADS; index++) {
        while (!atomic_load(&waiters[index].waiting)) {
        }
    }
    if (close_first) {
        CHECK_OK(cairn_store_close(store, &error));
    }
    cairn_store_free(store);
    // The lock is free at once, whatever the waiting threads still do.
    store = open_store(directory, "ended");
    for (int index = 0; index < THREADS; index++) {
        CHECK(pthread_join(threads[index], NULL) == 0);
    }
    cairn_batch *batch = NULL;
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_tail_next(tail, 1, 0, &batch, &error));
    CHECK(batch == NULL);
    cairn_tail_free(tail);
    close_store(store);
}

// As read_until_closed, without waiting, so that the end comes in the middle of a call.
static void *poll_until_closed(void *argument) {
    waiter *own = argument;
    for (;;) {
        cairn_error *error = NULL;
        cairn_batch *batch = NULL;
        cairn_status status = cairn_tail_next(own->tail, 1, 0, &batch, &error);
        atomic_store(&own->waiting, true);
        if (status != CAIRN_STATUS_OK) {
            check_fails(CAIRN_STATUS_STORE_CLOSED, status, &error, "next", __FILE__, __LINE__);
            return NULL;
        }
        cairn_batch_free(batch);
    }
}

static void a_busy_tail_lets_its_store_end(const char *directory) {
    enum { ROUNDS = 25 };
    cairn_store *store = open_store(directory, "busy");
    for (int number = 0; number < COUNT; number++) {
        append_numbered(store, "busy", number);
    }
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        waiter waiters[THREADS];
        for (int index = 0; index < THREADS; index++) {
            waiters[index].tail = open_tail(store, "busy", 0, NULL);
            atomic_init(&waiters[index].waiting, false);
            start(&threads[index], poll_until_closed, &waiters[index]);
        }
        for (int index = 0; index < THREADS; index++) {
            while (!atomic_load(&waiters[index].waiting)) {
            }
        }
        cairn_store_free(store);
        // The lock is free at once.
        store = open_store(directory, "busy");
        for (int index = 0; index < THREADS; index++) {
            CHECK(pthread_join(threads[index], NULL) == 0);
            cairn_tail_free(waiters[index].tail);
        }
    }
    close_store(store);
}

static void *wait_for_a_message(void *store) {
    cairn_error *error = NULL;
    CHECK_FAILS(
        CAIRN_STATUS_STORE_CLOSED,
        cairn_store_wait_message(store, CAIRN_STR("none"), 0, 0, CAIRN_WAIT_FOREVER, &error));
    return NULL;
}

static void closing_ends_a_wait_for_a_message(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "message");
    pthread_t thread;
    start(&thread, wait_for_a_message, store);
    struct timespec pause = {0, 30 * 1000 * 1000};
    nanosleep(&pause, NULL);
    CHECK_OK(cairn_store_close(store, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    cairn_store_free(store);
}

static void a_forked_child_cannot_follow(const char *directory) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_store *store = open_store(directory, "forked");
    cairn_tail *tail = open_tail(store, "forked", 0, NULL);
    append_numbered(store, "forked", 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(CAIRN_STATUS_FORKED,
                    cairn_tail_next(tail, 1, CAIRN_WAIT_FOREVER, &batch, &error));
        cairn_tail_free(tail);
        cairn_store_free(store);
        _exit(0);
    }
    int ended = -1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    batch = next_batch(tail, 1, 10000);
    CHECK(cairn_batch_len(batch) == 1);
    cairn_batch_free(batch);
    cairn_tail_free(tail);
    close_store(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    a_shared_tail_gives_each_message_once(directory);
    filters_offsets_and_limits(directory);
    for (int round = 0; round < 8; round++) {
        the_end_of_the_store_ends_a_wait(directory, round % 2 == 0, round >= 4);
    }
    a_busy_tail_lets_its_store_end(directory);
    closing_ends_a_wait_for_a_message(directory);
    a_forked_child_cannot_follow(directory);
    return 0;
}
