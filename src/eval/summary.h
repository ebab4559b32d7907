/* The measures of tracks over several sequences, with bootstrap intervals.
 *
 * Data flow: eval/tracks.h compares each sequence -> one struct sp_tracks_sums for each -> their
 * sum
 * -> measures. Counts are added before ratios are taken, as TrackEval combines sequences, so a long
 * sequence has more weight. HOTA: the sums of true positives and of their association accuracies
 * are added for each IoU.
 *
 * Intervals: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13
 * (percentiles). Sequences are drawn with replacement, always with the same random numbers, so the
 * same input has the same intervals. Plain values; pure, except for temporary memory. */
#pragma once

#include "eval/tracks.h"

#include <stddef.h>

enum { SP_TRACKS_SHORT_MS = 500, SP_TRACKS_ROUNDS = 1000 };

enum sp_tracks_measure {
    SP_TRACKS_MOTA,
    SP_TRACKS_IDF1,
    SP_TRACKS_HOTA,
    SP_TRACKS_ASSA,
    SP_TRACKS_DETA,
    SP_TRACKS_SWITCHES, /* counts, as numbers */
    SP_TRACKS_IDS,
    SP_TRACKS_SHORT_IDS, /* from the first to the last box less than SP_TRACKS_SHORT_MS */
    SP_TRACKS_LIFE_S,    /* mean, from the first to the last box */
    SP_TRACKS_MEASURES,
};

struct sp_tracks_sums {
    double ground_truth, tracked; /* boxes */
    double matches, switches, id_true, ids, short_ids, life_s;
    double hota_true[SP_TRACKS_ALPHAS], hota_association[SP_TRACKS_ALPHAS];
};

struct sp_tracks_interval {
    double low, high;
};

/* What `result` and the lives of `tracks` (the rows that it is of) add to a sum. SP_ERR_NO_MEMORY.
 */
int sp_tracks_sums_of(struct sp_tracks_sums *sums, const struct sp_tracks_result *result,
                      const struct sp_mot_rows *tracks, double frame_rate, struct sp_error *err);

void sp_tracks_sums_add(struct sp_tracks_sums *sums, const struct sp_tracks_sums *more);

/* Ratios of 0 are NAN. */
void sp_tracks_measure(const struct sp_tracks_sums *sums, double value[SP_TRACKS_MEASURES]);

/* The central 95 % of the measures of `count` sequences; with `base`, of the same length and order,
 * those of the differences from its measures. SP_ERR_NO_MEMORY. */
int sp_tracks_bootstrap(const struct sp_tracks_sums *sequences, const struct sp_tracks_sums *base,
                        size_t count, struct sp_tracks_interval interval[SP_TRACKS_MEASURES],
                        struct sp_error *err);
