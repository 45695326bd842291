// Appends without waiting: one thread keeps many messages under way, and a callback counts what
// has become durable. One sync covers all messages that wait for it, so this is as safe as waiting
// for each, and far faster.
//
//     async_append DIRECTORY
#include <stdatomic.h>
#include <stdio.h>

#include "cairnlog.h"

enum { COUNT = 10000 };

typedef struct progress {
    atomic_int durable;
    atomic_int failed;
} progress;

// Runs on the store's own thread, exactly once for each append that was accepted.
static void message_is_durable(cairn_status status, const cairn_append_result *result,
                               const cairn_error *error, void *user_data) {
    progress *sum = user_data;
    (void)result;
    if (status == CAIRN_STATUS_OK) {
        atomic_fetch_add(&sum->durable, 1);
    } else {
        fprintf(stderr, "a message is not durable: %s\n", cairn_error_message(error));
        atomic_fetch_add(&sum->failed, 1);
    }
}

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int append_all(cairn_store *store, progress *sum) {
    cairn_error *error = NULL;
    cairn_queue *queue = NULL;
    // A prepared queue saves looking up the topic for each message.
    if (cairn_queue_open(store, CAIRN_STR("readings"), 0, &queue, &error) != CAIRN_STATUS_OK) {
        return failed("prepare the queue", error);
    }
    int result = 0;
    for (int number = 0; number < COUNT && result == 0; number++) {
        char text[32];
        int length = snprintf(text, sizeof text, "reading %d", number);
        cairn_message message = CAIRN_MESSAGE_INIT;
        // The message is copied to the log before the call returns, so `text` may change then.
        message.body = (cairn_bytes){(const uint8_t *)text, (size_t)length};
        if (cairn_queue_append_async(queue, &message, message_is_durable, sum, &error) !=
            CAIRN_STATUS_OK) {
            result = failed("append", error);
        }
    }
    cairn_queue_free(queue);
    return result;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = cairn_options_new();
    cairn_status status = cairn_options_set_flush_mode(options, CAIRN_FLUSH_MODE_SYNC);
    if (status == CAIRN_STATUS_OK) {
        status = cairn_store_open(cairn_str_from(argv[1]), options, &store, &error);
    }
    cairn_options_free(options);
    if (status != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    progress sum = {0, 0};
    int result = append_all(store, &sum);
    // Closing waits for the last sync and runs every callback that is still due.
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    printf("%d messages durable, %d failed\n", atomic_load(&sum.durable),
           atomic_load(&sum.failed));
    return result != 0 || atomic_load(&sum.failed) != 0;
}
