#include "track/adaptive.h"

#include "track/adaptive_state.h"
#include "track/shift.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)SP_TRACKS_MAX >= (int)SP_DETECTIONS_MAX, "every detection can be a track");

static const double SLACK_S = 1e-6;
static const int SHIFT_PAIRS_MIN = 4;
static const double SHIFT_SCATTER = 3;
static const double DECAY_AFTER_S = 0.15;
static const int HITS_MIN = 5; /* of a track that coasts or is joined again */
static const double REJOIN_GATE = 1.5, REJOIN_LOG_HEIGHT = 0.35, REJOIN_LOG_WEIGHT = 2.5;
static const double RECOVERED_IOU = 0.5;
static const double LOW_PRIOR = 0.7, LOW_PRIOR_EVENTS = 4, LOW_EVENTS_MAX = 60;
static const double SURE_CONFIDENCE = 0.7; /* mean, of the better class of tracks */

void sp_adaptive_params_default(struct sp_adaptive_params *own,
                                const struct sp_tracker_params *params)
{
    *own = (struct sp_adaptive_params){
        .low = params->low_thresh,
        .high = params->high_thresh,
        .start = params->new_track_thresh,
        .evidence = 1.75,
        .evidence_covered = 0.5,
        .limit_confirmed = 1 - params->match_thresh,
        .limit_tentative = 1 - params->unconfirmed_match_thresh,
        .limit_tentative_long = 0.1,
        .limit_low = 0.6,
        .limit_again = 0.3,
        .mahalanobis = 0.2,
        .long_step_s = 0.05,
        .margin = 0.4,
        .decay_s = 8,
        .keep_lost_s = params->buffer_frames / 30,
        .keep_again_s = params->buffer_frames / 10,
        .keep_tentative_s = 0.1,
        .low_lost_s = 0.1,
        .low_right_s = 0.5,
        .low_share = 0.88,
        .birth_iou = 0.6,
        .rejoin_heights = 0.45,
        .blend = 0.2,
        .coast_share = 0.55,
    };
}

int sp_adaptive_open(void **out, const struct sp_adaptive_params *params, struct sp_error *err)
{
    struct sp_adaptive *t = calloc(1, sizeof *t);
    if (!t)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
    int rc = sp_assign_open(&t->assign, SP_TRACKS_MAX, SP_DETECTIONS_MAX, err);
    if (rc) {
        free(t);
        return rc;
    }
    t->params = *params;
    sp_coasting_init(&t->coasting);
    t->low_recovered = LOW_PRIOR * LOW_PRIOR_EVENTS;
    t->low_ended = LOW_PRIOR_EVENTS;
    *out = t;
    return SP_OK;
}

static int open_default(void **out, const struct sp_tracker_params *params, struct sp_error *err)
{
    struct sp_adaptive_params own;
    sp_adaptive_params_default(&own, params);
    return sp_adaptive_open(out, &own, err);
}

static void close_tracker(void *tracker)
{
    struct sp_adaptive *t = tracker;
    sp_assign_close(t->assign);
    free(t);
}

/* ---- association ---- */

static int class_of(const struct sp_adaptive_track *track)
{
    return track->confidence_sum >= SURE_CONFIDENCE * track->hits;
}

/* The greatest share of the box that a confirmed track in view covers. */
static double covered(const struct sp_adaptive *t, const struct sp_adaptive_track *own,
                      const double *box)
{
    double most = 0;
    for (int i = 0; i < t->track_count; i++) {
        const struct sp_adaptive_track *other = &t->track[i];
        if (other == own || other->class_id != own->class_id || !other->was_confirmed ||
            (!other->seen && sp_adaptive_is_lost(t, other)))
            continue;
        most = fmax(most, sp_adaptive_box_cover(other->filter.x, box));
    }
    return most;
}

/* A track that took low-confidence boxes has a high-confidence one again, or is forgotten. */
static void end_low(struct sp_adaptive *t, struct sp_adaptive_track *track, bool recovered)
{
    if (!track->low)
        return;
    track->low = false;
    t->low_recovered += recovered;
    t->low_ended += 1;
    if (t->low_ended > LOW_EVENTS_MAX) {
        t->low_recovered /= 2;
        t->low_ended /= 2;
    }
}

/* For how long a lost track takes low-confidence boxes: longer on a camera where nearly all tracks
 * that did were right. */
static double low_lost_s(const struct sp_adaptive *t)
{
    bool right = t->low_recovered >= t->params.low_share * t->low_ended;
    return right ? t->params.low_right_s : t->params.low_lost_s;
}

static void take(struct sp_adaptive *t, struct sp_adaptive_track *track,
                 const struct sp_candidate *c, enum sp_track_association by)
{
    double box[SP_ADAPTIVE_AXES];
    sp_adaptive_box_of(c, box);
    double iou = sp_adaptive_box_iou(track->filter.x, box);
    bool high = by != SP_TRACK_BY_LOW_CONFIDENCE;
    track->gap_s = t->now_s - track->last_s;
    track->taken_iou = iou;
    track->taken_by = by;
    if (high && track->gaps) {
        sp_coasting_end(&t->coasting, class_of(track), track->gaps, iou >= RECOVERED_IOU);
        track->gaps = 0;
    }
    if (high)
        end_low(t, track, iou >= RECOVERED_IOU);
    else
        track->low = true;
    if (!track->confirmed)
        track->evidence +=
            c->confidence * iou * (1 - t->params.evidence_covered * covered(t, track, box));
    track->residual_s = sp_adaptive_filter_residual(&track->filter, box, track->residual_s,
                                                    t->now_s - track->last_s);
    sp_adaptive_filter_update(&track->filter, box);
    memcpy(track->observed, box, sizeof box);
    track->last_s = t->now_s;
    track->hits++;
    track->confidence = c->confidence;
    track->confidence_sum += c->confidence;
    track->detection = 1 + c->detection;
    track->seen = true;
    if (track->evidence >= t->params.evidence)
        track->confirmed = true;
}

static void take_all(struct sp_adaptive *t, struct sp_candidate_list *list,
                     enum sp_track_association by)
{
    const int *column_of_row, *row_of_column;
    sp_assign_solve(t->assign, &column_of_row, &row_of_column);
    for (int r = 0; r < t->row_count; r++)
        if (column_of_row[r] >= 0)
            take(t, &t->track[t->row[r]], &list->item[column_of_row[r]], by);
    sp_candidates_drop_matched(list, row_of_column);
}

/* The pairs of t->row and `list` whose value exceeds the limit. weigh: by
 * confidence. */
static void add_pairs(struct sp_adaptive *t, const struct sp_candidate_list *list, double limit,
                      bool weigh)
{
    sp_assign_begin(t->assign, t->row_count, list->count, 0);
    if (t->row_count == 0 || list->count == 0)
        return;
    for (int c = 0; c < list->count; c++)
        t->boxes[c] = list->item[c].box;
    sp_nearby_set(&t->nearby, t->boxes, list->count);
    for (int r = 0; r < t->row_count; r++) {
        const struct sp_adaptive_track *track = &t->track[t->row[r]];
        double grow[2];
        struct sp_adaptive_terms terms;
        sp_adaptive_margins(t, track, grow);
        struct sp_box reach = sp_adaptive_box_corners(track->filter.x);
        int count = sp_nearby_find(&t->nearby, &reach, 2 * fmax(grow[0], grow[1]));
        for (int i = 0; i < count; i++) {
            const struct sp_candidate *item = &list->item[t->nearby.found[i]];
            if (item->class_id != track->class_id)
                continue;
            double box[SP_ADAPTIVE_AXES];
            sp_adaptive_box_of(item, box);
            double value = sp_adaptive_similarity(t, track, box, grow, &terms);
            if (weigh)
                value *= item->confidence;
            if (value > limit)
                sp_assign_add(t->assign, r, t->nearby.found[i], limit - value);
        }
    }
}

static void choose_rows(struct sp_adaptive *t, bool confirmed, double unseen_max_s)
{
    t->row_count = 0;
    for (int i = 0; i < t->track_count; i++) {
        const struct sp_adaptive_track *track = &t->track[i];
        if (!track->seen && track->was_confirmed == confirmed &&
            t->now_s - track->last_s <= unseen_max_s)
            t->row[t->row_count++] = i;
    }
}

static void match_high(struct sp_adaptive *t)
{
    const struct sp_adaptive_params *p = &t->params;
    choose_rows(t, true, p->keep_lost_s + t->dt_s);
    add_pairs(t, &t->seen.high, p->limit_confirmed, true);
    take_all(t, &t->seen.high, SP_TRACK_BY_OVERLAP);
    choose_rows(t, false, INFINITY);
    add_pairs(t, &t->seen.high, t->long_step ? p->limit_tentative_long : p->limit_tentative, true);
    take_all(t, &t->seen.high, SP_TRACK_BY_OVERLAP);
}

/* The camera's own motion: what the boxes moved in common, beyond their
 * predictions. */
static void follow_camera(struct sp_adaptive *t, double dt_s)
{
    const int *column_of_row, *row_of_column;
    t->row_count = 0;
    for (int i = 0; i < t->track_count; i++)
        if (t->track[i].hits >= 3 && t->now_s - t->track[i].last_s <= 1.5 * dt_s + SLACK_S)
            t->row[t->row_count++] = i;
    add_pairs(t, &t->seen.high, t->params.limit_confirmed, false);
    sp_assign_solve(t->assign, &column_of_row, &row_of_column);
    int count = 0;
    for (int r = 0; r < t->row_count; r++) {
        if (column_of_row[r] < 0)
            continue;
        double box[SP_ADAPTIVE_AXES];
        sp_adaptive_box_of(&t->seen.high.item[column_of_row[r]], box);
        for (int k = 0; k < 2; k++)
            t->residual[k][count] = box[k] - t->track[t->row[r]].filter.x[k];
        count++;
    }
    if (count < SHIFT_PAIRS_MIN)
        return;
    for (int k = 0; k < 2; k++) {
        double shift = sp_shift_median(t->residual[k], count);
        for (int i = 0; i < count; i++)
            t->residual[k][i] = fabs(t->residual[k][i] - shift);
        if (fabs(shift) > SHIFT_SCATTER * sp_shift_median(t->residual[k], count))
            for (int i = 0; i < t->track_count; i++)
                t->track[i].filter.x[k] += shift;
    }
}

static double rejoin_gain(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                          const double *box)
{
    const struct sp_adaptive_filter *f = &track->filter;
    double height = f->x[SP_ADAPTIVE_H];
    double dx = box[SP_ADAPTIVE_CX] - f->x[SP_ADAPTIVE_CX];
    double dy = box[SP_ADAPTIVE_CY] + box[SP_ADAPTIVE_H] / 2 - f->x[SP_ADAPTIVE_CY] - height / 2;
    double ratio = fabs(log(box[SP_ADAPTIVE_H] / height));
    if (!(ratio < REJOIN_LOG_HEIGHT) || !(hypot(dx, dy) < t->params.rejoin_heights * height))
        return 0;
    double noise = sp_adaptive_position_sd() * height;
    return REJOIN_GATE -
           hypot(dx / (sqrt(f->pp[SP_ADAPTIVE_CX]) + noise),
                 dy / (sqrt(f->pp[SP_ADAPTIVE_CY]) + noise)) -
           REJOIN_LOG_WEIGHT * ratio;
}

/* A track lost for long: only a box where it is predicted, of its size. */
static double again_gain(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                         const double *box)
{
    double height = track->filter.x[SP_ADAPTIVE_H];
    return sp_adaptive_box_iou(box, track->filter.x) * fmin(height, box[SP_ADAPTIVE_H]) /
               fmax(height, box[SP_ADAPTIVE_H]) -
           t->params.limit_again;
}

/* Tracks of at least HITS_MIN boxes take what is left: those lost for at least
 * from_s, less than to_s. */
static void take_left(struct sp_adaptive *t, double from_s, double to_s,
                      enum sp_track_association by,
                      double (*gain_of)(const struct sp_adaptive *,
                                        const struct sp_adaptive_track *, const double *))
{
    t->row_count = 0;
    for (int i = 0; i < t->track_count; i++) {
        const struct sp_adaptive_track *track = &t->track[i];
        double lost_s = t->now_s - track->last_s;
        if (!track->seen && track->confirmed && track->hits >= HITS_MIN && lost_s > from_s &&
            lost_s <= to_s)
            t->row[t->row_count++] = i;
    }
    sp_assign_begin(t->assign, t->row_count, t->seen.high.count, 0);
    for (int r = 0; r < t->row_count; r++)
        for (int c = 0; c < t->seen.high.count; c++) {
            const struct sp_candidate *item = &t->seen.high.item[c];
            const struct sp_adaptive_track *track = &t->track[t->row[r]];
            if (item->class_id != track->class_id || item->confidence < t->params.start)
                continue;
            double box[SP_ADAPTIVE_AXES];
            sp_adaptive_box_of(item, box);
            double gain = gain_of(t, track, box);
            if (gain > 0)
                sp_assign_add(t->assign, r, c, -gain);
        }
    take_all(t, &t->seen.high, by);
}

/* ---- the life of tracks ---- */

static void drop_old(struct sp_adaptive *t, double dt_s)
{
    double tentative_s = t->params.keep_tentative_s > dt_s ? t->params.keep_tentative_s : 0;
    int kept = 0;
    for (int i = 0; i < t->track_count; i++) {
        struct sp_adaptive_track *track = &t->track[i];
        double lost_s = fmax(t->params.keep_lost_s, t->params.keep_again_s);
        double keep_s = track->confirmed ? lost_s : tentative_s;
        if (t->now_s - track->last_s <= keep_s + SLACK_S) {
            if (kept != i)
                t->track[kept] = *track;
            kept++;
        } else if (track->confirmed) {
            if (t->explain)
                sp_adaptive_explain_end(t, track);
            end_low(t, track, false);
            if (track->gaps)
                sp_coasting_end(&t->coasting, class_of(track), track->gaps, false);
        }
    }
    t->track_count = kept;
}

static struct sp_adaptive_track *room(struct sp_adaptive *t)
{
    if (t->track_count < SP_TRACKS_MAX)
        return &t->track[t->track_count++];
    int oldest = 0;
    for (int i = 1; i < t->track_count; i++)
        if (t->track[i].last_s < t->track[oldest].last_s)
            oldest = i;
    return &t->track[oldest];
}

static bool is_taken(const struct sp_adaptive *t, const double *box, int class_id, int count)
{
    for (int i = 0; i < count; i++)
        if (t->track[i].seen && t->track[i].class_id == class_id &&
            sp_adaptive_box_iou(box, t->track[i].filter.x) >= t->params.birth_iou)
            return true;
    return false;
}

static void start_tracks(struct sp_adaptive *t)
{
    int before = t->track_count;
    for (int c = 0; c < t->seen.high.count; c++) {
        const struct sp_candidate *item = &t->seen.high.item[c];
        double box[SP_ADAPTIVE_AXES];
        sp_adaptive_box_of(item, box);
        if (item->confidence < t->params.start || is_taken(t, box, item->class_id, before))
            continue;
        struct sp_adaptive_track *track = room(t);
        *track = (struct sp_adaptive_track){
            .last_s = t->now_s,
            .confidence = item->confidence,
            .confidence_sum = item->confidence,
            .evidence = item->confidence,
            .residual_s = 1,
            .class_id = item->class_id,
            .hits = 1,
            .detection = 1 + item->detection,
            .seen = true,
            .confirmed = !t->begun,
        };
        sp_adaptive_filter_init(&track->filter, box);
        memcpy(track->observed, box, sizeof box);
        if (t->explain)
            sp_adaptive_find_rivals(t, track);
    }
}

/* ---- output ---- */

static struct sp_track output_of(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                                 double ahead_s)
{
    const struct sp_adaptive_filter *f = &track->filter;
    double box[SP_ADAPTIVE_AXES];
    sp_adaptive_blend(t, track, box);
    for (int k = 0; k < 2; k++)
        box[k] += ahead_s * f->v[k];
    return (struct sp_track){
        .id = track->id,
        .x1_px = box[SP_ADAPTIVE_CX] - box[SP_ADAPTIVE_W] / 2,
        .y1_px = box[SP_ADAPTIVE_CY] - box[SP_ADAPTIVE_H] / 2,
        .x2_px = box[SP_ADAPTIVE_CX] + box[SP_ADAPTIVE_W] / 2,
        .y2_px = box[SP_ADAPTIVE_CY] + box[SP_ADAPTIVE_H] / 2,
        .confidence = track->confidence,
        .class_id = track->class_id,
        .detection = ahead_s > 0 ? 0 : track->detection,
    };
}

static bool coasts(struct sp_adaptive *t, struct sp_adaptive_track *track)
{
    double gap_s = t->now_s - track->last_s;
    if (track->hits < HITS_MIN)
        return false;
    track->gaps |= sp_coasting_bit(gap_s);
    return sp_coasting_share(&t->coasting, class_of(track), gap_s) >= t->params.coast_share;
}

static size_t write_tracks(struct sp_adaptive *t, struct sp_track *tracks)
{
    size_t count = 0;
    for (int i = 0; i < t->track_count; i++) {
        struct sp_adaptive_track *track = &t->track[i];
        track->returned = false;
        if (!track->confirmed) {
            if (track->seen)
                sp_adaptive_note_past(t, track);
            continue;
        }
        if (track->id == 0)
            track->id = ++t->last_id;
        track->returned = track->seen || coasts(t, track);
        if (track->returned)
            tracks[count++] = output_of(t, track, 0);
    }
    return count;
}

static void predict_all(struct sp_adaptive *t, double dt_s)
{
    for (int i = 0; i < t->track_count; i++) {
        struct sp_adaptive_track *track = &t->track[i];
        track->seen = false;
        track->detection = 0;
        track->was_confirmed = track->confirmed;
        sp_adaptive_filter_predict(&track->filter, dt_s,
                                   t->now_s - track->last_s > DECAY_AFTER_S ? t->params.decay_s
                                                                            : INFINITY);
    }
}

static size_t update(void *tracker, const struct sp_tracker_input *in, struct sp_track *tracks)
{
    struct sp_adaptive *t = tracker;
    double dt_s = in->dt_s;
    if (in->dt_frames > SP_TRACKER_GAP_MAX_FRAMES) {
        t->track_count = 0;
        dt_s = 0;
    } else if (!(in->dt_frames >= 0) || !t->begun) {
        dt_s = 0;
    }
    t->now_s += dt_s;
    t->dt_s = dt_s;
    t->sequence = in->sequence;
    t->long_step = dt_s > t->params.long_step_s;
    /* The bands are open at both ends; here a confidence equal to a threshold
     * belongs above it. */
    sp_candidates_take(&t->seen, in->detections, in->detection_count, nextafter(t->params.high, 0),
                       nextafter(t->params.low, 0));
    predict_all(t, dt_s);
    if (t->long_step)
        follow_camera(t, dt_s);
    match_high(t);
    choose_rows(t, true, low_lost_s(t) + dt_s + SLACK_S);
    add_pairs(t, &t->seen.low, t->params.limit_low, false);
    take_all(t, &t->seen.low, SP_TRACK_BY_LOW_CONFIDENCE);
    double keep_s = t->params.keep_lost_s + dt_s;
    if (t->params.rejoin_heights > 0)
        take_left(t, -INFINITY, keep_s, SP_TRACK_BY_FOOT_POINT, rejoin_gain);
    take_left(t, keep_s, INFINITY, SP_TRACK_BY_PLACE, again_gain);
    drop_old(t, dt_s);
    start_tracks(t);
    t->begun = true;
    size_t count = write_tracks(t, tracks);
    if (t->explain)
        sp_adaptive_explain_update(t, in);
    return count;
}

static size_t predict(const void *tracker, const struct sp_tracker_time *ahead,
                      struct sp_track *tracks)
{
    const struct sp_adaptive *t = tracker;
    double ahead_s = ahead->frames > 0 ? ahead->seconds : 0;
    size_t count = 0;
    for (int i = 0; i < t->track_count; i++)
        if (t->track[i].returned)
            tracks[count++] = output_of(t, &t->track[i], ahead_s);
    return count;
}

static void explain(void *tracker, sp_track_explain_fn *fn, void *user)
{
    struct sp_adaptive *t = tracker;
    t->explain = fn;
    t->explain_user = user;
}

static size_t list_states(const void *tracker, double frame_rate, struct sp_track_state *states)
{
    const struct sp_adaptive *t = tracker;
    (void)frame_rate;
    for (const struct sp_adaptive_track *track = t->track; track < t->track + t->track_count;
         track++) {
        const double *box = track->observed;
        *states++ = (struct sp_track_state){.x1_px = box[SP_ADAPTIVE_CX] - box[SP_ADAPTIVE_W] / 2,
                                            .y1_px = box[SP_ADAPTIVE_CY] - box[SP_ADAPTIVE_H] / 2,
                                            .x2_px = box[SP_ADAPTIVE_CX] + box[SP_ADAPTIVE_W] / 2,
                                            .y2_px = box[SP_ADAPTIVE_CY] + box[SP_ADAPTIVE_H] / 2,
                                            .vx_px_s = track->filter.v[SP_ADAPTIVE_CX],
                                            .vy_px_s = track->filter.v[SP_ADAPTIVE_CY],
                                            .unseen_s = t->now_s - track->last_s,
                                            .residual_s = track->residual_s,
                                            .confidence = track->confidence,
                                            .hits = track->hits,
                                            .confirmed = track->confirmed,
                                            .lost = !track->seen};
    }
    return (size_t)t->track_count;
}

const struct sp_tracker_type sp_adaptive_type = {
    .version = SP_TRACKER_VERSION,
    .name = "spoton",
    .coasts = true,
    .open = open_default,
    .close = close_tracker,
    .update = update,
    .predict = predict,
    .earlier = sp_adaptive_earlier,
    .explain = explain,
    .states = list_states,
};
