/* Where the decoder puts its frames: into memory that the engine reads in place, where it gives
 * such; for capture/libav* alone. */
#pragma once

#include "capture/source.h"

#include <libavcodec/avcodec.h>

struct sp_libav_memory;

/* Before avcodec_open2. *out stays NULL where there is no such memory. SP_ERR_NO_MEMORY. */
int sp_libav_memory_open(struct sp_libav_memory **out, AVCodecContext *decoder,
                         const struct sp_source_memory *memory, struct sp_error *err);

/* After the decoder is gone. Frames that are still out keep their memory until they come back.
 * NULL is fine. */
void sp_libav_memory_close(struct sp_libav_memory *memory);

/* Whether a frame that the decoder just gave lies there. NULL is fine. */
bool sp_libav_memory_has(struct sp_libav_memory *memory, const uint8_t *plane);
