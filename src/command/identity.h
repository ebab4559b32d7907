/* IDF1 of one file of tracks against another (Ristani et al., "Performance Measures and a Data Set
 * for Multi-Target, Multi-Camera Tracking", 2016): identities are paired one to one so that the
 * number of agreeing boxes (IoU of at least 0.5 in the same frame) is maximal. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* MOT rows, frames from 1, in any order. Of the reference, rows with flag 0 (the seventh value)
 * and, unless last_frame is 0, rows after it are ignored. The IDF1 of two empty files is 1.
 * SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_NO_MEMORY. */
int sp_identity_f1(const char *reference_path, const char *path, int64_t last_frame, double *idf1,
                   struct sp_error *err);
