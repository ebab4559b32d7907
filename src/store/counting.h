/* Counts lines and zones over stored tracks: the events that counting live gave, or would have.
 *
 * Data flow: stored frames in order -> sp_counting (analytics/analytics.h) -> events. Where the
 * recording process was started again, tracks and people end, as they did live. A second thread
 * decodes (store/read_ahead.h), and the events come in the caller's. One thread at a time. */
#pragma once

#include "analytics/analytics.h"
#include "store/store.h"

struct sp_stored_counting {
    const struct sp_counting_config *config;
    double units_per_m; /* of the map; 0: there is none */
    bool y_up;
    int64_t from_us, to_us;
    void (*event)(void *user, const struct sp_counting_event *event);
    /* Asked once in a while; true: stop. NULL: never. */
    bool (*stopped)(void *user, int64_t time_us);
    void *user;
    bool to_the_end; /* completes what is open at to_us: crossings and visits */
};

/* *reached_us (may be NULL): to_us, or the time at which it was stopped. */
int sp_stored_counting_run(struct sp_store *store, const struct sp_stored_counting *options,
                           int64_t *reached_us, struct sp_error *err);

/* The names of the cameras whose frames counting needs: those with lines or zones; all if the map
 * has any. *names is NULL for all; else the caller frees it, but not the strings. SP_ERR_NO_MEMORY.
 */
int sp_stored_counting_cameras(const struct sp_counting_config *config, const char ***names,
                               int *count, struct sp_error *err);
