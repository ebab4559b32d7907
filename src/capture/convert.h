/* Decoded AVFrames as our frames.
 *
 * Data flow: the decoder fills the converter's empty AVFrame; finish makes a frame of it. 4:2:0
 * frames (yuv420p, yuvj420p, nv12) are handed on as they are: the frame holds the AVFrame and the
 * last unref gives the planes back to the decoder's pool. All others are scaled into I420 memory
 * that the shells keep, so the healthy state allocates nothing here.
 *
 * Colour: matrix and range as the stream says. Where it is silent, as players do: BT.709 from 1280
 * wide or above 576 high, BT.601 below, limited range; yuvj* and grey frames of still-image
 * codecs are full range. RGB becomes limited-range YUV of that same matrix.
 *
 * One thread at a time, except for the release of frames, which any thread may do at any time, also
 * after close. */
#pragma once

#include "base/error.h"
#include "capture/orientation.h"

#include <libavutil/frame.h>

struct sp_converter;

/* `pool` outlives the converter. SP_ERR_NO_MEMORY. */
int sp_converter_open(struct sp_converter **out, struct sp_frame_pool *pool, struct sp_error *err);
void sp_converter_close(struct sp_converter *converter); /* NULL is fine */

/* The AVFrame to decode into, the same until finish has taken it; NULL when memory is out. */
AVFrame *sp_converter_target(struct sp_converter *converter);

/* Planes, size and colour are set, all else is the caller's. `still`: of a still-image codec. A
 * frame that is to be turned or mirrored is copied into the shell's memory; all others are not.
 * The target is empty or another one afterwards, also on failure. SP_ERR_UNSUPPORTED (a pixel
 * format), SP_ERR_NO_MEMORY. */
int sp_converter_finish(struct sp_converter *converter, bool still,
                        struct sp_orientation orientation, struct sp_frame **out,
                        struct sp_error *err);
