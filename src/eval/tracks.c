#include "eval/tracks.h"
#include "base/assign.h"
#include "eval/boxes.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const double RIGHT = 0.5;

/* A candidate match for HOTA, of one frame, before the IoU threshold. */
struct hota_match {
    int ground_truth_id, track_id;
    double iou;
};

struct work {
    const struct sp_mot_rows *ground_truth, *tracks;
    size_t ground_truth_at, tracks_at;
    /* Of the current frame. */
    const struct sp_mot_row *g, *t;
    int g_count, t_count;
    int g_most, t_most; /* maxima over all frames */
    double *iou;        /* [g_count][t_count] */
    double *g_sum, *t_sum;
    struct sp_assign *assign;
    /* Over all frames. */
    double *pairs; /* [ground truth ids][track ids] */
    int *g_boxes, *t_boxes;
    struct hota_match *matches;
    size_t match_count;
};

static double *pair_at(const struct work *work, int ground_truth_id, int track_id)
{
    return &work->pairs[(size_t)ground_truth_id * (size_t)work->tracks->ids + (size_t)track_id];
}

static int slice(const struct sp_mot_rows *rows, size_t *at, int frame)
{
    size_t start = *at;
    while (*at < rows->count && rows->rows[*at].frame == frame)
        ++*at;
    return (int)(*at - start);
}

/* The next frame that has rows; false after the last. */
static bool next_frame(struct work *work)
{
    size_t g = work->ground_truth_at, t = work->tracks_at;
    if (g == work->ground_truth->count && t == work->tracks->count)
        return false;
    int g_frame = g < work->ground_truth->count ? work->ground_truth->rows[g].frame : INT32_MAX;
    int t_frame = t < work->tracks->count ? work->tracks->rows[t].frame : INT32_MAX;
    int frame = g_frame < t_frame ? g_frame : t_frame;
    work->g = work->ground_truth->rows + g;
    work->t = work->tracks->rows + t;
    work->g_count = slice(work->ground_truth, &work->ground_truth_at, frame);
    work->t_count = slice(work->tracks, &work->tracks_at, frame);
    return true;
}

static void rewind_frames(struct work *work)
{
    work->ground_truth_at = work->tracks_at = 0;
}

static double *iou_at(const struct work *work, int g, int t)
{
    return &work->iou[(size_t)g * (size_t)work->t_count + (size_t)t];
}

static void measure_overlaps(struct work *work)
{
    for (int g = 0; g < work->g_count; ++g) {
        for (int t = 0; t < work->t_count; ++t)
            *iou_at(work, g, t) = sp_detection_iou(&work->g[g].box, &work->t[t].box);
    }
}

static void finish_clear(struct sp_clear *clear, uint64_t ground_truth, uint64_t tracked)
{
    clear->misses = ground_truth - clear->matches;
    clear->false_positives = tracked - clear->matches;
    uint64_t wrong = clear->misses + clear->false_positives + clear->switches;
    clear->mota = ground_truth ? 1 - (double)wrong / (double)ground_truth : NAN;
}

/* track_of[ground truth ids]: each person's last track, or -1. */
static void match_again(struct work *work, int *track_of, bool *g_done, bool *t_done,
                        struct sp_clear *clear)
{
    for (int g = 0; g < work->g_count; ++g) {
        for (int t = 0; t < work->t_count; ++t) {
            if (track_of[work->g[g].id] == work->t[t].id && !t_done[t]) {
                g_done[g] = t_done[t] = *iou_at(work, g, t) >= RIGHT;
                clear->matches += g_done[g];
                break;
            }
        }
    }
}

/* Matches the rest: as many pairs as possible, and among those the largest sum of IoU. */
static void match_rest(struct work *work, int *track_of, const bool *g_done, const bool *t_done,
                       struct sp_clear *clear)
{
    const int *column_of_row, *row_of_column;
    double far = 2.0 * (work->g_count + work->t_count) + 2;
    sp_assign_begin(work->assign, work->g_count, work->t_count, far);
    for (int g = 0; g < work->g_count; ++g) {
        for (int t = 0; t < work->t_count; ++t) {
            if (!g_done[g] && !t_done[t] && *iou_at(work, g, t) >= RIGHT)
                sp_assign_add(work->assign, g, t, 1 - *iou_at(work, g, t));
        }
    }
    sp_assign_solve(work->assign, &column_of_row, &row_of_column);
    for (int g = 0; g < work->g_count; ++g) {
        if (column_of_row[g] < 0)
            continue;
        int *before = &track_of[work->g[g].id], now = work->t[column_of_row[g]].id;
        ++clear->matches;
        clear->switches += *before >= 0 && *before != now;
        *before = now;
    }
}

/* py-motmetrics: mot.py, MOTAccumulator.update. */
static void count_clear(struct work *work, int *track_of, bool *done, struct sp_clear *clear)
{
    bool *t_done = done + work->g_most;
    for (int i = 0; i < work->ground_truth->ids; ++i)
        track_of[i] = -1;
    rewind_frames(work);
    while (next_frame(work)) {
        measure_overlaps(work);
        for (int i = 0; i < work->g_most + work->t_most; ++i)
            done[i] = false;
        match_again(work, track_of, done, t_done, clear);
        match_rest(work, track_of, done, t_done, clear);
    }
}

/* TrackEval: metrics/clear.py. track_of[2 * ground truth ids]: ever, and in the frame before. */
static void count_clear_trackeval(struct work *work, int *track_of, struct sp_clear *clear)
{
    const int *column_of_row, *row_of_column;
    int ids = work->ground_truth->ids, *just = track_of + ids;
    for (int i = 0; i < 2 * ids; ++i)
        track_of[i] = -1;
    rewind_frames(work);
    while (next_frame(work)) {
        if (work->g_count == 0 || work->t_count == 0)
            continue;
        measure_overlaps(work);
        sp_assign_begin(work->assign, work->g_count, work->t_count, 0);
        for (int g = 0; g < work->g_count; ++g) {
            for (int t = 0; t < work->t_count; ++t) {
                double iou = *iou_at(work, g, t);
                double kept = just[work->g[g].id] == work->t[t].id ? 1000 : 0;
                if (iou >= RIGHT - DBL_EPSILON)
                    sp_assign_add(work->assign, g, t, -(kept + iou));
            }
        }
        sp_assign_solve(work->assign, &column_of_row, &row_of_column);
        for (int i = 0; i < ids; ++i)
            just[i] = -1;
        for (int g = 0; g < work->g_count; ++g) {
            if (column_of_row[g] < 0)
                continue;
            int id = work->g[g].id, now = work->t[column_of_row[g]].id;
            ++clear->matches;
            clear->switches += track_of[id] >= 0 && track_of[id] != now;
            track_of[id] = just[id] = now;
        }
    }
}

/* The one-to-one assignment of identities with the most true positive boxes. */
static int count_identities(struct work *work, struct sp_tracks_result *result,
                            struct sp_error *err)
{
    const int *column_of_row, *row_of_column;
    struct sp_assign *assign = NULL;
    int rows = work->ground_truth->ids, columns = work->tracks->ids;
    rewind_frames(work);
    while (next_frame(work)) {
        measure_overlaps(work);
        for (int g = 0; g < work->g_count; ++g) {
            for (int t = 0; t < work->t_count; ++t)
                *pair_at(work, work->g[g].id, work->t[t].id) += *iou_at(work, g, t) >= RIGHT;
        }
    }
    if (rows == 0 || columns == 0)
        return SP_OK;
    int code = sp_assign_open(&assign, rows, columns, err);
    if (code < 0)
        return code;
    sp_assign_begin(assign, rows, columns, 0);
    for (int g = 0; g < rows; ++g) {
        for (int t = 0; t < columns; ++t) {
            if (*pair_at(work, g, t) > 0)
                sp_assign_add(assign, g, t, -*pair_at(work, g, t));
        }
    }
    sp_assign_solve(assign, &column_of_row, &row_of_column);
    for (int g = 0; g < rows; ++g) {
        if (column_of_row[g] >= 0)
            result->id_true += (uint64_t)*pair_at(work, g, column_of_row[g]);
    }
    sp_assign_close(assign);
    return SP_OK;
}

/* HOTA's global alignment: how well each pair of identities fits over all frames. */
static void align(struct work *work)
{
    for (size_t i = 0; i < (size_t)work->ground_truth->ids * (size_t)work->tracks->ids; ++i)
        work->pairs[i] = 0;
    rewind_frames(work);
    while (next_frame(work)) {
        measure_overlaps(work);
        for (int g = 0; g < work->g_count; ++g)
            work->g_sum[g] = 0;
        for (int t = 0; t < work->t_count; ++t)
            work->t_sum[t] = 0;
        for (int g = 0; g < work->g_count; ++g) {
            ++work->g_boxes[work->g[g].id];
            for (int t = 0; t < work->t_count; ++t) {
                work->g_sum[g] += *iou_at(work, g, t);
                work->t_sum[t] += *iou_at(work, g, t);
            }
        }
        for (int t = 0; t < work->t_count; ++t)
            ++work->t_boxes[work->t[t].id];
        for (int g = 0; g < work->g_count; ++g) {
            for (int t = 0; t < work->t_count; ++t) {
                double iou = *iou_at(work, g, t), all = work->g_sum[g] + work->t_sum[t] - iou;
                if (all > DBL_EPSILON)
                    *pair_at(work, work->g[g].id, work->t[t].id) += iou / all;
            }
        }
    }
    for (int g = 0; g < work->ground_truth->ids; ++g) {
        for (int t = 0; t < work->tracks->ids; ++t) {
            double *pair = pair_at(work, g, t);
            *pair /= work->g_boxes[g] + work->t_boxes[t] - *pair;
        }
    }
}

static void match_hota(struct work *work)
{
    const int *column_of_row, *row_of_column;
    rewind_frames(work);
    while (next_frame(work)) {
        measure_overlaps(work);
        sp_assign_begin(work->assign, work->g_count, work->t_count, 0);
        for (int g = 0; g < work->g_count; ++g) {
            for (int t = 0; t < work->t_count; ++t) {
                double fit = *pair_at(work, work->g[g].id, work->t[t].id) * *iou_at(work, g, t);
                if (fit > 0)
                    sp_assign_add(work->assign, g, t, -fit);
            }
        }
        sp_assign_solve(work->assign, &column_of_row, &row_of_column);
        for (int g = 0; g < work->g_count; ++g) {
            int t = column_of_row[g];
            if (t >= 0)
                work->matches[work->match_count++] =
                    (struct hota_match){work->g[g].id, work->t[t].id, *iou_at(work, g, t)};
        }
    }
}

static void compute_hota(struct work *work, struct sp_tracks_result *result)
{
    size_t pairs = (size_t)work->ground_truth->ids * (size_t)work->tracks->ids;
    for (int a = 0; a < SP_TRACKS_ALPHAS; ++a) {
        double alpha = 0.05 + a * 0.05, right = 0, association = 0;
        for (size_t i = 0; i < pairs; ++i)
            work->pairs[i] = 0;
        for (size_t i = 0; i < work->match_count; ++i) {
            const struct hota_match *match = &work->matches[i];
            if (match->iou >= alpha - DBL_EPSILON) {
                ++*pair_at(work, match->ground_truth_id, match->track_id);
                ++right;
            }
        }
        for (int g = 0; g < work->ground_truth->ids; ++g) {
            for (int t = 0; t < work->tracks->ids; ++t) {
                double both = *pair_at(work, g, t);
                if (both > 0)
                    association += both * both / (work->g_boxes[g] + work->t_boxes[t] - both);
            }
        }
        result->hota_true[a] = right;
        result->hota_association[a] = association;
        association = right > 0 ? association / right : 0;
        double all = (double)(result->ground_truth + result->tracked) - right;
        double detection = all > 0 ? right / all : 0;
        result->hota += sqrt(detection * association) / SP_TRACKS_ALPHAS;
        result->detection_accuracy += detection / SP_TRACKS_ALPHAS;
        result->association_accuracy += association / SP_TRACKS_ALPHAS;
    }
}

static int open_work(struct work *work, struct sp_error *err)
{
    while (next_frame(work)) {
        work->g_most = work->g_count > work->g_most ? work->g_count : work->g_most;
        work->t_most = work->t_count > work->t_most ? work->t_count : work->t_most;
    }
    size_t g_ids = (size_t)work->ground_truth->ids, t_ids = (size_t)work->tracks->ids;
    size_t matches = work->ground_truth->count < work->tracks->count ? work->ground_truth->count
                                                                     : work->tracks->count;
    work->iou = calloc((size_t)work->g_most * (size_t)work->t_most + 1, sizeof *work->iou);
    work->g_sum = calloc((size_t)work->g_most + 1, sizeof *work->g_sum);
    work->t_sum = calloc((size_t)work->t_most + 1, sizeof *work->t_sum);
    work->pairs = calloc(g_ids * t_ids + 1, sizeof *work->pairs);
    work->g_boxes = calloc(g_ids + 1, sizeof *work->g_boxes);
    work->t_boxes = calloc(t_ids + 1, sizeof *work->t_boxes);
    work->matches = calloc(matches + 1, sizeof *work->matches);
    if (!work->iou || !work->g_sum || !work->t_sum || !work->pairs || !work->g_boxes ||
        !work->t_boxes || !work->matches)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%d x %d identities: out of memory",
                       work->ground_truth->ids, work->tracks->ids);
    return sp_assign_open(&work->assign, work->g_most > 0 ? work->g_most : 1,
                          work->t_most > 0 ? work->t_most : 1, err);
}

static void close_work(struct work *work)
{
    free(work->iou);
    free(work->g_sum);
    free(work->t_sum);
    free(work->pairs);
    free(work->g_boxes);
    free(work->t_boxes);
    free(work->matches);
    sp_assign_close(work->assign);
}

int sp_tracks_compare(const struct sp_mot_rows *ground_truth, const struct sp_mot_rows *tracks,
                      struct sp_tracks_result *result, struct sp_error *err)
{
    struct work work = {.ground_truth = ground_truth, .tracks = tracks};
    *result = (struct sp_tracks_result){.ground_truth = ground_truth->count,
                                        .tracked = tracks->count,
                                        .ground_truth_ids = ground_truth->ids,
                                        .tracked_ids = tracks->ids};
    int code = open_work(&work, err);
    int *track_of = calloc(2 * (size_t)ground_truth->ids + 1, sizeof *track_of);
    bool *done = calloc((size_t)work.g_most + (size_t)work.t_most + 1, sizeof *done);
    if (code == SP_OK && (!track_of || !done))
        code = sp_fail(err, SP_ERR_NO_MEMORY, "%d identities: out of memory", ground_truth->ids);
    if (code == SP_OK)
        code = count_identities(&work, result, err);
    if (code == SP_OK) {
        count_clear(&work, track_of, done, &result->clear);
        count_clear_trackeval(&work, track_of, &result->clear_trackeval);
        finish_clear(&result->clear, ground_truth->count, tracks->count);
        finish_clear(&result->clear_trackeval, ground_truth->count, tracks->count);
        double right = (double)result->id_true;
        double both = (double)(ground_truth->count + tracks->count);
        result->idf1 = both > 0 ? 2 * right / both : NAN;
        result->id_precision = tracks->count ? right / (double)tracks->count : NAN;
        result->id_recall = ground_truth->count ? right / (double)ground_truth->count : NAN;
        align(&work);
        match_hota(&work);
        compute_hota(&work, result);
    }
    free(track_of);
    free(done);
    close_work(&work);
    return code;
}
