/* From a model's raw outputs to detections in source pixels. Pure functions. */
#pragma once

#include "detect/letterbox.h"
#include "detect/model.h"
#include "detection.h"

#include <stddef.h>

struct sp_head_options {
    double score_threshold;   /* kept: score >= threshold */
    double nms_iou;           /* of two boxes of one class that overlap more, the weaker goes */
    const bool *class_wanted; /* [model->classes], or NULL: all */
};

/* One picture of a batch. data: f32 of that picture, dims without the batch; candidates above the
 * threshold are capped at the best 4096 before NMS (Neubeck & Van Gool 2006, greedy), the result at
 * SP_DETECTIONS_MAX, by falling score. Values that are not finite are dropped. Returns the count.
 */
size_t sp_head_decode(const struct sp_model *model, const float *data, const int64_t *dims,
                      int rank, const struct sp_head_options *options,
                      const struct sp_letterbox_geometry *geometry,
                      struct sp_detection detections[SP_DETECTIONS_MAX]);
