#include "output/outbox_reader.h"

#include "base/log.h"
#include "output/outbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DATA_BYTES = 256 << 10, NAME_BYTES = 96 };

int sp_outbox_reader_open(struct sp_outbox_reader **out, struct sp_outbox *outbox, const char *name,
                          struct sp_error *err)
{
    char file[NAME_BYTES];
    struct sp_outbox_reader *r = calloc(1, sizeof *r);
    if (r)
        r->data = malloc(DATA_BYTES);
    if (!r || !r->data) {
        free(r);
        return sp_fail(err, SP_ERR_NO_MEMORY, "outbox: out of memory");
    }
    r->outbox = outbox;
    r->file = -1;
    r->cursor.file = -1;
    snprintf(file, sizeof file, "%s.cursor", name);
    uint64_t position = UINT64_MAX, number = UINT64_MAX;
    int result = sp_number_pair_open(&r->cursor, outbox->folder, file, &position, &number, err);
    pthread_mutex_lock(&outbox->mutex);
    const struct segment *last =
        outbox->segment_count > 0 ? &outbox->segments[outbox->segment_count - 1] : NULL;
    uint64_t end = last ? last->base + last->bytes : 0;
    r->position = position < end ? position : end;
    r->number = position < end ? number : outbox->written_number;
    r->committed = (struct sp_outbox_place){r->position, r->number};
    r->saved_position = r->position;
    if (result == SP_OK && !sp_number_pair_write(&r->cursor, r->position, r->number))
        result = sp_fail(err, sp_error_from_errno(errno), "outbox: %s: %s; check the disk", file,
                         strerror(errno));
    int at = 0;
    while (at < OUTBOX_READERS_MAX && outbox->readers[at])
        at++;
    if (result == SP_OK && at == OUTBOX_READERS_MAX)
        result = sp_fail(err, SP_ERR_INVALID, "outbox: more than %d outputs; remove some",
                         OUTBOX_READERS_MAX);
    if (result == SP_OK)
        outbox->readers[at] = r;
    pthread_mutex_unlock(&outbox->mutex);
    if (result < 0)
        sp_outbox_reader_close(r);
    else
        *out = r;
    return result;
}

void sp_outbox_reader_close(struct sp_outbox_reader *r)
{
    if (!r)
        return;
    struct sp_outbox *o = r->outbox;
    pthread_mutex_lock(&o->mutex);
    for (int i = 0; i < OUTBOX_READERS_MAX; i++) {
        if (o->readers[i] != r)
            continue;
        o->readers[i] = NULL;
        sp_number_pair_write(&r->cursor, r->committed.position, r->committed.number);
    }
    pthread_mutex_unlock(&o->mutex);
    sp_number_pair_close(&r->cursor);
    if (r->file >= 0)
        close(r->file);
    free(r->data);
    free(r);
}

/* ---- reading ---- */

/* The segment that holds r->position, or the next one. NULL: there is nothing to read. With the
 * mutex. */
static const struct segment *find_segment(const struct sp_outbox *o, uint64_t position)
{
    for (int i = 0; i < o->segment_count; i++)
        if (o->segments[i].base + o->segments[i].bytes > position)
            return &o->segments[i];
    return NULL;
}

/* Waits for a segment with data; copies it. */
static bool wait_for_segment(struct sp_outbox_reader *r, struct segment *found, int64_t wait_us)
{
    struct sp_outbox *o = r->outbox;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(wait_us % 1000000 * 1000);
    until.tv_sec += wait_us / 1000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&o->mutex);
    const struct segment *s = find_segment(o, r->position);
    while (!s && wait_us > 0 && pthread_cond_timedwait(&o->readable, &o->mutex, &until) == 0)
        s = find_segment(o, r->position);
    if (!s)
        s = find_segment(o, r->position);
    if (s)
        *found = *s;
    pthread_mutex_unlock(&o->mutex);
    return s != NULL;
}

static bool open_segment(struct sp_outbox_reader *r, const struct segment *s)
{
    char name[SEGMENT_NAME_BYTES];
    if (r->file >= 0 && r->file_base == s->base)
        return true;
    if (r->file >= 0)
        close(r->file);
    outbox_segment_name(s->base, name);
    r->file = openat(r->outbox->folder, name, O_RDONLY | O_CLOEXEC);
    r->file_base = s->base;
    return r->file >= 0;
}

/* Reads on from r->position. False: nothing more before `wait_us`. */
static bool fill(struct sp_outbox_reader *r, int64_t wait_us)
{
    struct segment s;
    if (!wait_for_segment(r, &s, wait_us))
        return false;
    uint64_t end = s.base + s.bytes;
    if (r->position < s.base + SP_SEGMENT_HEADER_BYTES)
        r->position = s.base + SP_SEGMENT_HEADER_BYTES;
    r->data_position = r->position;
    r->data_bytes = 0;
    if (r->position >= end) /* a segment without records */
        return true;
    size_t wanted = end - r->position < DATA_BYTES ? (size_t)(end - r->position) : DATA_BYTES;
    ssize_t got =
        open_segment(r, &s) ? pread(r->file, r->data, wanted, (off_t)(r->position - s.base)) : -1;
    if (got > 0) {
        r->data_bytes = (size_t)got;
        return true;
    }
    r->position = end; /* deleted, or not readable: the numbers that follow show what is lost */
    return true;
}

static void skip_segment(struct sp_outbox_reader *r)
{
    struct sp_outbox *o = r->outbox;
    pthread_mutex_lock(&o->mutex);
    const struct segment *s = find_segment(o, r->position);
    uint64_t end = s ? s->base + s->bytes : r->position;
    pthread_mutex_unlock(&o->mutex);
    if (!r->warned)
        sp_log(SP_LOG_ERROR,
               "outbox %s: a segment is damaged; its remaining messages are lost; check the disk",
               o->options.dir);
    r->warned = true;
    r->position = end;
    r->data_bytes = 0;
}

static void count_lost(struct sp_outbox_reader *r, uint64_t number)
{
    if (number > r->number) {
        pthread_mutex_lock(&r->outbox->mutex);
        r->lost += number - r->number;
        pthread_mutex_unlock(&r->outbox->mutex);
    }
    r->number = number + 1;
}

bool sp_outbox_read(struct sp_outbox_reader *r, struct sp_record *record, int64_t wait_us)
{
    for (;;) {
        const uint8_t *found;
        size_t bytes, offset = (size_t)(r->position - r->data_position);
        size_t left = r->data_bytes > offset ? r->data_bytes - offset : 0;
        enum sp_entry_state state =
            left > 0 ? sp_segment_read_entry(r->data + offset, left, &found, &bytes)
                     : SP_ENTRY_INCOMPLETE;
        if (state == SP_ENTRY_WHOLE) {
            if (sp_record_read(record, found, bytes)) {
                r->position += SP_ENTRY_HEADER_BYTES + bytes;
                count_lost(r, record->head.number);
                return true;
            }
            state = SP_ENTRY_CORRUPT;
        }
        /* What was read from the position on and is incomplete ends with the segment. */
        if (state == SP_ENTRY_CORRUPT || (left > 0 && offset == 0 && left < DATA_BYTES))
            skip_segment(r);
        else if (!fill(r, wait_us))
            return false;
    }
}

struct sp_outbox_place sp_outbox_place(const struct sp_outbox_reader *r)
{
    return (struct sp_outbox_place){r->position, r->number};
}

void sp_outbox_commit(struct sp_outbox_reader *r, const struct sp_outbox_place *place)
{
    pthread_mutex_lock(&r->outbox->mutex);
    r->committed = *place;
    pthread_mutex_unlock(&r->outbox->mutex);
}

uint64_t sp_outbox_lag(struct sp_outbox_reader *r, uint64_t *lost)
{
    pthread_mutex_lock(&r->outbox->mutex);
    uint64_t end = r->outbox->next_number;
    uint64_t lag = end > r->committed.number ? end - r->committed.number : 0;
    *lost = r->lost;
    pthread_mutex_unlock(&r->outbox->mutex);
    return lag;
}
