/* Spill-over: an engine that infers on a local one first and on other machines when requests wait.
 *
 * Data flow: submit() queues -> a worker of the local engine takes the request, one for each of its
 * streams; while all of them are occupied, a worker of the remote engine takes it, as long as that
 * one has capacity (spoton_engine_api.capacity: none if its servers fail or are slower than the
 * budget) -> the outputs are copied -> wait(). A request that the remote engine fails is put at the
 * front of the queue for the local one, so that no frame is lost.
 *
 * The interface is that of an engine plugin. Both engines get the same model input. */
#pragma once

#include "spoton/engine.h"

struct sp_spill_engines {
    const struct spoton_engine_api *local, *remote; /* the remote one has capacity() and server() */
    const char *remote_options;
};

/* As spoton_engine_api.open(); the options are the local engine's. The strings need not outlive the
 * call. */
int sp_spill_open(struct spoton_engine **out, const struct sp_spill_engines *engines,
                  const struct spoton_engine_options *options, char *error, size_t error_bytes);

/* Everything but open(). */
const struct spoton_engine_api *sp_spill_api(void);
