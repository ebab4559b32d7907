/* From a model's raw outputs to detections in source pixels. Pure functions. */
#pragma once

#include "detect/letterbox.h"
#include "detect/model.h"
#include "detection.h"

#include <stddef.h>

struct sp_head_options {
    double confidence_threshold; /* kept: confidence >= threshold */
    double nms_iou;              /* of two boxes of one class that overlap more, the weaker goes */
    const bool *class_wanted;    /* [model->classes], or NULL: all */
};

/* One image. outputs: the model's first one, or the two that hold its boxes and confidences;
 * candidates above the threshold are capped at the best 4096 before NMS (Neubeck & Van Gool 2006,
 * greedy), the result at SP_DETECTIONS_MAX, by falling confidence. Values that are not finite are
 * dropped. Returns the count; 0 when the dimensions are not the model's. */
size_t sp_head_decode(const struct sp_model *model, const struct sp_model_output *outputs,
                      const struct sp_head_options *options,
                      const struct sp_letterbox_geometry *geometry,
                      struct sp_detection detections[SP_DETECTIONS_MAX]);
