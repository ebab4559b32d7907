#include "publish/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 1 << 16,
    ROOMY = 64, /* with free space for this many buffers, the next buffer's space is reserved */
};

struct sp_atomic_file {
    int fd;
    bool made, published;
    char *dir, *name, *path, *part_path;
    bool reserves;
    int64_t written_bytes;
    size_t used_bytes;
    char buffer[BUFFER_BYTES];
};

int sp_atomic_file_fail(const struct sp_atomic_file *part, int errno_value, struct sp_error *err)
{
    char text[128];
    int code = sp_error_from_errno(errno_value);
    const char *advice = code == SP_ERR_NO_SPACE    ? "free disk space or choose another folder"
                         : code == SP_ERR_NOT_FOUND ? "create the folder"
                                                    : "check the folder and its permissions";
    return sp_fail(err, code, "%s: %s (in %s); %s", part->name,
                   strerror_r(errno_value, text, sizeof text), part->dir, advice);
}

/* Reserves disk space, so that the buffer can be written even if other files fill the disk. */
static int reserve(struct sp_atomic_file *part, struct sp_error *err)
{
    if (!part->reserves ||
        fallocate(part->fd, FALLOC_FL_KEEP_SIZE, part->written_bytes, BUFFER_BYTES) == 0)
        return SP_OK;
    part->reserves = false;
    return errno == ENOSPC || errno == EDQUOT ? sp_atomic_file_fail(part, errno, err) : SP_OK;
}

int sp_atomic_file_open(struct sp_atomic_file **out, const char *dir, const char *name,
                        struct sp_error *err)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return sp_fail(err, SP_ERR_INVALID,
                       "\"%s\": invalid file name; it must not be empty, begin with a dot or "
                       "contain a slash",
                       name);
    struct sp_atomic_file *part = calloc(1, sizeof *part);
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
        sp_atomic_file_close(part);
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    }
    part->fd = open(part->part_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (part->fd < 0) {
        int rc = sp_atomic_file_fail(part, errno, err);
        sp_atomic_file_close(part);
        return rc;
    }
    part->made = true;
    struct statvfs disk;
    part->reserves = fstatvfs(part->fd, &disk) == 0 &&
                     (uint64_t)disk.f_bavail * disk.f_frsize > (uint64_t)ROOMY * BUFFER_BYTES;
    (void)reserve(part, NULL);
    *out = part;
    return SP_OK;
}

const char *sp_atomic_file_path(const struct sp_atomic_file *part)
{
    return part->part_path;
}

const char *sp_atomic_file_name(const struct sp_atomic_file *part)
{
    return part->name;
}

int64_t sp_atomic_file_bytes(const struct sp_atomic_file *part)
{
    return part->written_bytes + (int64_t)part->used_bytes;
}

int64_t sp_atomic_file_written(const struct sp_atomic_file *part)
{
    return part->written_bytes;
}

/* *done: the number of bytes written. */
static int write_all(struct sp_atomic_file *part, const char *bytes, size_t count, size_t *done,
                     struct sp_error *err)
{
    for (*done = 0; *done < count;) {
        ssize_t n = write(part->fd, bytes + *done, count - *done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_atomic_file_fail(part, errno, err);
        *done += (size_t)n;
        part->written_bytes += n;
    }
    return SP_OK;
}

static int flush(struct sp_atomic_file *part, struct sp_error *err)
{
    size_t done;
    int rc = write_all(part, part->buffer, part->used_bytes, &done, err);
    memmove(part->buffer, part->buffer + done, part->used_bytes - done);
    part->used_bytes -= done;
    return rc;
}

int sp_atomic_file_flush(struct sp_atomic_file *part, struct sp_error *err)
{
    return flush(part, err);
}

int64_t sp_atomic_file_rescue(struct sp_atomic_file *part)
{
    (void)flush(part, NULL);
    return part->written_bytes;
}

int sp_atomic_file_cut(struct sp_atomic_file *part, int64_t bytes, struct sp_error *err)
{
    part->used_bytes = 0;
    if (ftruncate(part->fd, bytes) != 0 || lseek(part->fd, bytes, SEEK_SET) < 0)
        return sp_atomic_file_fail(part, errno, err);
    part->written_bytes = bytes;
    return SP_OK;
}

int sp_atomic_file_keep_lines(struct sp_atomic_file *part, int64_t *bytes, struct sp_error *err)
{
    int64_t end = sp_atomic_file_rescue(part);
    char piece[4096];
    while (end > 0) {
        size_t wanted = end < (int64_t)sizeof piece ? (size_t)end : sizeof piece;
        ssize_t got = pread(part->fd, piece, wanted, end - (int64_t)wanted);
        if (got != (ssize_t)wanted)
            return sp_atomic_file_fail(part, got < 0 ? errno : EIO, err);
        const char *newline = memrchr(piece, '\n', wanted);
        if (newline) {
            end -= (int64_t)(wanted - 1) - (newline - piece);
            break;
        }
        end -= (int64_t)wanted;
    }
    *bytes = end;
    return sp_atomic_file_cut(part, end, err);
}

int sp_atomic_file_replace(struct sp_atomic_file *part, const char *path, struct sp_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || rename(path, part->part_path) != 0) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return sp_atomic_file_fail(part, why, err);
    }
    if (part->fd >= 0)
        close(part->fd);
    part->fd = fd;
    part->used_bytes = 0;
    return SP_OK;
}

int sp_atomic_file_write(struct sp_atomic_file *part, const char *bytes, size_t count,
                         struct sp_error *err)
{
    if (part->used_bytes + count > sizeof part->buffer) {
        int rc = flush(part, err);
        if (!rc)
            rc = reserve(part, err);
        if (rc)
            return rc;
    }
    size_t done;
    if (count > sizeof part->buffer)
        return write_all(part, bytes, count, &done, err);
    memcpy(part->buffer + part->used_bytes, bytes, count);
    part->used_bytes += count;
    return SP_OK;
}

int sp_atomic_file_sync(struct sp_atomic_file *part, struct sp_error *err)
{
    int rc = flush(part, err);
    struct stat about; /* releases reserved, unused space */
    if (!rc && fstat(part->fd, &about) == 0)
        (void)!ftruncate(part->fd, about.st_size);
    if (!rc && fsync(part->fd) != 0 && errno != EINVAL && errno != EROFS)
        rc = sp_atomic_file_fail(part, errno, err); /* EINVAL: a file system without sync */
    int fd = part->fd;
    part->fd = -1;
    if (close(fd) != 0 && !rc && errno != EINTR)
        rc = sp_atomic_file_fail(part, errno, err); /* some network disks report errors only here */
    return rc;
}

/* Makes the rename survive a power failure; ignored where the file system does not support it. */
static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

int sp_atomic_file_publish(struct sp_atomic_file *part, struct sp_error *err)
{
    if (rename(part->part_path, part->path) != 0)
        return sp_atomic_file_fail(part, errno, err);
    part->published = true;
    sync_folder(part->dir);
    return SP_OK;
}

void sp_atomic_file_close(struct sp_atomic_file *part)
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
