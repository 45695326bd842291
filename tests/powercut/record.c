/*
 * Writes down what a program does to a directory, as a disk sees it. Loaded by LD_PRELOAD.
 *
 * Before and after each call that changes or syncs something, the whole directory is looked at:
 * names, lengths, and the bytes of every page, so that stores into mappings are found, too, and
 * calls that did not go through the C library. What is new is written to $CAIRN_RECORD/events:
 *
 *   E WHAT PATH          an operation; the lines up to the next E belong to it
 *   C DIRECTORY NAME     a name is gone (directories and files are inode numbers)
 *   S DIRECTORY NAME d|f INODE   a name stands for something now
 *   L FILE BYTES         a file has this length
 *   P FILE PAGE NUMBER   a page has the bytes that stand at NUMBER pages in $CAIRN_RECORD/pages
 *   F FILE               what the file had before this operation is synced
 *   R FILE PAGE END      so are these of its pages only
 *   G DIRECTORY          so are the names of the directory
 *   A TEXT               the program wrote this line to its standard output
 *
 * The directory is $CAIRN_RECORD_DIR. Calls are let through one at a time. The program finds the
 * content of $CAIRN_BOOT_ID where the kernel tells which boot this is: what is recorded is to be
 * opened as after another one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "../preload/mapping.h"

#define PAGE 4096
#define MOST_FILES 512
#define MOST_DIRECTORIES 128
#define MOST_NAMES 128
#define NAME_BYTES 128
#define PATH_BYTES 4096

struct file {
    ino_t inode;
    int fd; /* Held, so that the number is not given to another file. */
    off_t length;
    unsigned char *bytes;
    size_t room;
};

struct name {
    char text[NAME_BYTES];
    ino_t inode;
    int is_directory;
    int seen;
};

struct directory {
    ino_t inode;
    int fd;
    size_t count;
    struct name names[MOST_NAMES];
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static FILE *events;
static FILE *pages;
static unsigned long page_count;
static struct file files[MOST_FILES];
static size_t file_count;
static struct directory directories[MOST_DIRECTORIES];
static size_t directory_count;
static const char *operation; /* Its line is not written yet. */
static char operation_path[PATH_BYTES];

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_msync)(void *, size_t, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);

static void give_up(const char *what) {
    fprintf(stderr, "record: %s: %s\n", what, strerror(errno));
    _exit(97);
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) give_up(name);
    return found;
}

static FILE *open_output(const char *directory, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *output = fopen(path, "we");
    if (output == NULL) give_up(path);
    return output;
}

__attribute__((constructor)) static void begin(void) {
    real_open = next("open64");
    real_write = next("write");
    real_pwrite = next("pwrite64");
    real_fsync = next("fsync");
    real_fdatasync = next("fdatasync");
    real_msync = next("msync");
    real_ftruncate = next("ftruncate64");
    real_rename = next("rename");
    real_unlink = next("unlink");
    real_mkdir = next("mkdir");
    const char *output = getenv("CAIRN_RECORD");
    root = getenv("CAIRN_RECORD_DIR");
    if (output == NULL || root == NULL) {
        errno = EINVAL;
        give_up("CAIRN_RECORD and CAIRN_RECORD_DIR");
    }
    events = open_output(output, "events");
    pages = open_output(output, "pages");
}

__attribute__((destructor)) static void end(void) {
    pthread_mutex_lock(&one_at_a_time);
    fclose(events);
    fclose(pages);
    events = NULL;
    root = NULL;
    pthread_mutex_unlock(&one_at_a_time);
}

/* Writes the operation's line in front of the first thing that belongs to it. */
static void head(void) {
    if (operation != NULL) {
        fprintf(events, "E %s %s\n", operation, operation_path);
        operation = NULL;
    }
}

static void look_at_pages(struct file *file, off_t length) {
    size_t room = ((size_t)length + PAGE - 1) / PAGE * PAGE;
    if (room > file->room) {
        file->bytes = realloc(file->bytes, room);
        if (file->bytes == NULL) give_up("realloc");
        memset(file->bytes + file->room, 0, room - file->room);
        file->room = room;
    }
    for (size_t at = 0; at < (size_t)length; at += PAGE) {
        unsigned char page[PAGE] = {0};
        if (pread(file->fd, page, PAGE, (off_t)at) < 0) give_up("pread");
        if (memcmp(page, file->bytes + at, PAGE) == 0) continue;
        memcpy(file->bytes + at, page, PAGE);
        if (fwrite(page, PAGE, 1, pages) != 1) give_up("pages");
        head();
        fprintf(events, "P %lu %zu %lu\n", (unsigned long)file->inode, at / PAGE, page_count++);
    }
}

static void look_at_file(int directory, const char *name, const struct stat *found) {
    struct file *file = NULL;
    for (size_t i = 0; i < file_count && file == NULL; i++) {
        if (files[i].inode == found->st_ino) file = &files[i];
    }
    if (file == NULL) {
        if (file_count == MOST_FILES) give_up("too many files");
        int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) give_up(name);
        file = &files[file_count++];
        *file = (struct file){.inode = found->st_ino, .fd = fd, .length = -1};
    }
    if (file->length != found->st_size) {
        head();
        fprintf(events, "L %lu %ld\n", (unsigned long)file->inode, (long)found->st_size);
        file->length = found->st_size;
    }
    look_at_pages(file, found->st_size);
}

static struct directory *directory_of(ino_t inode, const char *path) {
    for (size_t i = 0; i < directory_count; i++) {
        if (directories[i].inode == inode) return &directories[i];
    }
    if (directory_count == MOST_DIRECTORIES) give_up("too many directories");
    struct directory *made = &directories[directory_count++];
    made->inode = inode;
    made->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made->fd < 0) give_up(path);
    return made;
}

static void look_at_name(struct directory *directory, const char *text, const struct stat *found) {
    int is_directory = S_ISDIR(found->st_mode);
    struct name *name = NULL;
    for (size_t i = 0; i < directory->count && name == NULL; i++) {
        if (strcmp(directory->names[i].text, text) == 0) name = &directory->names[i];
    }
    if (name == NULL) {
        if (directory->count == MOST_NAMES || strlen(text) >= NAME_BYTES) give_up("names");
        name = &directory->names[directory->count++];
        snprintf(name->text, NAME_BYTES, "%s", text);
        name->inode = 0;
    }
    if (name->inode != found->st_ino) {
        head();
        fprintf(events, "S %lu %s %c %lu\n", (unsigned long)directory->inode, text,
                is_directory ? 'd' : 'f', (unsigned long)found->st_ino);
    }
    name->inode = found->st_ino;
    name->is_directory = is_directory;
    name->seen = 1;
}

static void forget_names(struct directory *directory) {
    for (size_t i = 0; i < directory->count;) {
        struct name *name = &directory->names[i];
        if (name->seen) {
            i++;
            continue;
        }
        head();
        fprintf(events, "C %lu %s\n", (unsigned long)directory->inode, name->text);
        *name = directory->names[--directory->count];
    }
}

static void look_at_directory(const char *path) {
    struct stat found;
    DIR *open_directory = opendir(path);
    if (open_directory == NULL) return;
    int fd = dirfd(open_directory);
    if (fstat(fd, &found) != 0) give_up(path);
    struct directory *directory = directory_of(found.st_ino, path);
    for (size_t i = 0; i < directory->count; i++) directory->names[i].seen = 0;
    struct dirent *entry;
    while ((entry = readdir(open_directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
        look_at_name(directory, entry->d_name, &found);
        if (S_ISDIR(found.st_mode)) {
            char below[PATH_BYTES];
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            look_at_directory(below);
        } else if (S_ISREG(found.st_mode)) {
            look_at_file(fd, entry->d_name, &found);
        }
    }
    closedir(open_directory);
    forget_names(directory);
}

/* What was done since the last look belongs to this. */
static void look(const char *what, const char *path) {
    operation = what;
    const char *below = strncmp(path, root, strlen(root)) == 0 ? path + strlen(root) : path;
    snprintf(operation_path, sizeof operation_path, "%s", *below == '\0' ? "/" : below);
    look_at_directory(root);
    operation = NULL;
}

static void name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_BYTES - 1);
    path[length < 0 ? 0 : length] = '\0';
}

static int is_ours(const char *path) {
    return root != NULL && strncmp(path, root, strlen(root)) == 0;
}

/* Locks if the path is below the directory. */
static int enter_path(const char *path) {
    if (!is_ours(path)) return 0;
    pthread_mutex_lock(&one_at_a_time);
    look("store", "");
    return 1;
}

/* As enter_path, of an open file, whose path it finds. */
static int enter(int fd, char *path) {
    int error = errno;
    name_of(fd, path);
    int entered = enter_path(path);
    errno = error;
    return entered;
}

static int leave(int result) {
    int error = errno;
    fflush(pages);
    fflush(events);
    pthread_mutex_unlock(&one_at_a_time);
    errno = error;
    return result;
}

static int sync_with(int (*real)(int), const char *what, int fd) {
    char path[PATH_BYTES];
    if (!enter(fd, path)) return real(fd);
    struct stat found;
    if (fstat(fd, &found) != 0) give_up(path);
    int result = real(fd);
    if (result == 0) {
        int is_directory = S_ISDIR(found.st_mode);
        const char *below = path + strlen(root);
        fprintf(events, "E %s %s\n%c %lu\n", what, *below == '\0' ? "/" : below,
                is_directory ? 'G' : 'F', (unsigned long)found.st_ino);
    }
    return leave(result);
}

int fsync(int fd) {
    return sync_with(real_fsync, "fsync", fd);
}

int fdatasync(int fd) {
    return sync_with(real_fdatasync, "fdatasync", fd);
}

int msync(void *address, size_t length, int flags) {
    char path[PATH_BYTES];
    off_t offset;
    if (!mapped_at(address, path, sizeof path, &offset) || !enter_path(path)) {
        return real_msync(address, length, flags);
    }
    struct stat found;
    if (stat(path, &found) != 0) give_up(path);
    int result = real_msync(address, length, flags);
    if (result == 0 && (flags & MS_SYNC) != 0) {
        fprintf(events, "E msync %s\nR %lu %zu %zu\n", path + strlen(root),
                (unsigned long)found.st_ino, (size_t)offset / PAGE,
                ((size_t)offset + length + PAGE - 1) / PAGE);
    }
    return leave(result);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    char path[PATH_BYTES];
    if (!enter(fd, path)) return real_pwrite(fd, bytes, count, offset);
    ssize_t result = real_pwrite(fd, bytes, count, offset);
    int error = errno;
    look("pwrite", path);
    errno = error;
    leave(0);
    return result;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd == STDOUT_FILENO && events != NULL) {
        pthread_mutex_lock(&one_at_a_time);
        fprintf(events, "E write stdout\n");
        const char *text = bytes;
        for (size_t at = 0; at < count;) {
            const char *line_end = memchr(text + at, '\n', count - at);
            size_t length = line_end == NULL ? count - at : (size_t)(line_end - text) - at;
            fprintf(events, "A %.*s\n", (int)length, text + at);
            at += length + 1;
        }
        leave(0);
    }
    return real_write(fd, bytes, count);
}

int ftruncate64(int fd, off_t length) {
    char path[PATH_BYTES];
    if (!enter(fd, path)) return real_ftruncate(fd, length);
    int result = real_ftruncate(fd, length);
    look("ftruncate", path);
    return leave(result);
}

static int names(const char *what, const char *path, int (*call)(const void *), const void *words) {
    if (!enter_path(path)) return call(words);
    int result = call(words);
    int error = errno;
    look(what, path);
    errno = error;
    return leave(result);
}

static int call_rename(const void *words) {
    const char *const *paths = words;
    return real_rename(paths[0], paths[1]);
}

static int call_unlink(const void *words) {
    return real_unlink(words);
}

struct made {
    const char *path;
    mode_t mode;
};

static int call_mkdir(const void *words) {
    const struct made *made = words;
    return real_mkdir(made->path, made->mode);
}

int rename(const char *from, const char *to) {
    const char *paths[] = {from, to};
    return names("rename", to, call_rename, paths);
}

int unlink(const char *path) {
    return names("unlink", path, call_unlink, path);
}

int mkdir(const char *path, mode_t mode) {
    struct made made = {path, mode};
    return names("mkdir", path, call_mkdir, &made);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    const char *boot_id = getenv("CAIRN_BOOT_ID");
    if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot_id;
    if (!enter_path(path)) return real_open(path, flags, mode);
    int result = real_open(path, flags, mode);
    int error = errno;
    look("open", path);
    errno = error;
    return leave(result);
}
