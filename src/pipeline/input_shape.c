#include "pipeline/input_shape.h"

#include "detect/letterbox.h"

void sp_input_shape_choose(const struct sp_model *model, int size_px, bool square,
                           int image_width_px, int image_height_px, int *width_px, int *height_px)
{
    static const double sides[] = {9.0 / 16, 3.0 / 4};
    int stride = model->stride_px;
    *width_px = model->fixed_width_px ? model->fixed_width_px : size_px;
    *height_px = model->fixed_height_px ? model->fixed_height_px : size_px;
    if (model->fixed_width_px || square)
        return;
    int exact_width_px, exact_height_px;
    sp_letterbox_input_shape(image_width_px, image_height_px, size_px, stride, &exact_width_px,
                             &exact_height_px);
    bool landscape = exact_width_px >= exact_height_px;
    int exact_short = landscape ? exact_height_px : exact_width_px;
    int *short_px = landscape ? height_px : width_px;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        int side = ((int)(size_px * sides[i]) + stride - 1) / stride * stride;
        if (side >= exact_short) {
            *short_px = side;
            return;
        }
    }
}
