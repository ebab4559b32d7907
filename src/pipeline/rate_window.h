/* Rates and percentiles over the last seconds. Fixed memory. */
#pragma once

#include "base/stats.h"

#include <stdint.h>

enum { SP_RATE_BUCKETS = 10 };

/* Events a second over the last five seconds. Zeroed memory is empty; the caller locks. */
struct sp_rate {
    int64_t began_us; /* of the first event; 0: none yet */
    int64_t bucket;   /* number of the current half second since then */
    uint32_t count[SP_RATE_BUCKETS];
};

void sp_rate_add(struct sp_rate *rate, int64_t now_us);
double sp_rate_read(struct sp_rate *rate, int64_t now_us);

/* Durations of the last 10 to 20 seconds in which there were any. One thread adds, any may read. */
struct sp_rate_window {
    struct sp_histogram half[2]; /* the current one and the previous one */
    atomic_int filling;
    int64_t since_us;
};

void sp_rate_window_clear(struct sp_rate_window *window);
void sp_rate_window_add(struct sp_rate_window *window, int64_t duration_us, int64_t now_us);

/* Adds its counts to *to. */
void sp_rate_window_read(const struct sp_rate_window *window, struct sp_histogram *to);
