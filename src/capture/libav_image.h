/* What source.c asks an open FFmpeg source. For src/capture only. */
#pragma once

#include <stdbool.h>

/* Whether it is one image file: no video, and no pattern of numbered images. */
bool sp_libav_is_image(const void *source);
