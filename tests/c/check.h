// What the C tests share: checks that name the place, and short ways to say a message.
//
// Each test is a program that takes an empty directory of its own and ends with 0 if all went well.
#ifndef CAIRNLOG_TESTS_CHECK_H
#define CAIRNLOG_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cairnlog.h"

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)

static inline void check_true(bool holds, const char *text, const char *file, int line) {
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
        exit(1);
    }
}

// A call that leaves an error object in `error` when it fails.
#define CHECK_OK(call) check_ok((call), &error, #call, __FILE__, __LINE__)

static inline void check_ok(cairn_status status, cairn_error **error, const char *text,
                            const char *file, int line) {
    if (status != CAIRN_STATUS_OK || *error != NULL) {
        fprintf(stderr, "%s:%d: %s gave %s: %s\n", file, line, text, cairn_status_name(status),
                cairn_error_message(*error));
        exit(1);
    }
}

// A call that must fail so, with an error object that says the same.
#define CHECK_FAILS(expected, call)                                                                \
    check_fails((expected), (call), &error, #call, __FILE__, __LINE__)

static inline void check_fails(cairn_status expected, cairn_status status, cairn_error **error,
                               const char *text, const char *file, int line) {
    if (status != expected || cairn_error_status(*error) != expected ||
        strlen(cairn_error_message(*error)) == 0) {
        fprintf(stderr, "%s:%d: %s gave %s and not %s: %s\n", file, line, text,
                cairn_status_name(status), cairn_status_name(expected),
                cairn_error_message(*error));
        exit(1);
    }
    cairn_error_free(*error);
    *error = NULL;
}

// A call without error object that must give this status.
#define CHECK_STATUS(expected, call) check_status((expected), (call), #call, __FILE__, __LINE__)

static inline void check_status(cairn_status expected, cairn_status status, const char *text,
                                const char *file, int line) {
    if (status != expected) {
        fprintf(stderr, "%s:%d: %s gave %s and not %s\n", file, line, text,
                cairn_status_name(status), cairn_status_name(expected));
        exit(1);
    }
}

static inline bool same_text(cairn_str text, const char *expected) {
    return text.length == strlen(expected) && memcmp(text.data, expected, text.length) == 0;
}

static inline cairn_bytes bytes_of(const char *text) {
    cairn_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static inline bool same_bytes(cairn_bytes bytes, const char *expected) {
    return bytes.length == strlen(expected) && memcmp(bytes.data, expected, bytes.length) == 0;
}

static inline cairn_message message_of(const char *topic, const char *body) {
    cairn_message message = CAIRN_MESSAGE_INIT;
    message.topic = cairn_str_from(topic);
    message.body = bytes_of(body);
    return message;
}

// Options for small files, so that tests roll over and use little disk.
static inline cairn_options *small_options(void) {
    cairn_options *options = cairn_options_new();
    CHECK(options != NULL);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_segment_size_bytes(options, 64 * 1024));
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_reserve_ahead_bytes(options, 1 << 20));
    return options;
}

// Opens the store of a test in a directory below the one the program was given.
static inline cairn_store *open_store(const char *directory, const char *name) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    CHECK(store != NULL);
    cairn_options_free(options);
    return store;
}

static inline void close_store(cairn_store *store) {
    cairn_error *error = NULL;
    CHECK_OK(cairn_store_close(store, &error));
    cairn_store_free(store);
}

static inline const char *directory_argument(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        exit(2);
    }
    return argv[1];
}

#endif
