#include "store/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DAY_US = INT64_C(86400000000);

enum { BLOCK_BYTES_MAX = SP_BLOCK_HEADER_BYTES + SP_BLOCK_PAYLOAD_MAX };

/* ---- blocks of one camera ---- */

struct sp_block_reader {
    struct sp_segments *segments;
    char camera[SP_STORED_NAME_BYTES];
    int64_t day, position, damaged;
    bool ended;
    size_t at, used; /* in data */
    uint8_t data[BLOCK_BYTES_MAX + SP_SEGMENT_CHUNK_BYTES];
};

int sp_block_reader_open(struct sp_block_reader **out, struct sp_segments *segments,
                         struct sp_error *err)
{
    struct sp_block_reader *r = calloc(1, sizeof *r);
    if (!r)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    r->segments = segments;
    r->ended = true;
    *out = r;
    return SP_OK;
}

void sp_block_reader_close(struct sp_block_reader *reader)
{
    free(reader);
}

void sp_block_reader_start(struct sp_block_reader *r, const char *camera, int64_t day)
{
    snprintf(r->camera, sizeof r->camera, "%s", camera);
    r->day = day;
    r->position = 0;
    r->ended = false;
    r->at = r->used = 0;
}

int64_t sp_block_reader_damaged(const struct sp_block_reader *reader)
{
    return reader->damaged;
}

static int fill(struct sp_block_reader *r, struct sp_error *err)
{
    r->used -= r->at;
    memmove(r->data, r->data + r->at, r->used);
    r->at = 0;
    ssize_t got = r->segments->api->read(r->segments, r->camera, r->day, &r->position,
                                         r->data + r->used, err);
    if (got < 0)
        return (int)got;
    r->used += (size_t)got;
    r->ended = got == 0;
    return SP_OK;
}

/* To the next possible begin of a block. */
static void skip_damage(struct sp_block_reader *r)
{
    const uint8_t *from = r->data + r->at + 1;
    size_t left = r->used - r->at - 1;
    const uint8_t *found = left >= 4 ? memmem(from, left, "SPBK", 4) : NULL;
    size_t keep = left < 3 ? left : 3; /* a begin may be split */
    size_t next = found ? (size_t)(found - r->data) : r->used - keep;
    r->damaged += (int64_t)(next - r->at);
    r->at = next;
}

int sp_block_reader_next(struct sp_block_reader *r, int64_t from_us, struct sp_block_header *header,
                         const uint8_t **block, size_t *bytes, struct sp_error *err)
{
    for (;;) {
        size_t left = r->used - r->at;
        int state = sp_block_parse(r->data + r->at, left, true, header);
        if (state == 0 && !r->ended && left < BLOCK_BYTES_MAX) {
            int result = fill(r, err);
            if (result < 0)
                return result;
            continue;
        }
        if (state == 1) {
            *block = r->data + r->at;
            *bytes = SP_BLOCK_HEADER_BYTES + (size_t)header->payload_bytes;
            r->at += *bytes;
            if (header->last_us >= from_us)
                return 1;
            continue;
        }
        if (state == 0 && left <= 3) {
            r->damaged += (int64_t)left;
            r->at = r->used;
            return 0;
        }
        skip_damage(r);
    }
}

/* ---- frames of several cameras ---- */

struct cursor {
    char name[SP_STORED_NAME_BYTES];
    struct sp_segment *segment; /* [segments], ordered by day */
    size_t segments, next;
    struct sp_block_reader *blocks;
    struct sp_block_decoder *decoder;
    struct sp_read_frame now;
    bool opened, ended; /* opened: a segment is being read */
    bool in_block;
};

struct sp_track_reader {
    struct sp_segments *segments;
    struct sp_segment_list list;
    int64_t from_us, to_us, damaged;
    int count;
    struct cursor *cursor; /* [count], ordered by name */
    const char **names;
    int last; /* the cursor whose frame was returned; -1: none */
};

static int read_block(struct sp_track_reader *r, struct cursor *c, struct sp_error *err)
{
    while (c->next < c->segments || c->opened) {
        struct sp_block_header header;
        const uint8_t *block;
        size_t bytes;
        if (!c->opened) {
            sp_block_reader_start(c->blocks, c->name, c->segment[c->next++].day);
            c->opened = true;
        }
        int result = sp_block_reader_next(c->blocks, r->from_us, &header, &block, &bytes, err);
        if (result < 0)
            return result;
        if (result == 0) {
            c->opened = false;
            continue;
        }
        if (header.first_us >= r->to_us)
            continue;
        c->now.run_us = header.run_us;
        c->now.epoch = header.epoch;
        c->now.width_px = (int)header.width_px;
        c->now.height_px = (int)header.height_px;
        if (sp_block_open(c->decoder, block, &header, NULL) == SP_OK)
            return 1;
        r->damaged += (int64_t)bytes;
    }
    return 0;
}

static int advance(struct sp_track_reader *r, struct cursor *c, struct sp_error *err)
{
    for (;;) {
        if (!c->in_block) {
            int result = read_block(r, c, err);
            if (result <= 0) {
                c->ended = true;
                return result;
            }
            c->in_block = true;
        }
        int result = sp_block_next(c->decoder, &c->now.frame, NULL);
        if (result == 1 && c->now.frame.time_us >= r->from_us && c->now.frame.time_us < r->to_us)
            return 1;
        if (result < 0)
            r->damaged++;
        if (result != 1)
            c->in_block = false;
    }
}

static bool is_wanted(const char *name, const char *const *cameras, int count)
{
    for (int i = 0; cameras && i < count; i++)
        if (strcmp(cameras[i], name) == 0)
            return true;
    return !cameras;
}

static int open_cursor(struct sp_track_reader *r, struct sp_segment *segment, size_t count,
                       struct sp_error *err)
{
    struct cursor *c = &r->cursor[r->count];
    snprintf(c->name, sizeof c->name, "%s", segment->camera);
    c->now.camera = r->count;
    r->names[r->count++] = c->name;
    c->segment = segment;
    c->segments = count;
    int result = sp_block_reader_open(&c->blocks, r->segments, err);
    if (result == SP_OK)
        result = sp_block_decoder_open(&c->decoder, err);
    if (result == SP_OK)
        result = advance(r, c, err);
    return result < 0 ? result : SP_OK;
}

/* A block is in the segment of the day in which it begins, so one of the day before may reach into
 * the time. */
static int open_cursors(struct sp_track_reader *r, const char *const *cameras, int count,
                        struct sp_error *err)
{
    int64_t first = r->from_us / DAY_US - 1, last = r->to_us / DAY_US;
    int result = r->segments->api->list(r->segments, &r->list, err);
    size_t names = 0;
    for (size_t i = 0; i < r->list.count; i++)
        names += i == 0 || strcmp(r->list.item[i].camera, r->list.item[i - 1].camera) != 0;
    r->cursor = calloc(names + 1, sizeof *r->cursor);
    r->names = calloc(names + 1, sizeof *r->names);
    if (!r->cursor || !r->names)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    for (size_t i = 0; i < r->list.count && result == SP_OK;) {
        const char *name = r->list.item[i].camera;
        size_t begin = i, from, to;
        while (i < r->list.count && strcmp(r->list.item[i].camera, name) == 0)
            i++;
        for (from = begin; from < i && r->list.item[from].day < first; from++)
            ;
        for (to = i; to > from && r->list.item[to - 1].day > last; to--)
            ;
        if (to > from && is_wanted(name, cameras, count))
            result = open_cursor(r, &r->list.item[from], to - from, err);
    }
    return result;
}

int sp_track_reader_open(struct sp_track_reader **out, struct sp_segments *segments,
                         const char *const *cameras, int count, int64_t from_us, int64_t to_us,
                         struct sp_error *err)
{
    struct sp_track_reader *r = calloc(1, sizeof *r);
    if (!r)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    r->segments = segments;
    r->from_us = from_us;
    r->to_us = to_us;
    r->last = -1;
    int result = open_cursors(r, cameras, count, err);
    if (result < 0)
        sp_track_reader_close(r);
    else
        *out = r;
    return result;
}

void sp_track_reader_close(struct sp_track_reader *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->count; i++) {
        sp_block_reader_close(r->cursor[i].blocks);
        sp_block_decoder_close(r->cursor[i].decoder);
    }
    sp_segment_list_release(&r->list);
    free(r->cursor);
    free(r->names);
    free(r);
}

int sp_track_reader_cameras(const struct sp_track_reader *reader, const char *const **names)
{
    *names = reader->names;
    return reader->count;
}

/* In the order of counting: frames that were late follow the one that they were later than. */
static bool is_before(const struct sp_stored_frame *a, const struct sp_stored_frame *b)
{
    uint64_t p = (uint64_t)a->time_us + (uint64_t)a->late_us;
    uint64_t q = (uint64_t)b->time_us + (uint64_t)b->late_us;
    return p != q ? (int64_t)p < (int64_t)q : a->turn < b->turn;
}

int sp_track_reader_next(struct sp_track_reader *r, struct sp_read_frame *frame,
                         struct sp_error *err)
{
    if (r->last >= 0) {
        int result = advance(r, &r->cursor[r->last], err);
        if (result < 0)
            return result;
    }
    int best = -1;
    for (int i = 0; i < r->count; i++)
        if (!r->cursor[i].ended &&
            (best < 0 || is_before(&r->cursor[i].now.frame, &r->cursor[best].now.frame)))
            best = i;
    r->last = best;
    if (best < 0)
        return 0;
    *frame = r->cursor[best].now;
    return 1;
}

int64_t sp_track_reader_damaged(const struct sp_track_reader *r)
{
    int64_t sum = r->damaged;
    for (int i = 0; i < r->count; i++)
        sum += sp_block_reader_damaged(r->cursor[i].blocks);
    return sum;
}
