#include "memory_pool.h"

#include <stdint.h>
#include <stdlib.h>

enum { PAGE_BYTES = 4096, BLOCKS_LEAST = 8, BLOCKS_MOST = 64 };

/* Idle memory in wholly unused slabs, above which they are freed. */
static const size_t IDLE_BYTES_MAX = (size_t)1 << 30;

struct cuda_slab { /* blocks of one size, got at once */
    struct cuda_slab *next;
    uint8_t *memory;
    size_t block_bytes;
    int blocks, used;
    uint64_t taken; /* a bit a block */
};

static size_t slab_bytes(const struct cuda_slab *slab)
{
    return slab->block_bytes * (size_t)slab->blocks;
}

static void *take_block(struct cuda_slab *slab)
{
    int index = 0;
    while (slab->taken >> index & 1)
        ++index;
    slab->taken |= UINT64_C(1) << index;
    ++slab->used;
    return slab->memory + (size_t)index * slab->block_bytes;
}

/* A quarter of what there is of that size; fewer when memory is short. */
static struct cuda_slab *add_slab(struct cuda_pool *pool, size_t block_bytes, int there)
{
    struct cuda_slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        return NULL;
    slab->block_bytes = block_bytes;
    slab->blocks = there / 4 < BLOCKS_LEAST ? BLOCKS_LEAST : there / 4;
    if (slab->blocks > BLOCKS_MOST)
        slab->blocks = BLOCKS_MOST;
    while (slab->blocks > 0 && !(slab->memory = pool->get(pool->device, slab_bytes(slab))))
        slab->blocks /= 2;
    if (!slab->memory) {
        free(slab);
        return NULL;
    }
    slab->next = pool->slabs;
    pool->slabs = slab;
    return slab;
}

void *cuda_pool_take(struct cuda_pool *pool, size_t bytes)
{
    size_t block_bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    void *memory = NULL;
    int there = 0;
    if (block_bytes < bytes || block_bytes > SIZE_MAX / BLOCKS_MOST)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    for (struct cuda_slab *slab = pool->slabs; slab && !memory; slab = slab->next) {
        if (slab->block_bytes != block_bytes)
            continue;
        there += slab->blocks;
        if (slab->used < slab->blocks)
            memory = take_block(slab);
    }
    if (!memory) {
        struct cuda_slab *slab = add_slab(pool, block_bytes, there);
        memory = slab ? take_block(slab) : NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    return memory;
}

/* Other sizes' first: what was used last is asked for again soonest. */
static void put_back_idle(struct cuda_pool *pool, size_t used_last)
{
    size_t idle = 0;
    for (const struct cuda_slab *slab = pool->slabs; slab; slab = slab->next)
        idle += slab->used ? 0 : slab_bytes(slab);
    for (int any_size = 0; any_size < 2; ++any_size) {
        for (struct cuda_slab **at = &pool->slabs; *at && idle > IDLE_BYTES_MAX;) {
            struct cuda_slab *slab = *at;
            bool stays = slab->used > 0 || (!any_size && slab->block_bytes == used_last) ||
                         !pool->put_back(pool->device, slab->memory);
            if (stays) {
                at = &slab->next;
                continue;
            }
            *at = slab->next;
            idle -= slab_bytes(slab);
            free(slab);
        }
    }
}

void cuda_pool_give(struct cuda_pool *pool, void *memory)
{
    const uint8_t *block = memory;
    pthread_mutex_lock(&pool->lock);
    for (struct cuda_slab *slab = pool->slabs; slab && memory; slab = slab->next) {
        if (block < slab->memory || block >= slab->memory + slab_bytes(slab))
            continue;
        size_t index = (size_t)(block - slab->memory) / slab->block_bytes;
        slab->taken &= ~(UINT64_C(1) << index);
        --slab->used;
        if (slab->used == 0)
            put_back_idle(pool, slab->block_bytes);
        break;
    }
    pthread_mutex_unlock(&pool->lock);
}
