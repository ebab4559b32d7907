/* What the adaptive tracker keeps; private to adaptive*.c. */
#pragma once

#include "base/assign.h"
#include "track/adaptive.h"
#include "track/adaptive_box.h"
#include "track/candidates.h"
#include "track/coasting.h"
#include "track/explain.h"
#include "track/nearby.h"

enum { SP_ADAPTIVE_PAST = 12 };

/* A box of a track without an id. */
struct sp_adaptive_past {
    uint64_t sequence;
    float box[SP_ADAPTIVE_AXES], confidence;
};

struct sp_adaptive_track {
    struct sp_adaptive_filter filter;
    double observed[SP_ADAPTIVE_AXES]; /* the last box */
    double last_s;
    double confidence, confidence_sum;
    double residual_s; /* of predictions: heights per second, a moving average */
    double evidence;
    uint32_t id; /* 0 until confirmed */
    int class_id, hits;
    int detection; /* its index + 1, of this update */
    unsigned gaps; /* sp_coasting_bit of every length since the last high-confidence box */
    bool confirmed, was_confirmed, seen, returned;
    bool low; /* low-confidence boxes since the last high-confidence one */
    struct sp_adaptive_past past[SP_ADAPTIVE_PAST]; /* the newest, oldest first */
    int past_count;
    /* For explanations. */
    double gap_s, taken_iou; /* at the last box: since the one before, and with the prediction */
    enum sp_track_association taken_by;
    struct sp_track_candidate rival[SP_TRACK_CANDIDATES]; /* when it was created */
    int rival_count;
};

struct sp_adaptive {
    struct sp_adaptive_params params;
    struct sp_assign *assign;
    struct sp_coasting coasting;
    double low_recovered, low_ended; /* of tracks that took low-confidence boxes */
    struct sp_adaptive_track track[SP_TRACKS_MAX];
    int track_count;
    double now_s, dt_s;
    uint64_t sequence;
    bool begun, long_step;
    uint32_t last_id;
    /* Within one update. */
    struct sp_candidates seen;
    int row[SP_TRACKS_MAX];
    int row_count;
    double residual[2][SP_DETECTIONS_MAX];
    struct sp_nearby nearby;
    struct sp_box boxes[SP_DETECTIONS_MAX];
    sp_track_explain_fn *explain; /* or NULL */
    void *explain_user;
};

/* The parts of a similarity: overlap * height_ratio + bonus. */
struct sp_adaptive_terms {
    double overlap, height_ratio, bonus;
};

/* It had no box in the update before. */
bool sp_adaptive_is_lost(const struct sp_adaptive *t, const struct sp_adaptive_track *track);

/* By what both boxes of a pair grow: after a long step, by the uncertainty of a track that was seen
 * before it. That of a lost one would reach any box. */
void sp_adaptive_margins(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                         double grow[2]);

/* 0 without overlap. */
double sp_adaptive_similarity(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                              const double *box, const double grow[2],
                              struct sp_adaptive_terms *terms);

/* The box that is returned for a track: of the detection and the filter. */
void sp_adaptive_blend(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                       double box[SP_ADAPTIVE_AXES]);

/* Keeps the box of a track without an id. */
void sp_adaptive_note_past(const struct sp_adaptive *t, struct sp_adaptive_track *track);

/* As sp_tracker_earlier. */
size_t sp_adaptive_earlier(const void *tracker, bool between, struct sp_track_earlier *rows);

/* The lost tracks that are most like the first box of a new one. */
void sp_adaptive_find_rivals(const struct sp_adaptive *t, struct sp_adaptive_track *created);

/* Reports the events of this update, and the end of a track. */
void sp_adaptive_explain_update(const struct sp_adaptive *t, const struct sp_tracker_input *in);
void sp_adaptive_explain_end(const struct sp_adaptive *t, const struct sp_adaptive_track *track);
