#include "publish/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16 };

struct sp_part {
    int fd;
    bool made, published;
    char *dir, *name, *path, *part_path;
    size_t used_bytes;
    char buffer[BUFFER_BYTES];
};

int sp_part_fail(const struct sp_part *part, int errno_value, struct sp_error *err)
{
    char text[128];
    int code = sp_error_from_errno(errno_value);
    const char *advice = code == SP_ERR_NO_SPACE    ? "make room or choose another folder"
                         : code == SP_ERR_NOT_FOUND ? "make the folder first"
                                                    : "check the folder and its permissions";
    return sp_fail(err, code, "%s: %s (in %s); %s", part->name,
                   strerror_r(errno_value, text, sizeof text), part->dir, advice);
}

int sp_part_open(struct sp_part **out, const char *dir, const char *name, struct sp_error *err)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return sp_fail(err, SP_ERR_INVALID,
                       "\"%s\" cannot be a file's name: it must not be empty, begin with a dot or "
                       "have a slash",
                       name);
    struct sp_part *part = calloc(1, sizeof *part);
    if (!part)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    part->fd = -1;
    part->dir = strdup(dir);
    part->name = strdup(name);
    if (asprintf(&part->path, "%s/%s", dir, name) < 0)
        part->path = NULL;
    if (asprintf(&part->part_path, "%s/%s.part", dir, name) < 0)
        part->part_path = NULL;
    if (!part->dir || !part->name || !part->path || !part->part_path) {
        sp_part_close(part);
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    }
    part->fd = open(part->part_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (part->fd < 0) {
        int rc = sp_part_fail(part, errno, err);
        sp_part_close(part);
        return rc;
    }
    part->made = true;
    *out = part;
    return SP_OK;
}

const char *sp_part_path(const struct sp_part *part)
{
    return part->part_path;
}

const char *sp_part_name(const struct sp_part *part)
{
    return part->name;
}

static int write_all(struct sp_part *part, const char *bytes, size_t count, struct sp_error *err)
{
    while (count > 0) {
        ssize_t n = write(part->fd, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_part_fail(part, errno, err);
        bytes += n;
        count -= (size_t)n;
    }
    return SP_OK;
}

static int flush(struct sp_part *part, struct sp_error *err)
{
    size_t used = part->used_bytes;
    part->used_bytes = 0;
    return write_all(part, part->buffer, used, err);
}

int sp_part_write(struct sp_part *part, const char *bytes, size_t count, struct sp_error *err)
{
    if (part->used_bytes + count > sizeof part->buffer) {
        int rc = flush(part, err);
        if (rc)
            return rc;
    }
    if (count > sizeof part->buffer)
        return write_all(part, bytes, count, err);
    memcpy(part->buffer + part->used_bytes, bytes, count);
    part->used_bytes += count;
    return SP_OK;
}

int sp_part_sync(struct sp_part *part, struct sp_error *err)
{
    int rc = flush(part, err);
    if (!rc && fsync(part->fd) != 0 && errno != EINVAL && errno != EROFS)
        rc = sp_part_fail(part, errno, err); /* EINVAL: a file system without sync */
    int fd = part->fd;
    part->fd = -1;
    if (close(fd) != 0 && !rc && errno != EINTR)
        rc = sp_part_fail(part, errno, err); /* some network disks tell only here */
    return rc;
}

/* So that the new name too survives a power cut; a disk that cannot do it has done its best. */
static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

int sp_part_publish(struct sp_part *part, struct sp_error *err)
{
    if (rename(part->part_path, part->path) != 0)
        return sp_part_fail(part, errno, err);
    part->published = true;
    sync_folder(part->dir);
    return SP_OK;
}

void sp_part_close(struct sp_part *part)
{
    if (!part)
        return;
    if (part->fd >= 0)
        close(part->fd);
    if (part->part_path && part->made && !part->published)
        unlink(part->part_path);
    free(part->dir);
    free(part->name);
    free(part->path);
    free(part->part_path);
    free(part);
}
