#include "capture/order.h"

void sp_order_init(struct sp_order *order, bool numbered_from_start)
{
    *order = (struct sp_order){.stopped_id = INT64_MAX, .started = numbered_from_start};
}

static int find(const struct sp_order *order, int64_t id)
{
    for (int i = 0; i < order->count; i++)
        if (order->entry[i].id == id)
            return i;
    return -1;
}

static void take(struct sp_order *order, int at)
{
    order->entry[at] = order->entry[--order->count];
}

/* The frame of this entry will not be output. */
static void give_up(struct sp_order *order, int at)
{
    if (order->started) {
        order->next_sequence++;
        if (order->entry[at].skipped)
            order->skipped++;
        else
            order->lost++;
    }
    take(order, at);
}

static void give_up_before(struct sp_order *order, int64_t key)
{
    for (int i = 0; i < order->count;) {
        if (order->entry[i].key < key)
            give_up(order, i);
        else
            i++;
    }
}

static int smallest(const struct sp_order *order)
{
    int at = 0;
    for (int i = 1; i < order->count; i++)
        if (order->entry[i].key < order->entry[at].key)
            at = i;
    return at;
}

int64_t sp_order_add(struct sp_order *order, int64_t key)
{
    int64_t id = order->next_id++;
    if (sp_order_stopped(order))
        return id;
    if (order->count == SP_ORDER_PENDING_MAX)
        give_up(order, smallest(order));
    order->entry[order->count++] = (struct sp_order_entry){.id = id, .key = key};
    return id;
}

void sp_order_stop(struct sp_order *order)
{
    if (!sp_order_stopped(order))
        order->stopped_id = order->next_id;
}

void sp_order_distrust(struct sp_order *order)
{
    order->stopped_id = 0;
    for (int i = 0; i < order->count;) {
        if (order->entry[i].skipped)
            i++;
        else
            take(order, i);
    }
}

bool sp_order_stopped(const struct sp_order *order)
{
    return order->stopped_id != INT64_MAX;
}

uint64_t sp_order_rank(const struct sp_order *order, int64_t id)
{
    uint64_t rank = order->next_sequence;
    int at = find(order, id);
    for (int i = 0; at >= 0 && i < order->count; i++)
        rank += order->entry[i].key < order->entry[at].key;
    return rank;
}

bool sp_order_has_key(const struct sp_order *order, int64_t key)
{
    for (int i = 0; i < order->count; i++)
        if (order->entry[i].key == key)
            return true;
    return false;
}

void sp_order_skip(struct sp_order *order, int64_t id)
{
    int at = find(order, id);
    if (at >= 0)
        order->entry[at].skipped = true;
}

uint64_t sp_order_frame(struct sp_order *order, int64_t id)
{
    if (id >= order->stopped_id) {
        give_up_before(order, INT64_MAX);
    } else {
        int at = find(order, id);
        if (at >= 0) {
            int64_t key = order->entry[at].key;
            take(order, at);
            give_up_before(order, key);
        } else {
            /* Counted as lost, but output after all: display order does not follow the keys. */
            if (order->lost > 0)
                order->lost--;
            sp_order_stop(order);
        }
    }
    order->started = true;
    return order->next_sequence++;
}

void sp_order_finish(struct sp_order *order)
{
    while (order->count > 0)
        give_up(order, smallest(order));
}
