/* A bounded first-in first-out queue of pointers, for any number of producers and consumers.
 *
 * Data flow: producer ─push─► [ring of `capacity` pointers] ─pop─► consumer. A pushed pointer
 * belongs to the queue until it is popped. Closing refuses further pushes; what is inside can still
 * be popped, then pop returns SP_ERR_CLOSED, so that stages stop from upstream to downstream
 * without loss. All functions except open and free are thread-safe. No allocation after open. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct sp_queue;

/* capacity >= 1. SP_ERR_NO_MEMORY. */
int sp_queue_open(struct sp_queue **out, size_t capacity, struct sp_error *err);

/* No thread may use the queue any more; pointers still inside are not freed. NULL is allowed. */
void sp_queue_free(struct sp_queue *queue);

/* Waits until there is space. SP_ERR_CLOSED: not pushed, the caller keeps the pointer. */
int sp_queue_push(struct sp_queue *queue, void *item);

/* Never waits. SP_ERR_TIMEOUT when full, SP_ERR_CLOSED. */
int sp_queue_try_push(struct sp_queue *queue, void *item);

/* Waits for an item, at most timeout_us (negative: without limit, 0: not at all).
 * SP_ERR_TIMEOUT; SP_ERR_CLOSED when closed and empty. */
int sp_queue_pop(struct sp_queue *queue, void **item, int64_t timeout_us);

/* Wakes all waiting threads. Idempotent. */
void sp_queue_close(struct sp_queue *queue);

size_t sp_queue_depth(struct sp_queue *queue);
