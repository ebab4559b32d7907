/* An annotated video: H.264 by libx264, MPEG-4 Visual where that is missing, in MP4.
 *
 * Data flow: canvas -> the encoder's own frame (scaled with bars when its size is not the first
 * frame's) -> encoder, one thread, so that the bytes do not depend on the machine's cores -> MP4
 * in fragments of one frame, which can be played wherever it ends -> rewritten in one piece with
 * the index in front. Times are the frames' own, from 0. One thread at a time. */
#pragma once

#include "publish/atomic_file.h"
#include "render/draw.h"

struct sp_mp4;

struct sp_mp4_options {
    const char *encoder; /* FFmpeg's name; NULL: libx264, else mpeg4 */
    double frame_rate;   /* nominal, for the encoder's rate control; > 0 */
    int crf;             /* 1 (best) .. 51 */
};

/* `part` stays the caller's, who syncs and publishes it after finish. The file begins with the
 * first frame. SP_ERR_UNSUPPORTED: no encoder. */
int sp_mp4_open(struct sp_mp4 **out, const struct sp_atomic_file *part,
                const struct sp_mp4_options *options, struct sp_error *err);

/* Times that do not rise are moved to the next tick. */
int sp_mp4_frame(struct sp_mp4 *mp4, const struct sp_canvas *canvas, int64_t pts_us,
                 struct sp_error *err);

/* Writes what the encoder still holds, and the video anew in one piece; where there is no room for
 * that, it stays in fragments. `part`: the one of open. *complete: there is a video, of at least
 * one frame. */
int sp_mp4_finish(struct sp_mp4 *mp4, struct sp_atomic_file *part, bool *complete,
                  struct sp_error *err);

/* After a call that failed: the file is cut behind the last fragment that is whole. False: none is.
 */
bool sp_mp4_rescue(struct sp_mp4 *mp4, struct sp_atomic_file *part);
void sp_mp4_close(struct sp_mp4 *mp4); /* NULL is fine */
