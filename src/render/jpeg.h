/* JPEG from YUV planes, without conversion to RGB. One encoder belongs to one thread. */
#pragma once

#include "render/draw.h"
#include "spoton/device.h"
#include "surface.h"

struct sp_jpeg;

/* Where to compress: on an engine's device, or with api NULL on the CPU. */
struct sp_jpeg_device {
    const struct spoton_engine_api *api;
    int device;
    const char *backend_options; /* the engine's options, or NULL */
};

int sp_jpeg_open(struct sp_jpeg **out, struct sp_error *err);
/* Before the first image; the options are copied. When the device rejects an image, the CPU
 * compresses it, and a warning is logged once. */
void sp_jpeg_set_device(struct sp_jpeg *jpeg, struct sp_jpeg_device place);
void sp_jpeg_close(struct sp_jpeg *jpeg); /* NULL is fine */

/* *data belongs to the encoder and is valid until the next call. quality 1..100. JPEG means full
 * range and BT.601: other planes are converted first, so that colours are correct. A canvas loaded
 * as SP_CANVAS_JPEG is compressed without conversion. SP_ERR_NO_MEMORY, SP_ERR_INVALID. */
int sp_jpeg_encode(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, int quality,
                   const uint8_t **data, size_t *bytes, struct sp_error *err);

/* A frame within an image: scaled to inner_*, at left and top (even), with black around it. */
struct sp_jpeg_layout {
    int width_px, height_px;
    int left_px, top_px;
    int inner_width_px, inner_height_px;
};

/* Whether sp_jpeg_draw() takes the frame: it is in the memory of the encoder's engine, and that
 * engine draws. */
bool sp_jpeg_draws(const struct sp_jpeg *jpeg, const struct sp_frame *frame);

/* Draws and compresses on the frame's device, without fetching the frame; *data as above. False:
 * the device rejected it, which is logged once, and the CPU has to draw and compress. */
bool sp_jpeg_draw(struct sp_jpeg *jpeg, const struct sp_frame *frame,
                  const struct sp_jpeg_layout *layout, const struct sp_marks *marks, int quality,
                  const uint8_t **data, size_t *bytes);
