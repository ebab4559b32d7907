/* One tracked object in one frame. Values only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sp_tracker_name { SP_TRACKER_BYTETRACK, SP_TRACKER_SPOTON }; /* TRACKER */

enum { SP_TRACKS_MAX = 512 }; /* alive in one camera, including lost ones */

struct sp_track {
    uint32_t id;                       /* from 1, never reused within a run */
    double x1_px, y1_px, x2_px, y2_px; /* the filter's box, which may extend beyond the frame */
    double confidence;                 /* of the last matched detection */
    int class_id;
    int detection; /* 1 + index of the matched detection in this frame; 0: predicted */
};

/* A box of a track from before it had an id: a tracker may wait for evidence first. */
struct sp_track_earlier {
    struct sp_track track;
    uint64_t sequence; /* of its frame */
};

enum { SP_TRACK_EARLIER_MAX = 1024 }; /* of one update */

/* How well a tracker knows an object after its last update: what a scheduling policy needs to tell
 * when the object has to be detected again. */
struct sp_track_state {
    double x1_px, y1_px, x2_px, y2_px; /* the last matched detection */
    double vx_px_s, vy_px_s;
    double unseen_s;   /* from the last matched detection to the last update */
    double residual_s; /* by how much predictions fail: heights per second */
    double confidence; /* of the last matched detection */
    int hits;          /* matched detections */
    bool confirmed;    /* it is, or was, among the active tracks */
    bool lost;         /* the last update matched no detection */
};
