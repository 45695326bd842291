// Consumes a topic as a member of a group: what was processed is acknowledged, and what failed
// comes again. The group's place is kept in the store.
#include <inttypes.h>
#include <stdio.h>

#include "cairnlog.h"

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int append_orders(cairn_store *store) {
    cairn_error *error = NULL;
    for (int number = 0; number < 10; number++) {
        char body[16];
        int length = snprintf(body, sizeof body, "order %d", number);
        cairn_message message = CAIRN_MESSAGE_INIT;
        message.topic = CAIRN_STR("orders");
        message.body = (cairn_bytes){(const uint8_t *)body, (size_t)length};
        if (cairn_store_append(store, &message, NULL, &error) != CAIRN_STATUS_OK) {
            return failed("append", error);
        }
    }
    return 0;
}

// The fourth order cannot be processed at the first attempt.
static bool process(const cairn_message_view *view) {
    if (view->reconsume_times == 0 && view->body.data[view->body.length - 1] == '3') {
        return false;
    }
    printf("%.*s, tried before: %" PRId32 "\n", (int)view->body.length,
           (const char *)view->body.data, view->reconsume_times);
    return true;
}

static cairn_status process_batch(const cairn_consumer *consumer, const cairn_batch *batch,
                                  cairn_error **error) {
    cairn_status status = CAIRN_STATUS_OK;
    for (size_t index = 0; index < cairn_batch_len(batch) && status == CAIRN_STATUS_OK; index++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        status = cairn_batch_get(batch, index, &view);
        if (status == CAIRN_STATUS_OK && process(&view)) {
            status = cairn_delivery_acknowledge(consumer, batch, index, NULL, error);
        } else if (status == CAIRN_STATUS_OK) {
            status = cairn_delivery_retry_later(consumer, batch, index, NULL, error);
        }
    }
    return status;
}

// Consumes until nothing has come for two seconds.
static int consume(const cairn_consumer *consumer) {
    cairn_error *error = NULL;
    cairn_status status = CAIRN_STATUS_OK;
    size_t length = 1;
    while (length > 0 && status == CAIRN_STATUS_OK) {
        cairn_batch *batch = NULL;
        status = cairn_consumer_poll(consumer, 32, 2000, &batch, &error);
        length = cairn_batch_len(batch);
        if (status == CAIRN_STATUS_OK) {
            status = process_batch(consumer, batch, &error);
        }
        cairn_batch_free(batch);
    }
    return status == CAIRN_STATUS_OK ? 0 : failed("consume", error);
}

static int consume_as_a_group(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_consumer *consumer = NULL;
    cairn_consumer_options *options = cairn_consumer_options_new();
    if (cairn_consumer_options_subscribe(options, CAIRN_STR("orders"), NULL, &error) !=
            CAIRN_STATUS_OK ||
        cairn_consumer_options_set_start_from(options, CAIRN_START_FROM_FIRST, 0) !=
            CAIRN_STATUS_OK ||
        cairn_consumer_open(store, CAIRN_STR("billing"), options, &consumer, &error) !=
            CAIRN_STATUS_OK) {
        cairn_consumer_options_free(options);
        return failed("join the group", error);
    }
    cairn_consumer_options_free(options);
    int result = consume(consumer);
    cairn_consumer_free(consumer);
    return result;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    // The delays before what failed comes again: by default from 10 seconds to 2 hours.
    cairn_options *options = cairn_options_new();
    if (cairn_options_set(options, CAIRN_STR("message_delay_level"), CAIRN_STR("0s 0s 0s"),
                          &error) != CAIRN_STATUS_OK ||
        cairn_store_open(cairn_str_from(argv[1]), options, &store, &error) != CAIRN_STATUS_OK) {
        cairn_options_free(options);
        return failed("open the store", error);
    }
    cairn_options_free(options);
    int result = append_orders(store);
    result = result != 0 ? result : consume_as_a_group(store);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
