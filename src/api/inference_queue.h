/* The queue of inference requests of other machines: bounded, and fair between clients. Pure; the
 * caller locks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_INFERENCE_CLIENT_BYTES = 64, SP_INFERENCE_QUEUE_MAX = 16, SP_INFERENCE_CLIENTS = 32 };

struct sp_inference_item {
    uint64_t reply; /* for sp_server_reply() */
    char *body;     /* to free */
    size_t bytes, json_bytes;
    int64_t deadline_us;
    char client[SP_INFERENCE_CLIENT_BYTES];
};

struct sp_inference_queue {
    struct sp_inference_item item[SP_INFERENCE_QUEUE_MAX]; /* in the order of arrival */
    int count;
    struct {
        char name[SP_INFERENCE_CLIENT_BYTES];
        uint64_t turn; /* of its last request; 0: unused */
    } client[SP_INFERENCE_CLIENTS];
    uint64_t turns;
};

/* Takes over the body. False: full, or the client has half of it already. */
bool sp_inference_queue_push(struct sp_inference_queue *queue,
                             const struct sp_inference_item *item);
/* The oldest request of the client whose last turn is longest ago. False: empty. */
bool sp_inference_queue_pop(struct sp_inference_queue *queue, struct sp_inference_item *item);
