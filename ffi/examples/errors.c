// What can go wrong, and what an error tells: its status, a sentence, the file, the offset, the
// operating system's code, and where a record lies whose durability is unknown.
//
//     errors DIRECTORY
#include <inttypes.h>
#include <stdio.h>

#include "cairnlog.h"

// Diagnostics of the library go where the program wants them.
static void print_line(int32_t level, cairn_str target, cairn_str message, void *user_data) {
    (void)user_data;
    fprintf(stderr, "[%d] %.*s: %.*s\n", (int)level, (int)target.length, target.data,
            (int)message.length, message.data);
}

static void explain(const char *what, cairn_error *error) {
    cairn_str path = cairn_error_path(error);
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    printf("%s: %s (%d)\n", what, cairn_status_name(cairn_error_status(error)),
           (int)cairn_error_status(error));
    printf("  %s\n", cairn_error_message(error));
    if (path.length > 0) {
        printf("  file %.*s\n", (int)path.length, path.data);
    }
    if (cairn_error_offset(error) >= 0) {
        printf("  offset %" PRId64 "\n", cairn_error_offset(error));
    }
    if (cairn_error_os_code(error) != 0) {
        printf("  errno %d\n", (int)cairn_error_os_code(error));
    }
    // After CAIRN_STATUS_FLUSH_TIMEOUT the record is in the log: wait for it, do not append again.
    if (cairn_error_appended(error, &placed) == CAIRN_STATUS_OK) {
        printf("  the record lies at %" PRId64 "\n", placed.physical_offset);
    }
    cairn_error_free(error);
}

// Shows a call that must fail. Returns 1 if it went well all the same.
#define EXPECT(expected, what, call)                                                               \
    do {                                                                                           \
        cairn_error *error = NULL;                                                                 \
        cairn_status status = (call);                                                              \
        if (status != (expected)) {                                                                \
            fprintf(stderr, "%s gave %s\n", what, cairn_status_name(status));                      \
            cairn_error_free(error);                                                               \
            return 1;                                                                              \
        }                                                                                          \
        explain(what, error);                                                                      \
    } while (0)

static int show(cairn_store *store, cairn_str path) {
    cairn_store *second = NULL;
    cairn_batch *batch = NULL;
    cairn_message message = CAIRN_MESSAGE_INIT;
    message.topic = CAIRN_STR("no such topic");
    message.body = (cairn_bytes){(const uint8_t *)"body", 4};
    EXPECT(CAIRN_STATUS_STORE_LOCKED, "open a store twice",
           cairn_store_open(path, NULL, &second, &error));
    EXPECT(CAIRN_STATUS_TOPIC_ILLEGAL, "append to a topic with spaces",
           cairn_store_append(store, &message, NULL, &error));
    message.topic = CAIRN_STR("orders");
    message.body.length = 0;
    EXPECT(CAIRN_STATUS_BODY_EMPTY, "append nothing",
           cairn_store_append(store, &message, NULL, &error));
    EXPECT(CAIRN_STATUS_OFFSET_OUT_OF_RANGE, "read beyond the end",
           cairn_store_read_at(store, INT64_MAX, &batch, &error));
    EXPECT(CAIRN_STATUS_INVALID_ARGUMENT, "pass NULL",
           cairn_store_append(store, NULL, NULL, &error));
    cairn_error *close_error = NULL;
    if (cairn_store_close(store, &close_error) != CAIRN_STATUS_OK) {
        explain("close the store", close_error);
        return 1;
    }
    message.body.length = 4;
    EXPECT(CAIRN_STATUS_STORE_CLOSED, "append to a closed store",
           cairn_store_append(store, &message, NULL, &error));
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    if (cairn_set_log_callback(print_line, NULL, CAIRN_LOG_LEVEL_WARN) != CAIRN_STATUS_OK) {
        return 1;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_str path = cairn_str_from(argv[1]);
    if (cairn_store_open(path, NULL, &store, &error) != CAIRN_STATUS_OK) {
        explain("open the store", error);
        return 1;
    }
    int result = show(store, path);
    cairn_store_free(store);
    return result;
}
