/* Tracks of what looks like a person and is none to be tracked: no mistake, and no merit.
 *
 * MOT16 and MOT17 label such things (a static person, a person on a vehicle, a reflection). As
 * TrackEval 1.3 does it by default (datasets/mot_challenge_2d_box.py, get_preprocessed_seq_data):
 * in each frame all labels, whatever their class and flag, are matched with the tracks, IoU from
 * 0.5 on, for the greatest sum; tracks whose label is a distractor's are left out before anything
 * is counted. Files without classes (MOT15) are left as they are. */
#pragma once

#include "eval/mot_file.h"

/* Takes such rows out of `tracks`, and numbers its ids anew. *removed: how many.
 * SP_ERR_NO_MEMORY. */
int sp_mot_drop_distractors(const struct sp_mot_rows *ground_truth, struct sp_mot_rows *tracks,
                            size_t *removed, struct sp_error *err);
