/* How FFmpeg declares a frame's display: rotation, mirroring, pixel aspect ratio. For
 * capture/libav* only. */
#pragma once

#include "capture/orientation.h"

#include <libavcodec/version.h>
#include <libavformat/avformat.h>

/* Of the whole stream, from its container. */
struct sp_orientation sp_libav_stream_orientation(const AVStream *stream);

/* Of this frame: its own (codec side data, EXIF), else the stream's. */
struct sp_orientation sp_libav_frame_orientation(const AVFrame *image,
                                                 struct sp_orientation of_stream);

/* Pixel aspect ratio (width to height) of the decoded frame; {0, 1}: square, or invalid. `still`:
 * of a still-image codec, whose own value is more often a print resolution than an aspect: only the
 * container's counts. */
AVRational sp_libav_pixel_aspect(AVFormatContext *format, AVStream *stream, AVFrame *image,
                                 bool still);
