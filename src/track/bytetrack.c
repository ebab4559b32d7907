#include "track/bytetrack.h"

#include "base/assign.h"
#include "track/bounding_box.h"
#include "track/candidates.h"
#include "track/kalman.h"
#include "track/nearby.h"
#include "track/shift.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* An update always has room for new tracks when it drops lost ones. */
static_assert((int)SP_TRACKS_MAX >= (int)SP_DETECTIONS_MAX, "every detection can be a track");

/* The margin per frame of the step beyond the first, and its bounds. */
static const double YOUNG_MARGIN = 0.1, YOUNG_MARGIN_MAX = 0.5;
static const double PROBE_MARGIN = 0.5, PROBE_MARGIN_MAX = 1;
/* Added for the second association after a step of 2 frames or more: its boxes, often of partly
 * hidden people, are farther from their predictions. */
static const double LOW_LIMIT = 0.1, LOW_MARGIN = 0.1;

enum state {
    STATE_TRACKED, /* had a detection in the last update */
    STATE_LOST,
    STATE_EXPIRED, /* lost for too long, but matched in one more update, as in the reference */
};

struct track {
    struct sp_kalman kalman;
    struct sp_box box;               /* of the filter's position */
    double measured[SP_KALMAN_AXES]; /* its last measurement */
    double start_frames, last_frames;
    uint64_t last_update;
    double confidence;
    double residual; /* of predictions: heights per frame, a moving average */
    int hits;
    uint32_t id;
    int class_id;
    int detection; /* its last detection's index, of that update */
    enum state state;
    bool activated;   /* confirmed by a second match, or begun in the first frame */
    bool was_expired; /* expired once: dropped at once when lost again */
};

/* Indices into sp_tracker.track. */
struct list {
    int count;
    int index[SP_TRACKS_MAX];
};

struct sp_bytetrack {
    struct sp_tracker_params params;
    struct sp_assign *assign;
    double now_frames;
    uint64_t update_count;
    uint32_t last_id;

    struct track track[SP_TRACKS_MAX];
    struct list unused;
    struct list tracked; /* in the order of output; unconfirmed ones included */
    struct list lost;    /* in the order in which they were lost */

    /* Within one update. */
    double dt_frames;
    struct sp_candidates seen;
    struct list pool;        /* candidates of the first association */
    struct list unconfirmed; /* new in the last update */
    struct list unmatched;   /* after the previous association */
    struct list second;      /* candidates of the second association */
    struct list refound;
    struct list expired;
    struct sp_box expanded[SP_DETECTIONS_MAX];
    struct sp_nearby nearby;
    double residual_x_px[SP_DETECTIONS_MAX], residual_y_px[SP_DETECTIONS_MAX];
    bool drop[SP_TRACKS_MAX], drop_lost[SP_TRACKS_MAX];
};

static int open_tracker(struct sp_bytetrack **out, const struct sp_tracker_params *params,
                        struct sp_error *err)
{
    struct sp_bytetrack *t = calloc(1, sizeof *t);
    if (!t)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
    int rc = sp_assign_open(&t->assign, SP_TRACKS_MAX, SP_DETECTIONS_MAX, err);
    if (rc) {
        free(t);
        return rc;
    }
    t->params = *params;
    for (int i = SP_TRACKS_MAX - 1; i >= 0; i--)
        t->unused.index[t->unused.count++] = i;
    *out = t;
    return SP_OK;
}

static void close_tracker(struct sp_bytetrack *tracker)
{
    if (!tracker)
        return;
    sp_assign_close(tracker->assign);
    free(tracker);
}

static void append(struct list *list, int index)
{
    list->index[list->count++] = index;
}

/* ---- tracks ---- */

static void box_from_position(struct sp_box *box, const double position[SP_KALMAN_AXES])
{
    double height_px = position[SP_KALMAN_HEIGHT];
    double width_px = position[SP_KALMAN_ASPECT] * height_px;
    box->x1_px = position[SP_KALMAN_CX] - width_px / 2;
    box->y1_px = position[SP_KALMAN_CY] - height_px / 2;
    box->x2_px = box->x1_px + width_px;
    box->y2_px = box->y1_px + height_px;
    sp_box_close(box);
}

static void take_over(struct sp_bytetrack *t, struct track *track, const struct sp_candidate *c)
{
    track->state = STATE_TRACKED;
    track->last_frames = t->now_frames;
    track->last_update = t->update_count;
    track->confidence = c->confidence;
    track->class_id = c->class_id;
    track->detection = c->detection;
    sp_candidate_measure(c, track->measured);
    box_from_position(&track->box, track->kalman.position);
}

static void match(struct sp_bytetrack *t, int index, const struct sp_candidate *c)
{
    struct track *track = &t->track[index];
    double measured[SP_KALMAN_AXES];
    sp_candidate_measure(c, measured);
    track->residual = sp_kalman_residual(&track->kalman, measured, track->residual,
                                         t->now_frames - track->last_frames);
    track->hits++;
    sp_kalman_update(&track->kalman, measured);
    if (track->state != STATE_TRACKED)
        append(&t->refound, index);
    track->activated = true;
    take_over(t, track, c);
}

static void predict(struct sp_bytetrack *t, const struct list *list)
{
    for (int i = 0; i < list->count; i++) {
        struct track *track = &t->track[list->index[i]];
        if (track->state != STATE_TRACKED)
            track->kalman.velocity[SP_KALMAN_HEIGHT] = 0;
        sp_kalman_predict(&track->kalman, t->dt_frames);
        box_from_position(&track->box, track->kalman.position);
    }
}

static void forget_all(struct sp_bytetrack *t)
{
    for (int i = 0; i < t->tracked.count; i++)
        append(&t->unused, t->tracked.index[i]);
    for (int i = 0; i < t->lost.count; i++)
        append(&t->unused, t->lost.index[i]);
    t->tracked.count = 0;
    t->lost.count = 0;
}

/* ---- association ---- */

struct gate {
    double limit;  /* of the cost */
    bool fuse;     /* cost = 1 - IoU * confidence, else 1 - IoU */
    double margin; /* for both boxes; 0 in the reference */
};

static void associate(struct sp_bytetrack *t, const struct list *tracks,
                      const struct sp_candidate_list *candidates, struct gate gate,
                      const int **column_of_row, const int **row_of_column)
{
    sp_assign_begin(t->assign, tracks->count, candidates->count, gate.limit);
    for (int c = 0; c < candidates->count; c++)
        t->expanded[c] = gate.margin > 0 ? sp_box_expand(&candidates->item[c].box, gate.margin)
                                         : candidates->item[c].box;
    /* Boxes without overlap cost 1. */
    bool overlapping = gate.limit < 1;
    if (overlapping)
        sp_nearby_set(&t->nearby, t->expanded, candidates->count);
    for (int r = 0; r < tracks->count; r++) {
        const struct track *track = &t->track[tracks->index[r]];
        struct sp_box box = gate.margin > 0 ? sp_box_expand(&track->box, gate.margin) : track->box;
        int count = overlapping ? sp_nearby_find(&t->nearby, &box, 1) : candidates->count;
        for (int i = 0; i < count; i++) {
            int c = overlapping ? t->nearby.found[i] : i;
            const struct sp_candidate *candidate = &candidates->item[c];
            if (candidate->class_id != track->class_id)
                continue;
            double cost = 1 - sp_box_iou(&box, &t->expanded[c]);
            if (gate.fuse)
                cost = 1 - (1 - cost) * candidate->confidence;
            sp_assign_add(t->assign, r, c, cost);
        }
    }
    sp_assign_solve(t->assign, column_of_row, row_of_column);
}

/* Updates the matched tracks, removes their detections from `candidates`, and leaves the other
 * tracks in t->unmatched. */
static void match_all(struct sp_bytetrack *t, const struct list *tracks,
                      struct sp_candidate_list *candidates, struct gate gate)
{
    const int *column_of_row, *row_of_column;
    associate(t, tracks, candidates, gate, &column_of_row, &row_of_column);
    t->unmatched.count = 0;
    for (int r = 0; r < tracks->count; r++) {
        if (column_of_row[r] < 0)
            append(&t->unmatched, tracks->index[r]);
        else
            match(t, tracks->index[r], &candidates->item[column_of_row[r]]);
    }
    sp_candidates_drop_matched(candidates, row_of_column);
}

static void move(struct sp_bytetrack *t, const struct list *list, double x_px, double y_px)
{
    for (int i = 0; i < list->count; i++) {
        struct track *track = &t->track[list->index[i]];
        track->kalman.position[SP_KALMAN_CX] += x_px;
        track->kalman.position[SP_KALMAN_CY] += y_px;
        box_from_position(&track->box, track->kalman.position);
    }
}

/* Shifts the predictions by the boxes' common residual: the camera's own motion. */
static void follow_camera(struct sp_bytetrack *t, double beyond_frames)
{
    const struct gate gate = {
        .limit = t->params.match_thresh,
        .fuse = true,
        .margin = fmin(PROBE_MARGIN * beyond_frames, PROBE_MARGIN_MAX),
    };
    const int *column_of_row, *row_of_column;
    associate(t, &t->pool, &t->seen.high, gate, &column_of_row, &row_of_column);
    int count = 0;
    for (int r = 0; r < t->pool.count; r++) {
        const struct track *track = &t->track[t->pool.index[r]];
        /* The residuals of lost tracks say more about them than about the camera. */
        if (column_of_row[r] < 0 || track->state != STATE_TRACKED)
            continue;
        double measured[SP_KALMAN_AXES];
        sp_candidate_measure(&t->seen.high.item[column_of_row[r]], measured);
        t->residual_x_px[count] = measured[SP_KALMAN_CX] - track->kalman.position[SP_KALMAN_CX];
        t->residual_y_px[count] = measured[SP_KALMAN_CY] - track->kalman.position[SP_KALMAN_CY];
        count++;
    }
    if (count < SP_SHIFT_SAMPLES_MIN)
        return;
    /* Increases gradually, so that a step slightly above 1 is handled almost like 1. */
    double share = fmin(beyond_frames, 1);
    double x_px = share * sp_shift_estimate(t->residual_x_px, count);
    double y_px = share * sp_shift_estimate(t->residual_y_px, count);
    move(t, &t->pool, x_px, y_px);
    move(t, &t->unconfirmed, x_px, y_px);
}

/* ---- the lists after the associations ---- */

static void sort_out_lost(struct sp_bytetrack *t)
{
    t->expired.count = 0;
    int kept = 0;
    for (int i = 0; i < t->lost.count; i++) {
        int index = t->lost.index[i];
        struct track *track = &t->track[index];
        if (track->state == STATE_TRACKED)
            continue; /* found again */
        if (track->was_expired) {
            append(&t->unused, index);
            continue;
        }
        if (t->now_frames - track->last_frames > t->params.buffer_frames)
            append(&t->expired, index);
        t->lost.index[kept++] = index;
    }
    t->lost.count = kept;
}

/* Tracked but without a detection: confirmed tracks become lost, new ones are dropped. */
static void sort_out_tracked(struct sp_bytetrack *t)
{
    int kept = 0;
    for (int i = 0; i < t->tracked.count; i++) {
        int index = t->tracked.index[i];
        struct track *track = &t->track[index];
        if (track->last_update == t->update_count) {
            t->tracked.index[kept++] = index;
        } else if (track->activated && !track->was_expired) {
            track->state = STATE_LOST;
            append(&t->lost, index);
        } else {
            append(&t->unused, index);
        }
    }
    t->tracked.count = kept;
}

/* Marked only now: in the reference, too, they remain in the lost list until the next update. */
static void mark_expired(struct sp_bytetrack *t)
{
    for (int i = 0; i < t->expired.count; i++) {
        struct track *track = &t->track[t->expired.index[i]];
        track->state = STATE_EXPIRED;
        track->was_expired = true;
    }
}

static int take_unused(struct sp_bytetrack *t)
{
    if (t->unused.count > 0)
        return t->unused.index[--t->unused.count];
    assert(t->lost.count > 0);
    int oldest = 0;
    for (int i = 1; i < t->lost.count; i++)
        if (t->track[t->lost.index[i]].last_frames < t->track[t->lost.index[oldest]].last_frames)
            oldest = i;
    int index = t->lost.index[oldest];
    t->lost.count--;
    memmove(&t->lost.index[oldest], &t->lost.index[oldest + 1],
            (size_t)(t->lost.count - oldest) * sizeof t->lost.index[0]);
    return index;
}

static void start_tracks(struct sp_bytetrack *t)
{
    for (int c = 0; c < t->seen.high.count; c++) {
        const struct sp_candidate *candidate = &t->seen.high.item[c];
        if (candidate->confidence < t->params.new_track_thresh)
            continue;
        int index = take_unused(t);
        struct track *track = &t->track[index];
        *track = (struct track){
            .id = ++t->last_id,
            .start_frames = t->now_frames,
            .residual = 0.1,
            .hits = 1,
            .activated = t->update_count == 1,
        };
        double measured[SP_KALMAN_AXES];
        sp_candidate_measure(candidate, measured);
        sp_kalman_init(&track->kalman, measured);
        take_over(t, track, candidate);
        append(&t->tracked, index);
    }
}

static void drop_marked(struct sp_bytetrack *t, struct list *list, const bool *marked)
{
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        if (marked[i])
            append(&t->unused, list->index[i]);
        else
            list->index[kept++] = list->index[i];
    }
    list->count = kept;
}

/* A tracked and a lost track in the same position are one object: the one with the longer history
 * is kept, on a tie the lost one. All pairs are compared before any is dropped. */
static void drop_duplicates(struct sp_bytetrack *t)
{
    double limit = 1 - t->params.duplicate_iou;
    memset(t->drop, 0, sizeof t->drop);
    memset(t->drop_lost, 0, sizeof t->drop_lost);
    for (int i = 0; i < t->tracked.count; i++) {
        const struct track *a = &t->track[t->tracked.index[i]];
        for (int j = 0; j < t->lost.count; j++) {
            const struct track *b = &t->track[t->lost.index[j]];
            if (a->class_id != b->class_id || !(1 - sp_box_iou(&a->box, &b->box) < limit))
                continue;
            if (a->last_frames - a->start_frames > b->last_frames - b->start_frames)
                t->drop_lost[j] = true;
            else
                t->drop[i] = true;
        }
    }
    drop_marked(t, &t->tracked, t->drop);
    drop_marked(t, &t->lost, t->drop_lost);
}

static size_t write_active(const struct sp_bytetrack *t, double ahead_frames,
                           struct sp_track *tracks)
{
    size_t count = 0;
    for (int i = 0; i < t->tracked.count; i++) {
        const struct track *track = &t->track[t->tracked.index[i]];
        if (!track->activated)
            continue;
        struct sp_box box = track->box;
        if (ahead_frames > 0) {
            /* From the last measurement, which is nearer than the filter's mean, and with its size:
             * the velocities of sizes are mostly noise. */
            double position[SP_KALMAN_AXES];
            memcpy(position, track->measured, sizeof position);
            for (int k = SP_KALMAN_CX; k <= SP_KALMAN_CY; k++)
                position[k] += ahead_frames * track->kalman.velocity[k];
            box_from_position(&box, position);
        }
        tracks[count++] = (struct sp_track){
            .id = track->id,
            .x1_px = box.x1_px,
            .y1_px = box.y1_px,
            .x2_px = box.x2_px,
            .y2_px = box.y2_px,
            .confidence = track->confidence,
            .class_id = track->class_id,
            .detection = ahead_frames > 0 ? 0 : 1 + track->detection,
        };
    }
    return count;
}

/* ---- one update ---- */

static void step_time(struct sp_bytetrack *t, double dt_frames)
{
    if (t->update_count == 0 || !(dt_frames >= 0))
        dt_frames = 1;
    if (dt_frames > SP_TRACKER_GAP_MAX_FRAMES) {
        forget_all(t);
        dt_frames = SP_TRACKER_GAP_MAX_FRAMES;
    }
    t->dt_frames = dt_frames;
    t->now_frames += dt_frames;
    t->update_count++;
}

/* Drops lost tracks that became older in this long step than any that the reference would match:
 * its limit applies to single steps, so this never acts there. */
static void drop_outdated(struct sp_bytetrack *t)
{
    int kept = 0;
    for (int i = 0; i < t->lost.count; i++) {
        int index = t->lost.index[i];
        if (t->now_frames - t->track[index].last_frames > t->params.buffer_frames + 2)
            append(&t->unused, index);
        else
            t->lost.index[kept++] = index;
    }
    t->lost.count = kept;
}

static void gather(struct sp_bytetrack *t)
{
    t->pool.count = 0;
    t->unconfirmed.count = 0;
    for (int i = 0; i < t->tracked.count; i++) {
        int index = t->tracked.index[i];
        append(t->track[index].activated ? &t->pool : &t->unconfirmed, index);
    }
    for (int i = 0; i < t->lost.count; i++)
        append(&t->pool, t->lost.index[i]);
}

/* Low-confidence detections keep tracked tracks alive; after a long step they may also recover lost
 * ones. Tracks unmatched here are distinguished from the others by their last update. */
static void match_low(struct sp_bytetrack *t, double beyond_frames)
{
    bool long_step = beyond_frames > 0;
    double share = fmin(fmax(beyond_frames, 0), 1);
    t->second.count = 0;
    for (int i = 0; i < t->unmatched.count; i++) {
        enum state state = t->track[t->unmatched.index[i]].state;
        if (state == STATE_TRACKED || (long_step && state == STATE_LOST))
            append(&t->second, t->unmatched.index[i]);
    }
    match_all(t, &t->second, &t->seen.low,
              (struct gate){
                  .limit = t->params.second_match_thresh + share * LOW_LIMIT,
                  .margin = share * LOW_MARGIN,
              });
}

static size_t update_tracks(struct sp_bytetrack *tracker, const struct sp_detection *detections,
                            size_t detection_count, double dt_frames,
                            struct sp_track tracks[SP_TRACKS_MAX])
{
    struct sp_bytetrack *t = tracker;
    step_time(t, dt_frames);
    double beyond_frames = t->dt_frames - 1;
    bool long_step = beyond_frames > 0;

    sp_candidates_take(&t->seen, detections, detection_count, t->params.high_thresh,
                       t->params.low_thresh);
    if (long_step)
        drop_outdated(t);
    gather(t);
    predict(t, &t->pool);
    if (long_step) {
        predict(t, &t->unconfirmed);
        follow_camera(t, beyond_frames);
    }

    t->refound.count = 0;
    match_all(t, &t->pool, &t->seen.high,
              (struct gate){.limit = t->params.match_thresh, .fuse = true});
    match_low(t, beyond_frames);
    match_all(t, &t->unconfirmed, &t->seen.high,
              (struct gate){
                  .limit = t->params.unconfirmed_match_thresh,
                  .fuse = true,
                  .margin = long_step ? fmin(YOUNG_MARGIN * beyond_frames, YOUNG_MARGIN_MAX) : 0,
              });

    sort_out_lost(t);
    sort_out_tracked(t);
    mark_expired(t);
    start_tracks(t);
    for (int i = 0; i < t->refound.count; i++)
        append(&t->tracked, t->refound.index[i]);
    drop_duplicates(t);
    return write_active(t, 0, tracks);
}

static struct sp_track_state state_of(const struct sp_bytetrack *t, const struct track *track,
                                      double frame_rate)
{
    struct sp_box box;
    box_from_position(&box, track->measured);
    return (struct sp_track_state){.x1_px = box.x1_px,
                                   .y1_px = box.y1_px,
                                   .x2_px = box.x2_px,
                                   .y2_px = box.y2_px,
                                   .vx_px_s = track->kalman.velocity[SP_KALMAN_CX] * frame_rate,
                                   .vy_px_s = track->kalman.velocity[SP_KALMAN_CY] * frame_rate,
                                   .unseen_s = (t->now_frames - track->last_frames) / frame_rate,
                                   .residual_s = track->residual * frame_rate,
                                   .confidence = track->confidence,
                                   .hits = track->hits,
                                   .confirmed = track->activated,
                                   .lost = track->state != STATE_TRACKED};
}

static size_t list_states(const void *tracker, double frame_rate, struct sp_track_state *states)
{
    const struct sp_bytetrack *t = tracker;
    size_t count = 0;
    for (int i = 0; i < t->tracked.count; i++)
        states[count++] = state_of(t, &t->track[t->tracked.index[i]], frame_rate);
    for (int i = 0; i < t->lost.count; i++)
        if (t->track[t->lost.index[i]].state == STATE_LOST)
            states[count++] = state_of(t, &t->track[t->lost.index[i]], frame_rate);
    return count;
}

/* ---- as one of the trackers ---- */

static int open_any(void **out, const struct sp_tracker_params *params, struct sp_error *err)
{
    struct sp_bytetrack *t = NULL;
    int rc = open_tracker(&t, params, err);
    if (rc == SP_OK)
        *out = t;
    return rc;
}

static void close_any(void *tracker)
{
    close_tracker(tracker);
}

static size_t update_any(void *tracker, const struct sp_tracker_input *in, struct sp_track *tracks)
{
    return update_tracks(tracker, in->detections, in->detection_count, in->dt_frames, tracks);
}

static size_t predict_any(const void *tracker, const struct sp_tracker_time *ahead,
                          struct sp_track *tracks)
{
    double frames = ahead->frames;
    return write_active(tracker, frames > 0 ? fmin(frames, SP_TRACKER_GAP_MAX_FRAMES) : 0, tracks);
}

const struct sp_tracker_type sp_bytetrack_type = {
    .version = SP_TRACKER_VERSION,
    .name = "bytetrack",
    .open = open_any,
    .close = close_any,
    .update = update_any,
    .predict = predict_any,
    .states = list_states,
};
