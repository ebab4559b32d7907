/* Removes tracks on distractors, which are neither right nor wrong.
 *
 * MOT16 and MOT17 label these (a static person, a person on a vehicle, a reflection). As TrackEval
 * 1.3 does by default (datasets/mot_challenge_2d_box.py, get_preprocessed_seq_data): in each frame
 * all labels, of any class and flag, are matched with the tracks, at IoU 0.5 or more, for the
 * greatest sum; tracks matched to a distractor are removed before the evaluation. Files without
 * classes (MOT15) are not changed. */
#pragma once

#include "eval/mot_file.h"

/* Removes these rows from `tracks` and renumbers its ids. *removed: how many. SP_ERR_NO_MEMORY. */
int sp_mot_drop_distractors(const struct sp_mot_rows *ground_truth, struct sp_mot_rows *tracks,
                            size_t *removed, struct sp_error *err);
