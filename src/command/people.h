/* Who is who over the cameras of an offline run: DIR/people.jsonl.
 *
 * Data flow: each camera's tracks, from its post worker -> that camera's queue -> as soon as every
 * camera that goes on has given its next frame, the earliest of all (by time, then by camera) ->
 * the space stage -> a line. So what is written depends on the frames alone, not on which thread
 * was faster. The pipeline reads in the same order (sp_pipeline_options.by_time), so that a queue
 * holds what the stages between have in hand, whatever the cameras' rates.
 *
 * Thread-safe but for open and close. */
#pragma once

#include "base/json.h"
#include "pipeline/pipeline.h"

struct sp_people;

/* *out is NULL when there is nothing to do: SPATIAL_MATCH_ENABLED is off, no HOMOGRAPHY_FILE_PATH,
 * or it has none of the cameras. */
int sp_people_open(struct sp_people **out, const struct sp_settings *settings, const char *dir,
                   struct sp_error *err);
void sp_people_close(struct sp_people *people); /* NULL is fine, here and below */

/* A camera's next frame. Errors of the file are kept, and told by finish. */
void sp_people_add(struct sp_people *people, const struct sp_result *result);

/* It gives no more. */
void sp_people_end(struct sp_people *people, int camera);

/* As sp_outputs_save(): what is written gets its name, and no more is written. */
void sp_people_save(struct sp_people *people);

/* After all cameras ended: the file gets its name. */
int sp_people_finish(struct sp_people *people, struct sp_error *err);

/* "people": {...}, or null. */
void sp_people_report(struct sp_people *people, struct sp_json *json);
