/* Segments as files. */
#include "store/segments.h"

#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { OPEN_MAX_FILES = 128, SYNC_EACH_MAX = 8, VERSION = 1 };
static const char magic[8] = "SPOTSEG1";
static const int64_t DAY_S = 86400;

struct open_file {
    int file; /* -1: free */
    char camera[SP_STORED_NAME_BYTES];
    int64_t day, bytes; /* of whole blocks */
    uint64_t used;
    bool dirty;
};

struct files {
    struct sp_segments base;
    char dir[PATH_MAX];
    int lock; /* DIR/tracks/.lock: held while files are appended to or replaced; -1: not open */
    bool locked;
    uint64_t version; /* of the lock file: counts replaced and removed files */
    uint64_t turn;
    struct open_file open[OPEN_MAX_FILES];
    /* The last file read. */
    int read_file;
    char read_camera[SP_STORED_NAME_BYTES];
    int64_t read_day;
    /* Being replaced. */
    int new_file;
    char old_path[PATH_MAX], new_path[PATH_MAX + 8];
    bool added;
};

/* ---- names and headers ---- */

static void path_of(const struct files *f, const char *camera, int64_t day, char path[PATH_MAX])
{
    time_t seconds = (time_t)(day * DAY_S);
    struct tm tm = {0};
    char date[32] = "";
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%d", &tm);
    snprintf(path, PATH_MAX, "%.3900s/tracks/%.63s/%s.seg", f->dir, camera, date);
}

static bool day_of(const char *name, int64_t *day)
{
    struct tm tm = {0};
    const char *end = strptime(name, "%Y-%m-%d", &tm);
    if (!end || strcmp(end, ".seg") != 0)
        return false;
    *day = (int64_t)timegm(&tm) / DAY_S;
    return true;
}

static void fill_header(uint8_t header[SP_SEGMENT_HEADER_BYTES], const char *camera, int64_t day)
{
    memset(header, 0, SP_SEGMENT_HEADER_BYTES);
    memcpy(header, magic, sizeof magic);
    header[8] = VERSION;
    for (int i = 0; i < 8; i++)
        header[16 + i] = (uint8_t)((uint64_t)day >> 8 * i);
    snprintf((char *)header + 24, SP_STORED_NAME_BYTES, "%s", camera);
    uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), header + 16, SP_SEGMENT_HEADER_BYTES - 16);
    for (int i = 0; i < 4; i++)
        header[12 + i] = (uint8_t)(crc >> 8 * i);
}

static int check_header(int file, const char *path, struct sp_error *err)
{
    uint8_t header[SP_SEGMENT_HEADER_BYTES];
    ssize_t got = pread(file, header, sizeof header, 0);
    if (got != sizeof header || memcmp(header, magic, sizeof magic) != 0)
        return sp_fail(err, SP_ERR_FORMAT, "%s: not a segment of tracks; remove the file", path);
    if (header[8] != VERSION)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: written by a newer version of spoton; update this one", path);
    return SP_OK;
}

static int io_error(const char *path, const char *what, struct sp_error *err)
{
    int code = errno;
    /* A file that may not grow is as good as a full disk. */
    return sp_fail(err, code == EFBIG ? SP_ERR_NO_SPACE : sp_error_from_errno(code), "%s: %s: %s",
                   path, what, strerror(code));
}

static int write_all(int file, const uint8_t *data, size_t bytes, int64_t at)
{
    while (bytes > 0) {
        ssize_t n = pwrite(file, data, bytes, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        data += n;
        bytes -= (size_t)n;
        at += n;
    }
    return 0;
}

/* ---- appending ---- */

/* Where the next block may begin, from `at` on. */
static int64_t skip_damage(int file, int64_t at, int64_t size, uint8_t *data)
{
    while (at < size) {
        ssize_t got = pread(file, data, SP_BLOCK_PAYLOAD_MAX, at);
        const uint8_t *found = got > 0 ? memmem(data, (size_t)got, "SPBK", 4) : NULL;
        if (found)
            return at + (found - data);
        if (got < 4)
            return size;
        at += got - 3;
    }
    return size;
}

/* The end of the last whole block: what follows was being written when the process ended. */
static int find_end(int file, const char *path, int64_t *end, struct sp_error *err)
{
    struct stat status;
    uint8_t *data = malloc(SP_BLOCK_HEADER_BYTES + SP_BLOCK_PAYLOAD_MAX);
    if (!data)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    int result = fstat(file, &status) < 0 ? io_error(path, "cannot be read", err) : SP_OK;
    int64_t size = result == SP_OK ? status.st_size : 0, at = SP_SEGMENT_HEADER_BYTES;
    *end = SP_SEGMENT_HEADER_BYTES;
    while (at + SP_BLOCK_HEADER_BYTES <= size) {
        struct sp_block_header header;
        ssize_t got = pread(file, data, SP_BLOCK_HEADER_BYTES, at);
        if (got != SP_BLOCK_HEADER_BYTES)
            break;
        bool plausible = sp_block_parse(data, SP_BLOCK_HEADER_BYTES, false, &header) == 1;
        int64_t next = at + SP_BLOCK_HEADER_BYTES + (plausible ? header.payload_bytes : 0);
        if (!plausible || next > size) {
            at = skip_damage(file, at + 1, size, data);
            continue;
        }
        /* Only the last ones can be torn, so only these are read. */
        if (size - next < (int64_t)2 * SP_BLOCK_PAYLOAD_MAX) {
            got = pread(file, data, (size_t)(next - at), at);
            if (got != next - at || sp_block_parse(data, (size_t)got, true, &header) != 1) {
                at = skip_damage(file, at + 1, size, data);
                continue;
            }
        }
        *end = at = next;
    }
    free(data);
    return result;
}

static void close_file(struct open_file *o)
{
    if (o->file >= 0)
        close(o->file);
    o->file = -1;
}

static int begin_file(struct open_file *o, const char *path, struct sp_error *err)
{
    struct stat status;
    uint8_t header[SP_SEGMENT_HEADER_BYTES];
    if (fstat(o->file, &status) < 0)
        return io_error(path, "cannot be read", err);
    if (status.st_size < SP_SEGMENT_HEADER_BYTES) {
        fill_header(header, o->camera, o->day);
        if (ftruncate(o->file, 0) < 0 || write_all(o->file, header, sizeof header, 0) < 0)
            return io_error(path, "cannot be written", err);
        o->bytes = SP_SEGMENT_HEADER_BYTES;
        return SP_OK;
    }
    int result = check_header(o->file, path, err);
    if (result == SP_OK)
        result = find_end(o->file, path, &o->bytes, err);
    if (result == SP_OK && o->bytes < status.st_size && ftruncate(o->file, o->bytes) < 0)
        result = io_error(path, "cannot be written", err);
    return result;
}

static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return;
    (void)fsync(file);
    close(file);
}

static int open_file(struct files *f, struct open_file *o, const char *path, struct sp_error *err)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.3900s/tracks/%.63s", f->dir, o->camera);
    int result = sp_path_make_dirs(folder, err);
    if (result < 0)
        return result;
    o->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (o->file < 0)
        return io_error(path, "cannot be opened", err);
    result = begin_file(o, path, err);
    if (result == SP_OK)
        sync_folder(path);
    else
        close_file(o);
    return result;
}

/* Files that were replaced or removed by another process are opened again. */
static int lock_store(struct files *f, struct sp_error *err)
{
    char path[PATH_MAX];
    uint64_t version = 0;
    if (f->locked)
        return SP_OK;
    snprintf(path, sizeof path, "%.3900s/tracks", f->dir);
    int result = f->lock < 0 ? sp_path_make_dirs(path, err) : SP_OK;
    snprintf(path, sizeof path, "%.3900s/tracks/.lock", f->dir);
    if (result == SP_OK && f->lock < 0)
        f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (result == SP_OK && f->lock < 0)
        result = io_error(path, "cannot be opened", err);
    if (result < 0)
        return result;
    while (flock(f->lock, LOCK_EX) < 0 && errno == EINTR)
        ; /* without locks on this file system, erase while the server does not run */
    f->locked = true;
    if (pread(f->lock, &version, sizeof version, 0) == sizeof version && version != f->version) {
        f->version = version;
        for (int i = 0; i < OPEN_MAX_FILES; i++)
            close_file(&f->open[i]);
    }
    return SP_OK;
}

static void unlock_store(struct files *f, bool replaced)
{
    if (!f->locked)
        return;
    uint64_t version = f->version + 1;
    if (replaced && pwrite(f->lock, &version, sizeof version, 0) == sizeof version) {
        f->version = version;
        for (int i = 0; i < OPEN_MAX_FILES; i++)
            close_file(&f->open[i]);
    }
    flock(f->lock, LOCK_UN);
    f->locked = false;
}

static struct open_file *file_of(struct files *f, const char *camera, int64_t day)
{
    struct open_file *oldest = &f->open[0];
    for (int i = 0; i < OPEN_MAX_FILES; i++) {
        struct open_file *o = &f->open[i];
        if (o->file >= 0 && o->day == day && strcmp(o->camera, camera) == 0)
            return o;
        if (o->file < 0 || (oldest->file >= 0 && o->used < oldest->used))
            oldest = o;
    }
    if (oldest->file >= 0 && oldest->dirty)
        (void)fdatasync(oldest->file);
    close_file(oldest);
    *oldest = (struct open_file){.file = -1, .day = day};
    snprintf(oldest->camera, sizeof oldest->camera, "%s", camera);
    return oldest;
}

static int append(struct sp_segments *segments, const char *camera, int64_t day,
                  const uint8_t *data, size_t bytes, struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    char path[PATH_MAX];
    path_of(f, camera, day, path);
    int result = lock_store(f, err);
    struct open_file *o = file_of(f, camera, day);
    o->used = ++f->turn;
    if (result == SP_OK && o->file < 0)
        result = open_file(f, o, path, err);
    if (result < 0)
        return result;
    if (write_all(o->file, data, bytes, o->bytes) < 0) {
        result = io_error(path, "cannot be written", err);
        if (ftruncate(o->file, o->bytes) < 0) /* else the next open repairs it */
            close_file(o);
    } else {
        o->bytes += (int64_t)bytes;
        o->dirty = true;
    }
    return result;
}

/* Of many files the whole file system: one call costs less CPU time than one per file. */
static int sync_files(struct sp_segments *segments, struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    int result = SP_OK, dirty = 0, last = 0;
    for (int i = 0; i < OPEN_MAX_FILES; i++)
        if (f->open[i].file >= 0 && f->open[i].dirty) {
            dirty++;
            last = i;
        }
    if (dirty > SYNC_EACH_MAX && syncfs(f->open[last].file) == 0) {
        for (int i = 0; i < OPEN_MAX_FILES; i++)
            f->open[i].dirty = false;
        dirty = 0;
    }
    for (int i = 0; dirty > 0 && i < OPEN_MAX_FILES; i++) {
        struct open_file *o = &f->open[i];
        if (o->file < 0 || !o->dirty)
            continue;
        o->dirty = false;
        if (fdatasync(o->file) < 0)
            result = io_error(o->camera, "tracks cannot be synchronised", err);
    }
    unlock_store(f, false);
    return result;
}

/* ---- reading ---- */

static int list_camera(const char *folder, const char *camera, struct sp_segment_list *out,
                       struct sp_error *err)
{
    char path[PATH_MAX];
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOTDIR ? SP_OK : io_error(folder, "cannot be read", err);
    int result = SP_OK;
    for (const struct dirent *entry; result == SP_OK && (entry = readdir(dir));) {
        struct stat status;
        int64_t day;
        if (!day_of(entry->d_name, &day))
            continue;
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (n > 0 && n < PATH_MAX && stat(path, &status) == 0)
            result = sp_segment_list_add(out, camera, day, status.st_size, err);
    }
    closedir(dir);
    return result;
}

static int list_files(struct sp_segments *segments, struct sp_segment_list *out,
                      struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    char tracks[PATH_MAX], folder[PATH_MAX];
    snprintf(tracks, sizeof tracks, "%.3900s/tracks", f->dir);
    DIR *dir = opendir(tracks);
    if (!dir)
        return errno == ENOENT ? SP_OK : io_error(tracks, "cannot be read", err);
    int result = SP_OK;
    for (const struct dirent *entry; result == SP_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= SP_STORED_NAME_BYTES)
            continue;
        snprintf(folder, sizeof folder, "%.3900s/%.100s", tracks, entry->d_name);
        result = list_camera(folder, entry->d_name, out, err);
    }
    closedir(dir);
    sp_segment_list_sort(out);
    return result;
}

static ssize_t read_file(struct sp_segments *segments, const char *camera, int64_t day,
                         int64_t *position, uint8_t *data, struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    char path[PATH_MAX];
    path_of(f, camera, day, path);
    bool same = f->read_file >= 0 && f->read_day == day && strcmp(f->read_camera, camera) == 0;
    if (!same || *position == 0) {
        if (f->read_file >= 0)
            close(f->read_file);
        f->read_file = open(path, O_RDONLY | O_CLOEXEC);
        if (f->read_file < 0)
            return errno == ENOENT ? 0 : io_error(path, "cannot be opened", err);
        struct stat status;
        if (fstat(f->read_file, &status) == 0 && status.st_size < SP_SEGMENT_HEADER_BYTES)
            return 0; /* its first write was interrupted */
        int result = check_header(f->read_file, path, err);
        if (result < 0)
            return result;
        snprintf(f->read_camera, sizeof f->read_camera, "%s", camera);
        f->read_day = day;
    }
    if (*position == 0)
        *position = SP_SEGMENT_HEADER_BYTES;
    ssize_t got;
    while ((got = pread(f->read_file, data, SP_SEGMENT_CHUNK_BYTES, *position)) < 0 &&
           errno == EINTR)
        ;
    if (got < 0)
        return io_error(path, "cannot be read", err);
    *position += got;
    return got;
}

/* ---- replacing ---- */

static int replace_begin(struct sp_segments *segments, const char *camera, int64_t day,
                         struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    uint8_t header[SP_SEGMENT_HEADER_BYTES];
    path_of(f, camera, day, f->old_path);
    snprintf(f->new_path, sizeof f->new_path, "%s.part", f->old_path);
    f->added = false;
    int result = lock_store(f, err);
    if (result < 0)
        return result;
    f->new_file = open(f->new_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    fill_header(header, camera, day);
    if (f->new_file < 0 || write_all(f->new_file, header, sizeof header, 0) < 0)
        return io_error(f->new_path, "cannot be written", err);
    return SP_OK;
}

static int replace_add(struct sp_segments *segments, const uint8_t *data, size_t bytes,
                       struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    f->added = true;
    off_t at = lseek(f->new_file, 0, SEEK_END);
    return at < 0 || write_all(f->new_file, data, bytes, at) < 0
               ? io_error(f->new_path, "cannot be written", err)
               : SP_OK;
}

static int replace_end(struct sp_segments *segments, bool keep, struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    int result = SP_OK;
    if (keep && f->new_file >= 0 && f->added &&
        (fsync(f->new_file) < 0 || rename(f->new_path, f->old_path) < 0))
        result = io_error(f->new_path, "cannot be written", err);
    if (f->new_file >= 0 && (!keep || !f->added || result < 0))
        unlink(f->new_path);
    if (keep && !f->added && unlink(f->old_path) < 0)
        result = io_error(f->old_path, "cannot be removed", err);
    sync_folder(f->old_path);
    if (f->new_file >= 0)
        close(f->new_file);
    f->new_file = -1;
    unlock_store(f, true);
    if (f->read_file >= 0) /* of the old file, perhaps */
        close(f->read_file);
    f->read_file = -1;
    return result;
}

static int remove_file(struct sp_segments *segments, const char *camera, int64_t day,
                       struct sp_error *err)
{
    struct files *f = (struct files *)segments;
    char path[PATH_MAX];
    path_of(f, camera, day, path);
    int result = lock_store(f, err);
    if (result == SP_OK && unlink(path) < 0 && errno != ENOENT)
        result = io_error(path, "cannot be removed", err);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (result == SP_OK)
        rmdir(path); /* if it was the last one */
    unlock_store(f, true);
    return result;
}

/* ---- open and close ---- */

static void close_all(struct sp_segments *segments)
{
    struct files *f = (struct files *)segments;
    for (int i = 0; i < OPEN_MAX_FILES; i++)
        close_file(&f->open[i]);
    if (f->read_file >= 0)
        close(f->read_file);
    if (f->lock >= 0)
        close(f->lock);
    free(f);
}

static const struct sp_segments_api api = {.close = close_all,
                                           .append = append,
                                           .sync = sync_files,
                                           .list = list_files,
                                           .read = read_file,
                                           .replace_begin = replace_begin,
                                           .replace_add = replace_add,
                                           .replace_end = replace_end,
                                           .remove = remove_file};

int sp_segment_files_open(struct sp_segments **out, const char *dir, struct sp_error *err)
{
    struct files *f = calloc(1, sizeof *f);
    if (!f)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    if (strlen(dir) > 3800) {
        free(f);
        return sp_fail(err, SP_ERR_INVALID, "STORE: the path is longer than 3800 bytes");
    }
    f->base.api = &api;
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->lock = f->read_file = f->new_file = -1;
    for (int i = 0; i < OPEN_MAX_FILES; i++)
        f->open[i].file = -1;
    *out = &f->base;
    return SP_OK;
}
