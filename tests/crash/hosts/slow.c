// Makes writers slow where they must be in order: for LD_PRELOAD, so that kills come between calls
// that follow each other within microseconds. Some writes to a place in a file are done in two
// pieces with a pause between, as a kill may cut them, and some syncs, renames and the like wait
// before they begin and before they return.
//
// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

// The next function of this name, which is looked for once.
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) { \
        *(void **)&real = dlsym(RTLD_NEXT, name); \
    }

// A number that is another each time, from each thread.
static uint32_t number(void) {
    static _Thread_local uint64_t state;
    state = (state + (uintptr_t)&state) * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33);
}

static int is_chosen(void) {
    return number() % 4 == 0;
}

static void pause_shortly(void) {
    struct timespec time = {0, 20000 + number() % 400000};
    nanosleep(&time, NULL);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    if (!is_chosen()) {
        return real(file, bytes, count, offset);
    }
    pause_shortly();
    size_t part = count / 2;
    ssize_t first = part > 0 ? real(file, bytes, part, offset) : 0;
    if (first != (ssize_t)part) {
        return first;
    }
    pause_shortly();
    ssize_t second = real(file, (const char *)bytes + part, count - part, offset + (off64_t)part);
    return second < 0 ? second : first + second;
}

#define SLOW_CALL(name, parameters, types, arguments) \
    int name parameters { \
        REAL(int, #name, types) \
        int chosen = is_chosen(); \
        if (chosen) { \
            pause_shortly(); \
        } \
        int result = real arguments; \
        if (chosen) { \
            pause_shortly(); \
        } \
        return result; \
    }

SLOW_CALL(fsync, (int file), int, (file))
SLOW_CALL(fdatasync, (int file), int, (file))
#define RANGE void *, size_t, int
SLOW_CALL(msync, (void *address, size_t length, int flags), RANGE, (address, length, flags))
SLOW_CALL(unlink, (const char *path), const char *, (path))
#define PATHS const char *, const char *
SLOW_CALL(rename, (const char *from, const char *to), PATHS, (from, to))
#define LENGTH int, off64_t
SLOW_CALL(ftruncate64, (int file, off64_t length), LENGTH, (file, length))
