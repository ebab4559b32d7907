/* The store of what viewers say about re-identifications; feedback.c tells how it is kept. Opened
 * and closed by one thread; the others are called on the server's. */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <jansson.h>

enum { SP_FEEDBACK_MAX = 1000 };

struct sp_feedback;

/* Reads the file, if it is there. Empty: nothing is written. SP_ERR_FORMAT names file and line;
 * SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_feedback_open(struct sp_feedback **out, const char *path, struct sp_error *err);

/* Writes what is not written yet. NULL is fine. */
void sp_feedback_close(struct sp_feedback *feedback);

/* Takes the reference, also when it fails. SP_ERR_NO_MEMORY. */
int sp_feedback_add(struct sp_feedback *feedback, json_t *value, struct sp_error *err);

/* How many are kept; the index-th of them, the newest first. */
int sp_feedback_count(const struct sp_feedback *feedback);
const json_t *sp_feedback_get(const struct sp_feedback *feedback, int index);

/* Why the last write failed; SP_OK: it did not. */
int sp_feedback_error(struct sp_feedback *feedback, struct sp_error *error);

/* Whether it has what every record has (feedback_api.c). */
bool sp_feedback_is_record(const json_t *value);
