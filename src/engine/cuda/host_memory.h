/* Pinned memory for decoders' pictures, for all cameras of the process. Private to the plugin.
 *
 * Pinning and unpinning stop whatever else the driver is asked for, on all devices, for
 * milliseconds. So pictures are pinned many at once, ever more the more there are, and what comes
 * back (when a file is played again, or a camera comes back) is kept for the next that asks for as
 * much. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct cuda_host_source {
    void *(*pin)(size_t bytes);  /* or NULL */
    bool (*unpin)(void *memory); /* false: it cannot be, and stays */
};

/* Of at least `bytes`, on a boundary of a page; or NULL. Any thread, as the next. */
void *cuda_host_take(const struct cuda_host_source *source, size_t bytes);
/* NULL is fine. */
void cuda_host_give(const struct cuda_host_source *source, void *memory);
