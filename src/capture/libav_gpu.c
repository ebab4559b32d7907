#include "capture/libav_gpu.h"

#include "base/log.h"

#include <libavutil/hwcontext.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>

/* FFmpeg's header needs three CUDA type names; builds without CUDA do not have its headers. */
#define CUDA_VERSION 0
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
#include <libavutil/hwcontext_cuda.h>

/* Beyond the decoder's own: one that is being copied, and one ahead. */
enum { SURFACES_AHEAD = 2 };

struct sp_libav_gpu {
    const struct spoton_engine_api *api;
    struct spoton_decoding *decoding;
};

static bool can_decode(const AVCodec *codec)
{
    const AVCodecHWConfig *config;
    for (int i = 0; (config = avcodec_get_hw_config(codec, i)); i++)
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
            (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX))
            return true;
    return false;
}

/* The decoder's get_format callback; called again without the GPU format when the GPU rejects the
 * stream. */
static enum AVPixelFormat choose_format(AVCodecContext *decoder, const enum AVPixelFormat *formats)
{
    bool plain = decoder->sw_pix_fmt == AV_PIX_FMT_YUV420P ||
                 decoder->sw_pix_fmt == AV_PIX_FMT_YUVJ420P ||
                 decoder->sw_pix_fmt == AV_PIX_FMT_NV12;
    const enum AVPixelFormat *software = NULL;
    for (const enum AVPixelFormat *f = formats; *f != AV_PIX_FMT_NONE; f++) {
        const AVPixFmtDescriptor *about = av_pix_fmt_desc_get(*f);
        if (plain && *f == AV_PIX_FMT_CUDA)
            return *f;
        if (!software && about && !(about->flags & AV_PIX_FMT_FLAG_HWACCEL))
            software = f;
    }
    return software ? *software : AV_PIX_FMT_NONE;
}

static AVBufferRef *make_device(void *context, void *stream)
{
    AVBufferRef *device = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA);
    if (!device)
        return NULL;
    AVCUDADeviceContext *cuda = ((AVHWDeviceContext *)device->data)->hwctx;
    cuda->cuda_ctx = context;
    cuda->stream = stream;
    if (av_hwdevice_ctx_init(device) < 0)
        av_buffer_unref(&device);
    return device;
}

static bool attach(struct sp_libav_gpu *g, AVCodecContext *decoder, const struct sp_source_gpu *gpu,
                   int device, char *why, size_t why_bytes)
{
    void *context, *stream;
    if (g->api->device_api->decoding_open(&g->decoding, device, gpu->backend_options, &context,
                                          &stream, why, why_bytes) < 0)
        return false;
    why[0] = '\0';
    if (!context)
        return false;
    decoder->hw_device_ctx = make_device(context, stream);
    if (!decoder->hw_device_ctx)
        snprintf(why, why_bytes, "this FFmpeg cannot (built without CUDA, or no libnvcuvid.so.1)");
    return decoder->hw_device_ctx != NULL;
}

struct sp_libav_gpu *sp_libav_gpu_open(AVCodecContext *decoder, const AVCodec *codec,
                                       const struct sp_source_gpu *gpu,
                                       const struct sp_source_info *info, const char *name)
{
    char why[256] = "out of memory";
    if (!gpu->api || !can_decode(codec))
        return NULL;
    int device = gpu->choose_device(gpu->user, info);
    if (device < 0)
        return NULL;
    struct sp_libav_gpu *g = calloc(1, sizeof *g);
    if (g)
        g->api = gpu->api;
    if (!g || !attach(g, decoder, gpu, device, why, sizeof why)) {
        if (why[0])
            sp_log(SP_LOG_WARNING, "%s: decoded on the CPU, not on GPU %d: %s", name, device, why);
        sp_libav_gpu_close(g);
        return NULL;
    }
    decoder->get_format = choose_format;
    decoder->extra_hw_frames = SURFACES_AHEAD;
    decoder->thread_count = 1; /* the GPU decodes; more threads only add delay */
    return g;
}

void sp_libav_gpu_close(struct sp_libav_gpu *gpu)
{
    if (!gpu)
        return;
    gpu->api->device_api->decoding_close(gpu->decoding);
    free(gpu);
}

bool sp_libav_gpu_has(const AVFrame *image)
{
    return image->format == AV_PIX_FMT_CUDA;
}

int sp_libav_gpu_take(struct sp_libav_gpu *gpu, const AVFrame *image, struct spoton_surface **out,
                      struct sp_error *err)
{
    struct spoton_image where = {
        .plane = {image->data[0], image->data[1]},
        .stride_bytes = {image->linesize[0], image->linesize[1]},
        .width = image->width,
        .height = image->height,
        .interleaved_chroma = 1,
    };
    return sp_surface_take(out, gpu->api, gpu->decoding, &where, err);
}

bool sp_libav_gpu_bring(AVFrame *image)
{
    AVFrame *host = av_frame_alloc();
    bool done = host && av_hwframe_transfer_data(host, image, 0) >= 0 &&
                av_frame_copy_props(host, image) >= 0;
    if (done) {
        av_frame_unref(image);
        av_frame_move_ref(image, host);
    }
    av_frame_free(&host);
    return done;
}
