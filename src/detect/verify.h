/* Verifies the head type of a model by the outputs of a first inference on an empty image.
 *
 * The shape leaves open whether boxes are in pixels or in 0..1, whether [b, n, 7] is YOLOv8 with
 * three classes or YOLOX with two, whether YOLOX decodes its boxes in the graph, and whether
 * confidences are logits. The values decide: even on an empty image the boxes of a YOLO head are
 * near the cells of its grids, in pixels or in 0..1; those of other heads are not. Dimensions that
 * are dynamic in the file are known now. Pure functions. */
#pragma once

#include "detect/model.h"

/* outputs: of an image without objects. May change the model's head type, and with it scale and
 * swap_red_blue; the caller then has to compile and run the model again with these. Outputs that
 * are all zero pass. SP_ERR_UNSUPPORTED. */
int sp_model_verify(struct sp_model *model, const struct sp_model_output *outputs, int count,
                    int width_px, int height_px, struct sp_error *err);
