/* Counts per minute of the last two days, and the newest dwells, of each line and zone.
 *
 * Data flow: counting events, with the wall clock's time of each -> a ring of minutes for each name
 * -> sums since a time, for the API. Memory is allocated with the first event of a name, and is
 * bounded. One thread at a time. */
#pragma once

#include "analytics/analytics.h"

enum { SP_COUNT_MINUTES = 48 * 60, SP_COUNT_DWELLS = 4096 };

struct sp_count_history;

int sp_count_history_open(struct sp_count_history **out, struct sp_error *err);
void sp_count_history_close(struct sp_count_history *history); /* NULL is allowed */

/* wall_us: when it happened, since the Unix epoch. */
void sp_count_history_add(struct sp_count_history *history, const struct sp_counting_event *event,
                          int64_t wall_us);

/* Since the start of the minute of `since_us`. */
struct sp_line_sums {
    uint64_t in, out;
};
struct sp_line_sums sp_count_history_line(const struct sp_count_history *history, const char *name,
                                          int64_t since_us);

/* dwell: of visits that ended since then, at most the newest SP_COUNT_DWELLS of the zone. */
struct sp_zone_sums {
    uint64_t visits;
    int dwells;
    double p50_s, p90_s, mean_s, max_s; /* 0 without dwells */
};
struct sp_zone_sums sp_count_history_zone(struct sp_count_history *history, const char *name,
                                          int64_t since_us);
