/* A detection in a frame. */
#pragma once

enum { SP_DETECTIONS_MAX = 300 }; /* per frame, after NMS */

/* Corners in pixels of the camera's frame, not rounded, clipped to the frame. Double, because the
 * tracker's reference compares thresholds in double. */
struct sp_detection {
    double x1_px, y1_px, x2_px, y2_px;
    double confidence; /* 0..1 */
    int class_id;      /* index into the model's classes */
};
