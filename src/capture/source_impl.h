/* What a kind of source implements; for src/capture only.
 *
 * source.c picks the first kind whose `accepts` takes the URL. `open` gets a flag that
 * sp_source_interrupt sets: a read that waits looks at it at least every 100 ms, or implements
 * `interrupt` to be woken. */
#pragma once

#include "capture/source.h"

#include <stdatomic.h>

struct sp_source_kind {
    bool (*accepts)(const char *url);
    int (*open)(void **out, const struct sp_source_options *options, const atomic_bool *interrupted,
                struct sp_error *err);
    /* The flag from now on, where `open` ran in a thread of its own with another one (opening.h).
     */
    void (*adopt)(void *self, const atomic_bool *interrupted);
    void (*close)(void *self);
    void (*info)(const void *self, struct sp_source_info *info);
    int (*read)(void *self, struct sp_frame **out, struct sp_error *err);
    uint64_t (*failed)(const void *self);
    uint64_t (*tail_undecoded)(const void *self);
    int (*seek)(void *self, int64_t time_us, struct sp_error *err); /* NULL: cannot */
    void (*interrupt)(void *self); /* any thread; NULL: the flag is enough */
};

extern const struct sp_source_kind sp_source_kind_sim;
extern const struct sp_source_kind sp_source_kind_libav;
