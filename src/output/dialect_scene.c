/* scenescape: detections for Intel SceneScape on PREFIX/data/camera/CAMERA, and images on
 * PREFIX/image/camera/CAMERA when PREFIX/cmd/camera/CAMERA says "getimage". onvif: events of
 * Profile M over MQTT on PREFIX/CAMERA/onvif-ej/... */
#include "output/dialect.h"
#include "publish/message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_BYTES = 512, NAME_BYTES = 64, COUNTERS_MAX = 512 };

/* Of the lens that SceneScape assumes for a camera without calibration: across the diagonal. */
static const double FIELD_OF_VIEW_DEGREES = 70;

static void put_box(struct sp_json *json, const char *key, double x, double y, double width,
                    double height, int decimals)
{
    sp_json_key(json, key);
    sp_json_begin_object(json);
    sp_json_member_number(json, "x", x, decimals);
    sp_json_member_number(json, "y", y, decimals);
    sp_json_member_number(json, "width", width, decimals);
    sp_json_member_number(json, "height", height, decimals);
    sp_json_end_object(json);
}

static void put_object(struct sp_json *json, const struct spoton_output_frame *f,
                       const struct spoton_output_track *t)
{
    double focal_px = hypot(f->width, f->height) / 2 / tan(FIELD_OF_VIEW_DEGREES / 2 * M_PI / 180);
    sp_json_begin_object(json);
    sp_json_member_int(json, "id", t->id);
    sp_json_member_string(json, "category", t->class_name ? t->class_name : "unknown");
    sp_json_member_number(json, "confidence", t->confidence, 3);
    put_box(json, "bounding_box", (t->x1 - f->width / 2.0) / focal_px,
            (t->y1 - f->height / 2.0) / focal_px, (t->x2 - t->x1) / focal_px,
            (t->y2 - t->y1) / focal_px, 6);
    put_box(json, "bounding_box_px", t->x1, t->y1, t->x2 - t->x1, t->y2 - t->y1, 2);
    sp_json_end_object(json);
}

static void render_scenescape(struct sp_dialect *d, const struct sp_record *r,
                              struct sp_messages *out)
{
    char time[SP_TIME_BYTES], topic[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    if (r->type != SP_RECORD_FRAME || r->frame.width == 0 || r->frame.height == 0)
        return;
    sp_time_format(r->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "timestamp", time);
    sp_json_member_string(json, "id", r->camera);
    sp_json_key(json, "objects");
    sp_json_begin_array(json);
    for (size_t i = 0; i < r->frame.track_count; i++)
        put_object(json, &r->frame, &r->frame.tracks[i]);
    sp_json_end_array(json);
    sp_json_end_object(json);
    sp_dialect_topic(d, "{prefix}/data/camera/{camera}", r->camera, "tracks", topic, sizeof topic);
    sp_dialect_add(d, r, topic, false, 0, out);
}

static void image_scenescape(struct sp_dialect *d, const struct sp_record *r,
                             const struct sp_still *still, struct sp_messages *out)
{
    char time[SP_TIME_BYTES], topic[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    sp_time_format(r->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "timestamp", time);
    sp_json_member_string(json, "id", r->camera);
    sp_dialect_put_image(d, "image", still);
    sp_json_end_object(json);
    sp_dialect_topic(d, "{prefix}/image/camera/{camera}", r->camera, "", topic, sizeof topic);
    sp_dialect_add(d, r, topic, false, 0, out);
}

/* ---- onvif ---- */

struct counters {
    int count;
    struct {
        char rule[NAME_BYTES * 3]; /* "gate/door/in" */
        uint64_t value;
    } list[COUNTERS_MAX];
};

/* Counts one crossing; those of more rules than the list holds share the last entry. */
static uint64_t count(struct counters *c, const char *camera, const char *line,
                      const char *direction)
{
    char rule[NAME_BYTES * 3];
    snprintf(rule, sizeof rule, "%.63s/%.63s/%.60s", camera, line, direction);
    int i = 0;
    while (i < c->count && strcmp(c->list[i].rule, rule) != 0)
        i++;
    if (i == COUNTERS_MAX)
        i--;
    else if (i == c->count)
        memcpy(c->list[c->count++].rule, rule, sizeof rule);
    return ++c->list[i].value;
}

static void add_onvif(struct sp_dialect *d, const struct sp_record *r, const char *path,
                      const char *rule, const char *key, const char *value, bool retain, int part,
                      struct sp_messages *out)
{
    char time[SP_TIME_BYTES], pattern[TOPIC_BYTES], topic[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    sp_time_format(r->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "UtcTime", time);
    sp_json_key(json, "Source");
    sp_json_begin_object(json);
    sp_json_member_string(json, "VideoSource", r->camera);
    sp_json_member_string(json, "Rule", rule);
    sp_json_end_object(json);
    sp_json_key(json, "Data");
    sp_json_begin_object(json);
    sp_json_member_string(json, key, value);
    sp_json_end_object(json);
    sp_json_end_object(json);
    snprintf(pattern, sizeof pattern, "{prefix}/{camera}/onvif-ej/RuleEngine/%s/&1/{kind}", path);
    sp_dialect_topic(d, pattern, r->camera, rule, topic, sizeof topic);
    sp_dialect_add(d, r, topic, retain, part, out);
}

static void render_onvif(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    char name[NAME_BYTES], text[NAME_BYTES], direction[NAME_BYTES], rule[NAME_BYTES * 2 + 1];
    if (r->type != SP_RECORD_EVENT)
        return;
    const char *kind = r->event.kind, *payload = r->event.payload;
    if (strcmp(kind, "line.crossed") == 0) {
        sp_dialect_member(payload, "line", name, sizeof name);
        sp_dialect_member(payload, "direction", direction, sizeof direction);
        sp_dialect_member(payload, "track", text, sizeof text);
        add_onvif(d, r, "LineDetector/Crossed", name, "ObjectId", text, false, 0, out);
        snprintf(rule, sizeof rule, "%s %s", name, direction);
        snprintf(text, sizeof text, "%llu",
                 (unsigned long long)count(d->state, r->camera, name, direction));
        add_onvif(d, r, "CountAggregation/Counter", rule, "Count", text, true, 1, out);
    } else if (strcmp(kind, "zone.occupancy") == 0) {
        sp_dialect_member(payload, "zone", name, sizeof name);
        sp_dialect_member(payload, "people", text, sizeof text);
        add_onvif(d, r, "CountAggregation/OccupancyCounter", name, "Count", text, true, 0, out);
        add_onvif(d, r, "FieldDetector/ObjectsInside", name, "IsInside",
                  strcmp(text, "0") == 0 ? "false" : "true", true, 1, out);
    } else if (strcmp(kind, "zone.loitering") == 0) {
        sp_dialect_member(payload, "zone", name, sizeof name);
        sp_dialect_member(payload, "track", text, sizeof text);
        add_onvif(d, r, "LoiteringDetector/ObjectIsLoitering", name, "ObjectId", text, false, 0,
                  out);
    }
}

const struct sp_dialect_type sp_dialect_scenescape = {
    .name = "scenescape",
    .default_prefix = "scenescape",
    .render = render_scenescape,
    .image = image_scenescape,
    .subscription = "{prefix}/cmd/camera/+",
    .image_command = "{prefix}/cmd/camera/{camera}",
};
const struct sp_dialect_type sp_dialect_onvif = {.name = "onvif",
                                                 .default_prefix = "spoton",
                                                 .state_bytes = sizeof(struct counters),
                                                 .render = render_onvif};
