/* FFmpeg's reader of video devices (V4L2). It is in libavdevice, which needs ninety libraries (SDL,
 * OpenGL, audio) that no other source does, so that library is opened with the first device. For
 * capture/libav* only. */
#pragma once

#include "base/error.h"

#include <libavformat/avformat.h>

/* The demuxer of video devices, FFmpeg's own. SP_ERR_UNSUPPORTED: libavdevice is not installed, or
 * has none; `name` is the source's, for the error message. The library stays loaded. Any thread. */
int sp_libav_device(const AVInputFormat **out, const char *name, struct sp_error *err);
