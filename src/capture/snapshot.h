/* A still image that is read periodically: a camera that writes an image file, or returns one JPEG
 * per request.
 *
 * Data flow: source.c opens the address with FFmpeg; if it is one still image and an interval is
 * set, it becomes a snapshot source, which opens the address again at each interval: open -> the
 * only frame -> the end -> close. An address with several frames is read as a stream, and opened
 * again at its end. For src/capture only.
 *
 * A damaged image (one that is being written) is counted as failed and not returned. Without a
 * complete image the address is tried at each interval; after read_timeout_us a read returns
 * SP_ERR_TIMEOUT with the reason, as for a camera that sends nothing. */
#pragma once

#include "capture/source_impl.h"

/* `opened`: the open FFmpeg source; ownership passes also on failure. SP_ERR_NO_MEMORY. */
int sp_snapshot_open(void **out, void *opened, const struct sp_source_options *options,
                     const atomic_bool *interrupted, struct sp_error *err);

extern const struct sp_source_kind sp_source_kind_snapshot;
