/* Opening a source that may hang: a network disk that does not answer, a device's driver, a name
 * that is looked up for minutes. Such a call listens to no interruption.
 *
 * Data flow: the caller's thread starts one that opens, and waits: for its end, for an
 * interruption, for the time limit. What is given up is left to that thread, which closes it should
 * it ever open; it holds nothing of the caller's. For src/capture only. */
#pragma once

#include "capture/source_impl.h"

/* As kind->open(). The time limit is options->open_timeout_us and a little; 0: none.
 * SP_ERR_TIMEOUT, SP_ERR_INTERRUPTED: given up. */
int sp_opening_run(void **out, const struct sp_source_kind *kind,
                   const struct sp_source_options *options, const atomic_bool *interrupted,
                   struct sp_error *err);
