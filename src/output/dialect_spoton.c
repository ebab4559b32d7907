/* spoton: schema 1 of docs/API.md with id, site, node and epoch. cloudevents: the same as the data
 * of a CloudEvents 1.0 envelope. */
#include "output/dialect.h"
#include "publish/message.h"

#include <stdio.h>

static void put_track(struct sp_json *json, const struct spoton_output_track *t)
{
    sp_json_begin_array(json);
    sp_json_int(json, t->id);
    sp_json_number(json, t->x1, 2);
    sp_json_number(json, t->y1, 2);
    sp_json_number(json, t->x2, 2);
    sp_json_number(json, t->y2, 2);
    sp_json_number(json, t->confidence, 3);
    if (t->class_name)
        sp_json_string(json, t->class_name);
    else
        sp_json_int(json, t->class_id);
    sp_json_end_array(json);
}

static void put_person(struct sp_json *json, const struct spoton_output_track *t)
{
    char text[SP_PERSON_BYTES];
    if (!t->on_map && t->global_id == 0)
        return;
    sp_json_begin_object(json);
    sp_json_member_int(json, "track", t->id);
    if (t->global_id)
        sp_json_member_string(json, "person", sp_person_name(t->global_id, text));
    if (t->on_map) {
        sp_json_member_number(json, "x", t->map_x, 2);
        sp_json_member_number(json, "y", t->map_y, 2);
    }
    sp_json_end_object(json);
}

static void put_frame(struct sp_json *json, const struct spoton_output_frame *f)
{
    sp_json_member_int(json, "sequence", (int64_t)f->sequence);
    sp_json_member_int(json, "pts_us", f->pts_us);
    sp_json_member_int(json, "wall_us", f->wall_us);
    sp_json_member_bool(json, "inferred", f->inferred);
    sp_json_member_int(json, "width", f->width);
    sp_json_member_int(json, "height", f->height);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    bool people = false;
    for (size_t i = 0; i < f->track_count; i++) {
        put_track(json, &f->tracks[i]);
        people |= f->tracks[i].on_map || f->tracks[i].global_id;
    }
    sp_json_end_array(json);
    if (!people)
        return;
    sp_json_key(json, "people");
    sp_json_begin_array(json);
    for (size_t i = 0; i < f->track_count; i++)
        put_person(json, &f->tracks[i]);
    sp_json_end_array(json);
}

static void put_event(struct sp_json *json, const struct spoton_output_event *e)
{
    char time[SP_TIME_BYTES];
    sp_time_format(e->wall_us, time);
    sp_json_member_string(json, "event", e->kind);
    sp_json_member_string(json, "event_id", e->id);
    sp_json_member_int(json, "wall_us", e->wall_us);
    sp_json_member_string(json, "time", time);
    sp_json_key(json, "payload");
    sp_json_raw(json, e->payload);
    json->need_comma = true;
}

void sp_dialect_spoton_object(struct sp_dialect *d, const struct sp_record *r)
{
    char id[SP_RECORD_ID_BYTES];
    struct sp_json *json = &d->json;
    const char *kind = sp_dialect_kind(r);
    sp_record_id(r, id);
    sp_json_begin_object(json);
    sp_json_member_int(json, "schema", SP_MESSAGE_SCHEMA);
    sp_json_member_string(json, "type",
                          r->type == SP_RECORD_FRAME ? "tracks"
                          : kind[0] == 'h'           ? "health"
                                                     : "event");
    sp_json_member_string(json, "id", id);
    sp_json_member_string(json, "site", d->site);
    sp_json_member_string(json, "node", d->node);
    sp_json_member_string(json, "camera", r->camera);
    sp_json_member_int(json, "epoch", (int64_t)r->head.epoch);
    sp_json_member_int(json, "message", (int64_t)r->head.sequence);
    if (r->type == SP_RECORD_FRAME)
        put_frame(json, &r->frame);
    else
        put_event(json, &r->event);
    sp_json_end_object(json);
}

static void render_spoton(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    sp_dialect_spoton_object(d, r);
    sp_dialect_add(d, r, NULL, false, 0, out);
}

static void image_spoton(struct sp_dialect *d, const struct sp_record *r,
                         const struct sp_still *still, struct sp_messages *out)
{
    sp_dialect_add_image(d, r, NULL, false, still, out);
}

/* The envelope up to its data. */
static void begin_cloudevent(struct sp_dialect *d, const struct sp_record *r, const char *data_type)
{
    char id[SP_RECORD_ID_BYTES], source[SP_EVENT_ID_BYTES * 2], type[96], time[SP_TIME_BYTES];
    struct sp_json *json = &d->json;
    sp_record_id(r, id);
    snprintf(source, sizeof source, "/%s%s%s", d->site, r->camera[0] ? "/" : "", r->camera);
    snprintf(type, sizeof type, "dev.spoton.%s.v1",
             r->type == SP_RECORD_FRAME ? "tracks" : r->event.kind);
    sp_time_format(r->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "specversion", "1.0");
    sp_json_member_string(json, "id", id);
    sp_json_member_string(json, "source", source);
    sp_json_member_string(json, "type", type);
    sp_json_member_string(json, "time", time);
    sp_json_member_string(json, "datacontenttype", data_type);
}

static void end_cloudevent(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    char topic[512];
    struct sp_json *json = &d->json;
    sp_json_end_object(json);
    sp_dialect_topic(d, d->topic, r->camera, sp_dialect_kind(r), topic, sizeof topic);
    const struct sp_message_draft draft = {
        .topic = topic,
        .kind = sp_dialect_kind(r),
        .content_type = "application/cloudevents+json",
        .type = r->type == SP_RECORD_FRAME ? "tracks" : r->event.kind,
        .site = d->site,
        .payload = json->text,
        .payload_bytes = json->used_bytes,
    };
    out->failed |= json->failed;
    if (!json->failed)
        sp_messages_add(out, r, &draft);
    sp_json_clear(json);
}

static void render_cloudevents(struct sp_dialect *d, const struct sp_record *r,
                               struct sp_messages *out)
{
    begin_cloudevent(d, r, "application/json");
    sp_json_key(&d->json, "data");
    sp_dialect_spoton_object(d, r);
    d->json.need_comma = true;
    end_cloudevent(d, r, out);
}

static void image_cloudevents(struct sp_dialect *d, const struct sp_record *r,
                              const struct sp_still *still, struct sp_messages *out)
{
    begin_cloudevent(d, r, "image/jpeg");
    sp_dialect_put_image(d, "data_base64", still);
    end_cloudevent(d, r, out);
}

const struct sp_dialect_type sp_dialect_spoton = {
    .name = "spoton", .render = render_spoton, .image = image_spoton};
const struct sp_dialect_type sp_dialect_cloudevents = {
    .name = "cloudevents", .render = render_cloudevents, .image = image_cloudevents};
