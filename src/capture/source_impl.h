/* The interface of a kind of source; for src/capture only.
 *
 * source.c chooses the first kind whose `accepts` returns true. `open` gets a flag that
 * sp_source_interrupt sets: a waiting read checks it at least every 100 ms, or the kind implements
 * `interrupt` to be woken. */
#pragma once

#include "capture/source.h"

#include <stdatomic.h>

struct sp_source_kind {
    bool (*accepts)(const char *url);
    int (*open)(void **out, const struct sp_source_options *options, const atomic_bool *interrupted,
                struct sp_error *err);
    /* Replaces the flag after `open` ran on another thread with its own flag (opening.h). */
    void (*adopt)(void *self, const atomic_bool *interrupted);
    void (*close)(void *self);
    void (*info)(const void *self, struct sp_source_info *info);
    int (*read)(void *self, struct sp_frame **out, struct sp_error *err);
    uint64_t (*failed)(const void *self);
    uint64_t (*tail_undecoded)(const void *self);
    int (*seek)(void *self, int64_t time_us, struct sp_error *err); /* NULL: not supported */
    void (*interrupt)(void *self); /* any thread; NULL: the flag is enough */
};

extern const struct sp_source_kind sp_source_kind_sim;
extern const struct sp_source_kind sp_source_kind_libav;
