#include "command/event_images.h"

#include "base/clock.h"
#include "base/thread.h"
#include "store/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t EVERY_US = 1000000, GONE_US = 30000000, MINUTE_US = 60000000;
static const double BETTER = 1.3, EDGE_PX = 2; /* a new image shows a track so much better */

/* Shared by the tracks that it shows best. */
struct image {
    int refs;
    bool stored;
    int64_t number;
    size_t bytes;
    uint8_t jpeg[];
};

struct best {
    uint32_t track, person;
    double quality;
    int64_t seen_us;
    struct image *image;
};

struct camera {
    atomic_int per_minute;
    char name[SP_HUB_NAME_BYTES];
    uint64_t generation;
    bool requested;
    int64_t requested_us;
    int64_t minute_us; /* the begin of the minute in which `stored` images were stored */
    int stored;
    int count;
    struct best best[SP_EVENT_IMAGES_MAX];
};

struct sp_event_images {
    struct sp_event_images_options options;
    pthread_t thread;
    bool started;
    atomic_bool any;       /* a camera has a number a minute */
    pthread_mutex_t mutex; /* guards the rest, except per_minute */
    pthread_cond_t wake;
    bool stopping;
    int64_t number; /* of the last image */
    struct camera camera[SP_CAMERAS_MAX];
};

double sp_event_image_quality(const struct sp_track *track, int width_px, int height_px)
{
    double width = track->x2_px - track->x1_px, height = track->y2_px - track->y1_px;
    bool cut = track->x1_px < EDGE_PX || track->y1_px < EDGE_PX ||
               track->x2_px > width_px - EDGE_PX || track->y2_px > height_px - EDGE_PX;
    if (width <= 0 || height <= 0 || width_px < 1 || height_px < 1)
        return 0;
    double share = width * height / ((double)width_px * height_px);
    return track->confidence * sqrt(share < 1 ? share : 1) * (cut ? 0.5 : 1);
}

/* ---- with the mutex held ---- */

static void unref(struct image *image)
{
    if (image && --image->refs == 0)
        free(image);
}

static void forget(struct camera *c, int index)
{
    unref(c->best[index].image);
    c->best[index] = c->best[--c->count];
}

static void begin_generation(struct camera *c, const struct sp_result *update)
{
    while (c->count > 0)
        forget(c, 0);
    c->generation = update->generation;
    snprintf(c->name, sizeof c->name, "%s", update->name);
    c->requested = false;
    c->requested_us = 0;
}

static struct best *find(struct camera *c, uint32_t track)
{
    for (int i = 0; i < c->count; i++)
        if (c->best[i].track == track)
            return &c->best[i];
    return NULL;
}

static struct best *find_or_make(struct camera *c, uint32_t track)
{
    struct best *best = find(c, track);
    if (best)
        return best;
    if (c->count == SP_EVENT_IMAGES_MAX) {
        int oldest = 0;
        for (int i = 1; i < c->count; i++)
            if (c->best[i].seen_us < c->best[oldest].seen_us)
                oldest = i;
        forget(c, oldest);
    }
    best = &c->best[c->count++];
    *best = (struct best){.track = track};
    return best;
}

/* ---- tracking workers ---- */

static bool is_improved(struct camera *c, const struct sp_result *update, int64_t now_us)
{
    bool improved = false;
    for (size_t i = 0; i < update->track_count; i++) {
        const struct sp_track *track = &update->tracks[i];
        struct best *best = find(c, track->id);
        double quality = sp_event_image_quality(track, update->width_px, update->height_px);
        if (best)
            best->seen_us = now_us;
        if (best && update->has_world_positions && update->positions[i].person)
            best->person = update->positions[i].person;
        improved = improved || quality > (best ? BETTER * best->quality : 0);
    }
    return improved;
}

void sp_event_images_see(struct sp_event_images *e, const struct sp_result *update)
{
    if (!e || !update->inferred || atomic_load(&e->camera[update->camera].per_minute) == 0)
        return;
    struct camera *c = &e->camera[update->camera];
    int64_t now_us = sp_clock_us();
    pthread_mutex_lock(&e->mutex);
    if (c->generation != update->generation)
        begin_generation(c, update);
    for (int i = c->count - 1; i >= 0; i--)
        if (now_us - c->best[i].seen_us > GONE_US)
            forget(c, i);
    bool due = !c->requested && (c->requested_us == 0 || now_us - c->requested_us >= EVERY_US);
    if (is_improved(c, update, now_us) && due) {
        c->requested = true;
        c->requested_us = now_us;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->mutex);
}

/* ---- the thread ---- */

static void keep(struct sp_event_images *e, struct camera *c, const struct sp_image *encoded)
{
    const struct sp_result *update = encoded->result;
    struct image *image = malloc(sizeof *image + encoded->jpeg_bytes);
    if (!image || c->generation != update->generation) {
        free(image);
        return;
    }
    int64_t number = update->wall_us > e->number ? update->wall_us : e->number + 1;
    *image = (struct image){.refs = 1, .number = number, .bytes = encoded->jpeg_bytes};
    memcpy(image->jpeg, encoded->jpeg, encoded->jpeg_bytes);
    e->number = number;
    for (size_t i = 0; i < update->track_count; i++) {
        double quality =
            sp_event_image_quality(&update->tracks[i], update->width_px, update->height_px);
        struct best *best = find_or_make(c, update->tracks[i].id);
        best->seen_us = sp_clock_us();
        if (quality <= best->quality)
            continue;
        image->refs++;
        unref(best->image);
        best->image = image;
        best->quality = quality;
        if (update->has_world_positions && update->positions[i].person)
            best->person = update->positions[i].person;
    }
    unref(image);
}

static bool is_stopping(void *user)
{
    struct sp_event_images *e = user;
    pthread_mutex_lock(&e->mutex);
    bool stopping = e->stopping;
    pthread_mutex_unlock(&e->mutex);
    return stopping;
}

/* The mutex is held, and released while encoding. */
static void take(struct sp_event_images *e, struct camera *c)
{
    const struct sp_stream_options options = {.camera = (int)(c - e->camera),
                                              .width_px = SP_EVENT_IMAGE_WIDTH_PX,
                                              .quality = SP_STILL_QUALITY,
                                              .annotated = true};
    pthread_mutex_unlock(&e->mutex);
    struct sp_image *encoded = sp_stills_image(e->options.stills, &options, is_stopping, e);
    pthread_mutex_lock(&e->mutex);
    c->requested = false;
    if (encoded)
        keep(e, c, encoded);
    pthread_mutex_unlock(&e->mutex);
    sp_image_unref(encoded);
    pthread_mutex_lock(&e->mutex);
}

static void *run(void *argument)
{
    struct sp_event_images *e = argument;
    pthread_mutex_lock(&e->mutex);
    while (!e->stopping) {
        bool any = false;
        for (int i = 0; i < SP_CAMERAS_MAX && !e->stopping; i++)
            if (e->camera[i].requested) {
                any = true;
                take(e, &e->camera[i]);
            }
        if (!any && !e->stopping)
            pthread_cond_wait(&e->wake, &e->mutex);
    }
    pthread_mutex_unlock(&e->mutex);
    return NULL;
}

/* ---- events ---- */

static struct best *best_of(struct sp_event_images *e, const struct sp_event *event,
                            const struct sp_event_subject *subject, struct camera **camera)
{
    struct best *best = NULL;
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        struct camera *c = &e->camera[i];
        bool own = event->camera_index == i && c->generation == event->epoch;
        if (event->camera_index >= 0 && !own)
            continue;
        for (int k = 0; k < c->count; k++) {
            struct best *b = &c->best[k];
            bool same = own && subject->track ? b->track == subject->track
                                              : subject->person && b->person == subject->person;
            if (same && b->image && (!best || b->quality > best->quality)) {
                best = b;
                *camera = c;
            }
        }
    }
    return best;
}

/* Whether the camera may store another image now. */
static bool is_allowed(struct camera *c, int64_t now_us)
{
    if (c->minute_us == 0 || now_us - c->minute_us >= MINUTE_US) {
        c->minute_us = now_us;
        c->stored = 0;
    }
    return c->stored < atomic_load(&c->per_minute);
}

void sp_event_images_event(struct sp_event_images *e, const struct sp_event *event)
{
    struct sp_event_subject subject;
    struct camera *c = NULL;
    if (!e || !atomic_load(&e->any))
        return;
    sp_event_subject_read(&subject, event->payload);
    if (!subject.track && !subject.person)
        return;
    pthread_mutex_lock(&e->mutex);
    struct best *best = best_of(e, event, &subject, &c);
    if (best && (best->image->stored || is_allowed(c, sp_clock_us()))) {
        struct sp_recorded_image recorded = {
            .number = best->image->number,
            .bytes = best->image->stored ? 0 : (uint32_t)best->image->bytes};
        snprintf(recorded.event, sizeof recorded.event, "%s", event->id);
        snprintf(recorded.camera, sizeof recorded.camera, "%s", c->name);
        bool stored = e->options.store(e->options.user, &recorded, best->image->jpeg);
        c->stored += stored && !best->image->stored;
        best->image->stored = best->image->stored || stored;
    }
    pthread_mutex_unlock(&e->mutex);
}

/* ---- open and close ---- */

int sp_event_images_open(struct sp_event_images **out,
                         const struct sp_event_images_options *options, struct sp_error *err)
{
    struct sp_event_images *e = calloc(1, sizeof *e);
    if (!e)
        return sp_fail(err, SP_ERR_NO_MEMORY, "snapshots: out of memory");
    e->options = *options;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->wake, NULL);
    int result = sp_thread_start(&e->thread, "snapshots", run, e, err);
    e->started = result == SP_OK;
    if (result < 0)
        sp_event_images_close(e);
    else
        *out = e;
    return result;
}

void sp_event_images_stop(struct sp_event_images *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->mutex);
    e->stopping = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->mutex);
    if (e->started)
        pthread_join(e->thread, NULL);
    e->started = false;
}

void sp_event_images_close(struct sp_event_images *e)
{
    if (!e)
        return;
    sp_event_images_stop(e);
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        while (e->camera[i].count > 0)
            forget(&e->camera[i], 0);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}

void sp_event_images_begin(struct sp_event_images *e, int camera, int per_minute)
{
    if (!e)
        return;
    atomic_store(&e->camera[camera].per_minute, per_minute);
    if (per_minute > 0)
        atomic_store(&e->any, true);
}
