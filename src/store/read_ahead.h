/* Decodes stored frames in a thread of its own, while the caller counts the ones before.
 *
 * Data flow: sp_track_reader -> a few batches of frames, filled by the thread ->
 * sp_read_ahead_next. The frames and their order are those of the reader.
 *
 * Ownership: the caller closes it, and then the reader, which it must not use meanwhile, nor the
 * store's segments. One thread at a time calls these functions. Fixed memory, about 2 MB. */
#pragma once

#include "store/reader.h"

struct sp_read_ahead;

/* Starts the thread. SP_ERR_NO_MEMORY. */
int sp_read_ahead_open(struct sp_read_ahead **out, struct sp_track_reader *reader,
                       struct sp_error *err);
void sp_read_ahead_close(struct sp_read_ahead *ahead); /* NULL is allowed */

/* As sp_track_reader_next. */
int sp_read_ahead_next(struct sp_read_ahead *ahead, struct sp_read_frame *frame,
                       struct sp_error *err);
