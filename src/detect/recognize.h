/* Recognizes the head type of a model by the shapes of its outputs and the number of class names.
 *
 * Called for the file, where dynamic dimensions can leave only a best guess, and again after the
 * first inference, when all dimensions are known. Pure functions. */
#pragma once

#include "detect/model.h"

/* Shapes have the batch first. width_px, height_px: the input size, 0 if dynamic. Sets the fields
 * that depend on the head type: the format of the outputs and, with the model's wish, of the input.
 * SP_ERR_UNSUPPORTED. */
int sp_head_type_recognize(struct sp_model *model, const struct spoton_tensor *outputs, int count,
                           int width_px, int height_px, struct sp_error *err);

/* "[1,84,8400] f32" */
struct sp_shape_text {
    char text[128];
};

struct sp_shape_text sp_shape_text(const struct spoton_tensor *tensor);
