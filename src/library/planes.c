#include "library/planes.h"

#include "library/internal.h"
#include "surface.h"

#include <libyuv.h>
#include <stdlib.h>

enum { SIDE_MAX_PX = 16384, ROW_ALIGN_BYTES = 64 };

struct buffer {
    struct sp_frame_memory *memory;
    struct buffer *next_free;
    size_t bytes;
    uint8_t data[];
};

/* users: the owner and all buffers in use. */
struct sp_frame_memory {
    struct sp_frame_pool *pool;
    pthread_mutex_t mutex; /* guards the rest */
    size_t users;
    struct buffer *free_list;
};

/* ---- buffers ---- */

int sp_frame_memory_open(struct sp_frame_memory **out, struct sp_error *err)
{
    struct sp_frame_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return sp_fail(err, SP_ERR_NO_MEMORY, "frames: out of memory");
    int result = sp_frame_pool_open(&memory->pool, err);
    if (result < 0) {
        free(memory);
        return result;
    }
    pthread_mutex_init(&memory->mutex, NULL);
    memory->users = 1;
    *out = memory;
    return SP_OK;
}

/* With the mutex held, which it unlocks. */
static void drop_user(struct sp_frame_memory *memory)
{
    bool last = --memory->users == 0;
    pthread_mutex_unlock(&memory->mutex);
    if (!last)
        return;
    while (memory->free_list) {
        struct buffer *buffer = memory->free_list;
        memory->free_list = buffer->next_free;
        free(buffer);
    }
    sp_frame_pool_close(memory->pool);
    pthread_mutex_destroy(&memory->mutex);
    free(memory);
}

void sp_frame_memory_close(struct sp_frame_memory *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&memory->mutex);
    drop_user(memory);
}

/* Free buffers of another size are of frames that will not come again. */
static struct buffer *get_buffer(struct sp_frame_memory *memory, size_t bytes)
{
    pthread_mutex_lock(&memory->mutex);
    while (memory->free_list && memory->free_list->bytes != bytes) {
        struct buffer *other = memory->free_list;
        memory->free_list = other->next_free;
        free(other);
    }
    struct buffer *buffer = memory->free_list;
    if (buffer)
        memory->free_list = buffer->next_free;
    else
        buffer = malloc(sizeof *buffer + bytes);
    if (buffer)
        memory->users++;
    pthread_mutex_unlock(&memory->mutex);
    if (!buffer)
        return NULL;
    buffer->memory = memory;
    buffer->bytes = bytes;
    return buffer;
}

static void put_buffer(void *owner)
{
    struct buffer *buffer = owner;
    struct sp_frame_memory *memory = buffer->memory;
    pthread_mutex_lock(&memory->mutex);
    buffer->next_free = memory->free_list;
    memory->free_list = buffer;
    drop_user(memory);
}

/* ---- in ---- */

static int check_planes(const struct spoton_planes *p, struct sp_error *err)
{
    static const int counts[] = {3, 2, 1};
    if (p->format < SPOTON_FORMAT_I420 || p->format > SPOTON_FORMAT_BGR)
        return sp_fail(err, SP_ERR_INVALID, "planes: format %d is unknown; use I420, NV12 or BGR",
                       p->format);
    if (p->width < 1 || p->height < 1 || p->width > SIDE_MAX_PX || p->height > SIDE_MAX_PX)
        return sp_fail(err, SP_ERR_INVALID,
                       "planes: %dx%d is out of range; sides must be 1 to %d pixels", p->width,
                       p->height, SIDE_MAX_PX);
    if (p->matrix < SPOTON_MATRIX_BT601 || p->matrix > SPOTON_MATRIX_BT2020)
        return sp_fail(err, SP_ERR_INVALID, "planes: matrix %d is unknown; see enum spoton_matrix",
                       p->matrix);
    int half = (p->width + 1) / 2;
    int rows[3] = {p->width, half, half};
    if (p->format == SPOTON_FORMAT_NV12)
        rows[1] = 2 * half;
    if (p->format == SPOTON_FORMAT_BGR)
        rows[0] = 3 * p->width;
    for (int i = 0; i < counts[p->format]; i++) {
        if (!p->plane[i])
            return sp_fail(err, SP_ERR_INVALID, "planes: plane %d is missing", i);
        if (p->stride[i] < rows[i])
            return sp_fail(err, SP_ERR_INVALID,
                           "planes: stride %d of plane %d is less than a row of %d bytes",
                           p->stride[i], i, rows[i]);
    }
    return SP_OK;
}

static void describe(struct sp_frame *frame, const struct spoton_planes *p)
{
    bool bgr = p->format == SPOTON_FORMAT_BGR;
    frame->width_px = p->width;
    frame->height_px = p->height;
    frame->format = p->format == SPOTON_FORMAT_NV12 ? SP_PIXEL_NV12 : SP_PIXEL_I420;
    frame->matrix = bgr ? SP_MATRIX_BT601 : (enum sp_color_matrix)p->matrix;
    frame->full_range = bgr || p->full_range;
}

static int align(int bytes)
{
    return (bytes + ROW_ALIGN_BYTES - 1) / ROW_ALIGN_BYTES * ROW_ALIGN_BYTES;
}

/* Lays the planes out from `data`; returns their bytes. NULL: only that. */
static size_t place(struct sp_frame *frame, uint8_t *data)
{
    size_t half_height = ((size_t)frame->height_px + 1) / 2, used = 0;
    int half = (frame->width_px + 1) / 2;
    bool interleaved = frame->format == SP_PIXEL_NV12;
    for (int i = 0; i < (interleaved ? 2 : 3); i++) {
        int stride = align(i == 0 ? frame->width_px : interleaved ? 2 * half : half);
        frame->plane[i] = data ? data + used : NULL;
        frame->stride_bytes[i] = stride;
        used += (size_t)stride * (i == 0 ? (size_t)frame->height_px : half_height);
    }
    return used;
}

static void copy(struct sp_frame *frame, const struct spoton_planes *p, uint8_t *data)
{
    int half = (p->width + 1) / 2, half_height = (p->height + 1) / 2;
    place(frame, data);
    uint8_t *y = (uint8_t *)frame->plane[0], *u = (uint8_t *)frame->plane[1],
            *v = (uint8_t *)frame->plane[2];
    const int *stride = frame->stride_bytes;
    if (p->format == SPOTON_FORMAT_BGR) { /* libyuv's RGB24 is B, G, R in memory */
        RGB24ToJ420(p->plane[0], p->stride[0], y, stride[0], u, stride[1], v, stride[2], p->width,
                    p->height);
        return;
    }
    CopyPlane(p->plane[0], p->stride[0], y, stride[0], p->width, p->height);
    bool interleaved = p->format == SPOTON_FORMAT_NV12;
    CopyPlane(p->plane[1], p->stride[1], u, stride[1], interleaved ? 2 * half : half, half_height);
    if (!interleaved)
        CopyPlane(p->plane[2], p->stride[2], v, stride[2], half, half_height);
}

int sp_frame_memory_fill(struct sp_frame_memory *memory, const struct spoton_planes *planes,
                         bool in_place, struct sp_frame **out, struct sp_error *err)
{
    int result = check_planes(planes, err);
    if (result < 0)
        return result;
    struct sp_frame *frame = sp_frame_pool_get(memory->pool);
    if (!frame)
        return sp_fail(err, SP_ERR_NO_MEMORY, "frame: out of memory");
    describe(frame, planes);
    if (in_place && planes->release && planes->format != SPOTON_FORMAT_BGR) {
        for (int i = 0; i < 3; i++) {
            frame->plane[i] = planes->plane[i];
            frame->stride_bytes[i] = planes->stride[i];
        }
        frame->owner = planes->owner;
        frame->release = planes->release;
    } else {
        struct buffer *buffer = get_buffer(memory, place(frame, NULL));
        if (!buffer) {
            sp_frame_unref(frame);
            return sp_fail(err, SP_ERR_NO_MEMORY, "frame of %dx%d: out of memory", planes->width,
                           planes->height);
        }
        copy(frame, planes, buffer->data);
        frame->owner = buffer;
        frame->release = put_buffer;
    }
    *out = frame;
    return SP_OK;
}

/* ---- out ---- */

static const struct sp_frame *frame_of(const struct spoton_frame *frame)
{
    return (const struct sp_frame *)frame;
}

struct spoton_frame *spoton_frame_ref(const struct spoton_frame *frame)
{
    return (struct spoton_frame *)sp_frame_ref((struct sp_frame *)frame_of(frame));
}

void spoton_frame_unref(struct spoton_frame *frame)
{
    sp_frame_unref((struct sp_frame *)frame);
}

int spoton_frame_planes(const struct spoton_frame *frame, struct spoton_planes *out,
                        struct spoton_error *err)
{
    const struct sp_frame *f = frame_of(frame);
    struct sp_error why = {0};
    int result = sp_frame_fetch(f, &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    struct spoton_planes planes = {
        .struct_bytes = sizeof planes,
        .format = f->format == SP_PIXEL_NV12 ? SPOTON_FORMAT_NV12 : SPOTON_FORMAT_I420,
        .width = f->width_px,
        .height = f->height_px,
        .matrix = (int)f->matrix,
        .full_range = f->full_range,
    };
    for (int i = 0; i < (f->format == SP_PIXEL_NV12 ? 2 : 3); i++) {
        planes.plane[i] = f->plane[i];
        planes.stride[i] = f->stride_bytes[i];
    }
    size_t known = out->struct_bytes;
    if (known < sizeof known)
        return sp_library_return(
            err, sp_fail(&why, SP_ERR_INVALID, "planes: struct_bytes is not set"), &why);
    memcpy(out, &planes, known < sizeof planes ? known : sizeof planes);
    out->struct_bytes = known;
    return SPOTON_OK;
}

/* libyuv's RGB24 is B, G, R in memory with these matrices. */
static const struct YuvConstants *blue_first(const struct sp_frame *frame)
{
    switch (frame->matrix) {
    case SP_MATRIX_BT709:
        return frame->full_range ? &kYuvF709Constants : &kYuvH709Constants;
    case SP_MATRIX_BT2020:
        return frame->full_range ? &kYuvV2020Constants : &kYuv2020Constants;
    case SP_MATRIX_BT601:
        break;
    }
    return frame->full_range ? &kYuvJPEGConstants : &kYuvI601Constants;
}

int spoton_frame_bgr(const struct spoton_frame *frame, uint8_t *to, int stride,
                     struct spoton_error *err)
{
    const struct sp_frame *f = frame_of(frame);
    struct sp_error why = {0};
    int result = SP_OK;
    if (!to || stride < 3 * f->width_px)
        result = sp_fail(&why, SP_ERR_INVALID, "frame: stride %d is less than a row of %d bytes",
                         stride, 3 * f->width_px);
    if (result == SP_OK)
        result = sp_frame_fetch(f, &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    if (f->format == SP_PIXEL_NV12)
        NV12ToRGB24Matrix(f->plane[0], f->stride_bytes[0], f->plane[1], f->stride_bytes[1], to,
                          stride, blue_first(f), f->width_px, f->height_px);
    else
        I420ToRGB24Matrix(f->plane[0], f->stride_bytes[0], f->plane[1], f->stride_bytes[1],
                          f->plane[2], f->stride_bytes[2], to, stride, blue_first(f), f->width_px,
                          f->height_px);
    return SPOTON_OK;
}
