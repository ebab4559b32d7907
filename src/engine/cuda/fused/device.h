/* Kernels of the fused executor: all that is no dense convolution. f16 with channels last, channels
 * a multiple of 8, or f32 as ONNX has it ("dense"). They only enqueue, allocate nothing and can be
 * captured. Each returns a cudaError_t as int. Need compute capability 8.0. */
#pragma once

#include "../kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Channels of a buffer: data is that of the first of them, pitch the buffer's channels. */
struct fused_pixels {
    void *data; /* NULL: none */
    int height, width, pitch;
};

struct fused_after { /* y = activation(v) + residual */
    enum cuda_activation activation;
    float low, high;
    struct fused_pixels residual;
};

/* The first convolution, 3x3 by 1 or 6x6 by 2 of padding, stride 2, from f16 [h][w][3]. */
enum { FUSED_STEM_COLUMNS_MAX = 112 };
int fused_stem_columns(int kernel); /* numbers of a channel's weights as the kernel has them */
void fused_stem_pack(int kernel, int channels, const float *weights /* [c][k][k][3] */,
                     float *packed /* [c][columns] */);
int fused_stem(const void *input, int height, int width, int kernel, const void *weights,
               const float *bias, struct fused_pixels y, int channels, struct fused_after after,
               int images, cudaStream_t stream);

/* weights f16 [k][k][channels]. x has its channels in groups when group_stride > 0. */
struct fused_depthwise {
    struct fused_pixels x, y;
    const void *weights;
    const float *bias;
    struct fused_after after;
    int kernel, stride, before, channels;
    int group_stride, group_offset, group_width;
};
int fused_depthwise(const struct fused_depthwise *work, int images, cudaStream_t stream);

/* 1x1 to f32: weights are packed, with more than f16's precision. y is [channels][pixels]. */
size_t fused_head_packed(int in, int out); /* f16 numbers */
void fused_head_pack(int in, int out, const float *weights, uint16_t *packed);
int fused_head(struct fused_pixels x, int in, int out, const void *packed, const float *bias,
               float *y, int images, cudaStream_t stream);

int fused_upsample(struct fused_pixels x, struct fused_pixels y, int channels, int images,
                   cudaStream_t stream);
int fused_pool(struct fused_pixels x, struct fused_pixels y, const int kernel[2],
               const int stride[2], const int before[2], int channels, int images,
               cudaStream_t stream);
int fused_sppf(struct fused_pixels x, struct fused_pixels y, struct fused_pixels y2,
               struct fused_pixels y3, int channels, int images, cudaStream_t stream);

/* Heads of 32 numbers a query and key and 64 a value: x holds them one head after the other. */
enum { FUSED_KEY = 32, FUSED_VALUE = 64 };
int fused_attention(struct fused_pixels x, struct fused_pixels y, int heads, float scale,
                    int images, cudaStream_t stream);

/* y = activation(x + residual), where either is left out: a copy. */
int fused_add(struct fused_pixels x, struct fused_pixels y, struct fused_after after, int channels,
              int images, cudaStream_t stream);

int fused_dense(struct fused_pixels x, float *y, int channels, int images, cudaStream_t stream);

/* The `best` largest of `count`, falling, and where they stand; either may be NULL. */
int fused_topk(const float *x, int count, int best, float *values, float *places, int images,
               cudaStream_t stream);

/* *largest (bits of a float, at first 0) gets the largest magnitude; NaN is larger than all. */
int fused_largest(struct fused_pixels x, int channels, int images, unsigned *largest,
                  cudaStream_t stream);

uint16_t fused_to_half(float x);

#ifdef __cplusplus
}
#endif
