// Prints every message of a store in the order of its log, then waits for new ones as `tail -f`
// does, until none comes for a while.
//
//     follow DIRECTORY [IDLE_MS]
//
// A second thread of this program appends a few messages meanwhile, so that there is something to
// wait for.
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cairnlog.h"

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static void *append_now_and_then(void *argument) {
    cairn_store *store = argument;
    for (int number = 0; number < 5; number++) {
        struct timespec pause = {0, 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
        char text[32];
        int length = snprintf(text, sizeof text, "event %d", number);
        cairn_error *error = NULL;
        cairn_message message = CAIRN_MESSAGE_INIT;
        message.topic = CAIRN_STR("events");
        message.body = (cairn_bytes){(const uint8_t *)text, (size_t)length};
        if (cairn_store_append(store, &message, NULL, &error) != CAIRN_STATUS_OK) {
            failed("append", error);
            break;
        }
    }
    return NULL;
}

// Prints a batch; the views point into the mapped files, nothing is copied.
static int print_batch(const cairn_batch *batch) {
    for (size_t index = 0; index < cairn_batch_len(batch); index++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        if (cairn_batch_get(batch, index, &view) != CAIRN_STATUS_OK) {
            return 1;
        }
        printf("%" PRId64 " %.*s/%" PRId32 "/%" PRId64 ": %.*s\n", view.physical_offset,
               (int)view.topic.length, view.topic.data, view.queue_id, view.queue_offset,
               (int)view.body.length, (const char *)view.body.data);
    }
    return 0;
}

static int follow(cairn_store *store, uint64_t idle_ms) {
    cairn_error *error = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    if (cairn_store_positions(store, &positions, &error) != CAIRN_STATUS_OK) {
        return failed("ask for the positions", error);
    }
    int64_t from = positions.min_offset;
    for (;;) {
        cairn_batch *batch = NULL;
        if (cairn_store_read_log(store, from, 1000, 1 << 20, idle_ms, &batch, &error) !=
            CAIRN_STATUS_OK) {
            return failed("read", error);
        }
        int result = print_batch(batch);
        from = cairn_batch_next_offset(batch);
        int32_t outcome = cairn_batch_outcome(batch);
        cairn_batch_free(batch);
        if (result != 0 || outcome == CAIRN_READ_OUTCOME_END_OF_LOG) {
            return result;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY [IDLE_MS]\n", argv[0]);
        return 2;
    }
    uint64_t idle_ms = argc == 3 ? strtoull(argv[2], NULL, 10) : 2000;
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    if (cairn_store_open(cairn_str_from(argv[1]), NULL, &store, &error) != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    pthread_t writer;
    if (pthread_create(&writer, NULL, append_now_and_then, store) != 0) {
        cairn_store_free(store);
        return 1;
    }
    int result = follow(store, idle_ms);
    pthread_join(writer, NULL);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
