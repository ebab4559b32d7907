/* The files of one camera: MOT Challenge rows, a results log, an annotated video.
 *
 * Data flow: per frame, in order, from one thread: sp_files_frame. Everything is written beside its
 * name ("NAME.txt.part") and renamed by sp_files_finish, so that a name only ever holds a complete,
 * valid file. A write that fails (disk full) marks this camera's files failed and is reported once;
 * what was written before is kept. The video is written in fragments of one frame, so that it too
 * can be ended anywhere, and rewritten as one piece at the end.
 */
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
    double frame_rate;                        /* nominal; 0: 25 */
    int video_crf;                            /* 1 (best) .. 51; 0: 23 */
    const struct sp_class_names *class_names; /* outlive the files; NULL: none */
};

struct sp_files_frame {
    uint64_t sequence; /* from 0; MOT rows say sequence + 1 */
    int64_t pts_us;
    bool inferred;                         /* else predicted */
    const struct sp_detection *detections; /* of an inferred frame */
    size_t detection_count;
    const struct sp_track *tracks;
    size_t track_count;
    const struct sp_canvas *image; /* annotated; needed with video */
};

/* SP_ERR_IO, SP_ERR_NO_SPACE, SP_ERR_UNSUPPORTED (no encoder), SP_ERR_INVALID (a camera whose name
 * cannot be a file's). */
int sp_files_open(struct sp_files **out, const struct sp_files_options *options,
                  struct sp_error *err);

/* After a failure every later call returns the same error at once. A frame of another size than
 * the video's first is scaled to it, between bars. Rows and results log lines are written whether
 * or not there are tracks to tell of; pts_us gives the video's timing. */
int sp_files_frame(struct sp_files *files, const struct sp_files_frame *frame,
                   struct sp_error *err);

struct sp_files_written {
    bool rows, video; /* .txt and .jsonl; .mp4 */
};

/* Ends, syncs and renames the files. Closes in any case. After a write that failed (a full disk)
 * what was written so far stays, up to the last whole frame, and the error is returned; of what has
 * no whole frame, and on another error, the .part files are removed and earlier complete files of
 * these names stay as they were. *written (NULL is fine): what now stands under its name. */
int sp_files_finish(struct sp_files *files, struct sp_files_written *written, struct sp_error *err);

/* The error with which later frames are refused and finish keeps what is whole, without taking the
 * time to rewrite the video. */
void sp_files_stop(struct sp_files *files, const struct sp_error *why);

/* Closes without results: removes the .part files. NULL is fine. */
void sp_files_abandon(struct sp_files *files);

/* Writes text[bytes] to dir/name by way of a .part file. For summary.json. */
int sp_files_write_whole(const char *dir, const char *name, const char *text, size_t bytes,
                         struct sp_error *err);
