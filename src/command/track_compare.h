/* `spoton track --compare A,B DETS --ground-truth GT`: several trackers on the same detections.
 *
 * Data flow: each sequence's detections (command/track_input.h) -> each tracker, in memory -> its
 * tracks against the ground truth, both on the frames that were tracked only
 * (OUTPUT_FRAMES=inferred) -> command/tracks_table.h. DETS and GT are two files, or two folders
 * (command/sequences.h), whose seqinfo.ini have the frame rate of detections without times. One
 * thread. */
#pragma once

#include "command/options.h"

/* SP_ERR_INVALID: an unknown tracker, a file beside a folder, no ground truth in the tracked
 * frames; also the errors of the readers. */
int sp_track_compare(const struct sp_options *options, struct sp_error *err);
