/* An end within two seconds of an interruption, whatever the program waits for: a model that is
 * compiled, an engine, a disk or a source that does not answer.
 *
 * Data flow: a thread of its own watches for the interruption and leaves the orderly end most of
 * that time; then it calls `last`, which saves what it can, and ends the process with
 * SP_EXIT_INTERRUPTED. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct sp_deadline;

/* `last` runs in a thread of its own, while all others are where they happen to be, and may not
 * come to its end: the process does not wait for it any longer than that. */
int sp_deadline_start(struct sp_deadline **out, bool (*interrupted)(void), void (*last)(void *user),
                      void *user, struct sp_error *err);
void sp_deadline_stop(struct sp_deadline *deadline); /* the end was in time; NULL is fine */
