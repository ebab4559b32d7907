/* Opens a source on a thread of its own, as calls in it may hang and cannot be interrupted: the
 * system's resolver, a network disk that does not respond, a device's driver.
 *
 * Data flow: the caller starts the thread and waits for its end, an interruption or the time limit.
 * Then it gives up: the thread ends by itself and closes what it may still open; it uses nothing of
 * the caller's. For src/capture only. */
#pragma once

#include "capture/source_impl.h"

/* Like kind->open(). The time limit is options->open_timeout_us and half a second; 0: none.
 * SP_ERR_TIMEOUT, SP_ERR_INTERRUPTED: given up. */
int sp_opening_run(void **out, const struct sp_source_kind *kind,
                   const struct sp_source_options *options, const atomic_bool *interrupted,
                   struct sp_error *err);
