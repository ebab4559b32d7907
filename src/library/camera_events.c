#include "library/camera_events.h"

#include "base/clock.h"
#include "base/json.h"
#include "capacity.h"

#include <stdlib.h>
#include <string.h>

struct sp_camera_events {
    struct sp_camera_events_options options;
    struct sp_json json;
    struct {
        char name[SP_CAMERA_NAME_BYTES]; /* empty: none */
        uint64_t epoch;
        enum sp_camera_state state;
    } last[SP_CAMERAS_MAX];
};

int sp_camera_events_open(struct sp_camera_events **out,
                          const struct sp_camera_events_options *options, struct sp_error *err)
{
    struct sp_camera_events *e = calloc(1, sizeof *e);
    if (!e)
        return sp_fail(err, SP_ERR_NO_MEMORY, "camera events: out of memory");
    e->options = *options;
    *out = e;
    return SP_OK;
}

static void add(struct sp_camera_events *e, int camera, const char *kind)
{
    sp_json_end_object(&e->json);
    sp_event_log_add(e->options.log, camera, e->last[camera].name, e->last[camera].epoch, kind,
                     sp_clock_wall_us(), e->json.failed ? "{}" : e->json.text);
    sp_json_clear(&e->json);
}

static void note_removed(struct sp_camera_events *e, int camera)
{
    if (e->last[camera].name[0] == '\0')
        return;
    sp_json_begin_object(&e->json);
    add(e, camera, "camera.removed");
    e->last[camera].name[0] = '\0';
}

static void note_camera(struct sp_camera_events *e, int camera,
                        const struct sp_camera_report *report)
{
    uint64_t epoch = e->options.epoch(e->options.user, camera);
    bool same = strcmp(e->last[camera].name, report->name) == 0 &&
                (e->last[camera].epoch == epoch || epoch == 0);
    if (same && e->last[camera].state == report->state)
        return;
    if (!same)
        note_removed(e, camera);
    bool added = e->last[camera].name[0] == '\0';
    const char *before = added ? NULL : sp_camera_state_name(e->last[camera].state);
    snprintf(e->last[camera].name, sizeof e->last[camera].name, "%s", report->name);
    e->last[camera].epoch = epoch;
    e->last[camera].state = report->state;
    sp_json_begin_object(&e->json);
    sp_json_member_string(&e->json, "state", sp_camera_state_name(report->state));
    if (before)
        sp_json_member_string(&e->json, "previous", before);
    if (report->error.code != SP_OK)
        sp_json_member_string(&e->json, "reason", report->error.text);
    add(e, camera, added ? "camera.added" : "camera.state");
}

void sp_camera_events_poll(struct sp_camera_events *e)
{
    int capacity = sp_pipeline_camera_capacity(e->options.pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(e->options.pipeline, i, &report);
        if (report.used)
            note_camera(e, i, &report);
        else
            note_removed(e, i);
    }
}

void sp_camera_events_close(struct sp_camera_events *events)
{
    if (!events)
        return;
    sp_json_release(&events->json);
    free(events);
}
