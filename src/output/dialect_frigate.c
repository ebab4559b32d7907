/* frigate: the MQTT topics of Frigate, so that what reads those reads spoton. PREFIX/events has a
 * message when a track begins, changes its zones or ends; PREFIX/CAMERA/LABEL the number of people
 * (retained), PREFIX/CAMERA/person/snapshot an image (retained), PREFIX/ZONE/LABEL the number in a
 * zone; PREFIX/available is the status topic.
 *
 * A track ends when it is missing for GONE_US of the camera's time. */
#include "capacity.h"
#include "output/dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_BYTES = 512, NAME_BYTES = 64, ZONES_MAX = 4, OBJECTS_MAX = 256, LABEL_BYTES = 32 };

static const int64_t GONE_US = 2000000;

struct object {
    uint32_t id; /* 0: none */
    char label[LABEL_BYTES];
    int64_t begin_wall_us, wall_us, pts_us; /* of the first frame; of the last one */
    double box[4], confidence, top_confidence;
    char zones[ZONES_MAX][NAME_BYTES]; /* where it is; empty: none */
};

struct camera {
    char name[NAME_BYTES]; /* empty: none */
    uint64_t epoch;
    int people;
    bool counted;
    struct object objects[OBJECTS_MAX];
};

struct state {
    int next; /* camera that is replaced if there are too many */
    struct camera cameras[SP_CAMERAS_MAX];
};

static struct camera *find_camera(struct state *s, const struct sp_record *r)
{
    struct camera *c = NULL;
    for (int i = 0; i < SP_CAMERAS_MAX && !c; i++)
        if (strcmp(s->cameras[i].name, r->camera) == 0)
            c = &s->cameras[i];
    for (int i = 0; i < SP_CAMERAS_MAX && !c; i++)
        if (s->cameras[i].name[0] == '\0')
            c = &s->cameras[i];
    if (!c) {
        c = &s->cameras[s->next];
        s->next = (s->next + 1) % SP_CAMERAS_MAX;
    }
    if (strcmp(c->name, r->camera) != 0 || c->epoch != r->head.epoch) {
        memset(c, 0, sizeof *c);
        snprintf(c->name, sizeof c->name, "%s", r->camera);
        c->epoch = r->head.epoch;
    }
    return c;
}

static struct object *find_object(struct camera *c, uint32_t id)
{
    for (int i = 0; i < OBJECTS_MAX; i++)
        if (c->objects[i].id == id)
            return &c->objects[i];
    return NULL;
}

static void put_zones(struct sp_json *json, const char *key, const struct object *o)
{
    sp_json_key(json, key);
    sp_json_begin_array(json);
    for (int i = 0; o && i < ZONES_MAX; i++)
        if (o->zones[i][0])
            sp_json_string(json, o->zones[i]);
    sp_json_end_array(json);
}

static void put_object(struct sp_json *json, const char *key, const struct camera *c,
                       const struct object *o, bool ended)
{
    char id[NAME_BYTES * 2];
    snprintf(id, sizeof id, "%.6f-%u-%.40s", (double)o->begin_wall_us / 1e6, o->id, c->name);
    double width = o->box[2] - o->box[0], height = o->box[3] - o->box[1];
    sp_json_key(json, key);
    sp_json_begin_object(json);
    sp_json_member_string(json, "id", id);
    sp_json_member_string(json, "camera", c->name);
    sp_json_member_number(json, "frame_time", (double)o->wall_us / 1e6, 6);
    sp_json_member_string(json, "label", o->label);
    sp_json_member_string(json, "sub_label", NULL);
    sp_json_member_number(json, "score", o->confidence, 3);
    sp_json_member_number(json, "top_score", o->top_confidence, 3);
    sp_json_member_bool(json, "false_positive", false);
    sp_json_member_number(json, "start_time", (double)o->begin_wall_us / 1e6, 6);
    sp_json_key(json, "end_time");
    if (ended)
        sp_json_number(json, (double)o->wall_us / 1e6, 6);
    else
        sp_json_null(json);
    sp_json_key(json, "box");
    sp_json_begin_array(json);
    for (int i = 0; i < 4; i++)
        sp_json_number(json, o->box[i], 0);
    sp_json_end_array(json);
    sp_json_member_number(json, "area", width * height, 0);
    sp_json_member_number(json, "ratio", height > 0 ? width / height : 0, 2);
    sp_json_member_bool(json, "stationary", false);
    sp_json_member_bool(json, "active", true);
    put_zones(json, "current_zones", o);
    put_zones(json, "entered_zones", o);
    sp_json_member_bool(json, "has_clip", false);
    sp_json_member_bool(json, "has_snapshot", false);
    sp_json_end_object(json);
}

static void add_event(struct sp_dialect *d, const struct sp_record *r, const char *type,
                      const struct camera *c, const struct object *before,
                      const struct object *after, int *part, struct sp_messages *out)
{
    char topic[TOPIC_BYTES];
    sp_json_begin_object(&d->json);
    sp_json_member_string(&d->json, "type", type);
    put_object(&d->json, "before", c, before, false);
    put_object(&d->json, "after", c, after, strcmp(type, "end") == 0);
    sp_json_end_object(&d->json);
    sp_dialect_topic(d, "{prefix}/events", r->camera, "events", topic, sizeof topic);
    sp_dialect_add(d, r, topic, false, (*part)++, out);
}

static void add_number(struct sp_dialect *d, const struct sp_record *r, const char *pattern,
                       const char *name, const char *number, int *part, struct sp_messages *out)
{
    char topic[TOPIC_BYTES];
    sp_json_raw(&d->json, number);
    sp_dialect_topic(d, pattern, name, "person", topic, sizeof topic);
    sp_dialect_add(d, r, topic, true, (*part)++, out);
}

static void see(struct sp_dialect *d, const struct sp_record *r, struct camera *c,
                const struct spoton_output_track *t, int *part, struct sp_messages *out)
{
    struct object *o = find_object(c, t->id);
    bool begins = !o;
    if (begins)
        o = find_object(c, 0);
    if (!o || t->id == 0)
        return; /* more people than a Frigate would have */
    o->id = t->id;
    if (begins)
        o->begin_wall_us = r->wall_us;
    o->wall_us = r->wall_us;
    o->pts_us = r->frame.pts_us;
    o->confidence = t->confidence;
    if (o->confidence > o->top_confidence)
        o->top_confidence = o->confidence;
    memcpy(o->box, (double[]){t->x1, t->y1, t->x2, t->y2}, sizeof o->box);
    snprintf(o->label, sizeof o->label, "%s", t->class_name ? t->class_name : "unknown");
    if (begins)
        add_event(d, r, "new", c, o, o, part, out);
}

static void render_frame(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    struct camera *c = find_camera(d->state, r);
    int part = 0, people = 0;
    for (size_t i = 0; i < r->frame.track_count; i++) {
        const struct spoton_output_track *t = &r->frame.tracks[i];
        people += t->class_name && strcmp(t->class_name, "person") == 0;
        see(d, r, c, t, &part, out);
    }
    for (int i = 0; i < OBJECTS_MAX; i++) {
        struct object *o = &c->objects[i];
        int64_t missing_us = r->frame.pts_us - o->pts_us;
        if (o->id == 0 || (missing_us <= GONE_US && missing_us >= -GONE_US))
            continue;
        add_event(d, r, "end", c, o, o, &part, out);
        memset(o, 0, sizeof *o);
    }
    if (c->counted && people == c->people)
        return;
    char number[16];
    snprintf(number, sizeof number, "%d", people);
    add_number(d, r, "{prefix}/{camera}/person", r->camera, number, &part, out);
    add_number(d, r, "{prefix}/{camera}/person/active", r->camera, number, &part, out);
    c->people = people;
    c->counted = true;
}

static void render_zone(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    char zone[NAME_BYTES], track[24];
    int part = 0;
    bool enters = strcmp(r->event.kind, "zone.entered") == 0;
    if (!enters && strcmp(r->event.kind, "zone.left") != 0)
        return;
    if (!sp_dialect_member(r->event.payload, "zone", zone, sizeof zone) ||
        !sp_dialect_member(r->event.payload, "track", track, sizeof track))
        return;
    struct camera *c = find_camera(d->state, r);
    uint32_t id = (uint32_t)strtoul(track, NULL, 10);
    struct object *o = id > 0 ? find_object(c, id) : NULL;
    if (!o)
        return;
    struct object before = *o;
    const char *wanted = enters ? "" : zone;
    for (int i = 0; i < ZONES_MAX; i++) {
        if (enters && strcmp(o->zones[i], zone) == 0)
            return;
        if (strcmp(o->zones[i], wanted) != 0)
            continue;
        snprintf(o->zones[i], sizeof o->zones[i], "%s", enters ? zone : "");
        add_event(d, r, "update", c, &before, o, &part, out);
        return;
    }
}

static void render_frigate(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    char zone[NAME_BYTES], number[24];
    int part = 0;
    if (r->type == SP_RECORD_FRAME)
        render_frame(d, r, out);
    else if (strcmp(r->event.kind, "zone.occupancy") != 0)
        render_zone(d, r, out);
    else if (sp_dialect_member(r->event.payload, "zone", zone, sizeof zone) &&
             sp_dialect_member(r->event.payload, "people", number, sizeof number))
        add_number(d, r, "{prefix}/{camera}/person", zone, number, &part, out);
}

/* Frigate's has a person: none while the camera is known to be empty. */
static void image_frigate(struct sp_dialect *d, const struct sp_record *r,
                          const struct sp_still *still, struct sp_messages *out)
{
    char topic[TOPIC_BYTES];
    const struct state *s = d->state;
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        const struct camera *c = &s->cameras[i];
        if (strcmp(c->name, r->camera) == 0 && c->counted && c->people == 0)
            return;
    }
    sp_dialect_topic(d, "{prefix}/{camera}/person/snapshot", r->camera, "", topic, sizeof topic);
    sp_dialect_add_image(d, r, topic, true, still, out);
}

const struct sp_dialect_type sp_dialect_frigate = {.name = "frigate",
                                                   .default_prefix = "frigate",
                                                   .state_bytes = sizeof(struct state),
                                                   .status_topic = "{prefix}/available",
                                                   .render = render_frigate,
                                                   .image = image_frigate};
