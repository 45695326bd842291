// The writer in C: called like the one in Rust (src/host.rs), and says the same.
//
// SPDX-License-Identifier: Apache-2.0
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cairnlog.h"

enum {
    PATTERN_BYTES = 0x8000 + 0x1000,
    MAX_BODY_BYTES = 8 + 0xFFF,
    MAX_MESSAGES = 8,
    MAX_THREADS = 256,
    QUEUE_MASK = 3,
};

static const char *const TOPICS[] = {"crash-even", "crash-odd"};
static uint8_t pattern[PATTERN_BYTES];
static cairn_store *store;
static uint64_t seed;
static uint32_t close_after;
static int32_t wait_mode;

struct queue {
    const char *topic;
    int32_t id;
};

struct writer {
    uint64_t random;
    uint64_t next_name;
};

// Where a message's bytes live during a call.
struct draft {
    uint8_t body[MAX_BODY_BYTES];
    char key_text[24];
    cairn_str key;
};

// What the callback of an append must know.
struct expected {
    struct queue queue;
    uint64_t name;
};

static _Noreturn void fail(const char *what, cairn_error *error) {
    fprintf(stderr, "cannot %s: %s\n", what, error ? cairn_error_message(error) : "no error");
    exit(1);
}

static void say(const char *line, int length) {
    if (length < 0 || write(STDOUT_FILENO, line, (size_t)length) != length) {
        fail("write a line", NULL);
    }
}

static uint64_t mix(uint64_t number) {
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

static void acknowledge(struct queue queue, uint64_t first, const cairn_append_result *placed) {
    char line[256];
    cairn_error *error = NULL;
    cairn_positions at = CAIRN_POSITIONS_INIT;
    cairn_status status = cairn_store_positions(store, &at, &error);
    if (status == CAIRN_STATUS_STORE_CLOSED) {
        // What was under way is acknowledged while the store closes.
        at.committed_offset = at.durable_offset = -1;
        cairn_error_free(error);
    } else if (status != CAIRN_STATUS_OK) {
        fail("ask for positions", error);
    }
    say(line, snprintf(line, sizeof line,
                       "ack %" PRId64 " %" PRId64 " %s %" PRId32 " %" PRId64 " %" PRIu32
                       " %" PRIu64 " %" PRId64 " %" PRId64 "\n",
                       placed->physical_offset, placed->end_offset, queue.topic, queue.id,
                       placed->queue_offset, placed->message_count, first, at.committed_offset,
                       at.durable_offset));
}

static cairn_bytes make_body(struct draft *draft, uint64_t name) {
    uint64_t mixed = mix(name);
    size_t length = (size_t)(mixed >> 8) & ((mixed & 15) == 0 ? 0xFFF : 0x1FF);
    for (int byte = 0; byte < 8; byte++) {
        draft->body[byte] = (uint8_t)(name >> (56 - 8 * byte));
    }
    memcpy(draft->body + 8, pattern + (mixed >> 32 & 0x7FFF), length);
    return (cairn_bytes){draft->body, 8 + length};
}

static cairn_message make_message(struct draft *draft, struct queue queue, uint64_t name) {
    cairn_message message = CAIRN_MESSAGE_INIT;
    message.topic = cairn_str_from(queue.topic);
    message.queue_id = queue.id;
    message.body = make_body(draft, name);
    message.tag = cairn_str_from(name & 1 ? "odd" : "even");
    message.wait_mode = wait_mode;
    return message;
}

static void add_key(cairn_message *message, struct draft *draft, uint64_t name) {
    if ((mix(name) >> 20 & 3) == 0) {
        snprintf(draft->key_text, sizeof draft->key_text, "%" PRIu64, name);
        draft->key = cairn_str_from(draft->key_text);
        message->keys = &draft->key;
        message->key_count = 1;
    }
}

static void append(struct writer *writer, struct queue queue) {
    struct draft draft;
    cairn_error *error = NULL;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    uint64_t name = writer->next_name++;
    cairn_message message = make_message(&draft, queue, name);
    add_key(&message, &draft, name);
    if (cairn_store_append(store, &message, &placed, &error) != CAIRN_STATUS_OK) {
        fail("append", error);
    }
    acknowledge(queue, name, &placed);
}

static void finished(cairn_status status, const cairn_append_result *result,
                     const cairn_error *error, void *user_data) {
    struct expected *expected = user_data;
    if (status != CAIRN_STATUS_OK) {
        fprintf(stderr, "an append failed later: %s\n", cairn_error_message(error));
        exit(1);
    }
    acknowledge(expected->queue, expected->name, result);
    free(expected);
}

static void append_async(struct writer *writer, struct queue queue) {
    struct draft draft;
    cairn_error *error = NULL;
    uint64_t name = writer->next_name++;
    cairn_message message = make_message(&draft, queue, name);
    add_key(&message, &draft, name);
    struct expected *expected = malloc(sizeof *expected);
    if (expected == NULL) {
        fail("find memory", NULL);
    }
    *expected = (struct expected){queue, name};
    if (cairn_store_append_async(store, &message, finished, expected, &error) !=
        CAIRN_STATUS_OK) {
        fail("append without waiting", error);
    }
}

static void append_many(struct writer *writer, struct queue queue, size_t count) {
    struct draft drafts[MAX_MESSAGES];
    cairn_message messages[MAX_MESSAGES];
    cairn_append_result results[MAX_MESSAGES];
    cairn_error *error = NULL;
    size_t appended = 0;
    uint64_t first = writer->next_name;
    writer->next_name += count;
    for (size_t number = 0; number < count; number++) {
        messages[number] = make_message(&drafts[number], queue, first + number);
        results[number] = (cairn_append_result)CAIRN_APPEND_RESULT_INIT;
    }
    if (cairn_store_append_many(store, messages, count, results, &appended, &error) !=
        CAIRN_STATUS_OK) {
        fail("append many", error);
    }
    for (size_t number = 0; number < appended; number++) {
        acknowledge(queue, first + number, &results[number]);
    }
}

static void append_batch(struct writer *writer, struct queue queue, size_t count) {
    struct draft draft;
    cairn_error *error = NULL;
    cairn_message shared = CAIRN_MESSAGE_INIT;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    cairn_batch_items *items = cairn_batch_items_new();
    uint64_t first = writer->next_name;
    writer->next_name += count;
    for (size_t number = 0; number < count; number++) {
        if (cairn_batch_items_add(items, 0, make_body(&draft, first + number),
                                  (cairn_bytes){NULL, 0}, &error) != CAIRN_STATUS_OK) {
            fail("collect a batch", error);
        }
    }
    shared.topic = cairn_str_from(queue.topic);
    shared.queue_id = queue.id;
    shared.wait_mode = wait_mode;
    if (cairn_store_append_batch(store, &shared, cairn_batch_items_bytes(items), &placed,
                                 &error) != CAIRN_STATUS_OK) {
        fail("append a batch", error);
    }
    cairn_batch_items_free(items);
    acknowledge(queue, first, &placed);
}

static void *run_writer(void *argument) {
    struct writer *writer = argument;
    for (uint32_t taken = 0; close_after == 0 || taken < close_after; taken++) {
        writer->random += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t choice = mix(writer->random);
        struct queue queue = {TOPICS[choice >> 8 & 1], (int32_t)(choice >> 9 & QUEUE_MASK)};
        switch (choice & 7) {
        case 0:
            append_batch(writer, queue, 1 + (choice >> 3 & 7));
            break;
        case 1:
            append_many(writer, queue, 1 + (choice >> 3 & 3));
            break;
        case 2:
        case 3:
            append_async(writer, queue);
            break;
        default:
            append(writer, queue);
        }
    }
    return NULL;
}

static void read_pattern(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(pattern, 1, PATTERN_BYTES, file) != PATTERN_BYTES) {
        fail("read the pattern", NULL);
    }
    fclose(file);
}

static void open_store(const char *directory, int count, char **texts) {
    cairn_error *error = NULL;
    cairn_options *options = cairn_options_new();
    for (int number = 0; number < count; number++) {
        char *equals = strchr(texts[number], '=');
        if (equals == NULL) {
            fail("find a value", NULL);
        }
        cairn_str name = {texts[number], (size_t)(equals - texts[number])};
        if (cairn_options_set(options, name, cairn_str_from(equals + 1), &error) !=
            CAIRN_STATUS_OK) {
            fail("set an option", error);
        }
    }
    if (cairn_store_open(cairn_str_from(directory), options, &store, &error) != CAIRN_STATUS_OK) {
        fail("open the store", error);
    }
    cairn_options_free(options);
}

static void run_writers(uint64_t life, unsigned count) {
    static struct writer writers[MAX_THREADS];
    static pthread_t threads[MAX_THREADS];
    for (unsigned number = 0; number < count && number < MAX_THREADS; number++) {
        uint64_t first = life << 40 | (uint64_t)number << 32;
        writers[number] = (struct writer){mix(seed ^ first), first};
        if (pthread_create(&threads[number], NULL, run_writer, &writers[number]) != 0) {
            fail("start a thread", NULL);
        }
    }
    for (unsigned number = 0; number < count && number < MAX_THREADS; number++) {
        pthread_join(threads[number], NULL);
    }
}

int main(int argc, char **argv) {
    cairn_error *error = NULL;
    if (argc < 8) {
        fprintf(stderr, "usage: see src/host.rs\n");
        return 2;
    }
    read_pattern(argv[2]);
    seed = strtoull(argv[3], NULL, 10);
    wait_mode = strcmp(argv[6], "1") == 0 ? CAIRN_WAIT_MODE_STORE_OK : CAIRN_WAIT_MODE_NONE;
    close_after = (uint32_t)strtoul(argv[7], NULL, 10);
    say("opening\n", 8);
    open_store(argv[1], argc - 8, argv + 8);
    say("open\n", 5);
    run_writers(strtoull(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10));
    say("closing\n", 8);
    if (cairn_store_close(store, &error) != CAIRN_STATUS_OK) {
        fail("close the store", error);
    }
    say("closed\n", 7);
    sleep(3600);
    return 0;
}
