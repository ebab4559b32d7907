#include "track/adaptive_state.h"

/* Keeps the best. */
static int add(struct sp_track_candidate *best, int count, const struct sp_track_candidate *one)
{
    int at = count < SP_TRACK_CANDIDATES ? count : SP_TRACK_CANDIDATES;
    while (at > 0 && best[at - 1].value < one->value)
        at--;
    if (at == SP_TRACK_CANDIDATES)
        return count;
    count = count < SP_TRACK_CANDIDATES ? count + 1 : count;
    for (int i = count - 1; i > at; i--)
        best[i] = best[i - 1];
    best[at] = *one;
    return count;
}

/* False without overlap. */
static bool compare(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                    const double *box, double confidence, struct sp_track_candidate *out)
{
    double grow[2];
    struct sp_adaptive_terms terms;
    sp_adaptive_margins(t, track, grow);
    double value = sp_adaptive_similarity(t, track, box, grow, &terms);
    bool low = confidence < t->params.high;
    *out = (struct sp_track_candidate){
        .confidence = confidence,
        .low = low,
        .overlap = terms.overlap,
        .height_ratio = terms.height_ratio,
        .bonus = terms.bonus,
        .value = low ? value : value * confidence,
        .limit = low ? t->params.limit_low : t->params.limit_confirmed,
    };
    return terms.overlap > 0;
}

void sp_adaptive_find_rivals(const struct sp_adaptive *t, struct sp_adaptive_track *created)
{
    for (int i = 0; i < t->track_count; i++) {
        const struct sp_adaptive_track *track = &t->track[i];
        struct sp_track_candidate one;
        if (track == created || track->id == 0 || track->seen ||
            track->class_id != created->class_id ||
            !compare(t, track, created->observed, created->confidence, &one))
            continue;
        one.id = track->id;
        one.lost_s = t->now_s - track->last_s;
        created->rival_count = add(created->rival, created->rival_count, &one);
    }
}

static void report(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                   enum sp_track_event event, const struct sp_track_candidate *candidate,
                   int candidate_count)
{
    const struct sp_track_explanation explanation = {
        .event = event,
        .id = track->id,
        .boxes = track->hits,
        .evidence = track->evidence,
        .gap_s = event == SP_TRACK_ENDED ? t->now_s - track->last_s : track->gap_s,
        .iou = track->taken_iou,
        .by = track->taken_by,
        .candidate = candidate,
        .candidate_count = candidate_count,
    };
    t->explain(t->explain_user, &explanation);
}

static uint32_t taker_of(const struct sp_adaptive *t, int detection)
{
    for (int i = 0; i < t->track_count; i++)
        if (t->track[i].seen && t->track[i].detection == detection)
            return t->track[i].id;
    return 0;
}

static void report_lost(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                        const struct sp_tracker_input *in)
{
    struct sp_track_candidate best[SP_TRACK_CANDIDATES];
    int count = 0;
    for (size_t i = 0; i < in->detection_count; i++) {
        const struct sp_detection *d = &in->detections[i];
        struct sp_track_candidate one;
        double box[SP_ADAPTIVE_AXES] = {(d->x1_px + d->x2_px) / 2, (d->y1_px + d->y2_px) / 2,
                                        d->x2_px - d->x1_px, d->y2_px - d->y1_px};
        if (d->class_id != track->class_id || !compare(t, track, box, d->confidence, &one))
            continue;
        one.detection = (int)i + 1;
        one.id = taker_of(t, one.detection);
        count = add(best, count, &one);
    }
    report(t, track, SP_TRACK_LOST, best, count);
}

void sp_adaptive_explain_update(const struct sp_adaptive *t, const struct sp_tracker_input *in)
{
    for (int i = 0; i < t->track_count; i++) {
        const struct sp_adaptive_track *track = &t->track[i];
        if (!track->confirmed)
            continue;
        if (!track->was_confirmed)
            report(t, track, SP_TRACK_CREATED, track->rival, track->rival_count);
        else if (!track->seen && !sp_adaptive_is_lost(t, track))
            report_lost(t, track, in);
        else if (track->seen && track->gap_s > 1.5 * t->dt_s)
            report(t, track, SP_TRACK_FOUND, NULL, 0);
    }
}

void sp_adaptive_explain_end(const struct sp_adaptive *t, const struct sp_adaptive_track *track)
{
    report(t, track, SP_TRACK_ENDED, NULL, 0);
}
