/* `spoton track DETS -o OUT.txt`: the tracker alone, without inference.
 *
 * Data flow: a file of detections (command/track_input.h) -> tracker -> MOT Challenge rows
 * "frame,id,left,top,width,height,confidence,-1,-1,-1", frames from 1 and rising, except for the
 * rows of a track from before it had an id, which are before those of the frame in which it has
 * one. OUT is written beside its name (OUT.part) and renamed, so that it only ever holds a complete
 * result.
 *
 * Which frames are fed, and with what steps, depends on TRACK_DT, FRAME_SKIP and
 * OUTPUT_FRAMES:
 *  - a results log: the frames that were inferred and whose sequence FRAME_SKIP divides; the others
 *    get predicted boxes, unless OUTPUT_FRAMES=inferred. TRACK_DT auto means
 *    timestamps, as in `run`.
 *  - a MOT file with FRAME_SKIP=1: under `frames` (auto means that) every frame from 1 to the last,
 *    including those without rows; under `timestamps` the frames that have rows, with the
 *    difference of their numbers as the step: gaps count as frames that were not inferred.
 *  - a MOT file with FRAME_SKIP=n: the frames 1, 1+n, ..., with or without rows, with steps of n
 *    under `timestamps`, of 1 under `frames` and auto; the rows of others are ignored, and they get
 *    predicted boxes, unless OUTPUT_FRAMES=inferred. */
#pragma once

#include "base/error.h"
#include "command/track_input.h"
#include "config/settings.h"
#include "track.h"
#include "track/explain.h"

/* The tracker over all frames of `input`, in memory. */
struct sp_track_run {
    const struct sp_settings *settings;
    const struct sp_track_input *input;
    double frame_rate; /* of MOT rows; 0: unknown */
    /* The tracks of a frame, by rising sequence; before them, one by one, the boxes of its new
     * tracks from earlier frames. */
    void (*take)(void *user, uint64_t sequence, const struct sp_track *tracks, size_t count);
    void *user;
    /* NULL, or as in track/explain.h, before take(); SP_ERR_INVALID where the tracker cannot. */
    void (*explain)(void *user, uint64_t sequence, const struct sp_track_explanation *explanation);
    uint64_t updates;  /* result: frames tracked */
    int64_t update_us; /* result: the tracker's time */
};

/* SP_ERR_NO_MEMORY, SP_ERR_INVALID. */
int sp_track_run(struct sp_track_run *run, struct sp_error *err);

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_NO_SPACE, SP_ERR_NO_MEMORY, or SP_ERR_FORMAT, whose text
 * names the malformed line. After an error no OUT.part remains and an existing OUT is unchanged. */
int sp_command_track(const struct sp_settings *settings, const char *input, const char *output,
                     struct sp_error *err);
