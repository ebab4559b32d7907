/* JPEG by nvJPEG, whose library is looked for at run time. Private to the plugin. */
#pragma once

#include "spoton/device.h"

#include <stddef.h>
#include <stdint.h>

/* See spoton/engine.h. */
int cuda_jpeg_open(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                   size_t error_bytes);
void cuda_jpeg_close(struct spoton_jpeg *jpeg);
int cuda_jpeg_encode(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                     const uint8_t **data, size_t *bytes, char *error, size_t error_bytes);
int cuda_jpeg_draw(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                   const struct spoton_surface *surface, const struct spoton_drawing *drawing,
                   int quality, const uint8_t **data, size_t *bytes, char *error,
                   size_t error_bytes);
