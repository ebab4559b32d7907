/* One tracked object in one frame. Values only. */
#pragma once

#include <stdint.h>

enum { SP_TRACKS_MAX = 512 }; /* alive in one camera, lost ones included */

struct sp_track {
    uint32_t id;                       /* from 1, never used again within a run */
    double x1_px, y1_px, x2_px, y2_px; /* the filter's box: may reach over the frame's edge */
    double confidence;                 /* of the detection it matched last */
    int class_id;
    int detection; /* 1 + index of the one that it has in this frame; 0: predicted */
};
