/* Reads detections from a file, for `spoton track`.
 *
 * Two forms, told apart by the first character that is not blank:
 *  - MOT Challenge rows "frame,-1,left,top,width,height,confidence[,...]", frames from 1. Rows may
 * come in any order; within a frame they keep theirs. Blank lines and those that begin with # are
 *    left out. An empty file is one of no frames.
 *  - a results log ('{'): one JSON object a line with "sequence" (from 0, rising), "pts_us",
 * "inferred" and, where inferred, "detections": [[x1,y1,x2,y2,confidence,class],...]. A
 * "frame_rate" on any line is the source's nominal rate; without it the rate is that of the median
 * frame. */
#pragma once

#include "base/error.h"
#include "detection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_TRACK_INPUT_FRAME_MAX = 10000000
}; /* the highest frame number, a bound for typing errors
    */

struct sp_track_input_frame {
    uint64_t sequence; /* from 0 */
    int64_t pts_us;    /* results log only */
    bool inferred;
    size_t first_detection, detection_count;
};

struct sp_track_input {
    bool journal;
    double frame_rate;                   /* results log only; 0: cannot be told */
    int inferred_every;                  /* results log only: one of so many frames was inferred */
    struct sp_track_input_frame *frames; /* rising; of a MOT file those that have rows */
    size_t frame_count, frame_capacity;
    struct sp_detection *detections;
    size_t detection_count, detection_capacity;
};

/* Fills *input (zeroed by the caller); release it in any case. */
int sp_track_input_read(struct sp_track_input *input, const char *path, struct sp_error *err);
void sp_track_input_release(struct sp_track_input *input);
