// Leaves behind what its argument names, and ends with success: what has to be found.
//
//     leaker thread|descriptor|mapping|memory|object|directory|shortly|failing|nothing
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES = 100000 };

static void *volatile object;

static const char *below_temporary(char *path, size_t size, const char *name) {
  const char *directory = getenv("TMPDIR");
  if (!directory || (size_t)snprintf(path, size, "%s/%s", directory, name) >= size)
    abort();
  return path;
}

static int open_file(void) {
  char path[4096];
  int file = open(below_temporary(path, sizeof path, "log"), O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, BYTES) != 0)
    abort();
  // What lies in the directory is another matter.
  unlink(path);
  return file;
}

static void *map(int file) {
  int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *mapped = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, flags, file, 0);
  if (mapped == MAP_FAILED)
    abort();
  return mapped;
}

static void *sleep_ms(void *milliseconds) {
  usleep(1000 * (useconds_t)(size_t)milliseconds);
  return NULL;
}

static void start_thread(size_t milliseconds) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, sleep_ms, (void *)milliseconds) != 0)
    abort();
  pthread_detach(thread);
}

int main(int argc, char **argv) {
  const char *what = argc == 2 ? argv[1] : "";
  char path[4096];
  int file = open_file();
  void *mapped = map(file), *memory = map(-1);
  if (strcmp(what, "descriptor") != 0)
    close(file);
  if (strcmp(what, "mapping") != 0)
    munmap(mapped, BYTES);
  if (strcmp(what, "memory") != 0)
    munmap(memory, BYTES);
  if (strcmp(what, "directory") == 0 && mkdir(below_temporary(path, sizeof path, "store"), 0700))
    abort();
  // Nothing points to the first of them any more; how many there are is of no matter.
  for (int left = 10; left > 0 && strcmp(what, "object") == 0; left--)
    object = malloc(BYTES);
  if (strcmp(what, "thread") == 0)
    start_thread(600000);
  if (strcmp(what, "shortly") == 0)
    start_thread(100);
  if (strcmp(what, "failing") == 0) {
    start_thread(600000);
    return 1;
  }
  return 0;
}
