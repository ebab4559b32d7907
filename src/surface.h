/* Frames in a GPU's memory, by the engine's decoding entries (spoton/engine.h).
 *
 * Data flow: a decoder leaves a frame on the device -> sp_surface_take() copies it there ->
 * sp_frame_attach() makes it a frame's -> the engine reads it in place; whoever reads points on the
 * host calls sp_frame_fetch() first. */
#pragma once

#include "frame.h"
#include "spoton/engine.h"

/* How the engine sees the frame: planes (unless it has a surface), size and colour. */
struct spoton_image sp_frame_image(const struct sp_frame *frame);

/* A copy of the frame in the memory of the decoding's device; its planes lie on the host or on
 * that device. SP_ERR_NO_MEMORY, SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_surface_take(struct spoton_surface **out, const struct spoton_engine_api *gpu,
                    struct spoton_decoding *decoding, const struct spoton_image *image,
                    struct sp_error *err);

/* From now on the surface, which becomes the frame's, is its frame; the planes go back to where
 * they came from. Of a frame that nobody else has yet. */
void sp_frame_attach(struct sp_frame *frame, const struct spoton_engine_api *gpu,
                     struct spoton_surface *surface);

/* The planes are there to be read afterwards, until the frame's end. Instant, but for the first
 * call for a frame with a surface, which brings it from there. Any thread. SP_ERR_NO_MEMORY,
 * SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_frame_fetch(const struct sp_frame *frame, struct sp_error *err);
