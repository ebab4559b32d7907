#include "capture/libav_memory.h"

#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <stdlib.h>

enum { ALIGN_BYTES = 64, SLACK_BYTES = 64, BLOCKS_MAX = 128 };

struct sp_libav_memory {
    struct sp_source_memory from;
    pthread_mutex_t mutex; /* guards the rest: decoder threads allocate frames concurrently */
    AVBufferPool *pool;
    enum AVPixelFormat format;
    int width_px, height_px; /* of the pool's frames, with the decoder's padding */
    int linesize[4];
    size_t plane_bytes[4];
    struct { /* of the pool */
        const uint8_t *bytes;
        size_t size;
    } block[BLOCKS_MAX];
    int blocks;
};

/* Object and function pointers have one size on every POSIX system; ISO C has no cast for it. */
union release {
    void *opaque;
    void (*call)(void *memory);
};

static void free_block(void *opaque, uint8_t *bytes)
{
    union release release = {.opaque = opaque};
    release.call(bytes);
}

/* The pool's allocator, called with the mutex held by get_buffer(). */
static AVBufferRef *take_block(void *opaque, size_t size)
{
    struct sp_libav_memory *memory = opaque;
    if (memory->blocks == BLOCKS_MAX)
        return NULL;
    uint8_t *bytes = memory->from.alloc(size);
    if (!bytes)
        return NULL;
    union release release = {.call = memory->from.release};
    AVBufferRef *buffer = av_buffer_create(bytes, size, free_block, release.opaque, 0);
    if (!buffer) {
        memory->from.release(bytes);
        return NULL;
    }
    memory->block[memory->blocks].bytes = bytes;
    memory->block[memory->blocks++].size = size;
    return buffer;
}

/* The layout of avcodec_default_get_buffer2. */
static bool make_pool(struct sp_libav_memory *memory, AVCodecContext *decoder, const AVFrame *frame)
{
    int width = frame->width, height = frame->height, align[AV_NUM_DATA_POINTERS];
    ptrdiff_t linesizes[4];
    size_t total = 0;
    bool aligned;
    avcodec_align_dimensions2(decoder, &width, &height, align);
    do {
        if (av_image_fill_linesizes(memory->linesize, frame->format, width) < 0)
            return false;
        aligned = true;
        for (int i = 0; i < 4; i++)
            aligned = aligned && memory->linesize[i] % ALIGN_BYTES == 0;
        width += width & ~(width - 1);
    } while (!aligned);
    for (int i = 0; i < 4; i++)
        linesizes[i] = memory->linesize[i];
    if (av_image_fill_plane_sizes(memory->plane_bytes, frame->format, height, linesizes) < 0)
        return false;
    for (int i = 0; i < 4; i++) {
        if (memory->plane_bytes[i] > 0)
            memory->plane_bytes[i] = FFALIGN(memory->plane_bytes[i] + SLACK_BYTES, ALIGN_BYTES);
        total += memory->plane_bytes[i];
    }
    av_buffer_pool_uninit(&memory->pool);
    memory->blocks = 0;
    memory->format = frame->format;
    memory->width_px = frame->width;
    memory->height_px = frame->height;
    memory->pool = av_buffer_pool_init2(total, memory, take_block, NULL);
    return memory->pool != NULL;
}

static bool take_image(struct sp_libav_memory *memory, AVCodecContext *decoder, AVFrame *frame)
{
    if (!memory->pool || memory->format != frame->format || memory->width_px != frame->width ||
        memory->height_px != frame->height) {
        if (!make_pool(memory, decoder, frame)) {
            av_buffer_pool_uninit(&memory->pool);
            return false;
        }
    }
    frame->buf[0] = av_buffer_pool_get(memory->pool);
    if (!frame->buf[0])
        return false;
    uint8_t *at = frame->buf[0]->data;
    for (int i = 0; i < 4; i++) {
        frame->data[i] = memory->plane_bytes[i] > 0 ? at : NULL;
        frame->linesize[i] = memory->linesize[i];
        at += memory->plane_bytes[i];
    }
    frame->extended_data = frame->data;
    return true;
}

/* The decoder's get_buffer2 callback. Falls back to the default allocator. */
static int get_buffer(AVCodecContext *decoder, AVFrame *frame, int flags)
{
    struct sp_libav_memory *memory = decoder->opaque;
    bool plain = frame->format == AV_PIX_FMT_YUV420P || frame->format == AV_PIX_FMT_YUVJ420P ||
                 frame->format == AV_PIX_FMT_NV12;
    if (!plain || !(decoder->codec->capabilities & AV_CODEC_CAP_DR1))
        return avcodec_default_get_buffer2(decoder, frame, flags);
    pthread_mutex_lock(&memory->mutex);
    bool taken = take_image(memory, decoder, frame);
    pthread_mutex_unlock(&memory->mutex);
    return taken ? 0 : avcodec_default_get_buffer2(decoder, frame, flags);
}

int sp_libav_memory_open(struct sp_libav_memory **out, AVCodecContext *decoder,
                         const struct sp_source_memory *memory, struct sp_error *err)
{
    if (!memory->alloc)
        return SP_OK;
    struct sp_libav_memory *m = calloc(1, sizeof *m);
    if (!m)
        return sp_fail(err, SP_ERR_NO_MEMORY, "frames: out of memory");
    m->from = *memory;
    pthread_mutex_init(&m->mutex, NULL);
    decoder->opaque = m;
    decoder->get_buffer2 = get_buffer;
    *out = m;
    return SP_OK;
}

void sp_libav_memory_close(struct sp_libav_memory *memory)
{
    if (!memory)
        return;
    av_buffer_pool_uninit(&memory->pool); /* buffers in use keep the pool's memory alive */
    pthread_mutex_destroy(&memory->mutex);
    free(memory);
}

bool sp_libav_memory_has(struct sp_libav_memory *memory, const uint8_t *plane)
{
    bool found = false;
    if (!memory)
        return false;
    pthread_mutex_lock(&memory->mutex);
    for (int i = 0; i < memory->blocks && !found; i++)
        found = plane >= memory->block[i].bytes &&
                plane < memory->block[i].bytes + memory->block[i].size;
    pthread_mutex_unlock(&memory->mutex);
    return found;
}
