#include "publish/hub.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    pthread_mutex_t mutex;
    bool used;
    char name[SP_HUB_NAME_BYTES];
    /* Written under the mutex; read without it to detect new results. */
    _Atomic uint64_t generation;
    _Atomic uint64_t serial; /* of the newest */
    struct sp_result *ring[SP_HUB_RING];
    struct sp_frame *frame; /* of the newest */
    struct sp_hub_times times;
    struct sp_hub_totals totals;
    uint32_t last_track; /* the highest id so far; ids only increase */
};

struct sp_hub {
    _Atomic uint64_t epoch; /* the last generation */
    struct sp_hub_options options;
    struct entry entries[SP_CAMERAS_MAX];
};

int sp_hub_open(struct sp_hub **out, struct sp_error *err)
{
    struct sp_hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return sp_fail(err, SP_ERR_NO_MEMORY, "hub: out of memory");
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        pthread_mutex_init(&hub->entries[i].mutex, NULL);
    *out = hub;
    return SP_OK;
}

void sp_hub_listen(struct sp_hub *hub, const struct sp_hub_options *options)
{
    hub->options = *options;
}

/* The entry's mutex is held. */
static void forget(struct entry *entry)
{
    for (int i = 0; i < SP_HUB_RING; i++) {
        sp_result_unref(entry->ring[i]);
        entry->ring[i] = NULL;
    }
    sp_frame_unref(entry->frame);
    entry->frame = NULL;
    entry->serial = 0;
    entry->last_track = 0;
}

void sp_hub_close(struct sp_hub *hub)
{
    if (!hub)
        return;
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        forget(&hub->entries[i]);
        pthread_mutex_destroy(&hub->entries[i].mutex);
    }
    free(hub);
}

static struct entry *entry_of(struct sp_hub *hub, int camera)
{
    assert(camera >= 0 && camera < SP_CAMERAS_MAX);
    return &hub->entries[camera];
}

void sp_hub_begin_camera(struct sp_hub *hub, int camera, const char *name)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    if (entry->used && strcmp(entry->name, name) == 0) {
        pthread_mutex_unlock(&entry->mutex);
        return;
    }
    forget(entry);
    entry->used = true;
    entry->generation = atomic_fetch_add(&hub->epoch, 1) + 1;
    size_t length = strnlen(name, sizeof entry->name - 1);
    memset(entry->name, 0, sizeof entry->name);
    memcpy(entry->name, name, length);
    pthread_mutex_unlock(&entry->mutex);
}

void sp_hub_set_generation(struct sp_hub *hub, int camera, uint64_t generation)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    if (entry->used)
        entry->generation = generation;
    pthread_mutex_unlock(&entry->mutex);
}

void sp_hub_end_camera(struct sp_hub *hub, int camera)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    forget(entry);
    entry->used = false;
    pthread_mutex_unlock(&entry->mutex);
}

void sp_hub_set_epoch(struct sp_hub *hub, uint64_t epoch)
{
    atomic_store(&hub->epoch, epoch);
}

uint64_t sp_hub_generation(struct sp_hub *hub, int camera)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    uint64_t generation = entry->used ? entry->generation : 0;
    pthread_mutex_unlock(&entry->mutex);
    return generation;
}

static double clip(double value, double high)
{
    if (!(value > 0)) /* NaN too */
        return 0;
    return value < high ? value : high;
}

static void clip_tracks(struct sp_result *result)
{
    assert(result->track_count <= SP_TRACKS_MAX);
    for (size_t i = 0; i < result->track_count; i++) {
        struct sp_track *track = &result->tracks[i];
        track->x1_px = clip(track->x1_px, result->width_px);
        track->y1_px = clip(track->y1_px, result->height_px);
        track->x2_px = clip(track->x2_px, result->width_px);
        track->y2_px = clip(track->y2_px, result->height_px);
        track->confidence = clip(track->confidence, 1);
    }
}

/* The entry's mutex is held. */
static void count(struct entry *entry, const struct sp_result *result)
{
    struct sp_hub_totals *totals = &entry->totals;
    uint32_t last = entry->last_track;
    totals->frames++;
    totals->inferred += result->inferred;
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        totals->tracks += track->id > last;
        if (track->id > entry->last_track)
            entry->last_track = track->id;
        if (!result->inferred)
            continue;
        totals->boxes++;
        totals->confidence_milli += (uint64_t)lround(track->confidence * 1000);
    }
}

void sp_hub_count(struct sp_hub *hub, int camera, struct sp_hub_totals *totals)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    *totals = entry->totals;
    pthread_mutex_unlock(&entry->mutex);
}

int sp_hub_publish(struct sp_hub *hub, struct sp_result *result, struct sp_frame *frame)
{
    struct entry *entry = entry_of(hub, result->camera);
    clip_tracks(result);
    result->published_us = sp_clock_us();

    pthread_mutex_lock(&entry->mutex);
    if (!entry->used) {
        pthread_mutex_unlock(&entry->mutex);
        return SP_ERR_NOT_FOUND;
    }
    memcpy(result->name, entry->name, sizeof result->name);
    result->generation = entry->generation;
    result->serial = ++entry->serial;
    count(entry, result);
    struct sp_result **position = &entry->ring[result->serial % SP_HUB_RING];
    struct sp_result *old = *position;
    struct sp_frame *old_frame = entry->frame;
    *position = sp_result_ref(result);
    entry->frame = sp_frame_ref(frame);
    pthread_mutex_unlock(&entry->mutex);

    sp_result_unref(old);
    sp_frame_unref(old_frame);
    if (hub->options.image)
        hub->options.image(hub->options.image_user, result, frame);
    if (hub->options.wake)
        hub->options.wake(hub->options.user, result->camera);
    return SP_OK;
}

bool sp_hub_has_next(struct sp_hub *hub, int camera, const struct sp_hub_cursor *cursor)
{
    struct entry *entry = entry_of(hub, camera);
    uint64_t serial = atomic_load(&entry->serial);
    return serial > 0 &&
           (cursor->generation != atomic_load(&entry->generation) || cursor->serial < serial);
}

struct sp_result *sp_hub_next(struct sp_hub *hub, int camera, struct sp_hub_cursor *cursor)
{
    struct entry *entry = entry_of(hub, camera);
    struct sp_result *result = NULL;
    pthread_mutex_lock(&entry->mutex);
    if (entry->serial > 0) {
        uint64_t next = entry->serial;
        if (cursor->generation == entry->generation && cursor->serial > 0) {
            next = cursor->serial + 1;
            if (entry->serial >= next + SP_HUB_RING) { /* next has left the ring */
                cursor->missed += entry->serial - next;
                next = entry->serial;
            }
        }
        if (next <= entry->serial) {
            result = sp_result_ref(entry->ring[next % SP_HUB_RING]);
            cursor->generation = entry->generation;
            cursor->serial = next;
        }
    }
    pthread_mutex_unlock(&entry->mutex);
    return result;
}

bool sp_hub_latest(struct sp_hub *hub, int camera, struct sp_result **result,
                   struct sp_frame **frame)
{
    struct entry *entry = entry_of(hub, camera);
    pthread_mutex_lock(&entry->mutex);
    bool found = entry->serial > 0;
    if (found) {
        *result = sp_result_ref(entry->ring[entry->serial % SP_HUB_RING]);
        *frame = entry->frame ? sp_frame_ref(entry->frame) : NULL;
    }
    pthread_mutex_unlock(&entry->mutex);
    return found;
}

struct sp_hub_times *sp_hub_times(struct sp_hub *hub, int camera)
{
    return &entry_of(hub, camera)->times;
}
