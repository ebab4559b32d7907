/* Decoding on a GPU (NVDEC by FFmpeg's CUDA device), for capture/libav* alone.
 *
 * Data flow: the decoder leaves a frame in the GPU's memory -> sp_libav_gpu_take() copies it into
 * a surface of the engine's, so that the decoder's few are free again -> the frame holds that.
 * 8-bit 4:2:0 alone; all else, and what the GPU refuses, is decoded on the CPU as ever. */
#pragma once

#include "capture/source.h"

#include <libavcodec/avcodec.h>

struct sp_libav_gpu;

/* Before avcodec_open2. NULL: this stream is for the CPU; where that was not to be expected, `name`
 * and the reason are logged. */
struct sp_libav_gpu *sp_libav_gpu_open(AVCodecContext *decoder, const AVCodec *codec,
                                       const struct sp_source_gpu *gpu,
                                       const struct sp_source_info *info, const char *name);

/* After the decoder is gone. NULL is fine. */
void sp_libav_gpu_close(struct sp_libav_gpu *gpu);

/* Whether the frame lies in the GPU's memory. */
bool sp_libav_gpu_has(const AVFrame *image);

/* A copy in a surface, for sp_frame_attach(). SP_ERR_NO_MEMORY, SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_libav_gpu_take(struct sp_libav_gpu *gpu, const AVFrame *image, struct spoton_surface **out,
                      struct sp_error *err);

/* Brings the frame to the host. False: it cannot be, and is unchanged. */
bool sp_libav_gpu_bring(AVFrame *image);
