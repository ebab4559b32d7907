/* Decodes a model's raw outputs into detections in source pixels. Pure functions. */
#pragma once

#include "detect/letterbox.h"
#include "detect/model.h"
#include "detection.h"

#include <stddef.h>

struct sp_head_options {
    double confidence_threshold; /* kept: confidence >= threshold */
    double nms_iou; /* two boxes of a class with a higher IoU: the weaker one is dropped */
    const bool *class_wanted; /* [model->classes], or NULL: all */
};

/* Keeps those of already decoded detections that the options want, in their order; returns the
 * count. options NULL: all. NMS acts within a class and from high confidence to low, so the result
 * is that of decoding with these options. */
size_t sp_head_select(const struct sp_head_options *options, struct sp_detection *detections,
                      size_t count);

/* Decodes the outputs of one image: output 0, or the two outputs with boxes and confidences. At
 * most the best 4096 candidates enter NMS (greedy, Neubeck & Van Gool 2006) and the best
 * SP_DETECTIONS_MAX are returned, in descending order of confidence. Values that are not finite are
 * dropped. Returns the count; 0 if the dimensions are not the model's. */
size_t sp_head_decode(const struct sp_model *model, const struct sp_model_output *outputs,
                      const struct sp_head_options *options,
                      const struct sp_letterbox_geometry *geometry,
                      struct sp_detection detections[SP_DETECTIONS_MAX]);
