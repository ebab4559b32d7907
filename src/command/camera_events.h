/* Turns changes of cameras into events: camera.added, camera.state, camera.removed.
 *
 * Data flow: sp_camera_events_poll, several times a second on the main thread -> reports of the
 * pipeline compared with the last ones -> event log. A state that lasts less than the interval
 * between two polls is not reported. */
#pragma once

#include "output/event_log.h"
#include "pipeline/pipeline.h"
#include "publish/hub.h"

struct sp_camera_events;

/* All three outlive it. */
int sp_camera_events_open(struct sp_camera_events **out, struct sp_pipeline *pipeline,
                          struct sp_hub *hub, struct sp_event_log *log, struct sp_error *err);
void sp_camera_events_poll(struct sp_camera_events *events);
void sp_camera_events_close(struct sp_camera_events *events); /* NULL is allowed */
