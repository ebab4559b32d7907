#include "output/delivery_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const int64_t DRAIN_US = 500000;

const char *const delivery_kinds[DELIVERY_KINDS] = {"tracks", "events", "people", "health",
                                                    "snapshots"};

int delivery_is_stopping(void *user)
{
    const struct sp_delivery *d = user;
    int64_t stop_us = atomic_load(&d->stop_us);
    return stop_us != 0 && sp_clock_us() - stop_us > DRAIN_US;
}

static void request_image(struct sp_delivery *d, const struct sp_dialect *dialect,
                          const char *received_topic)
{
    char topic[512];
    for (int i = 0; i < d->snapshots.count; i++) {
        sp_dialect_topic(dialect, dialect->type->image_command, d->snapshots.list[i].camera, "",
                         topic, sizeof topic);
        if (strcmp(topic, received_topic) == 0)
            sp_snapshots_request(&d->snapshots, i);
    }
}

/* During deliver or poll, on the delivery's thread. */
void delivery_receive(void *user, const char *topic, const void *payload, size_t payload_bytes)
{
    struct sp_delivery *d = user;
    for (int i = 0; i < d->dialect_count; i++)
        if (d->subscription[i][0] && strcmp(d->subscription[i], topic) == 0 &&
            payload_bytes == strlen("online") && memcmp(payload, "online", payload_bytes) == 0)
            d->asked[i] = true;
    for (int i = 0; i < d->dialect_count; i++)
        if (d->dialects[i]->has_images && d->dialects[i]->type->image_command &&
            payload_bytes == strlen("getimage") && memcmp(payload, "getimage", payload_bytes) == 0)
            request_image(d, d->dialects[i], topic);
}

void delivery_release(struct sp_delivery *d)
{
    if (d->plugin)
        d->api->close(d->plugin);
    for (int i = 0; i < d->dialect_count; i++)
        sp_dialect_close(d->dialects[i]);
    sp_outbox_reader_close(d->reader);
    sp_messages_release(&d->messages);
    sp_messages_release(&d->images);
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}
