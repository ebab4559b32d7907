/* Checks on a first inference that a model's boxes mean what its shape promised.
 *
 * Shapes alone leave questions: are the boxes in pixels or in 0..1; is [b, n, 7] a YOLOv8 head of
 * three classes or a YOLOX head of two; does a YOLOX head compute its boxes in the graph; is a
 * confidence a logit? The numbers answer them: without anything in the image, the boxes of a YOLO
 * head still lie around the cells of its grids, in one unit or the other, and those of other heads
 * do not. And where the file left its dimensions free, now they are known. Pure functions. */
#pragma once

#include "detect/model.h"

/* What a first run gave for a image without objects, and may change what `model` says: its
 * head type, and with it how its input reads (scale, swap_red_blue): then that run was of no use,
 * and another is due with the input as it reads now. An output of nothing but zeros says nothing
 * and passes. SP_ERR_UNSUPPORTED. */
int sp_model_verify(struct sp_model *model, const struct sp_model_output *outputs, int count,
                    int width_px, int height_px, struct sp_error *err);
