#include "store/codec.h"

#include <string.h>

enum {
    INFERRED = 1,
    MAPPED = 2,
    NEXT = 4,
    SAME = 8,
    LATE = 16,
    COUNT_SHIFT = 5,
    COUNT_MAX = 7,
    MATCHED = 1,
    ON_MAP = 2,
    OTHER = 4,
    CONFIDENCE_BIAS = 15,
    CONFIDENCE_FOLLOWS = 31,
    KNOWN_MAX = SP_CODEC_ENTRIES * 3 / 4,
};

/* ---- numbers ---- */

static uint8_t *put(uint8_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_signed(uint8_t *out, int64_t value)
{
    return put(out, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static uint8_t get_byte(struct sp_codec_input *in)
{
    if (in->at < in->end)
        return *in->at++;
    in->failed = true;
    return 0;
}

static uint64_t get(struct sp_codec_input *in)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_byte(in);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    in->failed = true;
    return 0;
}

static int64_t get_signed(struct sp_codec_input *in)
{
    uint64_t value = get(in);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Wraps instead of overflowing: damaged input decides the operands. */
static int64_t plus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* ---- state ---- */

void sp_codec_start(struct sp_codec *c, int64_t first_us)
{
    memset(c, 0, sizeof *c);
    c->time_us = first_us;
    c->first = true;
}

/* The track's entry, *known: it was there. A full table is emptied: encoder and decoder do so at
 * the same track. */
static struct sp_codec_track *find(struct sp_codec *c, uint32_t id, bool *known)
{
    if (c->tracks >= KNOWN_MAX) {
        memset(c->track, 0, sizeof c->track);
        c->tracks = 0;
    }
    size_t at = id * UINT32_C(2654435761) % SP_CODEC_ENTRIES;
    while (c->track[at].id && c->track[at].id != id)
        at = (at + 1) % SP_CODEC_ENTRIES;
    struct sp_codec_track *t = &c->track[at];
    *known = t->id == id;
    if (!*known)
        c->tracks++;
    t->id = id;
    return t;
}

/* A new track: as the one before it in the frame. */
static void begin(struct sp_codec_track *t, const struct sp_codec_track *before)
{
    uint32_t id = t->id;
    *t = before ? *before : (struct sp_codec_track){0};
    t->id = id;
    t->person = 0;
    t->on_map = false;
    memset(t->step, 0, sizeof t->step);
    t->value[4] = t->value[5] = 0;
}

static int32_t predict(const struct sp_codec_track *t, int i)
{
    return t->value[i] + t->step[i] / 16;
}

static void learn(struct sp_codec_track *t, int i, int32_t value, bool known)
{
    /* The arithmetic is exact, so the decoder's state equals the encoder's. */
    if (known)
        t->step[i] += ((value - t->value[i]) * 16 - t->step[i]) / 4;
    t->value[i] = value;
}

/* ---- writing ---- */

static bool same_ids(const struct sp_codec *c, const struct sp_stored_frame *frame)
{
    if (frame->count != c->count)
        return false;
    for (size_t i = 0; i < frame->count; i++)
        if (frame->tracks[i].id != c->ids[i])
            return false;
    return true;
}

static uint8_t *write_track(struct sp_codec_track *t, bool known,
                            const struct sp_stored_track *track, uint8_t *out)
{
    bool other = track->person != t->person || track->class_id != t->class_id;
    int step = track->confidence - t->confidence + CONFIDENCE_BIAS;
    if (step < 0 || step >= CONFIDENCE_FOLLOWS)
        step = CONFIDENCE_FOLLOWS;
    *out++ = (uint8_t)((track->matched ? MATCHED : 0) | (track->on_map ? ON_MAP : 0) |
                       (other ? OTHER : 0) | step << 3);
    if (step == CONFIDENCE_FOLLOWS)
        *out++ = track->confidence;
    if (other) {
        out = put(out, (uint64_t)track->class_id);
        out = put(out, track->person);
    }
    t->person = track->person;
    t->class_id = track->class_id;
    t->confidence = track->confidence;
    for (int i = 0; i < 4; i++) {
        out = put_signed(out, (int64_t)track->box[i] - predict(t, i));
        learn(t, i, track->box[i], known);
    }
    for (int i = 4; track->on_map && i < SP_CODEC_VALUES; i++) {
        out = put_signed(out, (int64_t)track->map[i - 4] - predict(t, i));
        learn(t, i, track->map[i - 4], t->on_map);
    }
    t->on_map = t->on_map || track->on_map;
    return out;
}

size_t sp_codec_write(struct sp_codec *c, const struct sp_stored_frame *frame, uint8_t *out)
{
    const uint8_t *begin_of = out;
    bool same = same_ids(c, frame), next = !c->first && frame->sequence == c->sequence + 1;
    size_t small = frame->count < COUNT_MAX ? frame->count : COUNT_MAX;
    *out++ = (uint8_t)((frame->inferred ? INFERRED : 0) | (frame->mapped ? MAPPED : 0) |
                       (next ? NEXT : 0) | (same ? SAME : 0) | (frame->turn ? LATE : 0) |
                       small << COUNT_SHIFT);
    if (small == COUNT_MAX)
        out = put(out, frame->count);
    if (frame->turn) {
        out = put(out, (uint64_t)frame->late_us);
        out = put(out, frame->turn);
    }
    if (!c->first) {
        int64_t step_us = minus(frame->time_us, c->time_us);
        out = put_signed(out, minus(step_us, c->step_us));
        c->step_us = step_us;
    }
    if (!next)
        out = put_signed(out, minus((int64_t)frame->sequence, (int64_t)c->sequence));
    c->first = false;
    c->time_us = frame->time_us;
    c->sequence = frame->sequence;
    const struct sp_codec_track *before = NULL;
    uint32_t last_id = 0;
    for (size_t i = 0; i < frame->count; i++) {
        const struct sp_stored_track *track = &frame->tracks[i];
        bool known;
        if (!same)
            out = put_signed(out, (int64_t)track->id - last_id);
        last_id = c->ids[i] = track->id;
        struct sp_codec_track *t = find(c, track->id, &known);
        if (!known)
            begin(t, before);
        out = write_track(t, known, track, out);
        before = t;
    }
    c->count = frame->count;
    return (size_t)(out - begin_of);
}

/* ---- reading ---- */

static int32_t get_value(struct sp_codec_input *in, const struct sp_codec_track *t, int i)
{
    int64_t value = plus(predict(t, i), get_signed(in));
    if (value >= -SP_STORED_LIMIT && value <= SP_STORED_LIMIT)
        return (int32_t)value;
    in->failed = true;
    return 0;
}

static void read_track(struct sp_codec_track *t, bool known, struct sp_codec_input *in,
                       struct sp_stored_track *track)
{
    uint8_t flags = get_byte(in);
    int step = flags >> 3;
    int confidence =
        step == CONFIDENCE_FOLLOWS ? get_byte(in) : t->confidence + step - CONFIDENCE_BIAS;
    if (flags & OTHER) {
        uint64_t class_id = get(in), person = get(in);
        in->failed |= class_id >= SP_STORED_CLASSES_MAX || person > UINT32_MAX;
        t->class_id = (int32_t)(class_id % SP_STORED_CLASSES_MAX);
        t->person = (uint32_t)person;
    }
    in->failed |= confidence < 0 || confidence > SP_STORED_CONFIDENCE;
    t->confidence = in->failed ? 0 : confidence;
    *track = (struct sp_stored_track){.id = t->id,
                                      .person = t->person,
                                      .class_id = t->class_id,
                                      .confidence = (uint8_t)t->confidence,
                                      .matched = flags & MATCHED,
                                      .on_map = flags & ON_MAP};
    for (int i = 0; i < 4; i++) {
        track->box[i] = get_value(in, t, i);
        learn(t, i, track->box[i], known);
    }
    for (int i = 4; track->on_map && i < SP_CODEC_VALUES; i++) {
        track->map[i - 4] = get_value(in, t, i);
        learn(t, i, track->map[i - 4], t->on_map);
    }
    t->on_map = t->on_map || track->on_map;
}

bool sp_codec_read(struct sp_codec *c, struct sp_codec_input *in, struct sp_stored_frame *frame)
{
    uint8_t flags = get_byte(in);
    uint64_t count = flags >> COUNT_SHIFT, late_us = 0, turn = 0;
    if (count == COUNT_MAX)
        count = get(in);
    if (flags & LATE) {
        late_us = get(in);
        turn = get(in);
    }
    bool same = flags & SAME;
    if (in->failed || count > SP_TRACKS_MAX || (same && count != c->count) || turn > UINT32_MAX ||
        late_us > INT64_MAX / 2)
        return false;
    if (!c->first) {
        c->step_us = plus(c->step_us, get_signed(in));
        c->time_us = plus(c->time_us, c->step_us);
    }
    c->sequence += flags & NEXT ? 1 : (uint64_t)get_signed(in);
    c->first = false;
    frame->time_us = c->time_us;
    frame->late_us = (int64_t)late_us;
    frame->turn = (uint32_t)turn;
    frame->sequence = c->sequence;
    frame->inferred = flags & INFERRED;
    frame->mapped = flags & MAPPED;
    frame->count = (size_t)count;
    const struct sp_codec_track *before = NULL;
    uint32_t last_id = 0;
    for (size_t i = 0; i < count && !in->failed; i++) {
        bool known;
        int64_t id = same ? c->ids[i] : plus(last_id, get_signed(in));
        if (id < 1 || id > UINT32_MAX)
            return false;
        last_id = c->ids[i] = (uint32_t)id;
        struct sp_codec_track *t = find(c, (uint32_t)id, &known);
        if (!known)
            begin(t, before);
        read_track(t, known, in, &frame->tracks[i]);
        before = t;
    }
    c->count = (size_t)count;
    return !in->failed;
}
