/* Whether a track without a detection is returned at its predicted position, calibrated per camera.
 *
 * For seven lengths of a gap and two classes of tracks (high or low mean confidence) it counts how
 * many gaps that became so long ended with a high-confidence detection that overlaps the prediction
 * (IoU >= 0.5), among all gaps that ended. Where that share is high enough, a prediction is more
 * often a true positive than a false one. Plain values, constant size. */
#pragma once

#include <stdbool.h>

enum { SP_COASTING_BINS = 7, SP_COASTING_CLASSES = 2 };

struct sp_coasting {
    double recovered[SP_COASTING_CLASSES][SP_COASTING_BINS];
    double ended[SP_COASTING_CLASSES][SP_COASTING_BINS];
};

void sp_coasting_init(struct sp_coasting *coasting);

/* The bin of a gap, as a bit for `gaps`. */
unsigned sp_coasting_bit(double gap_s);

/* The share of gaps of this length that end at the prediction. */
double sp_coasting_share(const struct sp_coasting *coasting, int track_class, double gap_s);

/* A gap has ended. gaps: the bits of all lengths that it had. */
void sp_coasting_end(struct sp_coasting *coasting, int track_class, unsigned gaps, bool recovered);
