/* How FFmpeg says a frame is to be shown: turned, mirrored, with pixels that are no squares. For
 * capture/libav* alone. */
#pragma once

#include "capture/orientation.h"

#include <libavcodec/version.h>
#include <libavformat/avformat.h>

/* Of the whole stream, from its container. */
struct sp_orientation sp_libav_stream_orientation(const AVStream *stream);

/* Of this frame: its own (a message of the codec, EXIF), else the stream's. */
struct sp_orientation sp_libav_frame_orientation(const AVFrame *image,
                                                 struct sp_orientation of_stream);

/* Width of a pixel to its height as it was decoded; {0, 1}: a square, or nonsense. `still`: of a
 * still-image codec, whose own figure is a print's resolution more often than an aspect: only the
 * container's counts. */
AVRational sp_libav_pixel_aspect(AVFormatContext *format, AVStream *stream, AVFrame *image,
                                 bool still);
