#include "command/people_events.h"

#include "base/clock.h"
#include "base/json.h"
#include "publish/message.h"

#include <stdlib.h>

enum { BATCH = 16 };

struct sp_people_events {
    struct sp_pipeline *pipeline;
    struct sp_hub *hub;
    struct sp_event_log *log;
    struct sp_json json;
    uint64_t epoch;  /* of the program */
    uint64_t serial; /* of the last decision */
    struct sp_space_event batch[BATCH];
};

int sp_people_events_open(struct sp_people_events **out, struct sp_pipeline *pipeline,
                          struct sp_hub *hub, struct sp_event_log *log, uint64_t epoch,
                          struct sp_error *err)
{
    struct sp_people_events *e = calloc(1, sizeof *e);
    if (!e)
        return sp_fail(err, SP_ERR_NO_MEMORY, "people: out of memory");
    e->pipeline = pipeline;
    e->hub = hub;
    e->log = log;
    e->epoch = epoch;
    *out = e;
    return SP_OK;
}

static void add(struct sp_people_events *e, const struct sp_space_event *event)
{
    struct sp_json *json = &e->json;
    struct sp_camera_report camera = {0};
    char person[SP_PERSON_BYTES], kind[SP_EVENT_KIND_BYTES];
    /* Common time is near the monotonic clock. */
    int64_t wall_us = event->time_us + sp_clock_wall_us() - sp_clock_us();
    if (event->camera >= 0)
        sp_pipeline_camera(e->pipeline, event->camera, &camera);
    sp_json_clear(json);
    sp_json_begin_object(json);
    sp_json_member_string(json, "person", sp_person_name(event->person, person));
    if (event->other)
        sp_json_member_string(json, "other", sp_person_name(event->other, person));
    if (camera.used)
        sp_json_member_int(json, "track", event->track_id);
    sp_space_event_evidence(json, event);
    sp_json_end_object(json);
    snprintf(kind, sizeof kind, "person.%s", sp_space_event_name(event->kind));
    sp_event_log_add(e->log, camera.used ? event->camera : SP_CAMERAS_MAX, camera.name,
                     camera.used ? sp_hub_generation(e->hub, event->camera) : e->epoch, kind,
                     wall_us, json->failed ? "{}" : json->text);
}

void sp_people_events_poll(struct sp_people_events *e)
{
    struct sp_map *map = sp_pipeline_map(e->pipeline);
    int count;
    if (!map)
        return;
    do {
        count = sp_space_events(sp_map_space(map), e->serial, e->batch, BATCH);
        for (int i = 0; i < count; i++)
            add(e, &e->batch[i]);
        if (count > 0)
            e->serial = e->batch[count - 1].serial;
    } while (count == BATCH);
}

void sp_people_events_close(struct sp_people_events *events)
{
    if (!events)
        return;
    sp_json_release(&events->json);
    free(events);
}
