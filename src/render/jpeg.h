/* JPEG from YUV planes, without a detour over RGB. One encoder belongs to one thread. */
#pragma once

#include "render/draw.h"

struct sp_jpeg;

int sp_jpeg_open(struct sp_jpeg **out, struct sp_error *err);
void sp_jpeg_close(struct sp_jpeg *jpeg); /* NULL is fine */

/* *data stays the encoder's and is valid until the next call. quality 1..100. JPEG means full
 * range and BT.601: other planes are converted first, so that black is black and red is red. A
 * canvas loaded as SP_CANVAS_JPEG is compressed as it is.
 * SP_ERR_NO_MEMORY, SP_ERR_INVALID. */
int sp_jpeg_encode(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, int quality,
                   const uint8_t **data, size_t *bytes, struct sp_error *err);
