/* Decodes into memory that the engine reads in place, where the engine provides such; for
 * capture/libav* only. */
#pragma once

#include "capture/source.h"

#include <libavcodec/avcodec.h>

struct sp_libav_memory;

/* Before avcodec_open2. *out stays NULL without such memory. SP_ERR_NO_MEMORY. */
int sp_libav_memory_open(struct sp_libav_memory **out, AVCodecContext *decoder,
                         const struct sp_source_memory *memory, struct sp_error *err);

/* After the decoder is closed. Frames in use keep their memory until they are released. NULL is
 * fine. */
void sp_libav_memory_close(struct sp_libav_memory *memory);

/* Whether a frame just decoded is in that memory. NULL is fine. */
bool sp_libav_memory_has(struct sp_libav_memory *memory, const uint8_t *plane);
