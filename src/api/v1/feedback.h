/* The store of viewers' feedback on re-identifications (data flow: feedback.c). One thread opens
 * and closes it; the other functions are called on the server's thread. */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <jansson.h>

enum { SP_FEEDBACK_MAX = 1000 };

struct sp_feedback;

/* Reads the file if it exists. Empty path: memory only. SP_ERR_FORMAT: the text names file and
 * line. SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_feedback_open(struct sp_feedback **out, const char *path, struct sp_error *err);

/* Writes pending records and closes. NULL is allowed. */
void sp_feedback_close(struct sp_feedback *feedback);

/* Takes the reference, also on failure. SP_ERR_NO_MEMORY. */
int sp_feedback_add(struct sp_feedback *feedback, json_t *value, struct sp_error *err);

/* The number of records; the record at an index, newest first. */
int sp_feedback_count(const struct sp_feedback *feedback);
const json_t *sp_feedback_get(const struct sp_feedback *feedback, int index);

/* The error of the last write; SP_OK: it succeeded. */
int sp_feedback_error(struct sp_feedback *feedback, struct sp_error *error);

/* True when the value has all members of a record (feedback_record.c). */
bool sp_feedback_is_record(const json_t *value);

bool sp_feedback_is_decision(const char *text); /* NULL: false */

/* Parses "2026-01-31T12:00:00.123Z", also without a fraction, with +01:00 for Z, without a zone
 * (UTC), or a date only, into microseconds since the epoch. False: none of these. */
bool sp_feedback_read_time(const char *text, int64_t *wall_us);
