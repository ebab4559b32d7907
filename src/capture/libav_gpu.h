/* Decoding on a GPU (NVDEC by FFmpeg's CUDA device), for capture/libav* only.
 *
 * Data flow: the decoder writes a frame to GPU memory -> sp_libav_gpu_take() copies it to a surface
 * of the engine, which frees the decoder's surface -> the frame holds the engine's surface.
 * 8-bit 4:2:0 only; everything else, and what the GPU rejects, is decoded on the CPU. */
#pragma once

#include "capture/source.h"

#include <libavcodec/avcodec.h>

struct sp_libav_gpu;

/* Before avcodec_open2. NULL: decode this stream on the CPU; if that is unexpected, the reason is
 * logged with `name`. */
struct sp_libav_gpu *sp_libav_gpu_open(AVCodecContext *decoder, const AVCodec *codec,
                                       const struct sp_source_gpu *gpu,
                                       const struct sp_source_info *info, const char *name);

/* After the decoder is closed. NULL is fine. */
void sp_libav_gpu_close(struct sp_libav_gpu *gpu);

/* Whether the frame is in GPU memory. */
bool sp_libav_gpu_has(const AVFrame *image);

/* A copy in a surface, for sp_frame_attach(). SP_ERR_NO_MEMORY, SP_ERR_DEVICE, SP_ERR_ENGINE. */
int sp_libav_gpu_take(struct sp_libav_gpu *gpu, const AVFrame *image, struct spoton_surface **out,
                      struct sp_error *err);

/* Copies the frame to the host. False: that failed, and the frame is unchanged. */
bool sp_libav_gpu_bring(AVFrame *image);
