#include "eval/summary.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static int count_lives(struct sp_tracks_sums *sums, const struct sp_mot_rows *tracks,
                       double frame_rate, struct sp_error *err)
{
    int *first = calloc(2 * (size_t)tracks->ids + 1, sizeof *first);
    if (!first)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%d tracks: out of memory", tracks->ids);
    int *last = first + tracks->ids;
    for (size_t i = 0; i < tracks->count; i++) {
        const struct sp_mot_row *row = &tracks->rows[i];
        if (first[row->id] == 0)
            first[row->id] = row->frame;
        last[row->id] = row->frame;
    }
    for (int id = 0; id < tracks->ids; id++) {
        double life_s = (last[id] - first[id]) / frame_rate;
        sums->life_s += life_s;
        sums->short_ids += life_s * 1000 < SP_TRACKS_SHORT_MS;
    }
    free(first);
    return SP_OK;
}

int sp_tracks_sums_of(struct sp_tracks_sums *sums, const struct sp_tracks_result *result,
                      const struct sp_mot_rows *tracks, double frame_rate, struct sp_error *err)
{
    *sums = (struct sp_tracks_sums){
        .ground_truth = (double)result->ground_truth,
        .tracked = (double)result->tracked,
        .matches = (double)result->clear.matches,
        .switches = (double)result->clear.switches,
        .id_true = (double)result->id_true,
        .ids = result->tracked_ids,
    };
    for (int a = 0; a < SP_TRACKS_ALPHAS; a++) {
        sums->hota_true[a] = result->hota_true[a];
        sums->hota_association[a] = result->hota_association[a];
    }
    return count_lives(sums, tracks, frame_rate, err);
}

void sp_tracks_sums_add(struct sp_tracks_sums *sums, const struct sp_tracks_sums *more)
{
    sums->ground_truth += more->ground_truth;
    sums->tracked += more->tracked;
    sums->matches += more->matches;
    sums->switches += more->switches;
    sums->id_true += more->id_true;
    sums->ids += more->ids;
    sums->short_ids += more->short_ids;
    sums->life_s += more->life_s;
    for (int a = 0; a < SP_TRACKS_ALPHAS; a++) {
        sums->hota_true[a] += more->hota_true[a];
        sums->hota_association[a] += more->hota_association[a];
    }
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

void sp_tracks_measure(const struct sp_tracks_sums *sums, double value[SP_TRACKS_MEASURES])
{
    double boxes = sums->ground_truth + sums->tracked;
    double wrong = boxes - 2 * sums->matches + sums->switches;
    double hota = 0, association = 0, detection = 0;
    for (int a = 0; a < SP_TRACKS_ALPHAS; a++) {
        double all = boxes - sums->hota_true[a];
        double found = all > 0 ? sums->hota_true[a] / all : 0;
        double kept = sums->hota_true[a] > 0 ? sums->hota_association[a] / sums->hota_true[a] : 0;
        detection += found / SP_TRACKS_ALPHAS;
        association += kept / SP_TRACKS_ALPHAS;
        hota += sqrt(found * kept) / SP_TRACKS_ALPHAS;
    }
    value[SP_TRACKS_MOTA] = 1 - ratio(wrong, sums->ground_truth);
    value[SP_TRACKS_IDF1] = ratio(2 * sums->id_true, boxes);
    value[SP_TRACKS_HOTA] = hota;
    value[SP_TRACKS_ASSA] = association;
    value[SP_TRACKS_DETA] = detection;
    value[SP_TRACKS_SWITCHES] = sums->switches;
    value[SP_TRACKS_IDS] = sums->ids;
    value[SP_TRACKS_SHORT_IDS] = sums->short_ids;
    value[SP_TRACKS_LIFE_S] = ratio(sums->life_s, sums->ids);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* NAN is last. */
static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

int sp_tracks_bootstrap(const struct sp_tracks_sums *sequences, const struct sp_tracks_sums *base,
                        size_t count, struct sp_tracks_interval interval[SP_TRACKS_MEASURES],
                        struct sp_error *err)
{
    double(*drawn)[SP_TRACKS_ROUNDS] = calloc(SP_TRACKS_MEASURES, sizeof *drawn);
    uint64_t state = 1;
    if (!drawn)
        return sp_fail(err, SP_ERR_NO_MEMORY, "bootstrap: out of memory");
    for (int round = 0; round < SP_TRACKS_ROUNDS; round++) {
        struct sp_tracks_sums sums = {0}, base_sums = {0};
        for (size_t i = 0; i < count; i++) {
            size_t chosen = (size_t)(next_random(&state) % count);
            sp_tracks_sums_add(&sums, &sequences[chosen]);
            if (base)
                sp_tracks_sums_add(&base_sums, &base[chosen]);
        }
        double value[SP_TRACKS_MEASURES], base_value[SP_TRACKS_MEASURES] = {0};
        sp_tracks_measure(&sums, value);
        if (base)
            sp_tracks_measure(&base_sums, base_value);
        for (int m = 0; m < SP_TRACKS_MEASURES; m++)
            drawn[m][round] = value[m] - base_value[m];
    }
    for (int m = 0; m < SP_TRACKS_MEASURES; m++) {
        qsort(drawn[m], SP_TRACKS_ROUNDS, sizeof **drawn, compare);
        int tail = SP_TRACKS_ROUNDS / 40;
        interval[m] =
            (struct sp_tracks_interval){drawn[m][tail], drawn[m][SP_TRACKS_ROUNDS - 1 - tail]};
    }
    free(drawn);
    return SP_OK;
}
