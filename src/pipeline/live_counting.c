#include "pipeline/live_counting.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "pipeline/count_history.h"
#include "pipeline/count_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t TICK_US = 40000;    /* of the counting thread */
static const int64_t WAIT_US = 500000;   /* of a frame for those of other cameras */
static const int64_t QUIET_US = 2000000; /* a camera without frames for so long is not waited for */
static const int64_t CLOCK_STEP_US = 100000; /* a smaller change of the wall clock is noise */

/* Indices of cameras are those of the pipeline; the second half are configured ones that do not
 * run, so that their lines keep their counts. */
enum { INDICES = SP_CAMERAS_MAX + SP_COUNTING_CAMERAS_MAX };

struct sp_live_counting {
    struct sp_event_log *events;
    uint64_t epoch;
    void (*frame)(void *user, const struct sp_live_frame *frame);
    void *user;
    pthread_t thread;
    bool started;
    pthread_cond_t changed; /* monotonic */
    pthread_mutex_t mutex;  /* guards the rest, except for the producers' parts of queues */
    bool ending;
    struct sp_counting_setup *setup;
    uint64_t version;
    struct sp_counting *counting;
    struct sp_count_history *history;
    double units_per_m;
    bool y_up;
    bool any;        /* lines or zones are configured */
    int64_t wall_us; /* wall clock less common clock */
    struct sp_json json;
    struct sp_count_queue queues[SP_CAMERAS_MAX];
    _Atomic uint64_t missed;
};

/* --- events ----------------------------------------------------------------------------------- */

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct sp_live_counting *lc = user;
    int camera = SP_CAMERAS_MAX;
    int64_t wall_us = event->time_us;
    for (int i = 0; i < SP_CAMERAS_MAX && event->camera; i++)
        if (atomic_load(&lc->queues[i].epoch) && strcmp(lc->queues[i].name, event->camera) == 0)
            camera = i;
    sp_count_history_add(lc->history, event, wall_us);
    sp_json_clear(&lc->json);
    sp_json_begin_object(&lc->json);
    sp_counting_event_members_json(&lc->json, event);
    sp_json_end_object(&lc->json);
    bool known = camera < SP_CAMERAS_MAX;
    sp_event_log_add(lc->events, camera, known ? event->camera : "",
                     known ? atomic_load(&lc->queues[camera].epoch) : lc->epoch,
                     sp_counting_event_name(event->kind), wall_us,
                     lc->json.failed ? "{}" : lc->json.text);
}

/* --- lines and zones -------------------------------------------------------------------------- */

static bool has_scope(const struct sp_counting_config *config, const char *camera)
{
    for (int i = 0; i < config->camera_count; i++)
        if (strcmp(config->cameras[i].name, camera) == 0)
            return true;
    return false;
}

static bool runs(const struct sp_live_counting *lc, const char *camera)
{
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        if (atomic_load(&lc->queues[i].epoch) && strcmp(lc->queues[i].name, camera) == 0)
            return true;
    return false;
}

/* With the mutex held: new lines and zones, or cameras at other indices. */
static int rebuild(struct sp_live_counting *lc, struct sp_error *err)
{
    const struct sp_counting_config *config = sp_counting_setup_config(lc->setup);
    const char *names[INDICES];
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        names[i] = atomic_load(&lc->queues[i].epoch) ? lc->queues[i].name : "";
    for (int i = 0; i < SP_COUNTING_CAMERAS_MAX; i++) {
        bool waits = i < config->camera_count && !runs(lc, config->cameras[i].name);
        names[SP_CAMERAS_MAX + i] = waits ? config->cameras[i].name : "";
    }
    struct sp_counting_options options = {.config = config,
                                          .cameras = names,
                                          .camera_count = INDICES,
                                          .units_per_m = lc->units_per_m,
                                          .y_up = lc->y_up,
                                          .event = take_event,
                                          .user = lc};
    struct sp_counting *next;
    int result = sp_counting_open(&next, &options, err);
    if (result < 0)
        return result;
    if (lc->counting)
        sp_counting_inherit(next, lc->counting);
    sp_counting_close(lc->counting);
    lc->counting = next;
    bool map = sp_counting_config_has_map(config) && lc->units_per_m > 0;
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        atomic_store(&lc->queues[i].wanted,
                     lc->frame || map || has_scope(config, lc->queues[i].name));
    lc->any = lc->frame || !sp_counting_config_is_empty(config);
    lc->version++;
    pthread_cond_signal(&lc->changed);
    return SP_OK;
}

static void rebuild_or_log(struct sp_live_counting *lc)
{
    struct sp_error err = {0};
    if (rebuild(lc, &err) < 0)
        sp_log(SP_LOG_ERROR, "%s", err.text);
}

/* --- frames, in order ------------------------------------------------------------------------- */

static void check_size(struct sp_live_counting *lc, struct sp_count_queue *queue,
                       const struct sp_count_frame *frame)
{
    struct sp_error err = {0};
    if (!queue->checked &&
        sp_counting_config_check_size(sp_counting_setup_config(lc->setup), queue->name,
                                      frame->width_px, frame->height_px, &err) < 0)
        sp_log(SP_LOG_WARNING, "camera %s: %s", queue->name, err.text);
    queue->checked = true;
}

static void count_first(struct sp_live_counting *lc, int camera)
{
    struct sp_count_queue *queue = &lc->queues[camera];
    const struct sp_count_frame *frame = sp_count_queue_first(queue);
    struct sp_counting_frame next = {.camera = camera,
                                     .width_px = frame->width_px,
                                     .height_px = frame->height_px,
                                     .inferred = true,
                                     .tracks = frame->tracks,
                                     .positions = frame->mapped ? frame->positions : NULL,
                                     .count = frame->count};
    if (llabs(frame->wall_us - lc->wall_us) > CLOCK_STEP_US)
        lc->wall_us = frame->wall_us;
    next.time_us = frame->time_us + lc->wall_us;
    check_size(lc, queue, frame);
    if (lc->frame) {
        struct sp_live_frame live = {.camera = camera,
                                     .name = queue->name,
                                     .epoch = atomic_load(&queue->epoch),
                                     .sequence = frame->sequence,
                                     .counted = &next};
        lc->frame(lc->user, &live);
    }
    sp_counting_frame(lc->counting, &next);
    sp_count_queue_drop(queue);
}

/* The camera with the earliest frame. -1: none, or another one may still deliver an earlier one. */
static int next_camera(struct sp_live_counting *lc, int64_t now_us)
{
    const struct sp_count_frame *first = NULL;
    int next = -1;
    bool all = true;
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        struct sp_count_queue *queue = &lc->queues[i];
        const struct sp_count_frame *frame = sp_count_queue_first(queue);
        if (!frame) {
            all = all &&
                  (!atomic_load(&queue->wanted) || now_us - atomic_load(&queue->put_us) > QUIET_US);
            continue;
        }
        if (!first || frame->time_us < first->time_us ||
            (frame->time_us == first->time_us && strcmp(queue->name, lc->queues[next].name) < 0)) {
            first = frame;
            next = i;
        }
    }
    return first && (all || now_us - first->arrived_us > WAIT_US) ? next : -1;
}

static void count_ready(struct sp_live_counting *lc)
{
    int camera;
    while ((camera = next_camera(lc, sp_clock_us())) >= 0)
        count_first(lc, camera);
}

static void *work(void *argument)
{
    struct sp_live_counting *lc = argument;
    pthread_mutex_lock(&lc->mutex);
    while (!lc->ending) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_US * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (lc->any)
            pthread_cond_timedwait(&lc->changed, &lc->mutex, &until);
        else
            pthread_cond_wait(&lc->changed, &lc->mutex);
        count_ready(lc);
    }
    pthread_mutex_unlock(&lc->mutex);
    return NULL;
}

/* With the mutex held: another camera has this index. Frames of the one before were counted by
 * sp_live_counting_end_camera. */
static void begin_camera(struct sp_live_counting *lc, int camera, const struct sp_result *result)
{
    struct sp_count_queue *queue = &lc->queues[camera];
    while (sp_count_queue_first(queue))
        sp_count_queue_drop(queue);
    sp_count_queue_begin(queue, result->name, result->generation);
    const struct sp_counting_config *config = sp_counting_setup_config(lc->setup);
    atomic_store(&queue->wanted,
                 lc->frame || (sp_counting_config_has_map(config) && lc->units_per_m > 0));
    if (has_scope(config, queue->name))
        rebuild_or_log(lc);
}

void sp_live_counting_frame(struct sp_live_counting *lc, const struct sp_result *result)
{
    struct sp_count_queue *queue = &lc->queues[result->camera];
    if (!result->inferred)
        return;
    if (atomic_load(&queue->epoch) != result->generation) {
        pthread_mutex_lock(&lc->mutex);
        begin_camera(lc, result->camera, result);
        pthread_mutex_unlock(&lc->mutex);
    }
    if (atomic_load(&queue->wanted) && !sp_count_queue_put(queue, result, sp_clock_us()))
        atomic_fetch_add(&lc->missed, 1);
}

void sp_live_counting_end_camera(struct sp_live_counting *lc, int camera)
{
    struct sp_count_queue *queue = &lc->queues[camera];
    pthread_mutex_lock(&lc->mutex);
    while (sp_count_queue_first(queue))
        count_first(lc, camera);
    if (atomic_load(&queue->epoch)) {
        sp_counting_end_camera(lc->counting, camera);
        atomic_store(&queue->epoch, 0);
        atomic_store(&queue->wanted, false);
        if (has_scope(sp_counting_setup_config(lc->setup), queue->name))
            rebuild_or_log(lc);
    }
    pthread_mutex_unlock(&lc->mutex);
}

/* --- open and close --------------------------------------------------------------------------- */

static int open_all(struct sp_live_counting *lc, const struct sp_live_counting_options *options,
                    struct sp_error *err)
{
    int result = sp_counting_setup_open(&lc->setup, options->file, err);
    if (result == SP_OK)
        result = sp_counting_setup_read_yaml(lc->setup, options->yaml_path, err);
    if (result == SP_OK)
        result = sp_count_history_open(&lc->history, err);
    if (result == SP_OK)
        result = rebuild(lc, err);
    if (result == SP_OK)
        result = sp_thread_start(&lc->thread, "counting", work, lc, err);
    lc->started = result == SP_OK;
    return result;
}

int sp_live_counting_open(struct sp_live_counting **out,
                          const struct sp_live_counting_options *options, struct sp_error *err)
{
    struct sp_live_counting *lc = calloc(1, sizeof *lc);
    pthread_condattr_t monotonic;
    if (!lc)
        return sp_fail(err, SP_ERR_NO_MEMORY, "lines and zones: out of memory");
    pthread_mutex_init(&lc->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lc->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    lc->events = options->events;
    lc->epoch = options->epoch;
    lc->frame = options->frame;
    lc->user = options->user;
    lc->units_per_m = options->units_per_m;
    lc->y_up = options->y_up;
    int result = open_all(lc, options, err);
    if (result < 0)
        sp_live_counting_close(lc);
    else
        *out = lc;
    return result;
}

/* What is still queued is counted, and open visits end, as they do when stored tracks are counted.
 */
static void finish(struct sp_live_counting *lc)
{
    int camera;
    while ((camera = next_camera(lc, INT64_MAX)) >= 0)
        count_first(lc, camera);
    sp_counting_finish(lc->counting);
}

void sp_live_counting_close(struct sp_live_counting *lc)
{
    if (!lc)
        return;
    pthread_mutex_lock(&lc->mutex);
    lc->ending = true;
    pthread_cond_signal(&lc->changed);
    pthread_mutex_unlock(&lc->mutex);
    if (lc->started)
        pthread_join(lc->thread, NULL);
    if (lc->started)
        finish(lc);
    sp_counting_close(lc->counting);
    sp_counting_setup_close(lc->setup);
    sp_count_history_close(lc->history);
    sp_json_release(&lc->json);
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        sp_count_queue_release(&lc->queues[i]);
    pthread_cond_destroy(&lc->changed);
    pthread_mutex_destroy(&lc->mutex);
    free(lc);
}

/* --- changes ---------------------------------------------------------------------------------- */

void sp_live_counting_set_map(struct sp_live_counting *lc, double units_per_m, bool y_up)
{
    pthread_mutex_lock(&lc->mutex);
    if (units_per_m != lc->units_per_m || y_up != lc->y_up) {
        lc->units_per_m = units_per_m;
        lc->y_up = y_up;
        rebuild_or_log(lc);
    }
    pthread_mutex_unlock(&lc->mutex);
}

int sp_live_counting_reload(struct sp_live_counting *lc, const char *yaml_path,
                            struct sp_error *err)
{
    pthread_mutex_lock(&lc->mutex);
    int result = sp_counting_setup_read_yaml(lc->setup, yaml_path, err);
    if (result == SP_OK)
        result = rebuild(lc, err);
    pthread_mutex_unlock(&lc->mutex);
    return result;
}

/* After a change; keeps its result. */
static int apply(struct sp_live_counting *lc, bool changed, int result, struct sp_error *err)
{
    int rebuilt = changed ? rebuild(lc, result == SP_OK ? err : NULL) : SP_OK;
    for (int i = 0; changed && i < SP_CAMERAS_MAX; i++)
        lc->queues[i].checked = false;
    return result < 0 ? result : rebuilt;
}

int sp_live_counting_put(struct sp_live_counting *lc, const char *camera, int width_px,
                         int height_px, const char *text, size_t bytes, bool *changed,
                         struct sp_error *err)
{
    pthread_mutex_lock(&lc->mutex);
    struct sp_counting_put put = {camera, width_px, height_px, text, bytes};
    int result = sp_counting_setup_put(lc->setup, &put, changed, err);
    result = apply(lc, *changed, result, err);
    pthread_mutex_unlock(&lc->mutex);
    return result;
}

int sp_live_counting_remove(struct sp_live_counting *lc, const char *camera, bool *changed,
                            struct sp_error *err)
{
    pthread_mutex_lock(&lc->mutex);
    int result = sp_counting_setup_remove(lc->setup, camera, changed, err);
    result = apply(lc, *changed, result, err);
    pthread_mutex_unlock(&lc->mutex);
    return result;
}

/* --- queries ---------------------------------------------------------------------------------- */

static void put_setup(struct sp_live_counting *lc, const char *camera, struct sp_json *json)
{
    sp_json_member_bool(json, "edited", sp_counting_setup_is_edited(lc->setup, camera));
    sp_counting_scope_members_json(json, sp_counting_setup_scope(lc->setup, camera));
}

void sp_live_counting_setup_json(struct sp_live_counting *lc, const char *camera,
                                 struct sp_json *json)
{
    pthread_mutex_lock(&lc->mutex);
    put_setup(lc, camera, json);
    pthread_mutex_unlock(&lc->mutex);
}

void sp_live_counting_setups_json(struct sp_live_counting *lc, struct sp_json *json)
{
    pthread_mutex_lock(&lc->mutex);
    const struct sp_counting_config *config = sp_counting_setup_config(lc->setup);
    sp_json_member_int(json, "version", (int64_t)lc->version);
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < config->camera_count; i++) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "camera", config->cameras[i].name);
        put_setup(lc, config->cameras[i].name, json);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_key(json, "map");
    sp_json_begin_object(json);
    put_setup(lc, NULL, json);
    sp_json_end_object(json);
    pthread_mutex_unlock(&lc->mutex);
}

static void put_way(struct sp_json *json, const char *key, const char *name, uint64_t total,
                    uint64_t since)
{
    sp_json_key(json, key);
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", name);
    sp_json_member_int(json, "total", (int64_t)total);
    sp_json_member_int(json, "since", (int64_t)since);
    sp_json_end_object(json);
}

static void put_line(struct sp_live_counting *lc, const struct sp_line_count *line,
                     int64_t since_us, struct sp_json *json)
{
    struct sp_line_sums sums = sp_count_history_line(lc->history, line->name, since_us);
    sp_json_begin_object(json);
    sp_json_member_string(json, "line", line->name);
    sp_json_member_bool(json, "on_map", line->on_map);
    put_way(json, "in", line->in_name, line->in, sums.in);
    put_way(json, "out", line->out_name, line->out, sums.out);
    sp_json_end_object(json);
}

static void put_zone(struct sp_live_counting *lc, const struct sp_zone_count *zone,
                     int64_t since_us, struct sp_json *json)
{
    struct sp_zone_sums sums = sp_count_history_zone(lc->history, zone->name, since_us);
    sp_json_begin_object(json);
    sp_json_member_string(json, "zone", zone->name);
    sp_json_member_bool(json, "on_map", zone->on_map);
    sp_json_key(json, "visits");
    sp_json_begin_object(json);
    sp_json_member_int(json, "total", (int64_t)zone->visits);
    sp_json_member_int(json, "since", (int64_t)sums.visits);
    sp_json_end_object(json);
    sp_json_member_int(json, "seen", zone->seen);
    sp_json_key(json, "occupancy");
    sp_json_begin_object(json);
    sp_json_member_int(json, "people", zone->occupancy.now);
    sp_json_member_int(json, "low", zone->occupancy.low);
    sp_json_member_int(json, "high", zone->occupancy.high);
    sp_json_end_object(json);
    sp_json_member_bool(json, "crowded", zone->is_crowded);
    sp_json_key(json, "dwell_s");
    sp_json_begin_object(json);
    sp_json_member_int(json, "visits", sums.dwells);
    sp_json_member_number(json, "p50", sums.p50_s, 2);
    sp_json_member_number(json, "p90", sums.p90_s, 2);
    sp_json_member_number(json, "mean", sums.mean_s, 2);
    sp_json_member_number(json, "max", sums.max_s, 2);
    sp_json_end_object(json);
    sp_json_end_object(json);
}

void sp_live_counting_counts_json(struct sp_live_counting *lc, int64_t since_us,
                                  struct sp_json *json)
{
    struct sp_line_count line;
    struct sp_zone_count zone;
    pthread_mutex_lock(&lc->mutex);
    sp_json_member_int(json, "version", (int64_t)lc->version);
    sp_json_member_int(json, "missed", (int64_t)atomic_load(&lc->missed));
    sp_json_key(json, "lines");
    sp_json_begin_array(json);
    for (int i = 0; sp_counting_line(lc->counting, i, &line); i++)
        put_line(lc, &line, since_us, json);
    sp_json_end_array(json);
    sp_json_key(json, "zones");
    sp_json_begin_array(json);
    for (int i = 0; sp_counting_zone(lc->counting, i, &zone); i++)
        put_zone(lc, &zone, since_us, json);
    sp_json_end_array(json);
    pthread_mutex_unlock(&lc->mutex);
}

void sp_live_counting_visit(struct sp_live_counting *lc,
                            const struct sp_live_counting_visitor *visitor)
{
    struct sp_line_count line;
    struct sp_zone_count zone;
    pthread_mutex_lock(&lc->mutex);
    for (int i = 0; visitor->line && sp_counting_line(lc->counting, i, &line); i++)
        visitor->line(visitor->user, &line);
    for (int i = 0; visitor->zone && sp_counting_zone(lc->counting, i, &zone); i++)
        visitor->zone(visitor->user, &zone);
    pthread_mutex_unlock(&lc->mutex);
}

uint64_t sp_live_counting_missed(const struct sp_live_counting *lc)
{
    return atomic_load(&lc->missed);
}
