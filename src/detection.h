/* What the detector found in one frame. Values only. */
#pragma once

enum { SP_DETECTIONS_MAX = 300 }; /* a frame, after NMS */

/* Boxes in pixels of the camera's own frame, corners, not rounded, inside the frame. Double,
 * because the tracker's thresholds are compared in double like those of its reference. */
struct sp_detection {
    double x1_px, y1_px, x2_px, y2_px;
    double confidence; /* 0..1 */
    int class_id;      /* index into the model's classes */
};
