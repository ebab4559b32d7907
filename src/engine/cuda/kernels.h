/* What runs on the device besides the model: images into its input, its output into boxes.
 *
 * Data flow: planes in device memory -> cuda_letterbox(), one launch for the batch -> the model ->
 * cuda_head(), which scans, sorts and suppresses -> boxes in device memory. For viewers: planes ->
 * cuda_draw() -> planes for JPEG. The numbers are those
 * of detect/letterbox.c (within two levels of 255) and detect/head.c (exactly; so the file is
 * compiled without fused multiply-adds).
 *
 * All calls only enqueue work on the stream, allocate nothing, and can be captured into a graph.
 * They return a cudaError_t as int. */
#pragma once

#include "activation.h"
#include "overlay.h"
#include "scaling.h"
#include "spoton/device.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A image in device memory. width 0: none, the input's part becomes grey. */
struct cuda_image {
    const uint8_t *plane[3];
    int stride_bytes[3];
    int width, height, interleaved_chroma;
    int left, top, scaled_width, scaled_height;
    struct cuda_scaling luma, chroma;
    float luma_offset, luma_gain, red_v, green_u, green_v, blue_u;
};

/* The model's input tensor. */
struct cuda_input {
    void *data;
    int half;  /* f16, else f32 */
    int bytes; /* u8, else by `half` */
    int nhwc, swap_red_blue;
    int width, height;
    float scale;
};

/* images: [images] in device memory. */
int cuda_letterbox(const struct cuda_image *images, int image_count, const struct cuda_input *input,
                   cudaStream_t stream);

/* From u8 RGB in device memory, planar or interleaved. */
int cuda_convert(const uint8_t *rgb, int interleaved, int image_count,
                 const struct cuda_input *input, cudaStream_t stream);

/* Scales, converts and draws into the planes of the overlay's image; everything that it points to
 * is in device memory. */
int cuda_draw(const struct cuda_overlay *overlay, cudaStream_t stream);

/* f16 to f32. */
int cuda_widen(float *to, const void *half, size_t count, cudaStream_t stream);

enum { CUDA_SUMMANDS_MAX = 4 };

/* y = activation(x + bias + before...) + after, with channels last: one pass over memory for what
 * are up to four operations of the graph. Sums are in f32 and rounded once. y may be x. */
struct cuda_bias_act {
    const void *x;
    const float *bias; /* [channels] */
    const void *before[CUDA_SUMMANDS_MAX];
    const void *after; /* or NULL */
    void *y;
    int before_count;
    int half, half_out; /* x and the summands, y: f16, else f32 */
    enum cuda_activation activation;
    float low, high; /* of CLIP */
    int channels;
    size_t count; /* numbers, a multiple of channels */
};

int cuda_bias_act(const struct cuda_bias_act *work, cudaStream_t stream);

enum { CUDA_BOXES_MAX = 512 };

struct cuda_head {
    const void *data; /* [images][...] of the model's output 0 */
    int half;
    int corners, rows_first;
    int classes, anchors;
    float unit_x, unit_y, threshold;
    double nms_iou;
    const uint8_t *class_wanted; /* device, or NULL */
    int candidates_max, boxes_max;
    /* Scratch and results, device. */
    unsigned long long *keys;     /* [images][keys_stride] */
    int keys_stride;              /* a power of two >= anchors */
    struct spoton_box *candidate; /* [images][anchors] */
    int *candidate_count;         /* [images] */
    struct spoton_box *boxes;     /* [images][boxes_max] */
    int *box_count;               /* [images] */
};

int cuda_head(const struct cuda_head *head, int image_count, cudaStream_t stream);

/* Breaks the device's context for this process, as a fault of the device does. For tests. */
int cuda_break(cudaStream_t stream);

#ifdef __cplusplus
}
#endif
