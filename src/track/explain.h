/* Why an id began, was lost, or went on: the events of tracks, with the candidates that were best.
 *
 * Data flow: a tracker that can (struct sp_tracker_type) -> a function for each event, within
 * update(). Values; valid during the call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SP_TRACK_CANDIDATES = 2 };

enum sp_track_event {
    SP_TRACK_CREATED, /* it has an id now; candidates: lost tracks, for its first box */
    SP_TRACK_LOST,    /* no box any more; candidates: the boxes of this frame */
    SP_TRACK_FOUND,   /* a box again */
    SP_TRACK_ENDED,   /* forgotten; its id does not come back */
};

enum sp_track_association {
    SP_TRACK_BY_OVERLAP,
    SP_TRACK_BY_LOW_CONFIDENCE,
    SP_TRACK_BY_FOOT_POINT,
    SP_TRACK_BY_PLACE, /* lost for long: only where it was predicted */
};

/* A pair that was not chosen. value = overlap * height_ratio + bonus, times the confidence unless
 * that is low. */
struct sp_track_candidate {
    uint32_t id;   /* of the lost track; of the track that took the box, or 0 */
    int detection; /* the box's index + 1; 0: the candidate is a track */
    double confidence;
    bool low; /* a low-confidence box, for which another limit holds */
    double overlap, height_ratio, bonus;
    double value, limit; /* it would have to exceed the limit */
    double lost_s;       /* of a track: since its last box */
};

struct sp_track_explanation {
    enum sp_track_event event;
    uint32_t id;
    int boxes;       /* so far */
    double evidence; /* created: what confirmed it */
    double gap_s;    /* found, ended: since the box before */
    double iou;      /* found: with the prediction */
    enum sp_track_association by;
    const struct sp_track_candidate *candidate; /* the best first */
    int candidate_count;
};

typedef void sp_track_explain_fn(void *user, const struct sp_track_explanation *explanation);
