/* The files of one camera: MOT Challenge rows, a results log, an annotated video.
 *
 * Data flow: sp_files_frame for each frame, in order, from one thread. The rows of a new track in
 * earlier frames are before those of the frame in which it has its id. Files are written as
 * "NAME.txt.part" and renamed by sp_files_finish, so that NAME.txt is always complete and valid. A
 * failed write (disk full) marks this camera's files failed and is reported once; complete frames
 * written before are kept. The video is written as fragments of one frame, so that it too can end
 * anywhere, and rewritten unfragmented at the end. */
#pragma once

#include "class_names.h"
#include "detection.h"
#include "render/draw.h"
#include "track.h"

#include <stdbool.h>

struct sp_files;

struct sp_files_options {
    const char *dir;    /* exists */
    const char *camera; /* the files' base name */
    bool video;
    double frame_rate;                        /* nominal; 0: SP_FRAME_RATE_DEFAULT */
    int video_crf;                            /* 1 (best) .. 51; 0: 23 */
    const struct sp_class_names *class_names; /* outlives the files; NULL: none */
};

struct sp_files_frame {
    uint64_t sequence; /* from 0; MOT rows hold sequence + 1 */
    int64_t pts_us;
    int width_px, height_px;               /* 0: not written */
    bool inferred;                         /* else predicted */
    const char *reason;                    /* why, with INFERENCE=need; or NULL */
    const struct sp_detection *detections; /* of an inferred frame */
    size_t detection_count;
    const struct sp_track *tracks;
    size_t track_count;
    const struct sp_track_earlier *earlier; /* boxes of its new tracks in earlier frames */
    size_t earlier_count;
    const struct sp_canvas *image; /* annotated; required with video */
};

/* SP_ERR_IO, SP_ERR_NO_SPACE, SP_ERR_UNSUPPORTED (no encoder), SP_ERR_INVALID (the camera's name is
 * not a valid file name). */
int sp_files_open(struct sp_files **out, const struct sp_files_options *options,
                  struct sp_error *err);

/* After a failure every later call returns the same error at once. A frame whose size differs from
 * the video's is letterboxed. A results log line is written for every frame, also without tracks;
 * pts_us sets the video's timing. */
int sp_files_frame(struct sp_files *files, const struct sp_files_frame *frame,
                   struct sp_error *err);

struct sp_files_written {
    bool rows, video; /* .txt and .jsonl; .mp4 */
};

/* Completes, syncs and renames the files; closes them in any case. After a failed write (disk full)
 * the files are kept up to the last complete frame, and the error is returned. Without a complete
 * frame, and on any other error, the .part files are removed and earlier files of these names
 * remain unchanged. *written (may be NULL): the files that were renamed. */
int sp_files_finish(struct sp_files *files, struct sp_files_written *written, struct sp_error *err);

/* Sets the error that refuses later frames; finish then keeps complete frames, without rewriting
 * the video. */
void sp_files_stop(struct sp_files *files, const struct sp_error *why);

/* Closes and removes the .part files. NULL is allowed. */
void sp_files_abandon(struct sp_files *files);

/* Writes text[bytes] to dir/name through a .part file. For summary.json. */
int sp_files_write_whole(const char *dir, const char *name, const char *text, size_t bytes,
                         struct sp_error *err);
