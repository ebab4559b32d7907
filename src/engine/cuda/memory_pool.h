/* Memory that the driver is slow to give, kept for the next who asks for as much. Private to the
 * plugin.
 *
 * Pinning memory and unpinning it stop whatever else the driver is asked for, on all devices, for
 * milliseconds, and giving device memory back waits for what runs. So images' memory is taken for
 * many at once, ever more the more there are, and what comes back (when a file is played again, or
 * a camera comes back) stays for the next. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct cuda_slab;

/* The first members are the maker's, constant; the rest is 0, but for the lock. */
struct cuda_pool {
    void *(*get)(int device, size_t bytes); /* the driver's, on a boundary of 256 bytes; or NULL */
    bool (*put_back)(int device, void *memory); /* false: it cannot be, and stays */
    int device;
    pthread_mutex_t lock; /* guards all below */
    struct cuda_slab *slabs;
};

/* Of at least `bytes`, on the driver's boundary; or NULL. Any thread, as the next. */
void *cuda_pool_take(struct cuda_pool *pool, size_t bytes);
/* NULL is fine. */
void cuda_pool_give(struct cuda_pool *pool, void *memory);
