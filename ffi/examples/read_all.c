// Prints the body of every message of an existing store, one per line, in the order of the log, and
// how many there are to the standard error.
//
//     read_all DIRECTORY [TOPIC]
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cairnlog.h"

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

// Prints the messages of a batch and returns how many of them are of the topic.
static uint64_t print_batch(const cairn_batch *batch, cairn_str topic) {
    uint64_t printed = 0;
    for (size_t index = 0; index < cairn_batch_len(batch); index++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        if (cairn_batch_get(batch, index, &view) != CAIRN_STATUS_OK) {
            break;
        }
        bool wanted = topic.length == 0 || (topic.length == view.topic.length &&
                                            memcmp(topic.data, view.topic.data, topic.length) == 0);
        if (wanted) {
            fwrite(view.body.data, 1, view.body.length, stdout);
            putchar('\n');
            printed++;
        }
    }
    return printed;
}

static int print_all(cairn_store *store, cairn_str topic) {
    cairn_error *error = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    if (cairn_store_positions(store, &positions, &error) != CAIRN_STATUS_OK) {
        return failed("ask for the positions", error);
    }
    int64_t from = positions.min_offset;
    uint64_t printed = 0;
    int32_t outcome = CAIRN_READ_OUTCOME_FOUND;
    while (outcome == CAIRN_READ_OUTCOME_FOUND) {
        cairn_batch *batch = NULL;
        if (cairn_store_read_log(store, from, 1000, 1 << 20, 0, &batch, &error) !=
            CAIRN_STATUS_OK) {
            return failed("read", error);
        }
        printed += print_batch(batch, topic);
        from = cairn_batch_next_offset(batch);
        outcome = cairn_batch_outcome(batch);
        cairn_batch_free(batch);
    }
    fprintf(stderr, "%" PRIu64 " messages\n", printed);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY [TOPIC]\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = cairn_options_new();
    // Reading must not make a store where there is none.
    cairn_status status = cairn_options_set_create_if_missing(options, 0);
    if (status == CAIRN_STATUS_OK) {
        status = cairn_store_open(cairn_str_from(argv[1]), options, &store, &error);
    }
    cairn_options_free(options);
    if (status != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    int result = print_all(store, cairn_str_from(argc == 3 ? argv[2] : NULL));
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
