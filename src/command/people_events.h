/* Turns decisions about people into events: person.created, person.merged and the like.
 *
 * Data flow: sp_people_events_poll, several times a second on the main thread -> new decisions of
 * the space stage (space/space.h) -> event log. */
#pragma once

#include "output/event_log.h"
#include "pipeline/pipeline.h"
#include "publish/hub.h"

struct sp_people_events;

/* All three outlive it. `epoch`: of events without a camera. */
int sp_people_events_open(struct sp_people_events **out, struct sp_pipeline *pipeline,
                          struct sp_hub *hub, struct sp_event_log *log, uint64_t epoch,
                          struct sp_error *err);
void sp_people_events_poll(struct sp_people_events *events);
void sp_people_events_close(struct sp_people_events *events); /* NULL is allowed */
