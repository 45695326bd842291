// Consumes a queue: reads what is there in batches, follows it with a tail while another thread
// appends, and looks a message up by its key.
//
//     consume DIRECTORY
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "cairnlog.h"

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int append_orders(cairn_store *store, int first, int count) {
    for (int number = first; number < first + count; number++) {
        char body[32];
        char key[32];
        int body_length = snprintf(body, sizeof body, "order %d", number);
        int key_length = snprintf(key, sizeof key, "o-%d", number);
        cairn_str keys = {key, (size_t)key_length};
        cairn_property region = {CAIRN_STR("region"), CAIRN_STR("north")};
        cairn_error *error = NULL;
        cairn_message message = CAIRN_MESSAGE_INIT;
        message.topic = CAIRN_STR("orders");
        message.tag = number % 3 == 0 ? CAIRN_STR("cancelled") : CAIRN_STR("paid");
        message.body = (cairn_bytes){(const uint8_t *)body, (size_t)body_length};
        message.keys = &keys;
        message.key_count = 1;
        message.properties = &region;
        message.property_count = 1;
        if (cairn_store_append(store, &message, NULL, &error) != CAIRN_STATUS_OK) {
            return failed("append", error);
        }
    }
    return 0;
}

static int print_batch(const cairn_batch *batch) {
    for (size_t index = 0; index < cairn_batch_len(batch); index++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        if (cairn_batch_get(batch, index, &view) != CAIRN_STATUS_OK) {
            return 1;
        }
        printf("%" PRId64 " %.*s %.*s\n", view.queue_offset, (int)view.tag.length, view.tag.data,
               (int)view.body.length, (const char *)view.body.data);
    }
    return 0;
}

// Reads a queue up to its end; an application would keep `*offset` and go on there next time.
static int read_to_the_end(const cairn_store *store, const cairn_filter *filter, int64_t *offset) {
    cairn_error *error = NULL;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    request.topic = CAIRN_STR("orders");
    request.max_messages = 100;
    request.filter = filter;
    for (;;) {
        cairn_batch *batch = NULL;
        request.offset = *offset;
        if (cairn_store_read(store, &request, &batch, &error) != CAIRN_STATUS_OK) {
            return failed("read", error);
        }
        int result = print_batch(batch);
        int32_t outcome = cairn_batch_outcome(batch);
        *offset = cairn_batch_next_offset(batch);
        int64_t behind = cairn_batch_max_offset(batch) - *offset;
        cairn_batch_free(batch);
        if (result != 0 || behind <= 0) {
            printf("at %" PRId64 ", last outcome %s\n", *offset, cairn_read_outcome_name(outcome));
            return result;
        }
    }
}

static void *append_later(void *argument) {
    struct timespec pause = {0, 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
    append_orders(argument, 6, 4);
    return NULL;
}

// Follows the queue until nothing has come for half a second.
static int follow(cairn_store *store, const cairn_filter *filter, int64_t offset) {
    cairn_error *error = NULL;
    cairn_tail *tail = NULL;
    pthread_t writer;
    if (cairn_tail_open(store, CAIRN_STR("orders"), 0, offset, filter, &tail, &error) !=
        CAIRN_STATUS_OK) {
        return failed("follow", error);
    }
    int result = pthread_create(&writer, NULL, append_later, store);
    size_t length = 1;
    bool started = result == 0;
    while (result == 0 && length > 0) {
        cairn_batch *batch = NULL;
        if (cairn_tail_next(tail, 32, 500, &batch, &error) != CAIRN_STATUS_OK) {
            result = failed("read on", error);
            break;
        }
        result = print_batch(batch);
        length = cairn_batch_len(batch);
        cairn_batch_free(batch);
    }
    if (started) {
        pthread_join(writer, NULL);
    }
    cairn_tail_free(tail);
    return result;
}

static int look_up(const cairn_store *store) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    if (cairn_store_query_key(store, CAIRN_STR("orders"), CAIRN_STR("o-3"), 0, INT64_MAX, 10,
                              &batch, &error) != CAIRN_STATUS_OK) {
        return failed("look up a key", error);
    }
    int result = print_batch(batch);
    cairn_batch_free(batch);
    return result;
}

static int consume(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_filter *paid = NULL;
    int64_t offset = 0;
    if (cairn_filter_from_sql(CAIRN_STR("TAGS = 'paid' AND region IN ('north', 'west')"), &paid,
                              &error) != CAIRN_STATUS_OK) {
        return failed("make a filter", error);
    }
    int result = append_orders(store, 0, 6);
    // What was appended can be read by queue a moment later.
    if (result == 0 && cairn_store_wait_message(store, CAIRN_STR("orders"), 0, 5, 10000, &error) !=
                           CAIRN_STATUS_OK) {
        result = failed("wait", error);
    }
    result = result != 0 ? result : read_to_the_end(store, paid, &offset);
    result = result != 0 ? result : follow(store, paid, offset);
    result = result != 0 ? result : look_up(store);
    cairn_filter_free(paid);
    return result;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    if (cairn_store_open(cairn_str_from(argv[1]), NULL, &store, &error) != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    int result = consume(store);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
