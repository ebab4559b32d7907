/* The way from u8 RGB images to the model's input and from its outputs to f32, mostly as part of
 * the compiled graph. Private to the openvino plugin.
 *
 * One step is better done outside: in bf16 the graph turns planes of bytes into the interleaved
 * bf16 numbers that the first convolution wants by two passes that are not made for three channels,
 * a tenth of the whole image's time where the convolutions have AMX. A loop of ours takes a sixth
 * of that, and the division then disappears in the first convolution's weights. */
#pragma once

#include "spoton/engine.h"

#include <openvino/c/openvino.h>
#include <stdbool.h>

/* What the compiled graph takes. */
enum ov_images {
    OV_IMAGES_AS_THEY_ARE, /* u8 in options.input_layout */
    OV_IMAGES_BF16,        /* interleaved, in the model's order of colours: ov_fill_bf16() */
};

/* Which is better for this model, in the precision `hint`, on this CPU. */
enum ov_images ov_choose_images(const struct spoton_engine_options *options,
                                const struct spoton_model_info *info, const char *hint);

/* planes: [3][pixels]; to: [pixels][3]. Only after ov_choose_images() said OV_IMAGES_BF16. */
void ov_fill_bf16(uint16_t *to, const uint8_t *planes, bool swap_red_blue, size_t pixels);

/* The model's input gets the size that the options say. */
bool ov_set_shape(ov_model_t *model, const struct spoton_engine_options *options);

/* *model is replaced. */
bool ov_add_conversions(ov_model_t **model, const struct spoton_engine_options *options,
                        enum ov_images images, int outputs);
