/* The caller's images as frames of the pipeline, and back.
 *
 * Data flow: struct spoton_planes -> checked -> read in place, or copied (BGR: converted to I420)
 * into a buffer -> struct sp_frame, whose last reference returns the buffer. Buffers are kept for
 * reuse, so frames of one size allocate nothing in the steady state. Any thread. */
#pragma once

#include "frame.h"
#include "spoton/spoton.h"

struct sp_frame_memory;

int sp_frame_memory_open(struct sp_frame_memory **out, struct sp_error *err);

/* Frames in use keep it until their last reference. NULL is allowed. */
void sp_frame_memory_close(struct sp_frame_memory *memory);

/* A frame with one reference, without number and time. If `in_place`, planes other than BGR that
 * have a `release` are not copied: the frame's last reference calls it. SP_ERR_INVALID,
 * SP_ERR_NO_MEMORY. */
int sp_frame_memory_fill(struct sp_frame_memory *memory, const struct spoton_planes *planes,
                         bool in_place, struct sp_frame **out, struct sp_error *err);
