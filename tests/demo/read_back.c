// Prints the body of every message of a store, one per line, in log order.
//
//     read_back DIRECTORY
#include <inttypes.h>
#include <stdio.h>

#include "cairnlog.h"

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int print_bodies(const cairn_store *store) {
    cairn_error *error = NULL;
    int64_t offset = 0;
    for (;;) {
        cairn_batch *batch = NULL;
        if (cairn_store_read_log(store, offset, 1024, 1 << 20, 0, &batch, &error) !=
            CAIRN_STATUS_OK) {
            return failed("read", error);
        }
        size_t count = cairn_batch_len(batch);
        for (size_t index = 0; index < count; index++) {
            cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
            if (cairn_batch_get(batch, index, &view) != CAIRN_STATUS_OK) {
                cairn_batch_free(batch);
                return 1;
            }
            fwrite(view.body.data, 1, view.body.length, stdout);
            putchar('\n');
        }
        offset = cairn_batch_next_offset(batch);
        cairn_batch_free(batch);
        if (count == 0) {
            return 0;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 2 || cairn_abi_check(CAIRN_ABI_VERSION) != CAIRN_STATUS_OK) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    if (cairn_store_open(cairn_str_from(argv[1]), NULL, &store, &error) != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    int result = print_bodies(store);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
