/* One table of the measures of tracks: for each of one or more trackers its sequences, their sum,
 * and bootstrap intervals over the sequences; also the differences from the first tracker.
 *
 * Data flow: eval/summary.h -> text or JSON on stdout. One thread. */
#pragma once

#include "command/sequences.h"
#include "eval/summary.h"

struct sp_tracks_table {
    const struct sp_sequences *sequences;
    size_t tracker_count;
    const char *const *tracker;  /* names; NULL with one tracker only */
    struct sp_tracks_sums *sums; /* [tracker_count][sequences->count] */
};

/* SP_ERR_NO_MEMORY. */
int sp_tracks_table_print(const struct sp_tracks_table *table, bool json, struct sp_error *err);
