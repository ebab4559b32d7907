/* Converts decoded AVFrames to struct sp_frame.
 *
 * Data flow: the decoder fills the converter's empty AVFrame; finish makes a frame of it. 4:2:0
 * frames (yuv420p, yuvj420p, nv12) are passed on without a copy: the frame holds the AVFrame, and
 * the last unref returns the planes to the decoder's pool. All others are scaled into I420 memory
 * that the shells keep, so nothing is allocated in the steady state.
 *
 * Colour: matrix and range as the stream declares. Where it does not, the usual defaults: BT.709
 * from 1280 wide or above 576 high, BT.601 below, limited range; yuvj* and grey frames of
 * still-image codecs are full range. RGB becomes limited-range YUV of that same matrix.
 *
 * One thread at a time; frames may be released from any thread at any time, also after close. */
#pragma once

#include "base/error.h"
#include "capture/orientation.h"

#include <libavutil/frame.h>

struct sp_converter;

/* `pool` outlives the converter. SP_ERR_NO_MEMORY. */
int sp_converter_open(struct sp_converter **out, struct sp_frame_pool *pool, struct sp_error *err);
void sp_converter_close(struct sp_converter *converter); /* NULL is fine */

/* The AVFrame to decode into, the same until finish has consumed it; NULL: out of memory. */
AVFrame *sp_converter_target(struct sp_converter *converter);

/* Sets planes, size and colour; the caller sets the rest. `still`: of a still-image codec. Frames
 * with a rotation or mirroring are copied into the shell's memory; all others are not. Afterwards,
 * also on failure, the target is empty or another one. SP_ERR_UNSUPPORTED (a pixel format),
 * SP_ERR_NO_MEMORY. */
int sp_converter_finish(struct sp_converter *converter, bool still,
                        struct sp_orientation orientation, struct sp_frame **out,
                        struct sp_error *err);
