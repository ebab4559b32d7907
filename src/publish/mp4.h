/* An annotated video in MP4: H.264 (libx264), or MPEG-4 Part 2 without libx264.
 *
 * Data flow: canvas -> the encoder's frame (letterboxed when the size differs from the first frame)
 * -> encoder with one thread, so that the bytes do not depend on the number of cores -> fragmented
 * MP4, one fragment per frame, playable wherever it ends -> rewritten as a single MP4 with the
 * index in front. Timestamps are those of the frames, from 0. One thread at a time. */
#pragma once

#include "publish/atomic_file.h"
#include "render/draw.h"

struct sp_mp4;

struct sp_mp4_options {
    const char *encoder; /* FFmpeg's name; NULL: libx264, else mpeg4 */
    double frame_rate;   /* nominal, for the encoder's rate control; > 0 */
    int crf;             /* 1 (best) .. 51 */
};

/* The caller owns `part`, and syncs and publishes it after finish. The first frame sets the size.
 * SP_ERR_UNSUPPORTED: no encoder. */
int sp_mp4_open(struct sp_mp4 **out, const struct sp_atomic_file *part,
                const struct sp_mp4_options *options, struct sp_error *err);

/* Timestamps that do not increase are moved to the next tick. */
int sp_mp4_frame(struct sp_mp4 *mp4, const struct sp_canvas *canvas, int64_t pts_us,
                 struct sp_error *err);

/* Flushes the encoder and rewrites the video unfragmented; without disk space for that it stays
 * fragmented. `part`: the one of open. *complete: the video has at least one frame. */
int sp_mp4_finish(struct sp_mp4 *mp4, struct sp_atomic_file *part, bool *complete,
                  struct sp_error *err);

/* After a failed call: truncates the file after the last complete fragment. False: there is none.
 */
bool sp_mp4_rescue(struct sp_mp4 *mp4, struct sp_atomic_file *part);
void sp_mp4_close(struct sp_mp4 *mp4); /* NULL is allowed */
