#include "publish/message.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    FLAG_INFERRED = 1,
    FLAG_JPEG = 2,
    FLAG_IDS_2 = 4,
    FLAG_CLASSES = 8,
    FLAG_PIXELS = 16,
    FLAG_IDS_4 = 32,
    PIXELS_MAX = 4095, /* 12 bits */
    PARTS_MAX = 16383, /* 14 bits */
};

const char *sp_person_name(uint32_t person, char out[SP_PERSON_BYTES])
{
    snprintf(out, SP_PERSON_BYTES, "P%u", person);
    return out;
}

void sp_time_format(int64_t wall_us, char out[SP_TIME_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t used = strftime(out, SP_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + used, SP_TIME_BYTES - used, ".%03dZ", (int)(wall_us / 1000 % 1000));
}

static void put_member(struct sp_json *json, const char *key, int64_t value)
{
    sp_json_key(json, key);
    sp_json_int(json, value);
}

/* Only tracks with a world position or a global id. */
static void put_world_positions(struct sp_json *json, const struct sp_result *result)
{
    char text[SP_PERSON_BYTES];
    sp_json_key(json, "people");
    sp_json_begin_array(json);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_world_position *position = &result->positions[i];
        if (!position->on_map && position->person == 0)
            continue;
        sp_json_begin_object(json);
        put_member(json, "track", result->tracks[i].id);
        if (position->person) {
            sp_json_key(json, "person");
            sp_json_string(json, sp_person_name(position->person, text));
        }
        if (position->on_map) {
            sp_json_key(json, "x");
            sp_json_number(json, position->x, 2);
            sp_json_key(json, "y");
            sp_json_number(json, position->y, 2);
        }
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

void sp_message_json(struct sp_json *json, const struct sp_result *result,
                     const struct sp_class_names *names, int64_t now_us)
{
    char number[16];
    sp_json_begin_object(json);
    put_member(json, "schema", SP_MESSAGE_SCHEMA);
    sp_json_key(json, "type");
    sp_json_string(json, "tracks");
    sp_json_key(json, "camera");
    sp_json_string(json, result->name);
    put_member(json, "epoch", (int64_t)result->generation);
    put_member(json, "sequence", (int64_t)result->sequence);
    put_member(json, "pts_us", result->pts_us);
    put_member(json, "wall_us", result->wall_us);
    put_member(json, "latency_us", now_us - result->received_us);
    sp_json_key(json, "inferred");
    sp_json_bool(json, result->inferred);
    if (result->reason) {
        sp_json_key(json, "reason");
        sp_json_string(json, result->reason);
    }
    put_member(json, "width", result->width_px);
    put_member(json, "height", result->height_px);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        sp_json_begin_array(json);
        sp_json_int(json, track->id);
        sp_json_number(json, track->x1_px, 2);
        sp_json_number(json, track->y1_px, 2);
        sp_json_number(json, track->x2_px, 2);
        sp_json_number(json, track->y2_px, 2);
        sp_json_number(json, track->confidence, 3);
        sp_json_string(json, sp_class_name(names, track->class_id, number));
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
    if (result->has_world_positions)
        put_world_positions(json, result);
    sp_json_end_object(json);
}

/* Little-endian on every machine. */
static uint8_t *put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint64_t part_of(double value, int whole)
{
    double part = value / whole * PARTS_MAX;
    return (uint64_t)lround(part < 0 ? 0 : (part > PARTS_MAX ? PARTS_MAX : part));
}

static uint8_t class_byte(int class_id)
{
    return class_id >= 0 && class_id < 255 ? (uint8_t)class_id : 255;
}

/* Properties common to all tracks, which choose the encoding. */
struct span {
    uint32_t lowest, highest;
    bool one_class, whole_pixels;
};

static bool is_pixel(float value)
{
    return value >= 0 && value <= PIXELS_MAX && value == floorf(value);
}

static struct span span_of(const struct sp_result *result)
{
    struct span span = {.one_class = true, .whole_pixels = true};
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        if (i == 0 || track->id < span.lowest)
            span.lowest = track->id;
        if (track->id > span.highest)
            span.highest = track->id;
        span.one_class = span.one_class && track->class_id == result->tracks[0].class_id;
        span.whole_pixels = span.whole_pixels && is_pixel(track->x1_px) && is_pixel(track->y1_px) &&
                            is_pixel(track->x2_px) && is_pixel(track->y2_px);
    }
    return span;
}

static uint8_t *put_box(uint8_t *at, const struct sp_result *result, const struct sp_track *track,
                        bool whole_pixels)
{
    const float values[] = {track->x1_px, track->y1_px, track->x2_px, track->y2_px};
    const int wholes[] = {result->width_px, result->height_px};
    uint64_t box = 0;
    int bits = whole_pixels ? 12 : 14;
    for (int i = 0; i < 4; i++)
        box |= (whole_pixels ? (uint64_t)values[i] : part_of(values[i], wholes[i % 2])) << bits * i;
    return put(at, box, bits / 2); /* four values of `bits` bits */
}

static uint8_t *put_tracks(uint8_t *at, const struct sp_result *result, const struct span *span,
                           int id_bytes)
{
    if (result->track_count == 0)
        return at;
    at = put(at, span->lowest, 4);
    at = put(at, class_byte(result->tracks[0].class_id), 1);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        at = put_box(at, result, track, span->whole_pixels);
        at = put(at, (uint64_t)lround(track->confidence * 255), 1);
        at = put(at, track->id - span->lowest, id_bytes);
    }
    for (size_t i = 0; i < result->track_count && !span->one_class; i++)
        at = put(at, class_byte(result->tracks[i].class_id), 1);
    return at;
}

size_t sp_message_binary(uint8_t *out, const struct sp_result *result, bool jpeg, int64_t now_us)
{
    struct span span = span_of(result);
    size_t name_bytes = strlen(result->name);
    uint32_t ids = span.highest - span.lowest;
    int id_bytes = ids > 65535 ? 4 : (ids > 255 ? 2 : 1);
    unsigned flags = (result->inferred ? FLAG_INFERRED : 0U) | (jpeg ? FLAG_JPEG : 0U) |
                     (id_bytes == 2 ? FLAG_IDS_2 : 0U) | (id_bytes == 4 ? FLAG_IDS_4 : 0U) |
                     (span.one_class ? 0U : FLAG_CLASSES) | (span.whole_pixels ? FLAG_PIXELS : 0U);
    int64_t latency_us = now_us - result->received_us;
    latency_us = latency_us < 0 ? 0 : (latency_us > UINT32_MAX ? UINT32_MAX : latency_us);
    uint8_t *at = out;
    at = put(at, 0x545053, 3); /* "SPT" */
    at = put(at, SP_MESSAGE_VERSION, 1);
    at = put(at, flags, 1);
    at = put(at, name_bytes, 1);
    at = put(at, result->track_count, 2);
    at = put(at, result->sequence, 4);
    at = put(at, (uint64_t)result->width_px, 2);
    at = put(at, (uint64_t)result->height_px, 2);
    at = put(at, (uint64_t)result->wall_us, 8);
    at = put(at, (uint64_t)latency_us, 4);
    at = put(at, (uint64_t)result->pts_us, 6);
    memcpy(at, result->name, name_bytes);
    at = put_tracks(at + name_bytes, result, &span, id_bytes);
    return (size_t)(at - out);
}
