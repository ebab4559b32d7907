/* home_assistant: MQTT discovery of devices, one for each camera, line and zone, and their states.
 *
 * homeassistant/device/ID/config (retained) describes a device; its state is a JSON object on
 * spoton/SITE/home_assistant/ID (retained). Cameras appear when they are added, lines and zones
 * with their first event. All are unavailable while the status topic is "offline". When Home
 * Assistant says "online", all are described again. */
#include "output/dialect.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_BYTES = 512, NAME_BYTES = 64, DEVICES_MAX = 256, DIRECTIONS = 2 };

/* Ids of a companion differ from those of the format that it accompanies. */
enum { FIRST_PART = 1000 };

static const int64_t STATE_US = 1000000; /* between two states of a camera with other counts */

enum device_type { CAMERA, LINE, ZONE };
static const char *const type_names[] = {"camera", "line", "zone"};

struct device {
    enum device_type type;
    char name[NAME_BYTES]; /* empty: none */
    char health[24];       /* of a camera: "live" */
    char people[24];       /* camera, zone: number as text */
    char directions[DIRECTIONS][NAME_BYTES];
    uint64_t crossings[DIRECTIONS], visits;
    int64_t sent_wall_us;
    bool changed;
};

struct state {
    int count;
    struct device devices[DEVICES_MAX];
};

/* ---- JSON ---- */

/* Letters, digits, '-' and '_'; others become '_'. */
static void device_id(const struct sp_dialect *d, const struct device *device, char *out,
                      size_t out_bytes)
{
    snprintf(out, out_bytes, "spoton_%s_%s_%s", d->site, type_names[device->type], device->name);
    for (char *at = out; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
            *at = '_';
}

static void put_component(struct sp_json *json, const char *id, const char *key, const char *name,
                          const char *platform, const char *class_key, const char *class)
{
    char text[TOPIC_BYTES];
    sp_json_key(json, key);
    sp_json_begin_object(json);
    sp_json_member_string(json, "p", platform);
    sp_json_member_string(json, "name", name);
    snprintf(text, sizeof text, "%s_%s", id, key);
    sp_json_member_string(json, "uniq_id", text);
    snprintf(text, sizeof text, "{{ value_json.%s }}", key);
    sp_json_member_string(json, "val_tpl", text);
    if (class)
        sp_json_member_string(json, class_key, class);
    sp_json_end_object(json);
}

static void image_topic(const struct sp_dialect *d, const char *id, char *out, size_t out_bytes)
{
    char pattern[TOPIC_BYTES];
    snprintf(pattern, sizeof pattern, "spoton/{site}/home_assistant/%s/image", id);
    sp_dialect_topic(d, pattern, "", "", out, out_bytes);
}

static void put_image(struct sp_dialect *d, const char *id)
{
    char text[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    sp_json_key(json, "snapshot");
    sp_json_begin_object(json);
    sp_json_member_string(json, "p", "image");
    sp_json_member_string(json, "name", "Snapshot");
    snprintf(text, sizeof text, "%s_snapshot", id);
    sp_json_member_string(json, "uniq_id", text);
    image_topic(d, id, text, sizeof text);
    sp_json_member_string(json, "image_topic", text);
    sp_json_member_string(json, "content_type", "image/jpeg");
    sp_json_end_object(json);
}

static void put_components(struct sp_json *json, const char *id, const struct device *device)
{
    if (device->type != LINE) {
        put_component(json, id, "occupancy", "Occupancy", "binary_sensor", "dev_cla", "occupancy");
        put_component(json, id, "people", "People", "sensor", "stat_cla", "measurement");
    }
    if (device->type == CAMERA)
        put_component(json, id, "health", "Health", "sensor", "ent_cat", "diagnostic");
    if (device->type == ZONE)
        put_component(json, id, "visits", "Visits", "sensor", "stat_cla", "total_increasing");
    for (int i = 0; device->type == LINE && i < DIRECTIONS; i++)
        if (device->directions[i][0])
            put_component(json, id, i == 0 ? "first" : "second", device->directions[i], "sensor",
                          "stat_cla", "total_increasing");
}

static void add_discovery(struct sp_dialect *d, const struct sp_record *r,
                          const struct device *device, int *part, struct sp_messages *out)
{
    char id[TOPIC_BYTES / 2], topic[TOPIC_BYTES], text[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    device_id(d, device, id, sizeof id);
    sp_json_begin_object(json);
    sp_json_key(json, "dev");
    sp_json_begin_object(json);
    sp_json_key(json, "ids");
    sp_json_begin_array(json);
    sp_json_string(json, id);
    sp_json_end_array(json);
    snprintf(text, sizeof text, "%s%s%s", device->type == CAMERA ? "" : type_names[device->type],
             device->type == CAMERA ? "" : " ", device->name);
    sp_json_member_string(json, "name", text);
    sp_json_member_string(json, "mf", "spoton");
    sp_json_member_string(json, "mdl", type_names[device->type]);
    sp_json_member_string(json, "sw", SPOTON_VERSION);
    sp_json_end_object(json);
    sp_json_key(json, "o");
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", "spoton");
    sp_json_member_string(json, "sw", SPOTON_VERSION);
    sp_json_end_object(json);
    snprintf(text, sizeof text, "spoton/{site}/home_assistant/%s", id);
    sp_dialect_topic(d, text, "", "", topic, sizeof topic);
    sp_json_member_string(json, "stat_t", topic);
    if (d->status[0])
        sp_json_member_string(json, "avty_t", d->status);
    sp_json_member_int(json, "qos", 1);
    sp_json_key(json, "cmps");
    sp_json_begin_object(json);
    put_components(json, id, device);
    if (device->type == CAMERA && d->has_images)
        put_image(d, id);
    sp_json_end_object(json);
    sp_json_end_object(json);
    snprintf(text, sizeof text, "homeassistant/device/%s/config", id);
    sp_dialect_add(d, r, text, true, (*part)++, out);
}

static void add_state(struct sp_dialect *d, const struct sp_record *r, struct device *device,
                      int *part, struct sp_messages *out)
{
    char id[TOPIC_BYTES / 2], topic[TOPIC_BYTES], text[TOPIC_BYTES];
    struct sp_json *json = &d->json;
    sp_json_begin_object(json);
    if (device->type != LINE) {
        bool empty = device->people[0] == '\0' || strcmp(device->people, "0") == 0;
        sp_json_member_string(json, "occupancy", empty ? "OFF" : "ON");
        sp_json_member_int(json, "people", strtoll(device->people, NULL, 10));
    }
    if (device->type == CAMERA)
        sp_json_member_string(json, "health", device->health[0] ? device->health : "unknown");
    if (device->type == ZONE)
        sp_json_member_int(json, "visits", (int64_t)device->visits);
    for (int i = 0; device->type == LINE && i < DIRECTIONS; i++)
        if (device->directions[i][0])
            sp_json_member_int(json, i == 0 ? "first" : "second", (int64_t)device->crossings[i]);
    sp_json_end_object(json);
    device_id(d, device, id, sizeof id);
    snprintf(text, sizeof text, "spoton/{site}/home_assistant/%s", id);
    sp_dialect_topic(d, text, "", "", topic, sizeof topic);
    sp_dialect_add(d, r, topic, true, (*part)++, out);
    device->changed = false;
    device->sent_wall_us = r->wall_us;
}

/* ---- devices ---- */

/* NULL: there are too many. *is_new: it has to be described. */
static struct device *find(struct sp_dialect *d, enum device_type type, const char *name,
                           bool *is_new)
{
    struct state *s = d->state;
    struct device *free_one = s->count < DEVICES_MAX ? &s->devices[s->count] : NULL;
    *is_new = false;
    for (int i = 0; i < s->count; i++) {
        struct device *device = &s->devices[i];
        if (device->type == type && strcmp(device->name, name) == 0)
            return device;
        if (device->name[0] == '\0')
            free_one = device;
    }
    if (!free_one || name[0] == '\0')
        return NULL;
    if (free_one == &s->devices[s->count])
        s->count++;
    memset(free_one, 0, sizeof *free_one);
    free_one->type = type;
    snprintf(free_one->name, sizeof free_one->name, "%s", name);
    *is_new = true;
    return free_one;
}

static void take_frame(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    int part = FIRST_PART;
    bool is_new;
    char people[24];
    struct device *device = find(d, CAMERA, r->camera, &is_new);
    if (!device)
        return;
    size_t count = 0;
    for (size_t i = 0; i < r->frame.track_count; i++) {
        const char *name = r->frame.tracks[i].class_name;
        count += !name || strcmp(name, "person") == 0;
    }
    snprintf(people, sizeof people, "%zu", count);
    device->changed |= strcmp(device->people, people) != 0;
    memcpy(device->people, people, sizeof people);
    if (is_new)
        add_discovery(d, r, device, &part, out);
    int64_t since_us = r->wall_us - device->sent_wall_us;
    if (device->changed && (since_us >= STATE_US || since_us < 0))
        add_state(d, r, device, &part, out);
}

static void take_camera_event(struct sp_dialect *d, const struct sp_record *r,
                              struct sp_messages *out)
{
    int part = FIRST_PART;
    bool is_new;
    char text[TOPIC_BYTES], id[TOPIC_BYTES / 2];
    struct device *device = find(d, CAMERA, r->camera, &is_new);
    if (!device)
        return;
    if (strcmp(r->event.kind, "camera.removed") == 0) {
        device_id(d, device, id, sizeof id);
        snprintf(text, sizeof text, "homeassistant/device/%s/config", id);
        sp_json_raw(&d->json, ""); /* an empty message removes the device */
        sp_dialect_add(d, r, text, true, part++, out);
        if (d->has_images) { /* the broker keeps no image of a camera that is gone */
            image_topic(d, id, text, sizeof text);
            sp_json_raw(&d->json, "");
            sp_dialect_add(d, r, text, true, part, out);
        }
        device->name[0] = '\0';
        return;
    }
    sp_dialect_member(r->event.payload, "state", device->health, sizeof device->health);
    if (is_new)
        add_discovery(d, r, device, &part, out);
    add_state(d, r, device, &part, out);
}

static int direction_of(struct device *device, const char *direction, bool *is_new)
{
    for (int i = 0; i < DIRECTIONS; i++) {
        if (strcmp(device->directions[i], direction) == 0)
            return i;
        if (device->directions[i][0])
            continue;
        snprintf(device->directions[i], sizeof device->directions[i], "%s", direction);
        *is_new = true;
        return i;
    }
    return 0;
}

static void take_event(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    int part = FIRST_PART;
    bool is_new;
    char name[NAME_BYTES], text[NAME_BYTES];
    const char *kind = r->event.kind, *payload = r->event.payload;
    bool line = strcmp(kind, "line.crossed") == 0;
    if (!line && strncmp(kind, "zone.", 5) != 0)
        return;
    if (!sp_dialect_member(payload, line ? "line" : "zone", name, sizeof name))
        return;
    struct device *device = find(d, line ? LINE : ZONE, name, &is_new);
    if (!device)
        return;
    if (line) {
        sp_dialect_member(payload, "direction", text, sizeof text);
        device->crossings[direction_of(device, text, &is_new)]++;
    }
    device->visits += strcmp(kind, "zone.entered") == 0;
    if (strcmp(kind, "zone.occupancy") == 0)
        sp_dialect_member(payload, "people", device->people, sizeof device->people);
    if (is_new)
        add_discovery(d, r, device, &part, out);
    add_state(d, r, device, &part, out);
}

static void render(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    if (r->type == SP_RECORD_FRAME)
        take_frame(d, r, out);
    else if (strncmp(r->event.kind, "camera.", 7) == 0)
        take_camera_event(d, r, out);
    else
        take_event(d, r, out);
}

static void received(struct sp_dialect *d, const struct sp_record *r, struct sp_messages *out)
{
    struct state *s = d->state;
    int part = FIRST_PART;
    for (int i = 0; i < s->count; i++) {
        if (s->devices[i].name[0] == '\0')
            continue;
        add_discovery(d, r, &s->devices[i], &part, out);
        add_state(d, r, &s->devices[i], &part, out);
    }
}

static void image(struct sp_dialect *d, const struct sp_record *r, const struct sp_still *still,
                  struct sp_messages *out)
{
    char id[TOPIC_BYTES / 2], topic[TOPIC_BYTES];
    struct device device = {.type = CAMERA};
    snprintf(device.name, sizeof device.name, "%s", r->camera);
    device_id(d, &device, id, sizeof id);
    image_topic(d, id, topic, sizeof topic);
    sp_dialect_add_image(d, r, topic, true, still, out);
}

const struct sp_dialect_type sp_dialect_home_assistant = {
    .name = "home_assistant",
    .state_bytes = sizeof(struct state),
    .subscription = "homeassistant/status",
    .render = render,
    .received = received,
    .image = image,
};
