/* A disk that fills up, and checks of the files written to it. */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fputs(text, file);
    fclose(file);
}

/* A disk of 64 KB over the folder, seen by this process alone; where that is not allowed, a limit
 * of 64 KB for each file. Returns what a full disk is then called. */
static inline int make_small_disk(const char *folder)
{
    bool root = geteuid() == 0;
    char users[64], groups[64];
    snprintf(users, sizeof users, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    snprintf(groups, sizeof groups, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) == 0) {
        if (!root) {
            write_text("/proc/self/uid_map", users);
            write_text("/proc/self/setgroups", "deny");
            write_text("/proc/self/gid_map", groups);
        }
        if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("tmpfs", folder, "tmpfs", 0, "size=64k,mode=0777") == 0) {
            if (access(folder, W_OK) == 0)
                return SP_ERR_NO_SPACE;
            umount(folder);
        }
    }
    const struct rlimit limit = {64 << 10, 64 << 10};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    return SP_ERR_IO;
}

/* JSON objects of the frames from 0 on; -1: one is not whole. */
static inline int whole_lines(const char *path, int most)
{
    FILE *file = fopen(path, "r");
    static char line[1 << 20];
    int lines = 0;
    while (file && lines <= most && fgets(line, sizeof line, file)) {
        json_t *object = json_loads(line, 0, NULL);
        if (!object || json_integer_value(json_object_get(object, "sequence")) != lines ||
            !strchr(line, '\n'))
            return -1;
        json_decref(object);
        lines++;
    }
    if (file)
        fclose(file);
    return lines;
}

static inline int whole_rows(const char *path, int most)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int rows = 0;
    while (file && rows <= most && fgets(line, sizeof line, file)) {
        if (atoi(line) != rows + 1 || !strstr(line, ",-1,-1,-1\n"))
            return -1;
        rows++;
    }
    if (file)
        fclose(file);
    return rows;
}
