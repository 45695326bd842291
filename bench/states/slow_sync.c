// Loaded in front of the C library (LD_PRELOAD): every sync takes 300 ms longer.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void wait_long(void) {
    struct timespec rest = {0, 300 * 1000 * 1000};
    while (nanosleep(&rest, &rest) != 0) {
    }
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_long();
    return real(file);
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_long();
    return real(file);
}

int msync(void *address, size_t length, int flags) {
    int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
    wait_long();
    return real(address, length, flags);
}
