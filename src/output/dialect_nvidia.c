/* deepstream: the minimal JSON schema of NVIDIA DeepStream's message converter, one message per
 * frame. metropolis: nv.Frame in protobuf on PREFIX-raw (default mdx-raw), line and zone events as
 * JSON on PREFIX-events. */
#include "output/dialect.h"
#include "publish/message.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TOPIC_BYTES = 256, TEXT_BYTES = 192, FRAME_BYTES = 256 << 10 };

/* "person" becomes "Person", as NVIDIA's models call it. */
static void class_label(const struct spoton_output_track *t, char *out, size_t out_bytes)
{
    if (t->class_name)
        snprintf(out, out_bytes, "%s", t->class_name);
    else
        snprintf(out, out_bytes, "%d", t->class_id);
    out[0] = (char)toupper((unsigned char)out[0]);
}

static void put_object(struct sp_json *json, const struct spoton_output_track *t)
{
    char text[TEXT_BYTES], label[96];
    class_label(t, label, sizeof label);
    /* The five attributes of a person, which are not known, are empty. */
    snprintf(text, sizeof text, "%u|%g|%g|%g|%g|%s|#||||||%g", t->id, t->x1, t->y1, t->x2, t->y2,
             label, round(t->confidence * 1000) / 1000);
    sp_json_string(json, text);
}

static void render_deepstream(struct sp_dialect *d, const struct sp_record *r,
                              struct sp_messages *out)
{
    char time[SP_TIME_BYTES], frame[24];
    struct sp_json *json = &d->json;
    if (r->type != SP_RECORD_FRAME)
        return;
    sp_time_format(r->wall_us, time);
    snprintf(frame, sizeof frame, "%llu", (unsigned long long)r->frame.sequence);
    sp_json_begin_object(json);
    sp_json_member_string(json, "version", "4.0");
    sp_json_member_string(json, "id", frame);
    sp_json_member_string(json, "@timestamp", time);
    sp_json_member_string(json, "sensorId", r->camera);
    sp_json_key(json, "objects");
    sp_json_begin_array(json);
    for (size_t i = 0; i < r->frame.track_count; i++)
        put_object(json, &r->frame.tracks[i]);
    sp_json_end_array(json);
    sp_json_end_object(json);
    sp_dialect_add(d, r, NULL, false, 0, out);
}

/* ---- protobuf ---- */

struct wire {
    uint8_t *at;
};

static void put_varint(struct wire *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to->at++ = (uint8_t)(value | 0x80);
    *to->at++ = (uint8_t)value;
}

static void put_number(struct wire *to, unsigned field, uint64_t value)
{
    put_varint(to, field << 3);
    put_varint(to, value);
}

static void put_float(struct wire *to, unsigned field, double value)
{
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    put_varint(to, field << 3 | 5);
    for (int i = 0; i < 4; i++)
        *to->at++ = (uint8_t)(bits >> 8 * i);
}

static void put_bytes(struct wire *to, unsigned field, const void *data, size_t bytes)
{
    put_varint(to, field << 3 | 2);
    put_varint(to, bytes);
    memcpy(to->at, data, bytes);
    to->at += bytes;
}

static void put_text(struct wire *to, unsigned field, const char *text)
{
    put_bytes(to, field, text, strlen(text));
}

/* message Timestamp { int64 seconds = 1; int32 nanos = 2; } */
static void put_timestamp(struct wire *to, unsigned field, int64_t wall_us)
{
    uint8_t data[32];
    struct wire part = {data};
    put_number(&part, 1, (uint64_t)(wall_us / 1000000));
    put_number(&part, 2, (uint64_t)(wall_us % 1000000 * 1000));
    put_bytes(to, field, data, (size_t)(part.at - data));
}

/* message Bbox { float leftX = 1, topY = 2, rightX = 3, bottomY = 4; }
 * message Object { string id = 1; Bbox bbox = 2; string type = 3; float confidence = 4; } */
static void put_nv_object(struct wire *to, unsigned field, const struct spoton_output_track *t)
{
    uint8_t data[TEXT_BYTES], box[32];
    char id[16], label[96];
    struct wire part = {data}, corners = {box};
    snprintf(id, sizeof id, "%u", t->id);
    class_label(t, label, sizeof label);
    put_float(&corners, 1, t->x1);
    put_float(&corners, 2, t->y1);
    put_float(&corners, 3, t->x2);
    put_float(&corners, 4, t->y2);
    put_text(&part, 1, id);
    put_bytes(&part, 2, box, (size_t)(corners.at - box));
    put_text(&part, 3, label);
    put_float(&part, 4, t->confidence);
    put_bytes(to, field, data, (size_t)(part.at - data));
}

/* message Frame { string version = 1, id = 2; Timestamp timestamp = 3; string sensorId = 4;
 *                 repeated Object objects = 5; } */
static void render_nv_frame(struct sp_dialect *d, const struct sp_record *r,
                            struct sp_messages *out)
{
    uint8_t *data = d->state;
    struct wire to = {data};
    char text[24], topic[TOPIC_BYTES];
    put_text(&to, 1, "4.0");
    snprintf(text, sizeof text, "%llu", (unsigned long long)r->frame.sequence);
    put_text(&to, 2, text);
    put_timestamp(&to, 3, r->wall_us);
    put_text(&to, 4, r->camera);
    for (size_t i = 0; i < r->frame.track_count; i++)
        put_nv_object(&to, 5, &r->frame.tracks[i]);
    sp_dialect_topic(d, "{prefix}-raw", r->camera, "tracks", topic, sizeof topic);
    const struct sp_message_draft draft = {
        .topic = topic,
        .kind = "tracks",
        .content_type = "application/x-protobuf",
        .type = "tracks",
        .site = d->site,
        .payload = data,
        .payload_bytes = (size_t)(to.at - data),
    };
    sp_messages_add(out, r, &draft);
}

static void render_metropolis(struct sp_dialect *d, const struct sp_record *r,
                              struct sp_messages *out)
{
    char time[SP_TIME_BYTES], name[64], direction[64], track[24], topic[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    if (r->type == SP_RECORD_FRAME) {
        render_nv_frame(d, r, out);
        return;
    }
    bool line = strcmp(r->event.kind, "line.crossed") == 0;
    bool entry = strcmp(r->event.kind, "zone.entered") == 0;
    if (!line && !entry && strcmp(r->event.kind, "zone.left") != 0)
        return;
    sp_dialect_member(r->event.payload, line ? "line" : "zone", name, sizeof name);
    if (line)
        sp_dialect_member(r->event.payload, "direction", direction, sizeof direction);
    else
        snprintf(direction, sizeof direction, "%s", entry ? "entry" : "exit");
    for (char *at = direction; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    sp_dialect_member(r->event.payload, "track", track, sizeof track);
    sp_time_format(r->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "version", "4.0");
    sp_json_member_string(json, "id", r->event.id);
    sp_json_member_string(json, "@timestamp", time);
    sp_json_member_string(json, "sensorId", r->camera);
    sp_json_member_string(json, "objectId", track);
    sp_json_key(json, "event");
    sp_json_begin_object(json);
    sp_json_member_string(json, "type", line ? "tripwire" : "roi");
    sp_json_member_string(json, "id", name);
    sp_json_member_string(json, "direction", direction);
    sp_json_end_object(json);
    sp_json_end_object(json);
    sp_dialect_topic(d, "{prefix}-events", r->camera, "events", topic, sizeof topic);
    sp_dialect_add(d, r, topic, false, 0, out);
}

const struct sp_dialect_type sp_dialect_deepstream = {.name = "deepstream",
                                                      .render = render_deepstream};
const struct sp_dialect_type sp_dialect_metropolis = {.name = "metropolis",
                                                      .default_prefix = "mdx",
                                                      .state_bytes = FRAME_BYTES,
                                                      .render = render_metropolis};
