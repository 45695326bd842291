// Appends the messages that the standard input describes, one per line, and says where they lie.
//
//     write DIRECTORY <MESSAGES
//
// A line has ten fields between tabs: batch, topic, queue, tag, key, property name, property value,
// flag, born time, body; the fields tag to property value may be empty. Lines with the same batch
// other than "-" are appended together. The output has one line per append: physical offset, queue
// offset and store time.
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cairnlog.h"

enum { FIELDS = 10 };
enum field { BATCH, TOPIC, QUEUE, TAG, KEY, NAME, VALUE, FLAG, BORN, BODY };

static int failed(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

// Cuts a line at its tabs; the fields point into it.
static int split(char *line, char *fields[FIELDS]) {
    line[strcspn(line, "\n")] = '\0';
    for (int number = 0; number < FIELDS; number++) {
        fields[number] = line;
        char *tab = strchr(line, '\t');
        if ((tab == NULL) != (number == FIELDS - 1)) {
            return 0;
        }
        if (tab != NULL) {
            *tab = '\0';
            line = tab + 1;
        }
    }
    return 1;
}

static cairn_bytes bytes_of(const char *text) {
    return (cairn_bytes){(const uint8_t *)text, strlen(text)};
}

static void print_result(const cairn_append_result *placed) {
    printf("%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", placed->physical_offset,
           placed->queue_offset, placed->store_timestamp_ms);
}

static int append_one(cairn_store *store, char *fields[FIELDS]) {
    cairn_error *error = NULL;
    cairn_str key = cairn_str_from(fields[KEY]);
    cairn_property property = {cairn_str_from(fields[NAME]), cairn_str_from(fields[VALUE])};
    cairn_message message = CAIRN_MESSAGE_INIT;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    message.topic = cairn_str_from(fields[TOPIC]);
    message.queue_id = atoi(fields[QUEUE]);
    message.tag = cairn_str_from(fields[TAG]);
    message.keys = &key;
    message.key_count = key.length > 0;
    message.properties = &property;
    message.property_count = property.name.length > 0;
    message.flag = atoi(fields[FLAG]);
    message.born_timestamp_ms = atoll(fields[BORN]);
    message.body = bytes_of(fields[BODY]);
    if (cairn_store_append(store, &message, &placed, &error) != CAIRN_STATUS_OK) {
        return failed("append", error);
    }
    print_result(&placed);
    return 0;
}

// A batch that is being collected. What its messages share comes from the last line.
struct collected {
    cairn_batch_items *items;
    char name[16];
    char topic[256];
    int32_t queue_id;
    int64_t born_timestamp_ms;
};

static int append_collected(cairn_store *store, struct collected *batch) {
    cairn_error *error = NULL;
    cairn_message shared = CAIRN_MESSAGE_INIT;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    shared.topic = cairn_str_from(batch->topic);
    shared.queue_id = batch->queue_id;
    shared.born_timestamp_ms = batch->born_timestamp_ms;
    if (cairn_store_append_batch(store, &shared, cairn_batch_items_bytes(batch->items), &placed,
                                 &error) != CAIRN_STATUS_OK) {
        return failed("append the batch", error);
    }
    print_result(&placed);
    cairn_batch_items_free(batch->items);
    batch->items = NULL;
    return 0;
}

// Adds one property in the form in which it is stored.
static void put(char *properties, size_t capacity, const char *name, const char *value) {
    if (*value != '\0') {
        size_t used = strlen(properties);
        snprintf(properties + used, capacity - used, "%s\x01%s\x02", name, value);
    }
}

static int collect(struct collected *batch, char *fields[FIELDS]) {
    cairn_error *error = NULL;
    char properties[1024] = "";
    put(properties, sizeof properties, fields[NAME], fields[VALUE]);
    put(properties, sizeof properties, "TAGS", fields[TAG]);
    put(properties, sizeof properties, "KEYS", fields[KEY]);
    if (batch->items == NULL) {
        batch->items = cairn_batch_items_new();
    }
    snprintf(batch->name, sizeof batch->name, "%s", fields[BATCH]);
    snprintf(batch->topic, sizeof batch->topic, "%s", fields[TOPIC]);
    batch->queue_id = atoi(fields[QUEUE]);
    batch->born_timestamp_ms = atoll(fields[BORN]);
    if (cairn_batch_items_add(batch->items, atoi(fields[FLAG]), bytes_of(fields[BODY]),
                              bytes_of(properties), &error) != CAIRN_STATUS_OK) {
        return failed("collect the batch", error);
    }
    return 0;
}

static int append_input(cairn_store *store) {
    char *line = NULL;
    size_t capacity = 0;
    int result = 0;
    struct collected batch = {0};
    while (result == 0 && getline(&line, &capacity, stdin) > 0) {
        char *fields[FIELDS];
        if (!split(line, fields)) {
            fprintf(stderr, "a line has not %d fields\n", FIELDS);
            result = 1;
            break;
        }
        if (batch.items != NULL && strcmp(batch.name, fields[BATCH]) != 0) {
            result = append_collected(store, &batch);
        }
        if (result == 0) {
            result = strcmp(fields[BATCH], "-") == 0 ? append_one(store, fields)
                                                     : collect(&batch, fields);
        }
    }
    if (result == 0 && batch.items != NULL) {
        result = append_collected(store, &batch);
    }
    cairn_batch_items_free(batch.items);
    free(line);
    return result;
}

int main(int argc, char **argv) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY <MESSAGES\n", argv[0]);
        return 2;
    }
    cairn_options *options = cairn_options_new();
    if (cairn_options_set_flush_mode(options, CAIRN_FLUSH_MODE_SYNC) != CAIRN_STATUS_OK ||
        cairn_options_set_append_record_crc(options, 0) != CAIRN_STATUS_OK ||
        cairn_options_set_segment_size_bytes(options, 65536) != CAIRN_STATUS_OK) {
        cairn_options_free(options);
        return 1;
    }
    cairn_status status = cairn_store_open(cairn_str_from(argv[1]), options, &store, &error);
    cairn_options_free(options);
    if (status != CAIRN_STATUS_OK) {
        return failed("open the store", error);
    }
    int result = append_input(store);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        result = failed("close the store", error);
    }
    cairn_store_free(store);
    return result;
}
