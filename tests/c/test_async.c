// Callbacks and threads: each callback runs exactly once, appends from many threads all arrive, a
// follower sees everything, closing in the middle of it all is safe, and so is logging.
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { THREADS = 4, PER_THREAD = 500 };

// What one append is known by.
typedef struct ticket {
    atomic_int calls;
    atomic_int status;
    atomic_llong physical_offset;
} ticket;

static void completed(cairn_status status, const cairn_append_result *result,
                      const cairn_error *error, void *user_data) {
    ticket *own = user_data;
    CHECK((status == CAIRN_STATUS_OK) == (error == NULL));
    CHECK(error == NULL || cairn_error_status(error) == status);
    if (result != NULL) {
        CHECK(result->struct_size == sizeof *result);
        atomic_store(&own->physical_offset, result->physical_offset);
    }
    atomic_store(&own->status, (int)status);
    atomic_fetch_add(&own->calls, 1);
}

static void start(pthread_t *thread, void *(*run)(void *), void *argument) {
    CHECK(pthread_create(thread, NULL, run, argument) == 0);
}

typedef struct appender {
    cairn_store *store;
    cairn_queue *queue;
    ticket *tickets;
    int accepted;
} appender;

static void *append_without_waiting(void *argument) {
    appender *own = argument;
    cairn_error *error = NULL;
    for (int number = 0; number < PER_THREAD; number++) {
        cairn_message message = message_of("async", "body");
        ticket *mine = &own->tickets[number];
        cairn_status status =
            number % 2 == 0
                ? cairn_store_append_async(own->store, &message, completed, mine, &error)
                : cairn_queue_append_async(own->queue, &message, completed, mine, &error);
        if (status == CAIRN_STATUS_OK) {
            own->accepted++;
        } else {
            // Only because the store was closed meanwhile, and then there is no callback.
            CHECK(status == CAIRN_STATUS_STORE_CLOSED);
            cairn_error_free(error);
            atomic_store(&mine->status, -1);
        }
    }
    return NULL;
}

static cairn_store *open_sync_store(const char *directory, const char *name) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_flush_mode(options, CAIRN_FLUSH_MODE_SYNC));
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    cairn_options_free(options);
    return store;
}

// With `close_early` the store is closed while the threads still append.
static void callbacks_run_exactly_once(const char *directory, const char *name, bool close_early) {
    cairn_error *error = NULL;
    cairn_store *store = open_sync_store(directory, name);
    cairn_queue *queue = NULL;
    pthread_t threads[THREADS];
    appender appenders[THREADS];
    ticket *tickets = calloc(THREADS * PER_THREAD, sizeof *tickets);
    CHECK(tickets != NULL);
    CHECK_OK(cairn_queue_open(store, CAIRN_STR("async"), 0, &queue, &error));
    for (int index = 0; index < THREADS; index++) {
        appenders[index] = (appender){store, queue, tickets + index * PER_THREAD, 0};
        start(&threads[index], append_without_waiting, &appenders[index]);
    }
    if (close_early) {
        CHECK_OK(cairn_store_close(store, &error));
    }
    int accepted = 0;
    for (int index = 0; index < THREADS; index++) {
        CHECK(pthread_join(threads[index], NULL) == 0);
        accepted += appenders[index].accepted;
    }
    if (!close_early) {
        CHECK(accepted == THREADS * PER_THREAD);
        CHECK_OK(cairn_store_close(store, &error));
    }
    // Closing runs what is due, so nothing comes later.
    cairn_queue_free(queue);
    cairn_store_free(store);
    int called = 0;
    for (int index = 0; index < THREADS * PER_THREAD; index++) {
        int calls = atomic_load(&tickets[index].calls);
        bool refused = atomic_load(&tickets[index].status) == -1;
        CHECK(calls == (refused ? 0 : 1));
        called += calls;
        if (!close_early) {
            CHECK(atomic_load(&tickets[index].status) == CAIRN_STATUS_OK);
        }
    }
    CHECK(called == accepted);
    free(tickets);
}

// What was acknowledged is there after reopening.
static void acknowledged_messages_are_there(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_sync_store(directory, "once");
    int64_t next = 0;
    CHECK_OK(cairn_store_next_queue_offset(store, CAIRN_STR("async"), 0, &next, &error));
    CHECK(next == THREADS * PER_THREAD);
    close_store(store);
}

typedef struct follower {
    cairn_store *store;
    int wanted;
    int seen;
} follower;

static void *follow(void *argument) {
    follower *own = argument;
    cairn_error *error = NULL;
    int64_t from = 0;
    while (own->seen < own->wanted) {
        cairn_batch *batch = NULL;
        CHECK_OK(cairn_store_read_log(own->store, from, 100, 1 << 20, 20000, &batch, &error));
        CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_FOUND);
        own->seen += (int)cairn_batch_len(batch);
        from = cairn_batch_next_offset(batch);
        cairn_batch_free(batch);
    }
    return NULL;
}

static void *append_and_wait(void *argument) {
    cairn_store *store = argument;
    cairn_error *error = NULL;
    for (int number = 0; number < PER_THREAD; number++) {
        cairn_message message = message_of("followed", "a body of some length, to fill files");
        cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
        message.wait_mode = CAIRN_WAIT_MODE_NONE;
        CHECK_OK(cairn_store_append(store, &message, &result, &error));
        if (number % 100 == 0) {
            CHECK_OK(cairn_store_wait_durable(store, result.end_offset, 20000, &error));
        }
    }
    return NULL;
}

static void a_follower_sees_everything(const char *directory) {
    cairn_store *store = open_store(directory, "followed");
    follower reader = {store, THREADS * PER_THREAD, 0};
    pthread_t reading;
    pthread_t threads[THREADS];
    start(&reading, follow, &reader);
    for (int index = 0; index < THREADS; index++) {
        start(&threads[index], append_and_wait, store);
    }
    for (int index = 0; index < THREADS; index++) {
        CHECK(pthread_join(threads[index], NULL) == 0);
    }
    CHECK(pthread_join(reading, NULL) == 0);
    CHECK(reader.seen == reader.wanted);
    // Nothing more comes, and the wait ends in time.
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    CHECK_OK(cairn_store_read_log(store, positions.max_offset, 1, 1, 50, &batch, &error));
    CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_END_OF_LOG);
    CHECK(cairn_batch_len(batch) == 0 && cairn_batch_next_offset(batch) == positions.max_offset);
    cairn_batch_free(batch);
    close_store(store);
}

static void *wait_for_ever(void *argument) {
    cairn_store *store = argument;
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_status status =
        cairn_store_read_log(store, 0, 1, 1, CAIRN_WAIT_FOREVER, &batch, &error);
    if (status == CAIRN_STATUS_OK) {
        CHECK(cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_END_OF_LOG);
    } else {
        CHECK(status == CAIRN_STATUS_STORE_CLOSED);
    }
    cairn_batch_free(batch);
    cairn_error_free(error);
    return NULL;
}

static void closing_ends_a_wait(const char *directory) {
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "waiting");
    pthread_t thread;
    start(&thread, wait_for_ever, store);
    CHECK_OK(cairn_store_close(store, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    cairn_store_free(store);
}

typedef struct log_book {
    atomic_int lines;
    atomic_int nested_refusals;
} log_book;

static void take_line(int32_t level, cairn_str target, cairn_str message, void *user_data) {
    log_book *book = user_data;
    CHECK(level >= CAIRN_LOG_LEVEL_ERROR && level <= CAIRN_LOG_LEVEL_TRACE);
    CHECK(target.length > 0 && message.length > 0);
    if (cairn_set_log_callback(NULL, NULL, CAIRN_LOG_LEVEL_OFF) == CAIRN_STATUS_INVALID_ARGUMENT) {
        atomic_fetch_add(&book->nested_refusals, 1);
    }
    atomic_fetch_add(&book->lines, 1);
}

// Leaves a store as a kill in the middle of an append may: an abort file, and bytes behind the end
// that are no record. Opening it then reports what it sets aside.
static void open_torn_store(const char *directory) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, "torn");
    cairn_message message = message_of("torn", "body");
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_append(store, &message, NULL, &error));
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    close_store(store);
    snprintf(path, sizeof path, "%s/torn/abort", directory);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fclose(file) == 0);
    snprintf(path, sizeof path, "%s/torn/commitlog/00000000000000000000", directory);
    file = fopen(path, "r+");
    CHECK(file != NULL && fseek(file, (long)positions.max_offset + 100, SEEK_SET) == 0);
    CHECK(fputs("torn", file) >= 0 && fclose(file) == 0);

    store = open_store(directory, "torn");
    cairn_recovery_report report = CAIRN_RECOVERY_REPORT_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_recovery_get(cairn_store_recovery(store), &report));
    CHECK(report.clean_stop == 0 && report.end_offset == positions.max_offset);
    CHECK(report.bytes_set_aside >= 4 && report.set_aside.length > 0);
    memcpy(path, report.set_aside.data, report.set_aside.length);
    path[report.set_aside.length] = '\0';
    file = fopen(path, "r");
    CHECK(file != NULL && fclose(file) == 0);
    close_store(store);
}

static void log_lines_arrive(const char *directory) {
    log_book first = {0, 0};
    log_book second = {0, 0};
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_set_log_callback(take_line, &first, CAIRN_LOG_LEVEL_TRACE));
    open_torn_store(directory);
    int lines = atomic_load(&first.lines);
    CHECK(lines > 0 && atomic_load(&first.nested_refusals) == lines);
    // The second takes over; the first hears nothing more.
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_set_log_callback(take_line, &second, CAIRN_LOG_LEVEL_WARN));
    open_torn_store(directory);
    CHECK(atomic_load(&first.lines) == lines && atomic_load(&second.lines) > 0);
    // What is less important than the limit is not passed on, and without a function nothing is.
    lines = atomic_load(&second.lines);
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_set_log_callback(take_line, &second, CAIRN_LOG_LEVEL_ERROR));
    open_torn_store(directory);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_set_log_callback(take_line, &second, CAIRN_LOG_LEVEL_OFF));
    open_torn_store(directory);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_set_log_callback(NULL, NULL, CAIRN_LOG_LEVEL_TRACE));
    open_torn_store(directory);
    CHECK(atomic_load(&second.lines) == lines);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    callbacks_run_exactly_once(directory, "once", false);
    acknowledged_messages_are_there(directory);
    callbacks_run_exactly_once(directory, "early", true);
    a_follower_sees_everything(directory);
    closing_ends_a_wait(directory);
    log_lines_arrive(directory);
    return 0;
}
