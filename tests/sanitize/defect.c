/* One defect of each kind, in C, and those of `defect.rs` as C reaches them. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t defect(int32_t kind);

static uint64_t shared;

static uint64_t use_after_free(void) {
    uint64_t *volatile freed = malloc(sizeof *freed);
    if (freed == NULL) {
        return 0;
    }
    *freed = 7;
    free(freed);
    return *freed;
}

static void *write_shared(void *unused) {
    (void)unused;
    for (int round = 0; round < 1000; round++) {
        *(volatile uint64_t *)&shared += 1;
    }
    return NULL;
}

static uint64_t race(void) {
    pthread_t other;
    if (pthread_create(&other, NULL, write_shared, NULL) != 0) {
        return 0;
    }
    write_shared(NULL);
    pthread_join(other, NULL);
    return shared;
}

/* `defect c 1` or `defect rust 2`. */
int main(int count, char **arguments) {
    if (count != 3) {
        return 2;
    }
    int32_t kind = atoi(arguments[2]);
    uint64_t result = 0;
    if (arguments[1][0] == 'r') {
        result = defect(kind);
    } else if (kind == 1) {
        result = use_after_free();
    } else if (kind == 2) {
        result = race();
    }
    printf("%llu\n", (unsigned long long)result);
    return 0;
}
