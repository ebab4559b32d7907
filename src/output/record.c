#include "output/record.h"

#include <math.h>
#include <string.h>

enum {
    VERSION = 1,
    INFERRED = 1,
    MATCHED = 1,
    ON_MAP = 2,
    NAMED = 4,
    CLASS_NAME_BYTES = 96,
};

/* ---- writing ---- */

static uint8_t *put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_float(uint8_t *at, double value)
{
    float narrow = isfinite((float)value) ? (float)value : 0;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return put(at, bits, 4);
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t most)
{
    size_t bytes = strnlen(text, most);
    at = put(at, bytes, 2);
    memcpy(at, text, bytes);
    at[bytes] = '\0';
    return at + bytes + 1;
}

static uint8_t *put_head(uint8_t *at, enum sp_record_type type, const struct sp_record_head *head,
                         const char *camera, int64_t wall_us)
{
    at = put(at, VERSION, 1);
    at = put(at, type, 1);
    at = put(at, head->number, 8);
    at = put(at, head->epoch, 8);
    at = put(at, head->sequence, 8);
    at = put(at, (uint64_t)wall_us, 8);
    return put_text(at, camera, SP_RESULT_NAME_BYTES - 1);
}

size_t sp_record_frame(uint8_t *out, const struct sp_record_head *head,
                       const struct sp_result *result, const struct sp_class_names *names)
{
    uint8_t *at = put_head(out, SP_RECORD_FRAME, head, result->name, result->wall_us);
    at = put(at, result->inferred ? INFERRED : 0, 1);
    at = put(at, result->sequence, 8);
    at = put(at, (uint64_t)result->pts_us, 8);
    at = put(at, (uint64_t)result->width_px, 4);
    at = put(at, (uint64_t)result->height_px, 4);
    at = put(at, result->track_count, 2);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *t = &result->tracks[i];
        const struct sp_world_position *p =
            result->has_world_positions ? &result->positions[i] : NULL;
        const char *name = names ? sp_class_names_get(names, t->class_id) : NULL;
        unsigned flags = (t->detection != 0 ? (unsigned)MATCHED : 0U) |
                         (p && p->on_map ? (unsigned)ON_MAP : 0U) | (name ? (unsigned)NAMED : 0U);
        at = put(at, flags, 1);
        at = put(at, t->id, 4);
        at = put(at, p ? p->person : 0, 4);
        at = put(at, (uint32_t)t->class_id, 4);
        const double values[] = {t->confidence,
                                 t->x1_px,
                                 t->y1_px,
                                 t->x2_px,
                                 t->y2_px,
                                 p && p->on_map ? p->x : 0,
                                 p && p->on_map ? p->y : 0};
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++)
            at = put_float(at, values[k]);
        at = put_text(at, name ? name : "", CLASS_NAME_BYTES);
    }
    return (size_t)(at - out);
}

size_t sp_record_event(uint8_t *out, const struct sp_record_head *head,
                       const struct sp_event *event)
{
    uint8_t *at = put_head(out, SP_RECORD_EVENT, head, event->camera, event->wall_us);
    at = put_text(at, event->id, sizeof event->id - 1);
    at = put_text(at, event->kind, sizeof event->kind - 1);
    at = put_text(at, event->payload, sizeof event->payload - 1);
    return (size_t)(at - out);
}

/* ---- reading ---- */

struct bytes {
    const uint8_t *at, *end;
    bool failed;
};

static uint64_t take(struct bytes *from, int bytes)
{
    uint64_t value = 0;
    if (from->end - from->at < bytes) {
        from->failed = true;
        return 0;
    }
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)*from->at++ << 8 * i;
    return value;
}

/* Differences of two times have to fit into 64 bits. */
static int64_t take_time(struct bytes *from)
{
    static const int64_t MOST_US = INT64_MAX / 4;
    int64_t time_us = (int64_t)take(from, 8);
    from->failed |= time_us > MOST_US || time_us < -MOST_US;
    return time_us;
}

static double take_float(struct bytes *from)
{
    uint32_t bits = (uint32_t)take(from, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    from->failed |= !isfinite(value);
    return value;
}

static const char *take_text(struct bytes *from)
{
    size_t bytes = take(from, 2);
    const char *text = (const char *)from->at;
    if (from->failed || (size_t)(from->end - from->at) < bytes + 1 || text[bytes] != '\0' ||
        strlen(text) != bytes) {
        from->failed = true;
        return "";
    }
    from->at += bytes + 1;
    return text;
}

static void read_frame(struct sp_record *r, struct bytes *from)
{
    struct spoton_output_frame *f = &r->frame;
    *f = (struct spoton_output_frame){
        .struct_bytes = sizeof *f,
        .camera = r->camera,
        .epoch = r->head.epoch,
        .wall_us = r->wall_us,
        .tracks = r->tracks,
    };
    f->inferred = (int)(take(from, 1) & INFERRED);
    f->sequence = take(from, 8);
    f->pts_us = take_time(from);
    f->width = (int)take(from, 4);
    f->height = (int)take(from, 4);
    f->track_count = take(from, 2);
    from->failed |= f->track_count > SP_TRACKS_MAX || f->width < 0 || f->height < 0;
    for (size_t i = 0; i < f->track_count && !from->failed; i++) {
        struct spoton_output_track *t = &r->tracks[i];
        unsigned flags = (unsigned)take(from, 1);
        t->id = (uint32_t)take(from, 4);
        t->global_id = (uint32_t)take(from, 4);
        t->class_id = (int)(int32_t)take(from, 4);
        t->matched = (flags & MATCHED) != 0;
        t->on_map = (flags & ON_MAP) != 0;
        double *const values[] = {&t->confidence, &t->x1,    &t->y1,   &t->x2,
                                  &t->y2,         &t->map_x, &t->map_y};
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++)
            *values[k] = take_float(from);
        const char *name = take_text(from);
        t->class_name = flags & NAMED ? name : NULL;
    }
}

static void read_event(struct sp_record *r, struct bytes *from)
{
    r->event = (struct spoton_output_event){
        .struct_bytes = sizeof r->event,
        .camera = r->camera,
        .wall_us = r->wall_us,
    };
    r->event.id = take_text(from);
    r->event.kind = take_text(from);
    r->event.payload = take_text(from);
}

bool sp_record_read(struct sp_record *record, const uint8_t *data, size_t bytes)
{
    struct bytes from = {data, data + bytes, false};
    if (take(&from, 1) != VERSION)
        return false;
    uint64_t type = take(&from, 1);
    record->head.number = take(&from, 8);
    record->head.epoch = take(&from, 8);
    record->head.sequence = take(&from, 8);
    record->wall_us = take_time(&from);
    record->camera = take_text(&from);
    if (from.failed || (type != SP_RECORD_FRAME && type != SP_RECORD_EVENT))
        return false;
    record->type = (enum sp_record_type)type;
    if (type == SP_RECORD_FRAME)
        read_frame(record, &from);
    else
        read_event(record, &from);
    return !from.failed && from.at == from.end;
}

static char *put_decimal(char *at, uint64_t value)
{
    char digits[24], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + value % 10);
    while (value /= 10);
    size_t bytes = (size_t)(digits + sizeof digits - first);
    memcpy(at, first, bytes);
    return at + bytes;
}

/* Without printf, as each message needs it. */
void sp_record_id(const struct sp_record *r, char out[SP_RECORD_ID_BYTES])
{
    const char *camera = r->camera[0] ? r->camera : "server";
    size_t bytes = strnlen(camera, SP_RESULT_NAME_BYTES - 1);
    memcpy(out, camera, bytes);
    char *at = out + bytes;
    *at++ = '/';
    at = put_decimal(at, r->head.epoch);
    *at++ = '/';
    at = put_decimal(at, r->head.sequence);
    *at = '\0';
}
