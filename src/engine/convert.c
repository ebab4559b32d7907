#include "convert.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* For values of an image: finite, not negative, at most 65504. Rounds half to even. */
static uint16_t half_of(float value)
{
    if (value < 0x1p-14f) /* subnormal: steps of 2^-24 */
        return (uint16_t)rintf(value * 0x1p24f);
    uint32_t bits = bits_of(value);
    bits += 0xfff + ((bits >> 13) & 1);
    return (uint16_t)((bits >> 13) - ((127 - 15) << 10));
}

static uint16_t bfloat_of(float value)
{
    uint32_t bits = bits_of(value);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* The multiplication adjusts the exponent, also of subnormals; infinities and NaN are set apart. */
static float float_of_half(uint16_t half)
{
    float value = float_of((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits = bits_of(value) | (uint32_t)(half & 0x8000) << 16;
    return float_of((half & 0x7c00) == 0x7c00 ? bits | 0x7f800000 : bits);
}

bool convert_prepare(struct convert_table *table, enum spoton_element element, float scale)
{
    table->element = element;
    table->scale = scale;
    table->mean = 0;
    table->deviation = 1;
    for (int i = 0; i < 256; ++i) {
        float value = (float)i / scale;
        if (element == SPOTON_ELEMENT_F32)
            table->to.f32[i] = value;
        else if (element == SPOTON_ELEMENT_F16)
            table->to.f16[i] = half_of(value);
        else if (element == SPOTON_ELEMENT_BF16)
            table->to.f16[i] = bfloat_of(value);
        else if (element == SPOTON_ELEMENT_U8)
            table->to.u8[i] = (uint8_t)rintf(value);
        else
            return false;
    }
    return true;
}

bool convert_normalise(struct convert_table *table, float mean, float deviation)
{
    if (table->element != SPOTON_ELEMENT_F32)
        return false;
    table->mean = mean;
    table->deviation = deviation;
    for (int i = 0; i < 256; ++i)
        table->to.f32[i] = ((float)i / table->scale - mean) / deviation;
    return true;
}

/* Converts one channel; from_step bytes and to_step elements between pixels. */
static void convert_color(const struct convert_table *table, const uint8_t *from, size_t from_step,
                          void *to, size_t first, size_t to_step, size_t pixels)
{
    if (table->element == SPOTON_ELEMENT_F32) {
        float *out = (float *)to + first;
        float scale = table->scale;
        bool plain = table->mean == 0 && table->deviation == 1;
        if (plain && from_step == 1 && to_step == 1) { /* vectorizes, with the table's results */
            for (size_t i = 0; i < pixels; ++i)
                out[i] = (float)from[i] / scale;
        } else {
            for (size_t i = 0; i < pixels; ++i)
                out[i * to_step] = table->to.f32[from[i * from_step]];
        }
    } else if (table->element == SPOTON_ELEMENT_U8) {
        uint8_t *out = (uint8_t *)to + first;
        for (size_t i = 0; i < pixels; ++i)
            out[i * to_step] = table->to.u8[from[i * from_step]];
    } else {
        uint16_t *out = (uint16_t *)to + first;
        for (size_t i = 0; i < pixels; ++i)
            out[i * to_step] = table->to.f16[from[i * from_step]];
    }
}

void convert_image(const struct convert_table *table, const uint8_t *from,
                   enum spoton_layout from_layout, void *to, enum spoton_layout to_layout,
                   bool swap_red_blue, int height, int width)
{
    size_t pixels = (size_t)height * (size_t)width;
    bool from_planar = from_layout == SPOTON_LAYOUT_NCHW,
         to_planar = to_layout == SPOTON_LAYOUT_NCHW;
    for (size_t color = 0; color < 3; ++color) {
        size_t place = swap_red_blue ? 2 - color : color;
        convert_color(&table[place], from + (from_planar ? color * pixels : color),
                      from_planar ? 1 : 3, to, to_planar ? place * pixels : place,
                      to_planar ? 1 : 3, pixels);
    }
}

void convert_to_f32(float *to, const void *from, enum spoton_element element, size_t count)
{
    switch (element) {
    case SPOTON_ELEMENT_F32:
        memcpy(to, from, count * sizeof *to);
        break;
    case SPOTON_ELEMENT_F16:
        for (size_t i = 0; i < count; ++i)
            to[i] = float_of_half(((const uint16_t *)from)[i]);
        break;
    case SPOTON_ELEMENT_BF16:
        for (size_t i = 0; i < count; ++i)
            to[i] = float_of((uint32_t)((const uint16_t *)from)[i] << 16);
        break;
    case SPOTON_ELEMENT_U8:
        for (size_t i = 0; i < count; ++i)
            to[i] = ((const uint8_t *)from)[i];
        break;
    case SPOTON_ELEMENT_I8:
        for (size_t i = 0; i < count; ++i)
            to[i] = ((const int8_t *)from)[i];
        break;
    case SPOTON_ELEMENT_I32:
        for (size_t i = 0; i < count; ++i)
            to[i] = (float)((const int32_t *)from)[i];
        break;
    case SPOTON_ELEMENT_I64:
        for (size_t i = 0; i < count; ++i)
            to[i] = (float)((const int64_t *)from)[i];
        break;
    case SPOTON_ELEMENT_OTHER:
        break;
    }
}
