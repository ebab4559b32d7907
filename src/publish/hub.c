#include "publish/hub.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    pthread_mutex_t mutex;
    bool used;
    char name[SP_HUB_NAME_BYTES];
    /* Written under the mutex; read without it to see whether there is anything new. */
    _Atomic uint64_t generation;
    _Atomic uint64_t serial; /* of the newest */
    struct sp_update *ring[SP_HUB_RING];
    struct sp_frame *frame; /* of the newest */
    struct sp_hub_times times;
    struct sp_hub_totals totals;
    uint32_t last_track; /* the highest id so far: trackers count up */
};

struct sp_hub {
    struct sp_hub_options options;
    struct slot slots[SP_HUB_CAMERAS_MAX];
    pthread_mutex_t mutex; /* guards the free list */
    struct sp_update *free_list;
};

int sp_hub_open(struct sp_hub **out, struct sp_error *err)
{
    struct sp_hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return sp_fail(err, SP_ERR_NO_MEMORY, "hub: out of memory");
    pthread_mutex_init(&hub->mutex, NULL);
    for (int i = 0; i < SP_HUB_CAMERAS_MAX; i++)
        pthread_mutex_init(&hub->slots[i].mutex, NULL);
    *out = hub;
    return SP_OK;
}

void sp_hub_listen(struct sp_hub *hub, const struct sp_hub_options *options)
{
    hub->options = *options;
}

static struct sp_update *take_free(struct sp_hub *hub)
{
    pthread_mutex_lock(&hub->mutex);
    struct sp_update *update = hub->free_list;
    if (update)
        hub->free_list = update->next_free;
    pthread_mutex_unlock(&hub->mutex);
    if (!update)
        update = malloc(sizeof *update);
    if (update) {
        update->hub = hub;
        atomic_init(&update->refs, 1);
    }
    return update;
}

struct sp_update *sp_update_ref(struct sp_update *update)
{
    atomic_fetch_add_explicit(&update->refs, 1, memory_order_relaxed);
    return update;
}

void sp_update_unref(struct sp_update *update)
{
    if (!update || atomic_fetch_sub_explicit(&update->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct sp_hub *hub = update->hub;
    pthread_mutex_lock(&hub->mutex);
    update->next_free = hub->free_list;
    hub->free_list = update;
    pthread_mutex_unlock(&hub->mutex);
}

/* The slot's mutex is held. */
static void forget(struct slot *slot)
{
    for (int i = 0; i < SP_HUB_RING; i++) {
        sp_update_unref(slot->ring[i]);
        slot->ring[i] = NULL;
    }
    sp_frame_unref(slot->frame);
    slot->frame = NULL;
    slot->serial = 0;
    slot->last_track = 0;
}

void sp_hub_close(struct sp_hub *hub)
{
    if (!hub)
        return;
    for (int i = 0; i < SP_HUB_CAMERAS_MAX; i++) {
        forget(&hub->slots[i]);
        pthread_mutex_destroy(&hub->slots[i].mutex);
    }
    while (hub->free_list) {
        struct sp_update *update = hub->free_list;
        hub->free_list = update->next_free;
        free(update);
    }
    pthread_mutex_destroy(&hub->mutex);
    free(hub);
}

static struct slot *slot_of(struct sp_hub *hub, int camera)
{
    assert(camera >= 0 && camera < SP_HUB_CAMERAS_MAX);
    return &hub->slots[camera];
}

void sp_hub_begin_camera(struct sp_hub *hub, int camera, const char *name)
{
    struct slot *slot = slot_of(hub, camera);
    pthread_mutex_lock(&slot->mutex);
    if (slot->used && strcmp(slot->name, name) == 0) {
        pthread_mutex_unlock(&slot->mutex);
        return;
    }
    forget(slot);
    slot->used = true;
    slot->generation++;
    size_t length = strnlen(name, sizeof slot->name - 1);
    memset(slot->name, 0, sizeof slot->name);
    memcpy(slot->name, name, length);
    pthread_mutex_unlock(&slot->mutex);
}

void sp_hub_end_camera(struct sp_hub *hub, int camera)
{
    struct slot *slot = slot_of(hub, camera);
    pthread_mutex_lock(&slot->mutex);
    forget(slot);
    slot->used = false;
    pthread_mutex_unlock(&slot->mutex);
}

uint64_t sp_hub_generation(struct sp_hub *hub, int camera)
{
    struct slot *slot = slot_of(hub, camera);
    pthread_mutex_lock(&slot->mutex);
    uint64_t generation = slot->used ? slot->generation : 0;
    pthread_mutex_unlock(&slot->mutex);
    return generation;
}

static double clip(double value, double high)
{
    if (!(value > 0)) /* NaN too */
        return 0;
    return value < high ? value : high;
}

static void fill(struct sp_update *update, int camera, const struct sp_hub_result *result)
{
    const struct sp_frame *frame = result->frame;
    assert(result->track_count <= SP_TRACKS_MAX);
    update->camera = camera;
    update->sequence = frame->sequence;
    update->pts_us = frame->pts_us;
    update->received_us = frame->received_us;
    update->published_us = sp_clock_us();
    update->wall_us = sp_clock_wall_us() - (update->published_us - frame->received_us);
    update->inferred = result->inferred;
    update->width_px = frame->width_px;
    update->height_px = frame->height_px;
    sp_frame_square_size(frame, &update->seen_width_px, &update->seen_height_px);
    update->track_count = result->track_count;
    update->has_places = result->places != NULL;
    for (size_t i = 0; i < result->track_count && result->places; i++)
        update->places[i] = result->places[i];
    for (size_t i = 0; i < result->track_count; i++) {
        struct sp_track *track = &update->tracks[i];
        *track = result->tracks[i];
        track->x1_px = clip(track->x1_px, frame->width_px);
        track->y1_px = clip(track->y1_px, frame->height_px);
        track->x2_px = clip(track->x2_px, frame->width_px);
        track->y2_px = clip(track->y2_px, frame->height_px);
        track->score = clip(track->score, 1);
    }
}

/* The slot's mutex is held. */
static void count(struct slot *slot, const struct sp_update *update)
{
    struct sp_hub_totals *totals = &slot->totals;
    uint32_t last = slot->last_track;
    totals->frames++;
    totals->inferred += update->inferred;
    for (size_t i = 0; i < update->track_count; i++) {
        const struct sp_track *track = &update->tracks[i];
        totals->tracks += track->id > last;
        if (track->id > slot->last_track)
            slot->last_track = track->id;
        if (!update->inferred)
            continue;
        totals->boxes++;
        totals->confidence_milli += (uint64_t)lround(track->score * 1000);
    }
}

void sp_hub_count(struct sp_hub *hub, int camera, struct sp_hub_totals *totals)
{
    struct slot *slot = slot_of(hub, camera);
    pthread_mutex_lock(&slot->mutex);
    *totals = slot->totals;
    pthread_mutex_unlock(&slot->mutex);
}

int sp_hub_publish(struct sp_hub *hub, int camera, const struct sp_hub_result *result)
{
    struct slot *slot = slot_of(hub, camera);
    struct sp_update *update = take_free(hub);
    if (!update)
        return SP_ERR_NO_MEMORY;
    struct sp_frame *frame = sp_frame_ref((struct sp_frame *)result->frame);
    fill(update, camera, result);

    pthread_mutex_lock(&slot->mutex);
    if (!slot->used) {
        pthread_mutex_unlock(&slot->mutex);
        sp_update_unref(update);
        sp_frame_unref(frame);
        return SP_ERR_NOT_FOUND;
    }
    memcpy(update->name, slot->name, sizeof update->name);
    update->generation = slot->generation;
    update->serial = ++slot->serial;
    count(slot, update);
    struct sp_update **place = &slot->ring[update->serial % SP_HUB_RING];
    struct sp_update *old = *place;
    struct sp_frame *old_frame = slot->frame;
    *place = update;
    slot->frame = frame;
    sp_update_ref(update); /* for the listener */
    sp_frame_ref(frame);
    pthread_mutex_unlock(&slot->mutex);

    sp_update_unref(old);
    sp_frame_unref(old_frame);
    if (hub->options.picture)
        hub->options.picture(hub->options.picture_user, update, frame);
    if (hub->options.wake)
        hub->options.wake(hub->options.user, camera);
    sp_frame_unref(frame);
    sp_update_unref(update);
    return SP_OK;
}

bool sp_hub_has_next(struct sp_hub *hub, int camera, const struct sp_hub_cursor *cursor)
{
    struct slot *slot = slot_of(hub, camera);
    uint64_t serial = atomic_load(&slot->serial);
    return serial > 0 &&
           (cursor->generation != atomic_load(&slot->generation) || cursor->serial < serial);
}

struct sp_update *sp_hub_next(struct sp_hub *hub, int camera, struct sp_hub_cursor *cursor)
{
    struct slot *slot = slot_of(hub, camera);
    struct sp_update *update = NULL;
    pthread_mutex_lock(&slot->mutex);
    if (slot->serial > 0) {
        uint64_t next = slot->serial;
        if (cursor->generation == slot->generation && cursor->serial > 0) {
            next = cursor->serial + 1;
            if (slot->serial >= next + SP_HUB_RING) { /* it has left the ring */
                cursor->missed += slot->serial - next;
                next = slot->serial;
            }
        }
        if (next <= slot->serial) {
            update = sp_update_ref(slot->ring[next % SP_HUB_RING]);
            cursor->generation = slot->generation;
            cursor->serial = next;
        }
    }
    pthread_mutex_unlock(&slot->mutex);
    return update;
}

bool sp_hub_latest(struct sp_hub *hub, int camera, struct sp_update **update,
                   struct sp_frame **frame)
{
    struct slot *slot = slot_of(hub, camera);
    pthread_mutex_lock(&slot->mutex);
    bool found = slot->serial > 0;
    if (found) {
        *update = sp_update_ref(slot->ring[slot->serial % SP_HUB_RING]);
        *frame = slot->frame ? sp_frame_ref(slot->frame) : NULL;
    }
    pthread_mutex_unlock(&slot->mutex);
    return found;
}

struct sp_hub_times *sp_hub_times(struct sp_hub *hub, int camera)
{
    return &slot_of(hub, camera)->times;
}
