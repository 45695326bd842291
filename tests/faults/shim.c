// Makes calls of a program fail that knows nothing of it: loaded by LD_PRELOAD.
//
// FAULT_PATH is the directory whose files are concerned, FAULT_CALL the call, FAULT_NTH the first
// of them that fails, FAULT_TIMES how many do in a row (0: all from there on), FAULT_ERRNO the
// error (0: a write takes the half only). Into FAULT_LOG goes a line for each call concerned: its
// name, `ok` or `failed`, and the path.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../preload/mapping.h"

static const char *fault_path, *fault_call;
static long nth, times, number;
static int log_file = -1;
static atomic_long seen;

__attribute__((constructor)) static void begin(void) {
  const char *log = getenv("FAULT_LOG");
  fault_path = getenv("FAULT_PATH");
  fault_call = getenv("FAULT_CALL");
  nth = atol(getenv("FAULT_NTH") ? getenv("FAULT_NTH") : "0");
  times = atol(getenv("FAULT_TIMES") ? getenv("FAULT_TIMES") : "0");
  number = atol(getenv("FAULT_ERRNO") ? getenv("FAULT_ERRNO") : "0");
  if (log) {
    // Out of the way of programs that count their descriptors.
    int opened = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    log_file = (int)syscall(SYS_fcntl, opened, F_DUPFD_CLOEXEC, 500);
    syscall(SYS_close, opened);
  }
}

// Whether a call on a path is to fail; errno is then set.
static int fails(const char *name, const char *path) {
  char line[PATH_MAX + 64];
  long count;
  int failed, length;
  if (!fault_path || strncmp(path, fault_path, strlen(fault_path)) != 0)
    return 0;
  failed = 0;
  if (fault_call && strcmp(name, fault_call) == 0) {
    count = atomic_fetch_add(&seen, 1) + 1;
    failed = count >= nth && (times == 0 || count < nth + times);
  }
  length = snprintf(line, sizeof line, "%s %s %s\n", name, failed ? "failed" : "ok", path);
  if (log_file >= 0 && length > 0)
    syscall(SYS_write, log_file, line, (size_t)length);
  errno = failed ? (int)number : errno;
  return failed;
}

static int fails_on(const char *name, int file) {
  char link[64], path[PATH_MAX];
  ssize_t length;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length < 0)
    return 0;
  path[length] = 0;
  return fails(name, path);
}

#define REAL(type, name, ...)                                                                      \
  static type (*real)(__VA_ARGS__);                                                                \
  if (!real)                                                                                       \
    real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int fdatasync(int file) {
  REAL(int, "fdatasync", int);
  return fails_on("fdatasync", file) ? -1 : real(file);
}

int fsync(int file) {
  REAL(int, "fsync", int);
  return fails_on("fsync", file) ? -1 : real(file);
}

int msync(void *address, size_t length, int flags) {
  REAL(int, "msync", void *, size_t, int);
  char path[PATH_MAX];
  off_t offset;
  if (mapped_at(address, path, sizeof path, &offset) && fails("msync", path))
    return -1;
  return real(address, length, flags);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  if (fails_on("pwrite64", file)) {
    if (number != 0)
      return -1;
    length = length / 2 + length % 2;
  }
  return real(file, bytes, length, at);
}

int ftruncate64(int file, off64_t length) {
  REAL(int, "ftruncate64", int, off64_t);
  return fails_on("ftruncate64", file) ? -1 : real(file, length);
}

static void *map(void *at, size_t length, int access, int flags, int file, off64_t from) {
  REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
  if (file >= 0 && fails_on("mmap", file))
    return MAP_FAILED;
  return real(at, length, access, flags, file, from);
}

void *mmap64(void *at, size_t length, int access, int flags, int file, off64_t from) {
  return map(at, length, access, flags, file, from);
}

void *mmap(void *at, size_t length, int access, int flags, int file, off_t from) {
  return map(at, length, access, flags, file, from);
}

int open64(const char *path, int flags, ...) {
  REAL(int, "open64", const char *, int, ...);
  mode_t mode = 0;
  va_list rest;
  va_start(rest, flags);
  if (flags & (O_CREAT | O_TMPFILE))
    mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails("open64", path) ? -1 : real(path, flags, mode);
}

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return fails("rename", to) ? -1 : real(from, to);
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  return fails("unlink", path) ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  return fails("mkdir", path) ? -1 : real(path, mode);
}
