/* What an earlier start of the program left in the folder. */
#include "base/log.h"
#include "output/outbox_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10 };

void outbox_segment_name(uint64_t base, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%020llu.seg", (unsigned long long)base);
}

static int by_base(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->base < y->base ? -1 : x->base > y->base;
}

/* Returns false for a file without a valid header. */
static bool read_header(struct sp_outbox *outbox, const char *name, struct segment *segment)
{
    uint8_t data[SP_SEGMENT_HEADER_BYTES];
    struct sp_segment_header header;
    struct stat about;
    int file = openat(outbox->folder, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool good = pread(file, data, sizeof data, 0) == (ssize_t)sizeof data &&
                sp_segment_read_header(&header, data, sizeof data) && fstat(file, &about) == 0;
    close(file);
    if (good)
        *segment = (struct segment){.base = header.base,
                                    .number = header.number,
                                    .bytes = (uint64_t)about.st_size,
                                    .clock_us = header.clock_us};
    return good;
}

static int list(struct sp_outbox *outbox, struct sp_error *err)
{
    int again = dup(outbox->folder);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (!folder) {
        int why = errno;
        if (again >= 0)
            close(again);
        return sp_fail(err, sp_error_from_errno(why), "outbox %s: %s", outbox->options.dir,
                       strerror(why));
    }
    rewinddir(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        unsigned long long base;
        int end = 0;
        char name[SEGMENT_NAME_BYTES];
        if (sscanf(entry->d_name, "%20llu.seg%n", &base, &end) != 1 || end == 0)
            continue;
        outbox_segment_name(base, name);
        struct segment segment;
        if (strcmp(name, entry->d_name) != 0)
            continue;
        bool fits = outbox->segment_count < OUTBOX_SEGMENTS_MAX - 1;
        if (fits && read_header(outbox, name, &segment) && segment.base == base) {
            outbox->segments[outbox->segment_count++] = segment;
            continue;
        }
        sp_log(SP_LOG_WARNING, "outbox %s: %s is not a segment; deleting it", outbox->options.dir,
               name);
        unlinkat(outbox->folder, name, 0);
    }
    closedir(folder);
    qsort(outbox->segments, (size_t)outbox->segment_count, sizeof *outbox->segments, by_base);
    return SP_OK;
}

/* Reads the entries of the newest segment: *bytes up to the last whole one, and the number after
 * it. */
static bool scan(int file, uint8_t *data, uint64_t *bytes, uint64_t *next_number)
{
    struct sp_record *record = malloc(sizeof *record);
    uint64_t at = SP_SEGMENT_HEADER_BYTES;
    bool more = record != NULL;
    while (more) {
        ssize_t got = pread(file, data, CHUNK_BYTES, (off_t)at);
        size_t used = 0, size;
        const uint8_t *found;
        while (got > 0 && sp_segment_read_entry(data + used, (size_t)got - used, &found, &size) ==
                              SP_ENTRY_WHOLE) {
            used += SP_ENTRY_HEADER_BYTES + size;
            if (sp_record_read(record, found, size))
                *next_number = record->head.number + 1;
        }
        at += used;
        more = used > 0;
    }
    free(record);
    *bytes = at;
    return record != NULL;
}

static int cut(struct sp_outbox *outbox, struct segment *newest, struct sp_error *err)
{
    char name[SEGMENT_NAME_BYTES];
    outbox_segment_name(newest->base, name);
    uint8_t *data = malloc(CHUNK_BYTES);
    int file = openat(outbox->folder, name, O_RDWR | O_CLOEXEC);
    uint64_t bytes = 0;
    outbox->next_number = newest->number;
    bool good = data && file >= 0 && scan(file, data, &bytes, &outbox->next_number);
    if (good && bytes < newest->bytes) {
        sp_log(SP_LOG_INFO, "outbox %s: %s: %llu bytes were not completely written; cut off",
               outbox->options.dir, name, (unsigned long long)(newest->bytes - bytes));
        good = ftruncate(file, (off_t)bytes) == 0;
        newest->bytes = bytes;
    }
    int why = errno;
    if (file >= 0)
        close(file);
    free(data);
    return good ? SP_OK
                : sp_fail(err, sp_error_from_errno(why), "outbox %s: %s: %s", outbox->options.dir,
                          name, strerror(why));
}

int outbox_recover(struct sp_outbox *outbox, struct sp_error *err)
{
    int result = list(outbox, err);
    outbox->next_number = 1;
    if (result == SP_OK && outbox->segment_count > 0)
        result = cut(outbox, &outbox->segments[outbox->segment_count - 1], err);
    for (int i = 0; i < outbox->segment_count; i++)
        outbox->report.bytes += outbox->segments[i].bytes;
    return result;
}
