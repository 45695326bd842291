// Appends through the C ABI, as append.rs does through the engine.
//
//     append DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...
//
// WAY is `loop`, `named` or `many` as there.
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cairnlog.h"

enum { MANY = 1000, BEFORE = 1000, PATH_BYTES = 4096 };

typedef struct task {
    const char *way;
    uint8_t *body;
    size_t size;
    size_t messages;
} task;

typedef struct figures {
    double seconds;
    double processor_seconds; // of the appending thread, which may wait for a processor, too
    uint64_t syncs;
} figures;

// Ends the program where a call failed.
static void check(const char *what, cairn_status status, cairn_error *error) {
    if (status != CAIRN_STATUS_OK) {
        fprintf(stderr, "cannot %s: %s\n", what, error ? cairn_error_message(error) : "refused");
        exit(1);
    }
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t syncs(const cairn_store *store) {
    cairn_error *error = NULL;
    cairn_stats *stats = NULL;
    check("read the statistics", cairn_store_take_stats(store, &stats, &error), error);
    cairn_store_stats totals = CAIRN_STORE_STATS_INIT;
    check("read the totals", cairn_stats_totals(stats, &totals), NULL);
    cairn_stats_free(stats);
    return totals.syncs;
}

static cairn_message message_of(const task *work) {
    cairn_message message = CAIRN_MESSAGE_INIT;
    message.topic = CAIRN_STR("bench");
    message.body = (cairn_bytes){work->body, work->size};
    return message;
}

static void append_loop(cairn_queue *queue, const task *work, size_t messages) {
    cairn_error *error = NULL;
    cairn_message message = message_of(work);
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    for (size_t i = 0; i < messages; i++) {
        check("append", cairn_queue_append(queue, &message, &result, &error), error);
    }
}

static void append_named(cairn_store *store, const task *work, size_t messages) {
    cairn_error *error = NULL;
    cairn_message message = message_of(work);
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    for (size_t i = 0; i < messages; i++) {
        check("append", cairn_store_append(store, &message, &result, &error), error);
    }
}

static void append_many(cairn_store *store, const task *work, size_t messages) {
    static cairn_message batch[MANY];
    static cairn_append_result results[MANY];
    for (size_t i = 0; i < MANY; i++) {
        batch[i] = message_of(work);
        results[i] = (cairn_append_result)CAIRN_APPEND_RESULT_INIT;
    }
    for (size_t i = 0; i < messages / MANY; i++) {
        cairn_error *error = NULL;
        size_t appended = 0;
        cairn_status status =
            cairn_store_append_many(store, batch, MANY, results, &appended, &error);
        check("append many", status, error);
    }
}

static void append(cairn_store *store, cairn_queue *queue, const task *work, size_t messages) {
    if (strcmp(work->way, "loop") == 0) {
        append_loop(queue, work, messages);
    } else if (strcmp(work->way, "named") == 0) {
        append_named(store, work, messages);
    } else if (strcmp(work->way, "many") == 0) {
        append_many(store, work, messages);
    } else {
        fprintf(stderr, "there is no way %s\n", work->way);
        exit(2);
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static figures burst(const char *path, cairn_options *options, const task *work) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    check("open", cairn_store_open(cairn_str_from(path), options, &store, &error), error);
    cairn_queue *queue = NULL;
    check("prepare", cairn_queue_open(store, CAIRN_STR("bench"), 0, &queue, &error), error);
    append(store, queue, work, BEFORE);
    uint64_t before = syncs(store);
    double started = now(CLOCK_MONOTONIC);
    double worked = now(CLOCK_THREAD_CPUTIME_ID);
    append(store, queue, work, work->messages);
    figures measured = {.seconds = now(CLOCK_MONOTONIC) - started,
                        .processor_seconds = now(CLOCK_THREAD_CPUTIME_ID) - worked,
                        .syncs = syncs(store) - before};
    cairn_queue_free(queue);
    check("close", cairn_store_close(store, &error), error);
    cairn_store_free(store);
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        perror(path);
        exit(1);
    }
    return measured;
}

// Sets the options that follow the other arguments; true if the store is a synchronous one.
static bool set_options(cairn_options *options, int count, char **arguments) {
    bool synchronous = false;
    for (int i = 0; i < count; i++) {
        cairn_error *error = NULL;
        char *value = strchr(arguments[i], '=');
        if (value == NULL) {
            fprintf(stderr, "an option is NAME=VALUE\n");
            exit(2);
        }
        *value++ = '\0';
        cairn_str name = cairn_str_from(arguments[i]);
        check("set an option", cairn_options_set(options, name, cairn_str_from(value), &error),
              error);
        synchronous |= strcmp(arguments[i], "flush_mode") == 0 && strcmp(value, "sync") == 0;
    }
    return synchronous;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: %s DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...\n",
                argv[0]);
        return 2;
    }
    task work = {.way = argv[2], .size = strtoul(argv[3], NULL, 10)};
    work.messages = strtoul(argv[4], NULL, 10);
    work.body = malloc(work.size);
    memset(work.body, 'x', work.size);
    unsigned long bursts = strtoul(argv[5], NULL, 10);
    cairn_options *options = cairn_options_new();
    if (cairn_options_set_append_record_crc(options, 0) != CAIRN_STATUS_OK) {
        return 2;
    }
    bool synchronous = set_options(options, argc - 6, argv + 6);
    figures sum = {0, 0, 0};
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/store", argv[1]);
    for (unsigned long i = 0; i < bursts; i++) {
        figures one = burst(path, options, &work);
        sum.seconds += one.seconds;
        sum.processor_seconds += one.processor_seconds;
        sum.syncs += one.syncs;
    }
    cairn_options_free(options);
    free(work.body);
    size_t appended = work.messages * bursts;
    printf("{\"mode\": \"%s\", \"size\": %zu, \"threads\": 1, \"inflight\": 1, \"seconds\": %.9f, "
           "\"messages\": %zu, \"messages_per_second\": %.3f, \"thread_cpu_seconds\": %.9f, "
           "\"p50_ns\": null, "
           "\"p99_ns\": null, \"p999_ns\": null, \"p9999_ns\": null, \"max_ns\": null, "
           "\"syncs\": %llu, \"floor_messages_per_second\": null, \"ratio_to_floor\": null}\n",
           synchronous ? "sync" : "async", work.size, sum.seconds, appended,
           (double)appended / sum.seconds, sum.processor_seconds, (unsigned long long)sum.syncs);
    return 0;
}
