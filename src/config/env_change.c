#include "config/env_change.h"

#include "base/lines.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot_write(const char *path, int why, struct sp_error *err)
{
    return sp_fail(err, sp_error_from_errno(why), "%s: cannot be written: %s", path, strerror(why));
}

/* Opens PATH.part, renamed to PATH when complete; NULL with errno. */
static FILE *open_atomic_file(char part[PATH_MAX], const char *path)
{
    if (snprintf(part, PATH_MAX, "%s.part", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(part, "we");
}

int sp_env_check_place(const char *path, struct sp_error *err)
{
    char part[PATH_MAX];
    FILE *out = open_atomic_file(part, path);
    if (!out)
        return cannot_write(path, errno, err);
    fclose(out);
    unlink(part);
    return SP_OK;
}

static bool sets_one_of(const char *text, const struct sp_env_line *lines, size_t count)
{
    text += strspn(text, " \t");
    if (strncmp(text, "export ", 7) == 0)
        text += 7;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(lines[i].key);
        if (strncmp(text, lines[i].key, n) == 0 && text[n + strspn(text + n, " \t")] == '=')
            return true;
    }
    return false;
}

static bool copy_others(FILE *in, FILE *out, const struct sp_env_line *lines, size_t count)
{
    char *text = NULL;
    size_t capacity = 0;
    bool copied = true;
    for (bool first = true; copied && sp_line_read(&text, &capacity, in, first) >= 0; first = false)
        if (!sets_one_of(text, lines, count))
            copied = fprintf(out, "%s\n", text) >= 0;
    copied = copied && !ferror(in);
    free(text);
    return copied;
}

/* Keeps owner and mode: the file may hold secrets. */
static bool keep_mode(FILE *in, FILE *out)
{
    struct stat about;
    if (fstat(fileno(in), &about) != 0)
        return false;
    if (fchown(fileno(out), about.st_uid, about.st_gid) != 0 && errno != EPERM)
        return false;
    return fchmod(fileno(out), about.st_mode & 07777) == 0;
}

int sp_env_change(const char *path, const struct sp_env_line *lines, size_t count,
                  struct sp_error *err)
{
    char part[PATH_MAX];
    FILE *out = open_atomic_file(part, path);
    if (!out)
        return cannot_write(path, errno, err);
    FILE *in = fopen(path, "re");
    bool written = in ? keep_mode(in, out) && copy_others(in, out, lines, count) : errno == ENOENT;
    for (size_t i = 0; written && i < count; i++)
        if (lines[i].value)
            written = fprintf(out, "%s=%s\n", lines[i].key, lines[i].value) >= 0;
    int why = written ? 0 : (errno ? errno : EIO);
    if (in)
        fclose(in);
    if (fclose(out) != 0 && !why)
        why = errno;
    if (!why && rename(part, path) != 0)
        why = errno;
    if (!why)
        return SP_OK;
    unlink(part);
    return cannot_write(path, why, err);
}
