// Looks, when a program ends with success, for what it has left: loaded by LD_PRELOAD.
//
// That is threads beside the main one, file descriptors beyond those it began with, and memory
// that it mapped itself and did not unmap. What is about to end gets LEAKS_WAIT_MS for that. A line
// for each goes to the end of the file LEAKS_REPORT, behind `looked PROGRAM`. Looked at is the
// process that the library was loaded into first and, with LEAKS_TOOL=1, the tool that it starts.
// A thread named LEAKS_PERMITTED_THREAD, and what it mapped, may be there: it is the process's.
// Where LeakSanitizer is loaded too, it is asked last.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DESCRIPTORS = 4096, MAX_MAPPINGS = 65536, POLL_MS = 5 };

typedef struct {
  uintptr_t begin, end;
  // Who made it.
  pid_t thread;
} mapping;

static char program[PATH_MAX];
static pid_t process;
static bool open_at_begin[MAX_DESCRIPTORS];
static mapping mappings[MAX_MAPPINGS];
static size_t mapping_count;
static bool mappings_lost;
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

// --- What the program maps. libc's own mappings, of stacks and of the heap, do not come here. ---

static void note_mapping(mapping made) {
  if (mapping_count == MAX_MAPPINGS)
    mappings_lost = true;
  else
    mappings[mapping_count++] = made;
}

// Takes a range of addresses out of what is mapped.
static void forget_mappings(uintptr_t begin, uintptr_t end) {
  for (size_t at = mapping_count; at-- > 0;) {
    mapping found = mappings[at];
    if (found.end <= begin || found.begin >= end)
      continue;
    mappings[at] = mappings[--mapping_count];
    if (found.begin < begin)
      note_mapping((mapping){found.begin, begin, found.thread});
    if (found.end > end)
      note_mapping((mapping){end, found.end, found.thread});
  }
}

static uintptr_t page_end(void *at, size_t length) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  return ((uintptr_t)at + length + page - 1) / page * page;
}

void *mmap64(void *at, size_t length, int access, int flags, int file, off64_t from) {
  pthread_mutex_lock(&mappings_lock);
  void *mapped = (void *)syscall(SYS_mmap, at, length, access, flags, file, from);
  // What replaces pages of a mapping goes with it.
  if (mapped != MAP_FAILED && !(flags & MAP_FIXED))
    note_mapping((mapping){(uintptr_t)mapped, page_end(mapped, length), gettid()});
  pthread_mutex_unlock(&mappings_lock);
  return mapped;
}

void *mmap(void *at, size_t length, int access, int flags, int file, off_t from) {
  return mmap64(at, length, access, flags, file, from);
}

int munmap(void *at, size_t length) {
  pthread_mutex_lock(&mappings_lock);
  int result = (int)syscall(SYS_munmap, at, length);
  if (result == 0)
    forget_mappings((uintptr_t)at, page_end(at, length));
  pthread_mutex_unlock(&mappings_lock);
  return result;
}

// --- What is left -------------------------------------------------------------------------------

// Calls `found` for each number that names an entry of a directory, and returns the sum.
static int each_number(const char *path, int (*found)(int number, FILE *report), FILE *report) {
  DIR *directory = opendir(path);
  int sum = 0;
  if (!directory)
    abort();
  for (struct dirent *entry; (entry = readdir(directory));) {
    int number = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && number != dirfd(directory))
      sum += found(number, report);
  }
  closedir(directory);
  return sum;
}

// Reads the name of a thread, and says whether it is still there.
static bool name_of_thread(int number, char *name, int size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", number);
  FILE *file = fopen(path, "r");
  bool read = file && fgets(name, size, file) != NULL;
  if (file)
    fclose(file);
  if (read)
    name[strcspn(name, "\n")] = 0;
  return read;
}

static bool is_permitted_thread(int number) {
  char name[64];
  const char *permitted = getenv("LEAKS_PERMITTED_THREAD");
  return permitted && name_of_thread(number, name, sizeof name) && strcmp(name, permitted) == 0;
}

static int look_at_thread(int number, FILE *report) {
  char name[64];
  if (number == process || is_permitted_thread(number))
    return 0;
  bool lives = name_of_thread(number, name, sizeof name);
  if (lives && report)
    fprintf(report, "thread %s\n", name);
  return lives;
}

static int look_at_descriptor(int number, FILE *report) {
  char link[64], path[PATH_MAX];
  if (number < MAX_DESCRIPTORS && open_at_begin[number])
    return 0;
  if (report && number == fileno(report))
    return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", number);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0)
    return 0;
  path[length] = 0;
  if (report)
    fprintf(report, "descriptor %s\n", path);
  return 1;
}

// The file at an address, or what else the system says of it.
static void name_of_mapping(uintptr_t at, char *name, size_t size) {
  char line[PATH_MAX + 128];
  FILE *maps = fopen("/proc/self/maps", "r");
  snprintf(name, size, "unknown");
  while (maps && fgets(line, sizeof line, maps)) {
    uintptr_t begin, end;
    int behind = 0;
    int read = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &begin, &end, &behind);
    if (read != 2 || at < begin || at >= end)
      continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(name, size, "%s", line[behind] ? line + behind : "anonymous memory");
  }
  if (maps)
    fclose(maps);
}

static int look_at_mappings(FILE *report) {
  char name[PATH_MAX];
  int count = mappings_lost;
  if (report && mappings_lost)
    fprintf(report, "mapping more than can be counted\n");
  for (size_t at = 0; at < mapping_count; at++) {
    mapping left = mappings[at];
    if (is_permitted_thread(left.thread))
      continue;
    count++;
    name_of_mapping(left.begin, name, sizeof name);
    if (report)
      fprintf(report, "mapping %zu bytes of %s\n", (size_t)(left.end - left.begin), name);
  }
  return count;
}

static int look(FILE *report) {
  int found = each_number("/proc/self/task", look_at_thread, report);
  found += each_number("/proc/self/fd", look_at_descriptor, report);
  return found + look_at_mappings(report);
}

// LeakSanitizer's: whether there are objects that nothing points to. It writes of them by itself.
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

// --- The beginning and the end ------------------------------------------------------------------

static int note_descriptor(int number, FILE *report) {
  (void)report;
  if (number < MAX_DESCRIPTORS)
    open_at_begin[number] = true;
  return 0;
}

static void end(int status, void *nothing) {
  (void)nothing;
  // A child that was forked is not the one that was to be looked at.
  if (status != 0 || getpid() != process)
    return;
  const char *wait = getenv("LEAKS_WAIT_MS");
  struct timespec pause = {0, POLL_MS * 1000000L};
  for (long left = wait ? atol(wait) : 5000; left > 0 && look(NULL) > 0; left -= POLL_MS)
    nanosleep(&pause, NULL);
  FILE *report = fopen(getenv("LEAKS_REPORT"), "a");
  if (!report)
    abort();
  fprintf(report, "looked %s\n", program);
  look(report);
  fflush(report);
  if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
    fprintf(report, "object\n");
  fclose(report);
}

__attribute__((constructor)) static void begin(void) {
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  program[length > 0 ? length : 0] = 0;
  const char *name = strrchr(program, '/');
  bool first = !getenv("LEAKS_FIRST");
  if (!getenv("LEAKS_REPORT") || !(first || (name && strcmp(name, "/cairnlog") == 0)))
    return;
  setenv("LEAKS_FIRST", "seen", 1);
  if (!getenv("LEAKS_TOOL"))
    unsetenv("LD_PRELOAD");
  process = getpid();
  each_number("/proc/self/fd", note_descriptor, NULL);
  on_exit(end, NULL);
}
