/* Frames in GPU memory, with the decoding functions of the engine interface (spoton/engine.h).
 *
 * Data flow: a decoder writes a frame on the device -> sp_surface_take() copies it on the device ->
 * sp_frame_attach() attaches the copy to a frame -> the engine reads it in place. Code that reads
 * pixels on the host calls sp_frame_fetch() first. */
#pragma once

#include "frame.h"
#include "spoton/device.h"

/* The frame in the engine's terms: planes (unless it has a surface), size and color. */
struct spoton_image sp_frame_image(const struct sp_frame *frame);

/* Copies an image, whose planes are on the host or the device, into memory of the decoder's device.
 * SP_ERR_NO_MEMORY, SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_surface_take(struct spoton_surface **out, const struct spoton_engine_api *gpu,
                    struct spoton_decoding *decoding, const struct spoton_image *image,
                    struct sp_error *err);

/* Replaces the planes of a frame, which return to their owner, by the surface, which the frame then
 * owns. For a frame that is not shared yet. */
void sp_frame_attach(struct sp_frame *frame, const struct spoton_engine_api *gpu,
                     struct spoton_surface *surface);

/* Makes the planes readable on the host, for the frame's lifetime. The first call for a frame with
 * a surface copies it from the device; otherwise returns at once. Any thread. SP_ERR_NO_MEMORY,
 * SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_frame_fetch(const struct sp_frame *frame, struct sp_error *err);
