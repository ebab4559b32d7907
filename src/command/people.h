/* What an offline run derives from the tracks of all cameras: cross-camera association
 * (DIR/people.jsonl), and counts of lines and zones (command/counter.h).
 *
 * Data flow: each camera's tracks, from its tracking worker -> the camera's queue -> once every
 * active camera has a frame queued, the earliest frame (by time, then by the camera's name) -> the
 * space stage -> one line; the counter. The output therefore depends on the frames alone, not on
 * thread timing. The pipeline reads in the same order (sp_pipeline_options.by_time), so a queue
 * holds at most the frames in flight, regardless of the cameras' rates.
 *
 * Thread-safe except open and close. */
#pragma once

#include "base/json.h"
#include "pipeline/pipeline.h"

struct sp_people;

/* *out is NULL if association is off (SPATIAL_MATCH_ENABLED is false, HOMOGRAPHY_FILE_PATH is
 * empty, or none of the cameras is calibrated) and there are no lines or zones. */
int sp_people_open(struct sp_people **out, const struct sp_settings *settings, const char *dir,
                   struct sp_error *err);
void sp_people_close(struct sp_people *people); /* NULL is allowed, here and below */

/* Adds a camera's next frame, with the detections that its tracks name. File errors are reported by
 * finish. */
void sp_people_add(struct sp_people *people, const struct sp_result *result,
                   const struct sp_detection *detections);

/* The camera has ended. */
void sp_people_end(struct sp_people *people, int camera);

/* As sp_outputs_save(): publishes what is written and stops writing. */
void sp_people_save(struct sp_people *people);

/* Publishes the file after all cameras have ended. */
int sp_people_finish(struct sp_people *people, struct sp_error *err);

/* Whether people.jsonl is written; whether counts.json is. NULL: neither. */
bool sp_people_associates(const struct sp_people *people);
bool sp_people_counts(const struct sp_people *people);

/* "people": {...}, or null. */
void sp_people_report(struct sp_people *people, struct sp_json *json);
