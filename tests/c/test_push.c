// Push consumers: a callback that fails gets its message again, may use the library, cannot close
// its own consumer, and is not called after the end.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)

enum { COUNT = 50 };

typedef struct listener {
    cairn_store *store;
    _Atomic(cairn_push_consumer *) push;
    atomic_int calls;
    atomic_int done;
    atomic_int seen[COUNT];
    atomic_bool ended;
} listener;

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

static void append(cairn_store *store, const char *topic, int number) {
    cairn_error *error = NULL;
    char body[16];
    snprintf(body, sizeof body, "%d", number);
    cairn_message message = message_of(topic, body);
    message.queue_id = number % 3;
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
}

// Fails with every message that comes for the first time, appends to another topic with the others,
// and tries to close its own consumer.
static int32_t process(const cairn_batch *batch, void *user_data) {
    listener *own = user_data;
    cairn_error *error = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    char body[16] = {0};
    CHECK(!atomic_load(&own->ended));
    atomic_fetch_add(&own->calls, 1);
    CHECK(cairn_batch_len(batch) == 1);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(same_text(cairn_delivery_topic(batch, 0), "t") && view.body.length < sizeof body);
    memcpy(body, view.body.data, view.body.length);
    while (atomic_load(&own->push) == NULL) {
        sched_yield();
    }
    INVALID(cairn_push_consumer_close(atomic_load(&own->push), &error));
    if (view.reconsume_times == 0) {
        // Any number that is no success is a failure.
        return atoi(body) % 2 == 0 ? CAIRN_CONSUME_STATUS_RETRY_LATER : -7;
    }
    append(own->store, "answers", atoi(body));
    atomic_fetch_add(&own->seen[atoi(body)], 1);
    atomic_fetch_add(&own->done, 1);
    return CAIRN_CONSUME_STATUS_SUCCESS;
}

static cairn_consumer_options *from_first(void) {
    cairn_error *error = NULL;
    cairn_consumer_options *options = cairn_consumer_options_new();
    CHECK_OK(cairn_consumer_options_subscribe(options, CAIRN_STR("t"), NULL, &error));
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_consumer_options_set_start_from(options, CAIRN_START_FROM_FIRST, 0));
    return options;
}

static void start_push(listener *own, size_t threads) {
    cairn_error *error = NULL;
    cairn_push_consumer *push = NULL;
    cairn_consumer_options *options = from_first();
    CHECK_OK(cairn_push_consumer_start(own->store, CAIRN_STR("g"), options, process, own, threads,
                                       0, &push, &error));
    atomic_store(&own->push, push);
    INVALID(cairn_push_consumer_start(own->store, CAIRN_STR("g"), options, process, own, 1025, 1,
                                      &push, &error));
    CHECK(push == NULL);
    INVALID(cairn_push_consumer_start(own->store, CAIRN_STR("g"), options, NULL, own, 1, 1, &push,
                                      &error));
    cairn_consumer_options_free(options);
}

static void what_fails_comes_again(const char *directory, size_t threads) {
    cairn_error *error = NULL;
    cairn_store *store = open_quick(directory, threads == 1 ? "one" : "several");
    listener *own = calloc(1, sizeof *own);
    CHECK(own != NULL);
    own->store = store;
    start_push(own, threads);
    for (int number = 0; number < COUNT; number++) {
        append(store, "t", number);
    }
    while (atomic_load(&own->done) < COUNT) {
        sched_yield();
    }
    CHECK_OK(cairn_push_consumer_close(atomic_load(&own->push), &error));
    CHECK_OK(cairn_push_consumer_close(atomic_load(&own->push), &error));
    atomic_store(&own->ended, true);
    append(store, "t", 0);
    for (int number = 0; number < COUNT; number++) {
        CHECK(atomic_load(&own->seen[number]) == 1);
    }
    CHECK(atomic_load(&own->calls) == 2 * COUNT);
    cairn_push_consumer_free(atomic_load(&own->push));
    close_store(store);
    free(own);
}

// The store may end first; the consumer is freed afterwards, also in a child that has none of its
// threads.
static void the_store_may_end_first(const char *directory) {
    cairn_error *error = NULL;
    listener *own = calloc(1, sizeof *own);
    CHECK(own != NULL);
    own->store = open_quick(directory, "ended");
    start_push(own, 3);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(CAIRN_STATUS_FORKED,
                    cairn_push_consumer_close(atomic_load(&own->push), &error));
        cairn_push_consumer_free(atomic_load(&own->push));
        cairn_store_free(own->store);
        _exit(0);
    }
    int ended = -1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    close_store(own->store);
    cairn_push_consumer_free(atomic_load(&own->push));
    CHECK(atomic_load(&own->calls) == 0);
    free(own);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    what_fails_comes_again(directory, 1);
    what_fails_comes_again(directory, 5);
    the_store_may_end_first(directory);
    return 0;
}
