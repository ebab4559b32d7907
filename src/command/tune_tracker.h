/* Tunes tracker settings against ground truth, without inference: the results logs of a run are
 * tracked again (command/track.h) for each pair of TRACK_MATCH_THRESHOLD and TRACK_HIGH_THRESHOLD.
 *
 * A single ID switch changes all later rows, so one best pair is often chance. The pair with the
 * highest mean IDF1 over itself and its neighbours is chosen. */
#pragma once

#include "config/settings.h"

enum { SP_TUNE_MATCHES = 4, SP_TUNE_HIGHS = 4 };

struct sp_tune_tracker {
    double idf1[SP_TUNE_MATCHES][SP_TUNE_HIGHS];
    double around[SP_TUNE_MATCHES][SP_TUNE_HIGHS]; /* mean over the pair and its neighbours */
    int match, high;                               /* chosen */
};

const char *sp_tune_tracker_match(int match);
const char *sp_tune_tracker_high(int high);

/* Computes the IDF1 of the tracks now in the folder. */
typedef int (*sp_tune_judge)(void *user, double *idf1, struct sp_error *err);

/* Writes DIR/NAME.txt from DIR/NAME.jsonl for each name; finally with the chosen pair. */
int sp_tune_tracker(struct sp_tune_tracker *out, const struct sp_settings *settings,
                    const char *folder, const char *const *name, int names, sp_tune_judge judge,
                    void *user, struct sp_error *err);

/* One line for each TRACK_MATCH_THRESHOLD. */
void sp_tune_tracker_print(const struct sp_tune_tracker *tracker);
