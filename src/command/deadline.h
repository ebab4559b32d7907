/* Ends the process within two seconds of an interruption even if a compilation, an engine or a
 * source does not respond, and within seven if the disk does not.
 *
 * Data flow: a watcher thread leaves most of that time for an orderly end; then it calls `last`,
 * which saves the outputs, and ends the process with SP_EXIT_INTERRUPTED. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct sp_deadline;

/* `last` runs in its own thread while all others are in an arbitrary state. If it does not return
 * in time, the process ends without waiting for it. */
int sp_deadline_start(struct sp_deadline **out, bool (*interrupted)(void), void (*last)(void *user),
                      void *user, struct sp_error *err);
void sp_deadline_stop(struct sp_deadline *deadline); /* after an orderly end; NULL is allowed */
