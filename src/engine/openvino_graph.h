/* Adds the conversions from u8 RGB images to the model's input and from its outputs to f32 to the
 * graph. Private to the openvino plugin.
 *
 * One step is faster outside the graph: in bf16, OpenVINO converts planes of bytes to the
 * interleaved bf16 input of the first convolution in two passes that are not optimized for three
 * channels, which takes a tenth of the inference time with AMX. ov_fill_bf16() takes a sixth of
 * that, and OpenVINO then folds the division into the first convolution's weights. */
#pragma once

#include "spoton/engine.h"

#include <openvino/c/openvino.h>
#include <stdbool.h>

/* The input of the compiled graph. */
enum ov_images {
    OV_IMAGES_AS_THEY_ARE, /* u8 in options.input_layout */
    OV_IMAGES_BF16,        /* interleaved, in the model's channel order: ov_fill_bf16() */
};

/* The faster one for this model and CPU, in the precision `hint`. */
enum ov_images ov_choose_images(const struct spoton_engine_options *options,
                                const struct spoton_model_info *info, const char *hint);

/* planes: [3][pixels]; to: [pixels][3]. Only if ov_choose_images() returned OV_IMAGES_BF16. */
void ov_fill_bf16(uint16_t *to, const uint8_t *planes, bool swap_red_blue, size_t pixels);

/* Sets the model's input size to that of the options. */
bool ov_set_shape(ov_model_t *model, const struct spoton_engine_options *options);

/* Replaces *model. */
bool ov_add_conversions(ov_model_t **model, const struct spoton_engine_options *options,
                        enum ov_images images, int outputs);
