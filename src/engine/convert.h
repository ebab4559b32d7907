/* Converts bytes to a model's input and its outputs to f32, for engines whose runtime does not do
 * so in the graph. Private to the plugins; pure functions. */
#pragma once

#include "spoton/engine.h"

#include <stdbool.h>

/* The model value of every byte. */
struct convert_table {
    enum spoton_element element; /* F32, F16, BF16 or U8 */
    float scale, mean, deviation;
    union {
        float f32[256];
        uint16_t f16[256];
        uint8_t u8[256];
    } to;
};

/* False: no supported element type. */
bool convert_prepare(struct convert_table *table, enum spoton_element element, float scale);

/* Applies mean and deviation (spoton_engine_options). False: only f32 is supported. */
bool convert_normalise(struct convert_table *table, float mean, float deviation);

/* Converts one u8 RGB image from from_layout to the model's layout and channel order; table[3]: one
 * per channel of the model. */
void convert_image(const struct convert_table *table, const uint8_t *from,
                   enum spoton_layout from_layout, void *to, enum spoton_layout to_layout,
                   bool swap_red_blue, int height, int width);

/* Converts any element type but SPOTON_ELEMENT_OTHER. */
void convert_to_f32(float *to, const void *from, enum spoton_element element, size_t count);
