#include "detect/letterbox.h"

#include "detect/resample.h"

#include <libyuv.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BAR_GREY = 114,
    STRIP_ROWS = 4, /* even: one row of chroma per two rows of luma */
    ARGB_BYTES = 4,
};

struct plane {
    uint8_t *data;
    size_t capacity_bytes;
};

struct sp_letterbox {
    struct plane chroma[2]; /* U and V of an NV12 image, deinterleaved */
    struct plane scaled[3]; /* STRIP_ROWS rows, or the whole image */
    struct plane blended;   /* one row, interpolated between two source rows */
    struct plane argb;      /* STRIP_ROWS rows */
    struct sp_resampler luma_row, chroma_row;
};

/* A planar image; does not own its planes. */
struct image {
    const uint8_t *plane[3];
    int stride_bytes[3];
    int width_px, height_px;
};

static int at_least_one(double value)
{
    return value < 1 ? 1 : (int)value;
}

void sp_letterbox_geometry_of(struct sp_letterbox_geometry *geometry, const struct sp_frame *frame,
                              int input_width_px, int input_height_px)
{
    double square_width, square_height;
    int source_width_px = frame->width_px, source_height_px = frame->height_px;
    sp_frame_square_size(frame, &square_width, &square_height);
    double gain = fmin(input_width_px / square_width, input_height_px / square_height);
    /* rint() rounds halves to even, as Python's round() in the reference. */
    int width = at_least_one(rint(square_width * gain));
    int height = at_least_one(rint(square_height * gain));
    *geometry = (struct sp_letterbox_geometry){
        .source_width_px = source_width_px,
        .source_height_px = source_height_px,
        .input_width_px = input_width_px,
        .input_height_px = input_height_px,
        .left_px = (input_width_px - width) / 2,
        .top_px = (input_height_px - height) / 2,
        .width_px = width,
        .height_px = height,
        .gain_x = gain * (square_width / source_width_px),
        .gain_y = gain * (square_height / source_height_px),
    };
}

void sp_letterbox_geometry(struct sp_letterbox_geometry *geometry, int source_width_px,
                           int source_height_px, int input_width_px, int input_height_px)
{
    struct sp_frame frame = {.width_px = source_width_px, .height_px = source_height_px};
    sp_letterbox_geometry_of(geometry, &frame, input_width_px, input_height_px);
}

static int round_up(int value, int step)
{
    return (value + step - 1) / step * step;
}

void sp_letterbox_input_shape(int source_width_px, int source_height_px, int size_px, int stride_px,
                              int *width_px, int *height_px)
{
    int size = round_up(size_px, stride_px);
    struct sp_letterbox_geometry geometry;
    sp_letterbox_geometry(&geometry, source_width_px, source_height_px, size, size);
    *width_px = round_up(geometry.width_px, stride_px);
    *height_px = round_up(geometry.height_px, stride_px);
}

static double clip(double value, double limit)
{
    return value < 0 ? 0 : (value > limit ? limit : value);
}

void sp_letterbox_to_source(const struct sp_letterbox_geometry *geometry, double box[4])
{
    for (int i = 0; i < 4; i += 2) {
        box[i] = clip((box[i] - geometry->left_px) / geometry->gain_x, geometry->source_width_px);
        box[i + 1] =
            clip((box[i + 1] - geometry->top_px) / geometry->gain_y, geometry->source_height_px);
    }
}

bool sp_letterbox_detection(const struct sp_letterbox_geometry *geometry, const double box[4],
                            double confidence, int class_id, struct sp_detection *detection)
{
    double found[4] = {box[0], box[1], box[2], box[3]};
    sp_letterbox_to_source(geometry, found);
    *detection = (struct sp_detection){
        .x1_px = found[0],
        .y1_px = found[1],
        .x2_px = found[2],
        .y2_px = found[3],
        .confidence = confidence,
        .class_id = class_id,
    };
    return found[2] > found[0] && found[3] > found[1];
}

int sp_letterbox_open(struct sp_letterbox **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "letterbox: out of memory");
}

void sp_letterbox_close(struct sp_letterbox *letterbox)
{
    if (!letterbox)
        return;
    for (int i = 0; i < 3; ++i)
        free(letterbox->scaled[i].data);
    for (int i = 0; i < 2; ++i)
        free(letterbox->chroma[i].data);
    free(letterbox->blended.data);
    free(letterbox->argb.data);
    sp_resampler_release(&letterbox->luma_row);
    sp_resampler_release(&letterbox->chroma_row);
    free(letterbox);
}

/* Only grows, so that cameras of different sizes can alternate without allocation. */
static int reserve(struct plane *plane, int stride_bytes, int height_px, struct sp_error *err)
{
    size_t bytes = (size_t)stride_bytes * (size_t)height_px;
    if (bytes <= plane->capacity_bytes)
        return SP_OK;
    free(plane->data);
    plane->capacity_bytes = 0;
    plane->data = malloc(bytes);
    if (!plane->data)
        return sp_fail(err, SP_ERR_NO_MEMORY, "letterbox: no memory for a plane of %zu bytes",
                       bytes);
    plane->capacity_bytes = bytes;
    return SP_OK;
}

static int open_image(struct sp_letterbox *letterbox, const struct sp_frame *frame,
                      struct image *image, struct sp_error *err)
{
    *image = (struct image){
        .plane = {frame->plane[0], frame->plane[1], frame->plane[2]},
        .stride_bytes = {frame->stride_bytes[0], frame->stride_bytes[1], frame->stride_bytes[2]},
        .width_px = frame->width_px,
        .height_px = frame->height_px,
    };
    if (frame->format == SP_PIXEL_I420)
        return SP_OK;
    /* Deinterleaved first: libyuv scales interleaved chroma with a poorer filter, and the boxes
     * must not depend on the decoder's pixel format. */
    int width = (frame->width_px + 1) / 2, height = (frame->height_px + 1) / 2;
    for (int i = 0; i < 2; ++i) {
        int result = reserve(&letterbox->chroma[i], width, height, err);
        if (result < 0)
            return result;
        image->plane[1 + i] = letterbox->chroma[i].data;
        image->stride_bytes[1 + i] = width;
    }
    SplitUVPlane(frame->plane[1], frame->stride_bytes[1], letterbox->chroma[0].data, width,
                 letterbox->chroma[1].data, width, width, height);
    return SP_OK;
}

static bool has_size(const struct image *image, const struct sp_letterbox_geometry *geometry)
{
    return image->width_px == geometry->width_px && image->height_px == geometry->height_px;
}

/* Scaled row by row, so that rows are still in the cache when they are converted to RGB. libyuv
 * scales by exactly one half (special code), below that (more taps) and up. */
static bool scales_by_rows(const struct image *image, const struct sp_letterbox_geometry *geometry)
{
    int from_w = image->width_px, w = geometry->width_px;
    int from_h = image->height_px, h = geometry->height_px;
    bool halves = from_w == 2 * w && from_h == 2 * h;
    return !has_size(image, geometry) && !halves && w <= from_w && from_w <= 2 * w && h <= from_h &&
           from_h <= 2 * h;
}

static int reserve_scaled(struct sp_letterbox *letterbox, int width, int height,
                          struct sp_error *err)
{
    int result = SP_OK;
    for (int i = 0; i < 3 && result == SP_OK; ++i)
        result = reserve(&letterbox->scaled[i], i ? (width + 1) / 2 : width,
                         i ? (height + 1) / 2 : height, err);
    return result;
}

static int open_rows(struct sp_letterbox *letterbox, const struct image *image,
                     const struct sp_letterbox_geometry *geometry, struct sp_error *err)
{
    int width = geometry->width_px;
    int result = sp_resampler_set(&letterbox->luma_row, image->width_px, width, err);
    if (result == SP_OK)
        result = sp_resampler_set(&letterbox->chroma_row, (image->width_px + 1) / 2,
                                  (width + 1) / 2, err);
    if (result == SP_OK)
        result = reserve(&letterbox->blended, image->width_px + SP_RESAMPLE_READS_PAST, 1, err);
    if (result == SP_OK)
        result =
            reserve_scaled(letterbox, round_up(width, 2 * SP_RESAMPLE_WRITES), STRIP_ROWS, err);
    return result;
}

/* Below one half, two taps would skip source pixels. */
static int scale_all(struct sp_letterbox *letterbox, struct image *image,
                     const struct sp_letterbox_geometry *geometry, struct sp_error *err)
{
    int width = geometry->width_px, height = geometry->height_px, chroma = (width + 1) / 2;
    bool fine = geometry->gain_x >= 0.5 || geometry->gain_y >= 0.5;
    enum FilterMode filter = fine ? kFilterBilinear : kFilterBox;
    int result = reserve_scaled(letterbox, width, height, err);
    if (result < 0)
        return result;
    if (I420Scale(image->plane[0], image->stride_bytes[0], image->plane[1], image->stride_bytes[1],
                  image->plane[2], image->stride_bytes[2], image->width_px, image->height_px,
                  letterbox->scaled[0].data, width, letterbox->scaled[1].data, chroma,
                  letterbox->scaled[2].data, chroma, width, height, filter) != 0)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "frame of %dx%d: cannot be scaled to %dx%d",
                       image->width_px, image->height_px, width, height);
    *image = (struct image){
        .plane = {letterbox->scaled[0].data, letterbox->scaled[1].data, letterbox->scaled[2].data},
        .stride_bytes = {width, chroma, chroma},
        .width_px = width,
        .height_px = height,
    };
    return SP_OK;
}

/* pixel_bytes: 3 for interleaved input, 1 for one plane of planar input. */
static void paint_bars(uint8_t *input, const struct sp_letterbox_geometry *geometry,
                       size_t pixel_bytes)
{
    size_t stride_bytes = (size_t)geometry->input_width_px * pixel_bytes;
    size_t left_bytes = (size_t)geometry->left_px * pixel_bytes;
    size_t end_bytes = left_bytes + (size_t)geometry->width_px * pixel_bytes;
    int bottom_px = geometry->top_px + geometry->height_px;
    memset(input, BAR_GREY, (size_t)geometry->top_px * stride_bytes);
    for (int y = geometry->top_px; y < bottom_px; ++y) {
        uint8_t *row = input + (size_t)y * stride_bytes;
        memset(row, BAR_GREY, left_bytes);
        memset(row + end_bytes, BAR_GREY, stride_bytes - end_bytes);
    }
    memset(input + (size_t)bottom_px * stride_bytes, BAR_GREY,
           (size_t)(geometry->input_height_px - bottom_px) * stride_bytes);
}

static bool same_geometry(const struct sp_letterbox_geometry *a,
                          const struct sp_letterbox_geometry *b)
{
    return a->input_width_px == b->input_width_px && a->input_height_px == b->input_height_px &&
           a->left_px == b->left_px && a->top_px == b->top_px && a->width_px == b->width_px &&
           a->height_px == b->height_px;
}

static void scale_plane_rows(struct sp_letterbox *letterbox, const struct sp_resampler *along,
                             const uint8_t *plane, int stride_bytes, int from_height, int height,
                             int first_row, int rows, uint8_t *out, int out_stride_bytes)
{
    for (int row = first_row; row < first_row + rows; ++row, out += out_stride_bytes) {
        int first, weight;
        sp_resample_position(from_height, height, row, &first, &weight);
        const uint8_t *upper = plane + (ptrdiff_t)first * stride_bytes;
        const uint8_t *lower = first + 1 < from_height ? upper + stride_bytes : upper;
        InterpolatePlane(upper, 0, lower, 0, letterbox->blended.data, 0, along->from, 1,
                         weight >> 8);
        sp_resample_row(along, out, letterbox->blended.data);
    }
}

/* Some rows of the scaled image. first_row is even. */
static struct image take_strip(struct sp_letterbox *letterbox, const struct image *image,
                               const struct sp_letterbox_geometry *geometry, int first_row,
                               int rows)
{
    struct image strip = {.width_px = geometry->width_px, .height_px = rows};
    bool ready = has_size(image, geometry);
    for (int i = 0; i < 3; ++i) {
        int first = i ? first_row / 2 : first_row, stride = image->stride_bytes[i];
        strip.plane[i] =
            ready ? image->plane[i] + (ptrdiff_t)first * stride : letterbox->scaled[i].data;
        strip.stride_bytes[i] =
            ready ? stride : round_up(geometry->width_px, 2 * SP_RESAMPLE_WRITES) / (i ? 2 : 1);
        if (!ready)
            scale_plane_rows(
                letterbox, i ? &letterbox->chroma_row : &letterbox->luma_row, image->plane[i],
                stride, i ? (image->height_px + 1) / 2 : image->height_px,
                i ? (geometry->height_px + 1) / 2 : geometry->height_px, first,
                i ? (rows + 1) / 2 : rows, letterbox->scaled[i].data, strip.stride_bytes[i]);
    }
    return strip;
}

static bool to_interleaved(const struct image *strip, uint8_t *rgb, int stride_bytes,
                           const struct YuvConstants *matrix)
{
    return I420ToRGB24Matrix(strip->plane[0], strip->stride_bytes[0], strip->plane[2],
                             strip->stride_bytes[2], strip->plane[1], strip->stride_bytes[1], rgb,
                             stride_bytes, matrix, strip->width_px, strip->height_px) == 0;
}

/* libyuv's ARGB is B, G, R, A in memory; the matrix of sp_frame_red_first() exchanges R and B. */
static bool to_planes(struct plane *argb, const struct image *strip, uint8_t *red,
                      size_t plane_bytes, int stride_bytes, const struct YuvConstants *matrix)
{
    int argb_stride = strip->width_px * ARGB_BYTES;
    uint8_t *green = red + plane_bytes, *blue = green + plane_bytes;
    if (I420ToARGBMatrix(strip->plane[0], strip->stride_bytes[0], strip->plane[2],
                         strip->stride_bytes[2], strip->plane[1], strip->stride_bytes[1],
                         argb->data, argb_stride, matrix, strip->width_px, strip->height_px) != 0)
        return false;
    SplitARGBPlane(argb->data, argb_stride, blue, stride_bytes, green, stride_bytes, red,
                   stride_bytes, NULL, 0, strip->width_px, strip->height_px);
    return true;
}

/* Strip by strip, so that intermediate rows stay in the cache. */
static int convert(struct sp_letterbox *letterbox, const struct image *image,
                   const struct sp_letterbox_geometry *geometry, uint8_t *input, bool planar,
                   const struct YuvConstants *matrix, struct sp_error *err)
{
    int width = geometry->width_px, height = geometry->height_px;
    int stride_bytes = geometry->input_width_px * (planar ? 1 : 3);
    size_t plane_bytes = (size_t)geometry->input_width_px * (size_t)geometry->input_height_px;
    uint8_t *out = input + (ptrdiff_t)geometry->top_px * stride_bytes +
                   (ptrdiff_t)geometry->left_px * (planar ? 1 : 3);
    int result = reserve(&letterbox->argb, width * ARGB_BYTES, STRIP_ROWS, err);
    for (int row = 0; row < height && result == SP_OK; row += STRIP_ROWS) {
        int rows = height - row < STRIP_ROWS ? height - row : STRIP_ROWS;
        struct image strip = take_strip(letterbox, image, geometry, row, rows);
        bool done =
            planar ? to_planes(&letterbox->argb, &strip, out, plane_bytes, stride_bytes, matrix)
                   : to_interleaved(&strip, out, stride_bytes, matrix);
        if (!done)
            result = sp_fail(err, SP_ERR_UNSUPPORTED, "frame of %dx%d: cannot be converted to RGB",
                             geometry->source_width_px, geometry->source_height_px);
        out += (ptrdiff_t)rows * stride_bytes;
    }
    return result;
}

int sp_letterbox_fill(struct sp_letterbox *letterbox, const struct sp_frame *frame, uint8_t *input,
                      enum spoton_layout layout, int input_width_px, int input_height_px,
                      struct sp_letterbox_geometry *last, struct sp_error *err)
{
    if (frame->width_px < 1 || frame->height_px < 1)
        return sp_fail(err, SP_ERR_INVALID, "frame of %dx%d: empty", frame->width_px,
                       frame->height_px);
    struct sp_letterbox_geometry geometry;
    struct image image;
    sp_letterbox_geometry_of(&geometry, frame, input_width_px, input_height_px);
    int result = open_image(letterbox, frame, &image, err);
    if (result == SP_OK && scales_by_rows(&image, &geometry))
        result = open_rows(letterbox, &image, &geometry, err);
    else if (result == SP_OK && !has_size(&image, &geometry))
        result = scale_all(letterbox, &image, &geometry, err);
    if (result < 0)
        return result;
    bool planar = layout == SPOTON_LAYOUT_NCHW;
    if (!same_geometry(&geometry, last))
        for (size_t i = 0; i < (planar ? 3 : 1); ++i)
            paint_bars(input + i * (size_t)input_width_px * (size_t)input_height_px, &geometry,
                       planar ? 1 : 3);
    *last = geometry;
    return convert(letterbox, &image, &geometry, input, planar, sp_frame_red_first(frame), err);
}
