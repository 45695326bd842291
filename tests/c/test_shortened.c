// A log file that another program shortens while the store is open: the process lives, and what can
// no longer be read or written is an error.
#include <unistd.h>

#include "check.h"

enum { MESSAGES = 10, BODY_BYTES = 1000, KEPT_BYTES = 4096 };

static char file[4096];

static cairn_store *filled(const char *directory, const char *name, int64_t *offsets) {
    static uint8_t body[BODY_BYTES];
    cairn_error *error = NULL;
    cairn_store *store = open_store(directory, name);
    memset(body, 'x', sizeof body);
    for (int at = 0; at < MESSAGES; at++) {
        cairn_message message = message_of("t", "");
        cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
        message.body.data = body;
        message.body.length = sizeof body;
        CHECK_OK(cairn_store_append(store, &message, &result, &error));
        offsets[at] = result.physical_offset;
    }
    snprintf(file, sizeof file, "%s/%s/commitlog/00000000000000000000", directory, name);
    return store;
}

static void views_read_as_zeros_and_reads_fail(const char *directory) {
    int64_t offsets[MESSAGES];
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    cairn_store *store = filled(directory, "read", offsets);
    CHECK_OK(cairn_store_read_at(store, offsets[MESSAGES - 1], &batch, &error));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(view.body.length == BODY_BYTES && view.body.data[500] == 'x');
    CHECK(truncate(file, KEPT_BYTES) == 0);
    for (size_t at = 0; at < view.body.length; at++) {
        CHECK(view.body.data[at] == 0);
    }
    cairn_batch_free(batch);
    batch = NULL;
    CHECK_FAILS(CAIRN_STATUS_WRONG_FILE_SIZE,
                cairn_store_read_at(store, offsets[MESSAGES - 1], &batch, &error));
    CHECK_OK(cairn_store_read_at(store, offsets[0], &batch, &error));
    cairn_batch_free(batch);
    cairn_store_free(store);
}

static void appends_fail(const char *directory) {
    int64_t offsets[MESSAGES];
    cairn_error *error = NULL;
    cairn_message message = message_of("t", "late");
    cairn_store *store = filled(directory, "append", offsets);
    CHECK(truncate(file, KEPT_BYTES) == 0);
    CHECK_FAILS(CAIRN_STATUS_WRONG_FILE_SIZE, cairn_store_append(store, &message, NULL, &error));
    CHECK_FAILS(CAIRN_STATUS_FENCED, cairn_store_append(store, &message, NULL, &error));
    cairn_store_free(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    views_read_as_zeros_and_reads_fail(directory);
    appends_fail(directory);
    return 0;
}
