/* Checks on a first inference that a model's boxes mean what its shape promised.
 *
 * Shapes alone leave two questions: are the boxes in pixels or in 0..1, and is [b, n, 6] a YOLOv8
 * head of two classes or a YOLOX head of one? The anchors answer both: without anything in the
 * picture, the boxes of a YOLOv8 head still lie around the cells of its grids, in one unit or the
 * other, and the raw numbers of other heads do not. Pure functions. */
#pragma once

#include "detect/model.h"

/* Anchors of the usual sets of grids (strides 8 16 32, with 4, with 64) at an input size. */
bool sp_anchor_count_is_known(int64_t anchors, int width_px, int height_px);

/* data: one picture's output for an input without objects, dims without the batch. Sets
 * model->relative_boxes. An output of nothing but zeros says nothing and passes.
 * SP_ERR_UNSUPPORTED. */
int sp_model_verify(struct sp_model *model, const float *data, const int64_t *dims, int rank,
                    int width_px, int height_px, struct sp_error *err);
