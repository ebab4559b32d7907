#include "result.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>

/* users: the owner plus all results in use. The last one frees the pool. */
struct sp_result_pool {
    pthread_mutex_t mutex;
    size_t users;
    struct sp_result *free_list;
};

int sp_result_pool_open(struct sp_result_pool **out, struct sp_error *err)
{
    struct sp_result_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return sp_fail(err, SP_ERR_NO_MEMORY, "result pool: out of memory");
    pthread_mutex_init(&pool->mutex, NULL);
    pool->users = 1;
    *out = pool;
    return SP_OK;
}

/* Called with the mutex locked; unlocks it. */
static void drop_user(struct sp_result_pool *pool)
{
    bool last = --pool->users == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&pool->mutex);
    while (pool->free_list) {
        struct sp_result *result = pool->free_list;
        pool->free_list = result->next_free;
        free(result);
    }
    free(pool);
}

void sp_result_pool_close(struct sp_result_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    drop_user(pool);
}

/* Tracks and positions keep what they had: only track_count of them are valid. */
static void describe(struct sp_result *result, const struct sp_frame *frame)
{
    result->camera = frame->camera;
    result->sequence = frame->sequence;
    result->pts_us = frame->pts_us;
    result->received_us = frame->received_us;
    result->wall_us = sp_clock_wall_us() - (sp_clock_us() - frame->received_us);
    result->inferred = result->failed = false;
    result->reason = NULL;
    result->width_px = frame->width_px;
    result->height_px = frame->height_px;
    sp_frame_square_size(frame, &result->seen_width_px, &result->seen_height_px);
    result->name[0] = '\0';
    result->generation = result->serial = 0;
    result->published_us = 0;
    result->track_count = 0;
    result->has_world_positions = false;
}

struct sp_result *sp_result_new(struct sp_result_pool *pool, const struct sp_frame *frame)
{
    pthread_mutex_lock(&pool->mutex);
    struct sp_result *result = pool->free_list;
    if (result)
        pool->free_list = result->next_free;
    else
        result = malloc(sizeof *result);
    if (result)
        pool->users++;
    pthread_mutex_unlock(&pool->mutex);
    if (!result)
        return NULL;
    result->pool = pool;
    atomic_init(&result->refs, 1);
    describe(result, frame);
    return result;
}

struct sp_result *sp_result_ref(struct sp_result *result)
{
    atomic_fetch_add_explicit(&result->refs, 1, memory_order_relaxed);
    return result;
}

void sp_result_unref(struct sp_result *result)
{
    if (!result || atomic_fetch_sub_explicit(&result->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct sp_result_pool *pool = result->pool;
    pthread_mutex_lock(&pool->mutex);
    result->next_free = pool->free_list;
    pool->free_list = result;
    drop_user(pool);
}
