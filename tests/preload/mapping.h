/*
 * What a library that is loaded by LD_PRELOAD asks about an address that the program gave to a
 * call such as msync.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef CAIRNLOG_TESTS_MAPPING_H
#define CAIRNLOG_TESTS_MAPPING_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* Finds the file that is mapped at an address, and which of its bytes. 0 if there is none. */
static int mapped_at(const void *address, char *path, size_t room, off_t *offset) {
    char line[4096 + 128];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end, from;
        int at = 0;
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %n", &start, &end, &from, &at) < 3) continue;
        if ((uintptr_t)address < start || (uintptr_t)address >= end || line[at] != '/') continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, room, "%s", line + at);
        *offset = (off_t)(from + ((uintptr_t)address - start));
        found = 1;
    }
    if (maps != NULL) fclose(maps);
    return found;
}

#endif
