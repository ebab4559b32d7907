/* Images that a decoder made on the device. Private to the plugin.
 *
 * Data flow: FFmpeg decodes on a camera's own stream (NVDEC) -> the image is copied into memory
 * of the device's pool, so that the decoder's few surfaces are free again at once -> requests read
 * it there (requests.h) -> it goes back to the pool. A copy of 1080p takes microseconds; who takes
 * it sleeps until it is done, so that no owner of a surface waits for one. */
#pragma once

#include "spoton/device.h"

#include <stdint.h>

struct spoton_surface {
    uint8_t *memory; /* of the device's pool */
    int device;
    int planes;
    size_t at[3]; /* where each begins */
    int stride_bytes[3], width_bytes[3], rows[3];
};

/* See spoton/engine.h. */
int cuda_decoding_open(struct spoton_decoding **out, int device, const char *backend_options,
                       void **context, void **stream, char *error, size_t error_bytes);
void cuda_decoding_close(struct spoton_decoding *decoding);
int cuda_surface_take(struct spoton_decoding *decoding, const struct spoton_image *image,
                      struct spoton_surface **out, char *error, size_t error_bytes);
int cuda_surface_read(struct spoton_surface *surface, uint8_t *planes, char *error,
                      size_t error_bytes);
void cuda_surface_free(struct spoton_surface *surface);
