#include "track/coasting.h"

static const double BIN_END_S[SP_COASTING_BINS - 1] = {0.051, 0.101, 0.21, 0.31, 0.51, 0.76};
static const double PRIOR[SP_COASTING_BINS] = {0.6, 0.6, 0.45, 0.4, 0.35, 0.3, 0.3};
static const double PRIOR_FACTOR[SP_COASTING_CLASSES] = {0.7, 1};
static const double PRIOR_EVENTS = 4;
/* Both counts are halved above it, so that old events lose weight. */
static const double EVENTS_MAX = 60;

static int bin_of(double gap_s)
{
    int bin = 0;
    while (bin < SP_COASTING_BINS - 1 && gap_s > BIN_END_S[bin])
        bin++;
    return bin;
}

void sp_coasting_init(struct sp_coasting *coasting)
{
    for (int c = 0; c < SP_COASTING_CLASSES; c++)
        for (int b = 0; b < SP_COASTING_BINS; b++) {
            coasting->recovered[c][b] = PRIOR_EVENTS * PRIOR_FACTOR[c] * PRIOR[b];
            coasting->ended[c][b] = PRIOR_EVENTS;
        }
}

unsigned sp_coasting_bit(double gap_s)
{
    return 1U << bin_of(gap_s);
}

double sp_coasting_share(const struct sp_coasting *coasting, int track_class, double gap_s)
{
    int bin = bin_of(gap_s);
    return coasting->recovered[track_class][bin] / coasting->ended[track_class][bin];
}

void sp_coasting_end(struct sp_coasting *coasting, int track_class, unsigned gaps, bool recovered)
{
    for (int b = 0; b < SP_COASTING_BINS; b++) {
        if (!(gaps >> b & 1))
            continue;
        double *good = &coasting->recovered[track_class][b],
               *all = &coasting->ended[track_class][b];
        *all += 1;
        *good += recovered;
        if (*all > EVENTS_MAX) {
            *good /= 2;
            *all /= 2;
        }
    }
}
