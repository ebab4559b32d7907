/* What happened in the last seconds: rates and percentiles that follow what is now, where totals
 * would only ever move slower. Fixed memory. */
#pragma once

#include "base/stats.h"

#include <stdint.h>

enum { SP_RATE_BUCKETS = 10 };

/* Events a second over the last five seconds. Zeroed memory is an empty one; a lock is the user's.
 */
struct sp_rate {
    int64_t began_us; /* of the first event; 0: none yet */
    int64_t bucket;   /* number of the current half second since then */
    uint32_t count[SP_RATE_BUCKETS];
};

void sp_rate_add(struct sp_rate *rate, int64_t now_us);
double sp_rate_read(struct sp_rate *rate, int64_t now_us);

/* Durations of the last 10 to 20 seconds in which there were any. One thread adds; any may read
 * meanwhile. */
struct sp_rate_window {
    struct sp_histogram half[2]; /* the one that is filled, and the one before it */
    atomic_int filling;
    int64_t since_us;
};

void sp_rate_window_clear(struct sp_rate_window *lately);
void sp_rate_window_add(struct sp_rate_window *lately, int64_t duration_us, int64_t now_us);

/* Adds what it counts to *to. */
void sp_rate_window_read(const struct sp_rate_window *lately, struct sp_histogram *to);
