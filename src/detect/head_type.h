/* Which head type a model is, from the shapes of its outputs and the number of class names.
 *
 * Asked twice: for the file, where dimensions may be free and the answer is then the best guess,
 * and after the first run, when all are known. Pure functions. */
#pragma once

#include "detect/model.h"

/* Shapes with the batch first. width_px, height_px: the input's, 0 where free. Sets what depends on
 * the head type: how the outputs and (with its wish) the input read. SP_ERR_UNSUPPORTED. */
int sp_head_type_recognize(struct sp_model *model, const struct spoton_tensor *outputs, int count,
                           int width_px, int height_px, struct sp_error *err);

/* "[1,84,8400] f32" */
struct sp_shape_text {
    char text[128];
};

struct sp_shape_text sp_shape_text(const struct spoton_tensor *tensor);
