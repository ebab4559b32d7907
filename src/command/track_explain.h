/* `spoton track --explain ID DETS`: why a track began, was lost and found, and ended.
 *
 * Data flow: stored detections -> the tracker again, which is deterministic, so with the settings
 * of the run its ids are those of the run -> the events of one id (track/explain.h) as text on
 * stdout. One thread. */
#pragma once

#include "command/options.h"

/* SP_ERR_INVALID: the tracker cannot explain; SP_ERR_NOT_FOUND: no track has this id; also the
 * errors of the reader. */
int sp_track_explain(const struct sp_options *options, struct sp_error *err);
