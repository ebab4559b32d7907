/* Reads detections from a file, for `spoton track`.
 *
 * Two formats, distinguished by the first character that is not blank:
 *  - MOT Challenge rows "frame,-1,left,top,width,height,confidence[,...]", frames from 1. Rows may
 *    be in any order; within a frame their order is kept. Blank lines and lines that start with #
 * are ignored. An empty file has no frames.
 *  - a results log ('{'): one JSON object per line with "sequence" (from 0, ascending), "pts_us",
 *    "inferred" and, if inferred, "detections": [[x1,y1,x2,y2,confidence,class],...]. "frame_rate"
 * on any line is the source's nominal rate; otherwise it follows from the median frame interval. */
#pragma once

#include "base/error.h"
#include "detection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_TRACK_INPUT_FRAME_MAX = 10000000
}; /* highest frame number; a larger one is a typing error */

struct sp_track_input_frame {
    uint64_t sequence; /* from 0 */
    int64_t pts_us;    /* results log only */
    bool inferred;
    size_t first_detection, detection_count;
};

struct sp_track_input {
    bool is_results_log;
    double frame_rate;  /* results log only; 0: unknown */
    int inferred_every; /* results log only: one of this many frames was inferred */
    struct sp_track_input_frame *frames; /* ascending; of a MOT file those that have rows */
    size_t frame_count, frame_capacity;
    struct sp_detection *detections;
    size_t detection_count, detection_capacity;
};

/* Fills *input (zeroed by the caller); release it in any case. */
int sp_track_input_read(struct sp_track_input *input, const char *path, struct sp_error *err);
void sp_track_input_release(struct sp_track_input *input);
