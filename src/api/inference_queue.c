#include "api/inference_queue.h"

#include <stdio.h>
#include <string.h>

bool sp_inference_queue_push(struct sp_inference_queue *queue, const struct sp_inference_item *item)
{
    int own = 0;
    for (int i = 0; i < queue->count; i++)
        own += strcmp(queue->item[i].client, item->client) == 0;
    if (queue->count == SP_INFERENCE_QUEUE_MAX || own >= SP_INFERENCE_QUEUE_MAX / 2)
        return false;
    queue->item[queue->count++] = *item;
    return true;
}

static uint64_t last_turn(const struct sp_inference_queue *queue, const char *client)
{
    for (int i = 0; i < SP_INFERENCE_CLIENTS; i++)
        if (queue->client[i].turn && strcmp(queue->client[i].name, client) == 0)
            return queue->client[i].turn;
    return 0;
}

static void note_turn(struct sp_inference_queue *queue, const char *client)
{
    int at = 0;
    for (int i = 0; i < SP_INFERENCE_CLIENTS; i++) {
        if (queue->client[i].turn && strcmp(queue->client[i].name, client) == 0) {
            at = i;
            break;
        }
        if (queue->client[i].turn < queue->client[at].turn)
            at = i;
    }
    snprintf(queue->client[at].name, sizeof queue->client[at].name, "%s", client);
    queue->client[at].turn = ++queue->turns;
}

bool sp_inference_queue_pop(struct sp_inference_queue *queue, struct sp_inference_item *item)
{
    int best = -1;
    uint64_t best_turn = UINT64_MAX;
    for (int i = 0; i < queue->count; i++) {
        uint64_t turn = last_turn(queue, queue->item[i].client);
        if (turn < best_turn) {
            best = i;
            best_turn = turn;
        }
    }
    if (best < 0)
        return false;
    *item = queue->item[best];
    queue->count--;
    memmove(&queue->item[best], &queue->item[best + 1],
            (size_t)(queue->count - best) * sizeof queue->item[0]);
    note_turn(queue, item->client);
    return true;
}
