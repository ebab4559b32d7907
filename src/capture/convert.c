#include "capture/convert.h"

#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <pthread.h>
#include <stdlib.h>

enum { ALIGN_BYTES = 64 };

struct memory {
    uint8_t *data;
    size_t bytes;
};

struct shell {
    AVFrame *image;
    struct memory converted, turned;
    struct shell *next_free;
    struct shells *shells;
};

/* Frames may outlive the converter: `users` counts the converter and every shell in use. */
struct shells {
    pthread_mutex_t mutex;
    size_t users;
    struct shell *free_list;
};

/* The formats that the scaler was created for. */
struct scaling {
    int width_px, height_px;
    enum AVPixelFormat from;
    enum sp_color_matrix matrix;
    bool full_range;
};

struct sp_converter {
    struct sp_frame_pool *pool;
    struct shells *shells;
    struct shell *target;
    struct SwsContext *scaler;
    struct scaling scaling;
};

/* Called with the mutex held; releases it. */
static void drop_user(struct shells *shells)
{
    bool last = --shells->users == 0;
    pthread_mutex_unlock(&shells->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&shells->mutex);
    while (shells->free_list) {
        struct shell *shell = shells->free_list;
        shells->free_list = shell->next_free;
        av_frame_free(&shell->image);
        free(shell->converted.data);
        free(shell->turned.data);
        free(shell);
    }
    free(shells);
}

static void give_back(void *owner)
{
    struct shell *shell = owner;
    struct shells *shells = shell->shells;
    av_frame_unref(shell->image);
    pthread_mutex_lock(&shells->mutex);
    shell->next_free = shells->free_list;
    shells->free_list = shell;
    drop_user(shells);
}

static struct shell *new_shell(struct shells *shells)
{
    struct shell *shell = calloc(1, sizeof *shell);
    if (!shell)
        return NULL;
    shell->shells = shells;
    shell->image = av_frame_alloc();
    if (!shell->image) {
        free(shell);
        return NULL;
    }
    return shell;
}

static struct shell *get_shell(struct shells *shells)
{
    pthread_mutex_lock(&shells->mutex);
    struct shell *shell = shells->free_list;
    if (shell)
        shells->free_list = shell->next_free;
    else
        shell = new_shell(shells);
    if (shell)
        shells->users++;
    pthread_mutex_unlock(&shells->mutex);
    return shell;
}

int sp_converter_open(struct sp_converter **out, struct sp_frame_pool *pool, struct sp_error *err)
{
    struct sp_converter *converter = calloc(1, sizeof *converter);
    struct shells *shells = calloc(1, sizeof *shells);
    if (!converter || !shells) {
        free(converter);
        free(shells);
        return sp_fail(err, SP_ERR_NO_MEMORY, "frames: out of memory");
    }
    pthread_mutex_init(&shells->mutex, NULL);
    shells->users = 1;
    converter->shells = shells;
    converter->pool = pool;
    *out = converter;
    return SP_OK;
}

void sp_converter_close(struct sp_converter *converter)
{
    if (!converter)
        return;
    if (converter->target)
        give_back(converter->target);
    sws_freeContext(converter->scaler);
    pthread_mutex_lock(&converter->shells->mutex);
    drop_user(converter->shells);
    free(converter);
}

AVFrame *sp_converter_target(struct sp_converter *converter)
{
    if (!converter->target)
        converter->target = get_shell(converter->shells);
    return converter->target ? converter->target->image : NULL;
}

/* The yuvj formats are the plain ones with full range. */
static enum AVPixelFormat plain_format(enum AVPixelFormat format)
{
    switch (format) {
    case AV_PIX_FMT_YUVJ420P:
        return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
        return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
        return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
        return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P:
        return AV_PIX_FMT_YUV411P;
    default:
        return format;
    }
}

static enum sp_color_matrix matrix_of(const AVFrame *image)
{
    switch (image->colorspace) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_SMPTE240M: /* within 1 % of it */
        return SP_MATRIX_BT709;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return SP_MATRIX_BT2020;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_FCC:
        return SP_MATRIX_BT601;
    default:
        return image->width >= 1280 || image->height > 576 ? SP_MATRIX_BT709 : SP_MATRIX_BT601;
    }
}

static bool is_full_range(const AVFrame *image, bool still)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(image->format);
    if (format && (format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)))
        return false; /* RGB is converted to limited-range YUV */
    if (plain_format(image->format) != (enum AVPixelFormat)image->format)
        return true;
    if (image->color_range != AVCOL_RANGE_UNSPECIFIED)
        return image->color_range == AVCOL_RANGE_JPEG;
    return still && format && format->nb_components <= 2; /* grey, with or without alpha */
}

static bool is_zero_copy(const AVFrame *image)
{
    for (int i = 0; i < 3; i++)
        if (image->linesize[i] < 0) /* upside down; later stages expect positive strides */
            return false;
    switch (image->format) {
    case AV_PIX_FMT_YUV420P:
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_NV12:
    case AV_PIX_FMT_CUDA:     /* NV12 in GPU memory; libav_gpu.c accepts no other format there */
    case AV_PIX_FMT_YUVA420P: /* the alpha plane is ignored */
        return true;
    default:
        return false;
    }
}

static int make_scaler(struct sp_converter *converter, const struct scaling *want,
                       struct sp_error *err)
{
    struct scaling *have = &converter->scaling;
    if (converter->scaler && have->width_px == want->width_px &&
        have->height_px == want->height_px && have->from == want->from &&
        have->matrix == want->matrix && have->full_range == want->full_range)
        return SP_OK;

    sws_freeContext(converter->scaler);
    converter->scaler = NULL;
    const char *name = av_get_pix_fmt_name(want->from);
    if (!sws_isSupportedInput(want->from))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "pixel format %s: not supported; convert the video to yuv420p",
                       name ? name : "unknown");
    converter->scaler =
        sws_getContext(want->width_px, want->height_px, want->from, want->width_px, want->height_px,
                       AV_PIX_FMT_YUV420P, SWS_BILINEAR, NULL, NULL, NULL);
    if (!converter->scaler)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "frames of %dx%d in %s: conversion failed",
                       want->width_px, want->height_px, name ? name : "an unknown format");
    static const int spaces[] = {[SP_MATRIX_BT601] = SWS_CS_ITU601,
                                 [SP_MATRIX_BT709] = SWS_CS_ITU709,
                                 [SP_MATRIX_BT2020] = SWS_CS_BT2020};
    const int *coefficients = sws_getCoefficients(spaces[want->matrix]);
    /* The same matrix and range on both sides: only the sampling changes. */
    sws_setColorspaceDetails(converter->scaler, coefficients, want->full_range, coefficients,
                             want->full_range, 0, 1 << 16, 1 << 16);
    converter->scaling = *want;
    return SP_OK;
}

static size_t round_up(size_t n)
{
    return (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* Points `frame` at I420 planes in the shell's memory. */
static int give_memory(struct memory *memory, struct sp_frame *frame, struct sp_error *err)
{
    size_t luma_stride = round_up((size_t)frame->width_px);
    size_t chroma_stride = round_up(((size_t)frame->width_px + 1) / 2);
    size_t luma = luma_stride * (size_t)frame->height_px;
    size_t chroma = chroma_stride * (((size_t)frame->height_px + 1) / 2);
    size_t need = luma + 2 * chroma + ALIGN_BYTES; /* the scaler may write past a row's end */
    if (memory->bytes < need) {
        free(memory->data);
        memory->bytes = 0;
        memory->data = aligned_alloc(ALIGN_BYTES, round_up(need));
        if (!memory->data)
            return sp_fail(err, SP_ERR_NO_MEMORY, "a frame of %dx%d: out of memory",
                           frame->width_px, frame->height_px);
        memory->bytes = need;
    }
    frame->format = SP_PIXEL_I420;
    frame->plane[0] = memory->data;
    frame->plane[1] = memory->data + luma;
    frame->plane[2] = memory->data + luma + chroma;
    frame->stride_bytes[0] = (int)luma_stride;
    frame->stride_bytes[1] = frame->stride_bytes[2] = (int)chroma_stride;
    return SP_OK;
}

/* The same planes, writable. */
static void writable(const struct memory *memory, const struct sp_frame *frame, uint8_t *planes[4])
{
    for (int i = 0; i < 3; i++)
        planes[i] = memory->data + (frame->plane[i] - frame->plane[0]);
    planes[3] = NULL;
}

static int scale(struct sp_converter *converter, struct shell *shell, struct sp_frame *frame,
                 struct sp_error *err)
{
    AVFrame *image = shell->image;
    struct scaling want = {frame->width_px, frame->height_px, plain_format(image->format),
                           frame->matrix, frame->full_range};
    int rc = make_scaler(converter, &want, err);
    if (rc == SP_OK)
        rc = give_memory(&shell->converted, frame, err);
    if (rc != SP_OK)
        return rc;
    uint8_t *planes[4];
    writable(&shell->converted, frame, planes);
    int strides[4] = {frame->stride_bytes[0], frame->stride_bytes[1], frame->stride_bytes[2], 0};
    int rows = sws_scale(converter->scaler, (const uint8_t *const *)image->data, image->linesize, 0,
                         image->height, planes, strides);
    if (rows != image->height)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "a frame in %s could not be converted",
                       av_get_pix_fmt_name(image->format));
    av_frame_unref(image);
    return SP_OK;
}

/* The frame's planes in display orientation, in the shell's memory. */
static int turn(struct shell *shell, struct sp_orientation orientation, struct sp_frame *frame,
                struct sp_error *err)
{
    struct sp_frame decoded = {
        .format = frame->format, .width_px = frame->width_px, .height_px = frame->height_px};
    for (int i = 0; i < 3; i++) {
        decoded.plane[i] = frame->plane[i];
        decoded.stride_bytes[i] = frame->stride_bytes[i];
    }
    if (orientation.transposed) {
        frame->width_px = decoded.height_px;
        frame->height_px = decoded.width_px;
    }
    int rc = give_memory(&shell->turned, frame, err);
    if (rc != SP_OK)
        return rc;
    uint8_t *planes[4];
    writable(&shell->turned, frame, planes);
    if (!sp_orientation_apply(orientation, &decoded, planes, frame->stride_bytes))
        return sp_fail(err, SP_ERR_UNSUPPORTED, "a frame of %dx%d cannot be rotated",
                       decoded.width_px, decoded.height_px);
    av_frame_unref(shell->image);
    return SP_OK;
}

int sp_converter_finish(struct sp_converter *converter, bool still,
                        struct sp_orientation orientation, struct sp_frame **out,
                        struct sp_error *err)
{
    int rc = SP_OK;
    struct shell *shell = converter->target;
    AVFrame *image = shell->image;
    struct sp_frame *frame = sp_frame_pool_get(converter->pool);
    if (!frame) {
        av_frame_unref(image);
        return sp_fail(err, SP_ERR_NO_MEMORY, "a frame: out of memory");
    }
    frame->width_px = image->width;
    frame->height_px = image->height;
    frame->matrix = matrix_of(image);
    frame->full_range = is_full_range(image, still);
    if (is_zero_copy(image)) {
        bool two_planes = image->format == AV_PIX_FMT_NV12 || image->format == AV_PIX_FMT_CUDA;
        frame->format = two_planes ? SP_PIXEL_NV12 : SP_PIXEL_I420;
        for (int i = 0; i < (two_planes ? 2 : 3); i++) {
            frame->plane[i] = image->data[i];
            frame->stride_bytes[i] = image->linesize[i];
        }
    } else {
        rc = scale(converter, shell, frame, err);
    }
    if (rc == SP_OK && !sp_orientation_is_plain(orientation))
        rc = turn(shell, orientation, frame, err);
    if (rc != SP_OK) {
        av_frame_unref(image);
        sp_frame_unref(frame);
        return rc;
    }
    frame->owner = shell;
    frame->release = give_back;
    converter->target = NULL;
    *out = frame;
    return SP_OK;
}
