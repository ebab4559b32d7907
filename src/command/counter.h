/* Lines and zones of spoton.yaml over ordered frames: events.jsonl and counts.json.
 *
 * Data flow: frames of all cameras, by time and then by the camera's name -> boxes and positions
 * rounded as the results log has them, so that stored tracks give the same events -> sp_counting ->
 * DIR/events.jsonl, and at the end DIR/counts.json. One thread at a time. */
#pragma once

#include "analytics/analytics.h"
#include "config/settings.h"

struct sp_counter;

/* *out is NULL if the settings have no YAML file, or it has no lines and zones. cameras[count]: in
 * the order of frames' indices. dir NULL: no files. */
int sp_counter_open(struct sp_counter **out, const struct sp_settings *settings,
                    const char *const *cameras, int count, const char *dir, struct sp_error *err);
void sp_counter_close(struct sp_counter *counter); /* NULL is allowed, here and below */

/* Errors are reported by finish. */
void sp_counter_frame(struct sp_counter *counter, const struct sp_counting_frame *frame);

/* Track and global ids begin again, as after a restart of the process. */
void sp_counter_restart(struct sp_counter *counter);

/* After the last frame: publishes the files. */
int sp_counter_finish(struct sp_counter *counter, struct sp_error *err);

/* After finish: counts.json. */
const char *sp_counter_text(const struct sp_counter *counter);
