/* The parts of `spoton eval`. */
#pragma once

#include "base/error.h"
#include "command/options.h"

/* A model on labelled images: prints what it measured; with -o writes the boxes. interrupted:
 * asks whether to end. SP_ERR_INTERRUPTED, and the errors of its parts. */
int sp_eval_detections(const struct sp_options *options, const char *data_path,
                       bool (*interrupted)(void), struct sp_error *err);

/* Tracks against the ground truth: prints what it measured. */
int sp_eval_tracks(const char *ground_truth_path, const char *tracks_path, bool json,
                   struct sp_error *err);
