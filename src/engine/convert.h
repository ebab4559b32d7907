/* Between bytes and a model's numbers, for engines whose runtime does not do it in the graph.
 * Private to the plugins; pure functions. */
#pragma once

#include "spoton/engine.h"

#include <stdbool.h>

/* What every byte becomes. */
struct convert_table {
    enum spoton_element element; /* F32, F16, BF16 or U8 */
    float scale, mean, deviation;
    union {
        float f32[256];
        uint16_t f16[256];
        uint8_t u8[256];
    } to;
};

/* False: not an element that a image can have. */
bool convert_prepare(struct convert_table *table, enum spoton_element element, float scale);

/* For f32 alone: less a mean and over a deviation, as spoton_engine_options says. */
bool convert_normalise(struct convert_table *table, float mean, float deviation);

/* One image of u8 RGB in `from_layout` to the model's layout and colour order; table[3]: of the
 * model's colours. */
void convert_image(const struct convert_table *table, const uint8_t *from,
                   enum spoton_layout from_layout, void *to, enum spoton_layout to_layout,
                   bool swap_red_blue, int height, int width);

/* Any element to f32; not for SPOTON_ELEMENT_OTHER. */
void convert_to_f32(float *to, const void *from, enum spoton_element element, size_t count);
