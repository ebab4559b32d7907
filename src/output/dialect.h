/* Dialects: the records of the outbox in the formats that other systems read
 * (docs/INTEGRATIONS.md).
 *
 * Data flow: struct sp_record -> the dialect's render -> messages with topics, in struct
 * sp_messages.
 *
 * A dialect may have a state per camera (who was in the last frame); after a restart of the program
 * it is built again from the records that follow. Files: dialect_*.c, one or a few dialects each.
 * One thread for each. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "output/messages.h"
#include "output/snapshots.h"

struct sp_dialect_setup {
    const char *site, *node;
    const char *topic;  /* template with {site}, {camera}, {kind}; NULL: the default */
    const char *prefix; /* of the topics of frigate, onvif and scenescape; NULL: the default */
};

/* What renderers share. */
struct sp_dialect {
    const struct sp_dialect_type *type;
    char site[64], node[64], topic[256], prefix[128];
    char status[256]; /* the topic of "online" and "offline"; empty: none */
    bool has_images;  /* messages of kind "snapshots" are sent */
    struct sp_json json;
    void *state; /* of the dialect, released with free(); NULL: none */
};

struct sp_dialect_type {
    const char *name;          /* "spoton" */
    const char *default_topic; /* NULL: that of the output */
    const char *default_prefix;
    size_t state_bytes;
    void (*render)(struct sp_dialect *dialect, const struct sp_record *record,
                   struct sp_messages *out);
    const char *status_topic; /* with {prefix}; NULL: the output's own */
    const char *subscription; /* a topic to receive; NULL: none */
    /* A message of the subscription: adds what it asks for. */
    void (*received)(struct sp_dialect *dialect, const struct sp_record *record,
                     struct sp_messages *out);
    /* Of an event "snapshot" of the camera. NULL: the dialect has no images. */
    void (*image)(struct sp_dialect *dialect, const struct sp_record *record,
                  const struct sp_still *still, struct sp_messages *out);
    /* A topic with {prefix} and {camera} on which "getimage" requests an image. NULL: images are
     * sent at intervals. */
    const char *image_command;
};

/* `name`: spoton, cloudevents, deepstream, metropolis, scenescape, frigate, onvif, home_assistant.
 * SP_ERR_INVALID: the text names those that exist, or what is wrong with the topic. */
int sp_dialect_open(struct sp_dialect **out, const char *name, const char *default_topic,
                    const struct sp_dialect_setup *setup, struct sp_error *err);
void sp_dialect_close(struct sp_dialect *dialect); /* NULL is allowed */

/* ---- for renderers ---- */

/* "tracks", "health" (events camera.* and outbox.*), "people" (person.*), "snapshots", "events". */
const char *sp_dialect_kind(const struct sp_record *record);

/* Replaces {site}, {camera}, {kind} and {prefix}; characters of values that MQTT reserves become
 * '_'. */
void sp_dialect_topic(const struct sp_dialect *dialect, const char *pattern, const char *camera,
                      const char *kind, char *out, size_t out_bytes);

/* Adds dialect->json as one message. topic NULL: the template's. */
void sp_dialect_add(struct sp_dialect *dialect, const struct sp_record *record, const char *topic,
                    bool retain, int part, struct sp_messages *out);

/* Adds the JPEG as one message. topic NULL: the template's. */
void sp_dialect_add_image(struct sp_dialect *dialect, const struct sp_record *record,
                          const char *topic, bool retain, const struct sp_still *still,
                          struct sp_messages *out);

/* Adds a member to dialect->json: the JPEG in base64. */
void sp_dialect_put_image(struct sp_dialect *dialect, const char *key,
                          const struct sp_still *still);

/* A member of an event's payload as text; a number in decimals. False: there is none. */
bool sp_dialect_member(const char *payload, const char *key, char *out, size_t out_bytes);

void sp_dialect_spoton_object(struct sp_dialect *dialect, const struct sp_record *record);

extern const struct sp_dialect_type sp_dialect_spoton, sp_dialect_cloudevents,
    sp_dialect_deepstream, sp_dialect_metropolis, sp_dialect_scenescape, sp_dialect_frigate,
    sp_dialect_onvif, sp_dialect_home_assistant;
