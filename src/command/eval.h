/* The parts of `spoton eval`. */
#pragma once

#include "base/error.h"
#include "command/options.h"

/* Measures a model on labelled images and prints the result; with -o writes the boxes. Ends with
 * SP_ERR_INTERRUPTED when interrupted() is true; also the errors of its parts. */
int sp_eval_detections(const struct sp_options *options, const char *data_path,
                       bool (*interrupted)(void), struct sp_error *err);

/* Compares tracks with ground truth, two files or two folders (command/sequences.h), and prints the
 * result. */
int sp_eval_tracks(const char *ground_truth, const char *tracks, bool json, struct sp_error *err);
