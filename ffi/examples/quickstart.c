// Appends messages, reads them back and closes the store.
//
//     quickstart DIRECTORY
#include <inttypes.h>
#include <stdio.h>

#include "cairnlog.h"

// Prints what went wrong and frees the error.
static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int append_orders(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_str keys[] = {CAIRN_STR("42")};
    cairn_property properties[] = {{CAIRN_STR("region"), CAIRN_STR("eu")}};
    cairn_message message = CAIRN_MESSAGE_INIT;
    message.topic = CAIRN_STR("orders");
    message.body = (cairn_bytes){(const uint8_t *)"20 pears", 8};
    message.tag = CAIRN_STR("new");
    message.keys = keys;
    message.key_count = 1;
    message.properties = properties;
    message.property_count = 1;
    for (int round = 0; round < 3; round++) {
        cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
        if (cairn_store_append(store, &message, &placed, &error) != CAIRN_STATUS_OK) {
            return failed("append", error);
        }
        printf("appended at %" PRId64 ", queue offset %" PRId64 "\n", placed.physical_offset,
               placed.queue_offset);
    }
    return 0;
}

static int print_all(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    if (cairn_store_read_log(store, 0, 100, 1 << 20, 0, &batch, &error) != CAIRN_STATUS_OK) {
        return failed("read", error);
    }
    for (size_t index = 0; index < cairn_batch_len(batch); index++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        cairn_str region;
        if (cairn_batch_get(batch, index, &view) != CAIRN_STATUS_OK ||
            !cairn_message_view_property(&view, CAIRN_STR("region"), &region)) {
            cairn_batch_free(batch);
            return 1;
        }
        printf("%.*s: %.*s (tag %.*s, region %.*s)\n", (int)view.topic.length, view.topic.data,
               (int)view.body.length, (const char *)view.body.data, (int)view.tag.length,
               view.tag.data, (int)region.length, region.data);
    }
    cairn_batch_free(batch);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2 || cairn_abi_check(CAIRN_ABI_VERSION) != CAIRN_STATUS_OK) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = cairn_options_new();
    // Acknowledge a message only once it survives a power cut.
    cairn_status status = cairn_options_set_flush_mode(options, CAIRN_FLUSH_MODE_SYNC);
    if (status == CAIRN_STATUS_OK) {
        status = cairn_store_open(cairn_str_from(argv[1]), options, &store, &error);
    }
    cairn_options_free(options);
    if (status != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    int result = append_orders(store);
    if (result == 0) {
        result = print_all(store);
    }
    // Closing flushes what is left, so it can fail; freeing cannot.
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
