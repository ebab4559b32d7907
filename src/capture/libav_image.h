/* For source.c: the kind of an open FFmpeg source. For src/capture only. */
#pragma once

#include <stdbool.h>

/* Whether it is a single image file: not a video, not a pattern of numbered images. */
bool sp_libav_is_image(const void *source);
