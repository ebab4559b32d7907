/* The scheduling policy of a camera with INFERENCE=need: which frames are inferred.
 *
 * "Every change must be explained, every track renewed before it may be wrong, every claim is
 * audited." A frame is inferred if
 *  - it is the first of a scene, or nearly all of the frame changed at once;
 *  - something moves outside the predicted boxes of tracks (gate.h), with a back-off of at most
 *    0.2 s where inference found no person;
 *  - a track may be wrong: a confirmed one after at most 0.3 s while something moves in its box,
 *    sooner if its predictions fail, while it is young, uncertain, or overlaps another; an
 *    unconfirmed one in the next frame; a lost one every 0.2 s for a second while something moves
 *    where it may be;
 *  - it is the time of an audit, every 2 s (audit.h); within 0.3 s after an inference, the next one
 *    for a track is the audit.
 * Other frames get predicted boxes, as with FRAME_SKIP.
 *
 * Data flow: block means of the frame and the tracks after the last inference -> sp_policy_decide
 * -> inference, tracking -> sp_policy_learn -> the camera's next frame. So a camera has one frame
 * in flight at most. All times are of the frames (pts), never of a clock: the decisions are a
 * function of pixels and tracks, equal whatever else runs.
 *
 * One thread at a time; memory is allocated by open only. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "detection.h"
#include "schedule/audit.h"
#include "schedule/gate.h"
#include "track.h"

#define SP_INFERENCE_REASONS(X)                                                                    \
    X(SP_REASON_NONE, "none")               /* not inferred */                                     \
    X(SP_REASON_EVERY, "every")             /* every frame is inferred */                          \
    X(SP_REASON_START, "start")             /* the first frame of a scene */                       \
    X(SP_REASON_SCENE, "scene")             /* nearly everything changed */                        \
    X(SP_REASON_MOTION, "motion")           /* outside of all tracks */                            \
    X(SP_REASON_LOST, "lost")               /* a track lost its object */                          \
    X(SP_REASON_UNCONFIRMED, "unconfirmed") /* a track was detected once */                        \
    X(SP_REASON_TRACK, "track")             /* a track may be wrong by now */                      \
    X(SP_REASON_AUDIT, "audit")

enum sp_inference_reason {
#define X(id, name) id,
    SP_INFERENCE_REASONS(X)
#undef X
        SP_REASON_COUNT
};

const char *sp_inference_reason_name(enum sp_inference_reason reason); /* "motion" */

struct sp_policy;

struct sp_policy_frame {
    int64_t pts_us;
    uint32_t epoch;
    int width_px, height_px;
    const int16_t *means; /* by sp_gate_reduce for this size; NULL: unknown, so it is inferred */
};

/* After the frame that was last decided on. */
struct sp_policy_result {
    const struct sp_detection *detections;
    size_t detection_count;
    const struct sp_track_state *states; /* of the tracker, after its update */
    size_t state_count;
};

struct sp_policy_report {
    uint64_t reasons[SP_REASON_COUNT]; /* frames by reason; NONE: not inferred */
    struct sp_audit audit;
};

/* new_confidence: of a detection that may start a track. SP_ERR_NO_MEMORY. */
int sp_policy_open(struct sp_policy **out, double new_confidence, struct sp_error *err);
void sp_policy_close(struct sp_policy *policy); /* NULL is allowed */

/* The camera's next frame. SP_REASON_NONE: it need not be inferred. */
enum sp_inference_reason sp_policy_decide(struct sp_policy *policy,
                                          const struct sp_policy_frame *frame);

/* The frame was inferred and tracked. Without this call inference failed, or nothing was due. */
void sp_policy_learn(struct sp_policy *policy, const struct sp_policy_result *result);

void sp_policy_read(const struct sp_policy *policy, struct sp_policy_report *report);

/* The share of sightings missed; 0 without any. Its upper bound: sp_audit_bound. */
double sp_policy_missed_share(const struct sp_policy_report *report);

/* An object: {"policy": "need", "reasons": {...}, "audit": {...}}. NULL: {"policy": "every"}. */
void sp_policy_write(struct sp_json *json, const struct sp_policy_report *report);

/* For tests: nothing that moves in the left `columns` columns of cells is seen. */
void sp_policy_blind(struct sp_policy *policy, int columns);
