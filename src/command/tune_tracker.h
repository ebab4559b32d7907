/* Tracker settings by the ground truth, without inference: the journals of a run through the
 * tracker again (command/track.h), once for each pair of TRACK_MATCH_THRESHOLD and
 * TRACK_HIGH_THRESHOLD.
 *
 * One exchange of two people changes all that follows, so a single best pair is often luck: chosen
 * is the pair whose own IDF1, with those of its neighbours, is highest on average. */
#pragma once

#include "config/settings.h"

enum { SP_TUNE_MATCHES = 4, SP_TUNE_HIGHS = 4 };

struct sp_tune_tracker {
    double idf1[SP_TUNE_MATCHES][SP_TUNE_HIGHS];
    double around[SP_TUNE_MATCHES]
                 [SP_TUNE_HIGHS]; /* means with the neighbours above, below, beside */
    int match, high;              /* chosen */
};

const char *sp_tune_tracker_match(int match);
const char *sp_tune_tracker_high(int high);

/* The IDF1 of the tracks that lie in the folder now. */
typedef int (*sp_tune_judge)(void *user, double *idf1, struct sp_error *err);

/* Writes DIR/NAME.txt from DIR/NAME.jsonl for each of the names; at the end as the chosen pair has
 * it. */
int sp_tune_tracker(struct sp_tune_tracker *out, const struct sp_settings *settings,
                    const char *folder, const char *const *name, int names, sp_tune_judge judge,
                    void *user, struct sp_error *err);

/* One line for each TRACK_MATCH_THRESHOLD. */
void sp_tune_tracker_print(const struct sp_tune_tracker *tracker);
