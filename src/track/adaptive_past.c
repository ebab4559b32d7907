#include "track/adaptive_state.h"

#include <string.h>

void sp_adaptive_blend(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                       double box[SP_ADAPTIVE_AXES])
{
    double share = track->seen ? t->params.blend : 0;
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++)
        box[k] = share * track->observed[k] + (1 - share) * track->filter.x[k];
}

static void past_of(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                    struct sp_adaptive_past *past)
{
    double box[SP_ADAPTIVE_AXES];
    sp_adaptive_blend(t, track, box);
    past->sequence = t->sequence;
    past->confidence = (float)track->confidence;
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++)
        past->box[k] = (float)box[k];
}

void sp_adaptive_note_past(const struct sp_adaptive *t, struct sp_adaptive_track *track)
{
    if (track->past_count == SP_ADAPTIVE_PAST) {
        memmove(track->past, track->past + 1, (SP_ADAPTIVE_PAST - 1) * sizeof *track->past);
        track->past_count--;
    }
    past_of(t, track, &track->past[track->past_count++]);
}

static struct sp_track_earlier row_of(const struct sp_adaptive_track *track,
                                      const struct sp_adaptive_past *a,
                                      const struct sp_adaptive_past *b, uint64_t sequence)
{
    double share = (double)(sequence - a->sequence) / (double)(b->sequence - a->sequence);
    double box[SP_ADAPTIVE_AXES];
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++)
        box[k] = (1 - share) * a->box[k] + share * b->box[k];
    struct sp_box corners = sp_adaptive_box_corners(box);
    return (struct sp_track_earlier){
        .sequence = sequence,
        .track = {.id = track->id,
                  .x1_px = corners.x1_px,
                  .y1_px = corners.y1_px,
                  .x2_px = corners.x2_px,
                  .y2_px = corners.y2_px,
                  .confidence = a->confidence,
                  .class_id = track->class_id},
    };
}

size_t sp_adaptive_earlier(const void *tracker, bool between, struct sp_track_earlier *rows)
{
    const struct sp_adaptive *t = tracker;
    size_t count = 0;
    for (const struct sp_adaptive_track *track = t->track; track < t->track + t->track_count;
         track++) {
        if (track->was_confirmed || !track->returned)
            continue;
        struct sp_adaptive_past now;
        past_of(t, track, &now);
        for (int i = 0; i < track->past_count; i++) {
            const struct sp_adaptive_past *a = &track->past[i];
            const struct sp_adaptive_past *b = i + 1 < track->past_count ? a + 1 : &now;
            uint64_t end = between ? b->sequence : a->sequence + 1;
            for (uint64_t s = a->sequence; s < end && count < SP_TRACK_EARLIER_MAX; s++)
                rows[count++] = row_of(track, a, b, s);
        }
    }
    return count;
}
