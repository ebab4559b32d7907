#include "frame.h"

#include <libyuv.h>

#include <math.h>
#include <stdlib.h>

/* users: the owner plus all frames in use. The last one frees the pool. */
struct sp_frame_pool {
    pthread_mutex_t mutex;
    size_t users;
    struct sp_frame *free_list;
};

int sp_frame_pool_open(struct sp_frame_pool **out, struct sp_error *err)
{
    struct sp_frame_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return sp_fail(err, SP_ERR_NO_MEMORY, "frame pool: out of memory");
    pthread_mutex_init(&pool->mutex, NULL);
    pool->users = 1;
    *out = pool;
    return SP_OK;
}

/* Called with the mutex locked; unlocks it. */
static void drop_user(struct sp_frame_pool *pool)
{
    bool last = --pool->users == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&pool->mutex);
    while (pool->free_list) {
        struct sp_frame *frame = pool->free_list;
        pool->free_list = frame->next_free;
        free(frame->means_memory);
        free(frame);
    }
    free(pool);
}

void sp_frame_pool_close(struct sp_frame_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    drop_user(pool);
}

struct sp_frame *sp_frame_pool_get(struct sp_frame_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    struct sp_frame *frame = pool->free_list;
    if (frame)
        pool->free_list = frame->next_free;
    else
        frame = calloc(1, sizeof *frame);
    if (frame)
        pool->users++;
    pthread_mutex_unlock(&pool->mutex);
    if (!frame)
        return NULL;
    *frame = (struct sp_frame){.pool = pool,
                               .fetching = PTHREAD_MUTEX_INITIALIZER,
                               .means_memory = frame->means_memory,
                               .means_count = frame->means_count};
    atomic_init(&frame->refs, 1);
    return frame;
}

struct sp_frame *sp_frame_ref(struct sp_frame *frame)
{
    atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

void sp_frame_unref(struct sp_frame *frame)
{
    if (!frame || atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (frame->release)
        frame->release(frame->owner);
    pthread_mutex_destroy(&frame->fetching);
    struct sp_frame_pool *pool = frame->pool;
    pthread_mutex_lock(&pool->mutex);
    frame->next_free = pool->free_list;
    pool->free_list = frame;
    drop_user(pool);
}

int sp_frame_hold_means(struct sp_frame *frame, int width, int height)
{
    size_t count = (size_t)width * (size_t)height;
    if (count > frame->means_count) {
        int16_t *memory = realloc(frame->means_memory, count * sizeof *memory);
        if (!memory)
            return SP_ERR_NO_MEMORY;
        frame->means_memory = memory;
        frame->means_count = count;
    }
    frame->means = frame->means_memory;
    frame->means_width = width;
    frame->means_height = height;
    return SP_OK;
}

void sp_frame_square_size(const struct sp_frame *frame, double *width_px, double *height_px)
{
    int wide = frame->pixel_aspect[0], high = frame->pixel_aspect[1];
    *width_px = frame->width_px;
    *height_px = frame->height_px;
    if (wide <= 0 || high <= 0)
        return;
    if (wide > high)
        *width_px = *width_px * wide / high;
    else
        *height_px = *height_px * high / wide;
}

void sp_frame_square_size_px(const struct sp_frame *frame, int *width_px, int *height_px)
{
    double width, height;
    sp_frame_square_size(frame, &width, &height);
    *width_px = (int)lround(width);
    *height_px = (int)lround(height);
}

/* libyuv's "Yvu" matrices have the columns of U and V exchanged. */
const struct YuvConstants *sp_frame_red_first(const struct sp_frame *frame)
{
    switch (frame->matrix) {
    case SP_MATRIX_BT709:
        return frame->full_range ? &kYvuF709Constants : &kYvuH709Constants;
    case SP_MATRIX_BT2020:
        return frame->full_range ? &kYvuV2020Constants : &kYvu2020Constants;
    case SP_MATRIX_BT601:
        break;
    }
    return frame->full_range ? &kYvuJPEGConstants : &kYvuI601Constants;
}
