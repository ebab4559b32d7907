/* Turns changes of cameras into events: camera.added, camera.state, camera.removed.
 *
 * Data flow: sp_camera_events_poll, several times a second on one thread -> reports of the
 * pipeline compared with the last ones -> event log. A state that lasts less than the interval
 * between two polls is not reported. */
#pragma once

#include "output/event_log.h"
#include "pipeline/pipeline.h"

struct sp_camera_events;

/* All outlive it. */
struct sp_camera_events_options {
    struct sp_pipeline *pipeline;
    struct sp_event_log *log;
    /* Of the camera that has this index now: differs for a later camera; 0: none. */
    uint64_t (*epoch)(void *user, int camera);
    void *user;
};

int sp_camera_events_open(struct sp_camera_events **out,
                          const struct sp_camera_events_options *options, struct sp_error *err);
void sp_camera_events_poll(struct sp_camera_events *events);
void sp_camera_events_close(struct sp_camera_events *events); /* NULL is allowed */
