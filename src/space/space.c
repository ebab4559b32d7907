#include "space/space.h"

#include "space/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t TICK_US = 100000, JUMP_US = 10000000;

int sp_space_open(struct sp_space **out, const struct sp_space_options *options,
                  struct sp_error *err)
{
    struct sp_space *s = calloc(1, sizeof *s);
    if (!s)
        return sp_fail(err, SP_ERR_NO_MEMORY, "space: out of memory");
    s->options = *options;
    if (s->options.remember_us <= 0)
        s->options.remember_us = 60000000;
    if (s->options.gallery_us <= 0)
        s->options.gallery_us = 60000000;
    if (s->options.similarity_same <= 0)
        s->options.similarity_same = 0.7;
    pthread_mutex_init(&s->mutex, NULL);
    size_t numbers = (size_t)s->options.embedding_numbers;
    s->cameras = calloc((size_t)options->cameras, sizeof *s->cameras);
    s->tracklets = calloc(TRACKLETS_MAX, sizeof *s->tracklets);
    s->free_tracklets = calloc(TRACKLETS_MAX, sizeof *s->free_tracklets);
    s->identities = calloc(SP_SPACE_PEOPLE_MAX, sizeof *s->identities);
    s->column_of_identity = calloc(SP_SPACE_PEOPLE_MAX, sizeof *s->column_of_identity);
    if (numbers > 0) {
        s->tracklet_vectors = calloc(TRACKLETS_MAX * numbers, sizeof(float));
        s->gallery_vectors = calloc(SP_SPACE_PEOPLE_MAX * GALLERY_MAX * numbers, sizeof(float));
    }
    bool whole = s->cameras && s->tracklets && s->free_tracklets && s->identities &&
                 s->column_of_identity &&
                 (numbers == 0 || (s->tracklet_vectors && s->gallery_vectors));
    int result = whole ? sp_offsets_open(&s->offsets, options->cameras, err)
                       : sp_fail(err, SP_ERR_NO_MEMORY, "space: out of memory");
    if (result == SP_OK)
        result = sp_assign_open(&s->assign, SP_TRACKS_MAX, SP_SPACE_PEOPLE_MAX, err);
    if (result < 0) {
        sp_space_close(s);
        return result;
    }
    for (int i = TRACKLETS_MAX - 1; i >= 0 && s->free_tracklets; i--)
        s->free_tracklets[s->free_count++] = i;
    sp_appearance_init(&s->appearance, s->options.similarity_same);
    s->agreement = 1;
    *out = s;
    return SP_OK;
}

void sp_space_close(struct sp_space *space)
{
    if (!space)
        return;
    sp_offsets_close(space->offsets);
    sp_assign_close(space->assign);
    free(space->cameras);
    free(space->tracklets);
    free(space->free_tracklets);
    free(space->identities);
    free(space->column_of_identity);
    free(space->tracklet_vectors);
    free(space->gallery_vectors);
    pthread_mutex_destroy(&space->mutex);
    free(space);
}

static void begin_camera(struct sp_space *s, int camera)
{
    struct camera *c = &s->cameras[camera];
    for (int i = 0; i < c->tracklet_count; i++)
        sp_tracklet_drop(s, c->tracklet[i]);
    c->tracklet_count = 0;
    c->last_raw_us = INT64_MIN;
}

void sp_space_set_camera(struct sp_space *space, int camera, const struct sp_ground *ground)
{
    pthread_mutex_lock(&space->mutex);
    struct camera *c = &space->cameras[camera];
    begin_camera(space, camera);
    sp_offsets_forget(space->offsets, camera);
    c->used = ground != NULL;
    c->noise = 1;
    if (ground)
        c->ground = *ground;
    pthread_mutex_unlock(&space->mutex);
}

/* ---- a frame's tracks ---- */

static struct tracklet *find_tracklet(const struct sp_space *s, int camera, uint32_t track_id)
{
    const struct camera *c = &s->cameras[camera];
    for (int i = 0; i < c->tracklet_count; i++)
        if (s->tracklets[c->tracklet[i]].track_id == track_id)
            return &s->tracklets[c->tracklet[i]];
    return NULL;
}

static struct tracklet *begin_tracklet(struct sp_space *s, int camera, uint32_t track_id,
                                       int64_t time_us)
{
    struct camera *c = &s->cameras[camera];
    if (s->free_count == 0 || c->tracklet_count == SP_TRACKS_MAX) {
        s->counts.full++;
        return NULL;
    }
    int index = s->free_tracklets[--s->free_count];
    c->tracklet[c->tracklet_count++] = index;
    s->tracklets[index] = (struct tracklet){.used = true,
                                            .camera = camera,
                                            .track_id = track_id,
                                            .identity = NONE,
                                            .created_us = common_us(s, camera, time_us),
                                            .alone_us = common_us(s, camera, time_us),
                                            .seen_raw_us = time_us};
    return &s->tracklets[index];
}

static void measure(struct camera *camera, struct tracklet *t, const struct sp_foot *foot,
                    int64_t time_us)
{
    t->step_s = fmin(fmax((double)(time_us - t->seen_raw_us) / 1e6, 0.01), 1);
    t->seen_raw_us = time_us;
    t->hits++;
    if (!foot->valid)
        return;
    t->sure = foot->sure;
    double dt_s = (double)(time_us - t->motion_raw_us) / 1e6;
    if (!t->placed || dt_s > 5) {
        sp_motion_init(&t->motion, &foot->spot);
        t->placed = true;
    } else {
        sp_motion_predict(&t->motion, dt_s);
        if (t->restart || t->surprises >= 3) {
            double vx = t->motion.x[2], vy = t->motion.x[3];
            sp_motion_init(&t->motion, &foot->spot);
            t->motion.x[2] = t->restart ? vx : 0;
            t->motion.x[3] = t->restart ? vy : 0;
            t->restart = false;
        }
        double surprise = sp_motion_update(&t->motion, &foot->spot);
        t->surprises = surprise > 12 ? t->surprises + 1 : 0;
        if (foot->sure && t->hits > 5)
            camera->noise *= 1 + 0.004 * (fmin(surprise, 9) / 2 - 1);
        camera->noise = fmin(fmax(camera->noise, 0.3), 60);
    }
    t->motion_raw_us = time_us;
}

/* The person's position from all cameras, which is smoother than that of one. */
static struct sp_world_position position_of(const struct sp_space *s, const struct tracklet *t,
                                            int64_t time_us)
{
    struct sp_world_position position = {0};
    double units = s->cameras[t->camera].ground.units_per_m, x, y;
    if (!t->placed)
        return position;
    struct sp_spot own = sp_motion_at(&t->motion, (double)(time_us - t->motion_raw_us) / 1e6);
    x = own.x;
    y = own.y;
    if (t->identity != NONE) {
        const struct identity *who = &s->identities[t->identity];
        position.person = who->number;
        if (who->live_count > 1) {
            double dt_s = (double)(common_us(s, t->camera, time_us) - who->seen_us) / 1e6;
            dt_s = fmin(fmax(dt_s, -0.5), 0.5);
            x = who->spot.x + dt_s * who->vx;
            y = who->spot.y + dt_s * who->vy;
        }
    }
    position.on_map = isfinite(x) && isfinite(y);
    position.x = position.on_map ? x * units : 0;
    position.y = position.on_map ? y * units : 0;
    return position;
}

/* Resets the camera when its time jumps, and advances the common time. */
static void check_time(struct sp_space *s, int camera, int64_t time_us)
{
    struct camera *c = &s->cameras[camera];
    bool follows = c->last_raw_us == INT64_MIN ||
                   (time_us >= c->last_raw_us && time_us - c->last_raw_us < JUMP_US);
    if (!follows)
        begin_camera(s, camera);
    c->last_raw_us = time_us;
    int64_t now_us = common_us(s, camera, time_us);
    if (!s->began || now_us < s->now_us - JUMP_US) {
        s->began = true;
        s->now_us = s->ticked_us = s->solved_us = now_us;
    }
    if (now_us > s->now_us)
        s->now_us = now_us;
}

static void measure_all(struct sp_space *s, int camera, const struct sp_space_frame *frame)
{
    struct camera *c = &s->cameras[camera];
    for (size_t i = 0; i < frame->count; i++) {
        s->boxes[i] = frame->tracks[i];
        int detection = s->boxes[i].detection - 1;
        if (!frame->detections || detection < 0)
            continue;
        const struct sp_detection *d = &frame->detections[detection];
        s->boxes[i].x1_px = d->x1_px;
        s->boxes[i].y1_px = d->y1_px;
        s->boxes[i].x2_px = d->x2_px;
        s->boxes[i].y2_px = d->y2_px;
    }
    sp_ground_feet(&c->ground, s->boxes, frame->count, frame->width_px, frame->height_px, c->noise,
                   s->feet);
    for (size_t i = 0; i < frame->count; i++) {
        struct tracklet *t = find_tracklet(s, camera, frame->tracks[i].id);
        if (!t)
            t = begin_tracklet(s, camera, frame->tracks[i].id, frame->time_us);
        if (t) {
            const struct sp_track *box = &s->boxes[i];
            t->box.x = 0.5 * (box->x1_px + box->x2_px);
            t->box.y = 0.5 * (box->y1_px + box->y2_px);
            t->box.width = box->x2_px - box->x1_px;
            t->box.height = box->y2_px - box->y1_px;
            measure(c, t, &s->feet[i], frame->time_us);
        }
        s->of_track[i] = t;
    }
}

static void set_positions(const struct sp_space *s, int camera, const struct sp_space_frame *frame,
                          struct sp_world_position *positions)
{
    for (size_t i = 0; i < frame->count; i++) {
        const struct tracklet *t = find_tracklet(s, camera, frame->tracks[i].id);
        if (t)
            positions[i] = position_of(s, t, frame->time_us);
    }
}

static bool is_seen(const struct sp_space *s, int camera, const struct sp_space_frame *frame)
{
    return s->cameras[camera].used && frame->width_px > 0 && frame->height_px > 0;
}

bool sp_space_update(struct sp_space *space, int camera, const struct sp_space_frame *frame,
                     struct sp_world_position *positions)
{
    for (size_t i = 0; i < frame->count; i++) /* NULL without tracks, which memset must not get */
        positions[i] = (struct sp_world_position){0};
    pthread_mutex_lock(&space->mutex);
    bool seen = is_seen(space, camera, frame);
    if (seen) {
        check_time(space, camera, frame->time_us);
        measure_all(space, camera, frame);
        sp_space_follow(space, camera, frame->time_us, space->of_track, frame->count);
        if (space->now_us - space->ticked_us >= TICK_US)
            sp_space_tick(space);
        set_positions(space, camera, frame, positions);
    }
    pthread_mutex_unlock(&space->mutex);
    return seen;
}

bool sp_space_positions(struct sp_space *space, int camera, const struct sp_space_frame *frame,
                        struct sp_world_position *positions)
{
    for (size_t i = 0; i < frame->count; i++)
        positions[i] = (struct sp_world_position){0};
    pthread_mutex_lock(&space->mutex);
    bool seen = is_seen(space, camera, frame);
    if (seen)
        set_positions(space, camera, frame, positions);
    pthread_mutex_unlock(&space->mutex);
    return seen;
}

/* ---- appearance ---- */

static bool is_anyone_away(const struct sp_space *s)
{
    for (int i = 0; i < s->identity_high; i++)
        if (s->identities[i].number && s->identities[i].live_count == 0)
            return true;
    return false;
}

static int embedding_priority(const struct sp_space *s, const struct tracklet *t)
{
    static const int64_t REFRESH_US = 12000000, SOON_US = 1000000;
    int64_t age_us = s->now_us - t->embedded_us;
    if (!t->sure || t->hits < 2)
        return 0;
    if (t->embeddings == 0)
        return t->identity == NONE && is_anyone_away(s) ? 3 : 2;
    if (t->embeddings < 3 && s->now_us - t->created_us < 8000000 && age_us > SOON_US / 2)
        return 2;
    int near = 0;
    for (int i = 0; i < t->evidence_count; i++)
        near += t->evidence[i].mean > 0;
    if (near > 1 && age_us > SOON_US)
        return 2;
    return age_us >
           (s->options.gallery_us < 4 * REFRESH_US ? s->options.gallery_us / 4 : REFRESH_US);
}

int sp_space_embedding_wanted(struct sp_space *space, int camera, uint32_t track_id)
{
    int priority = 0;
    pthread_mutex_lock(&space->mutex);
    const struct tracklet *t = space->tracklet_vectors && space->cameras[camera].used
                                   ? find_tracklet(space, camera, track_id)
                                   : NULL;
    if (t)
        priority = embedding_priority(space, t);
    pthread_mutex_unlock(&space->mutex);
    return priority;
}

void sp_space_embed(struct sp_space *space, int camera, uint32_t track_id, const float *embedding)
{
    pthread_mutex_lock(&space->mutex);
    struct tracklet *t = space->tracklet_vectors ? find_tracklet(space, camera, track_id) : NULL;
    int numbers = space->options.embedding_numbers;
    if (t) {
        float *mean = sp_tracklet_vector(space, t);
        double squares = 0;
        for (int i = 0; i < numbers; i++)
            squares += (double)embedding[i] * embedding[i];
        if (squares > 1e-20 && isfinite(squares)) {
            /* A running mean of unit vectors; the newest has a weight of at least a quarter. */
            int kept = t->embeddings < 3 ? t->embeddings : 3;
            float scale = (float)(1 / sqrt(squares));
            for (int i = 0; i < numbers; i++)
                mean[i] = (mean[i] * (float)kept + embedding[i] * scale) / (float)(kept + 1);
            t->embeddings += sp_embedding_normalise(mean, numbers);
            t->embedded_us = space->now_us;
            if (t->identity != NONE)
                sp_gallery_take(space, t->identity, t);
        }
    }
    pthread_mutex_unlock(&space->mutex);
}

void sp_space_expire(struct sp_space *space, int64_t idle_us)
{
    pthread_mutex_lock(&space->mutex);
    sp_gallery_expire(space, idle_us);
    pthread_mutex_unlock(&space->mutex);
}
