/* One tracked object in one frame. Values only. */
#pragma once

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
