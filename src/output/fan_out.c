#include "output/fan_out.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "capacity.h"
#include "output/delivery.h"
#include "output/option_text.h"
#include "output/plugin.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Frames may use so much of a queue; the rest is for events. */
enum { FRAMES_MAX = SP_OUTPUT_QUEUE * 3 / 4, OPTIONS_BYTES = 1024 };

static const int64_t FLUSH_US = 1000000, CLOSE_US = 1000000, BLOCKED_US = 1000000,
                     LOG_US = 60000000;

enum item_kind { FRAME, EVENT, END };

struct item {
    enum item_kind kind;
    int camera;
    struct sp_result *result; /* FRAME: a reference */
    struct sp_event *event;   /* EVENT: owned */
};

struct output {
    const struct spoton_output_api *api;
    struct spoton_output *plugin;
    pthread_t thread;
    bool started;
    struct sp_class_names classes; /* none: zero */

    pthread_mutex_t mutex; /* guards the next members */
    pthread_cond_t changed;
    struct item ring[SP_OUTPUT_QUEUE];
    size_t first, used;
    bool stopping, finished;
    int64_t call_since_us; /* 0: not in the plugin */
    struct sp_output_report report;

    /* The thread's own. */
    struct spoton_output_track tracks[SP_TRACKS_MAX];
    struct {
        char name[SP_RESULT_NAME_BYTES];
        uint64_t epoch; /* 0: not begun */
    } cameras[SP_CAMERAS_MAX];
    int64_t flushed_us, logged_us;
    bool unflushed;
};

struct sp_fan_out {
    struct sp_fan_out_options options;
    int count;
    struct output *output[SP_OUTPUTS_MAX]; /* each on its own, as an abandoned one is never freed */
    struct sp_outbox *outbox;              /* NULL: no output delivers */
    int delivery_count;
    struct sp_delivery *delivery[SP_OUTPUTS_MAX];
    const char *plugin[SP_OUTPUTS_MAX]; /* in the order of OUTPUTS */
    char delivery_name[SP_OUTPUTS_MAX][SP_OUTPUT_NAME_BYTES];
    int plugin_count;
};

#define HAS(api, member)                                                                           \
    ((api)->struct_bytes > offsetof(struct spoton_output_api, member) && (api)->member)

/* ---- the output's thread ---- */

static void enter(struct output *o)
{
    pthread_mutex_lock(&o->mutex);
    o->call_since_us = sp_clock_us();
    pthread_mutex_unlock(&o->mutex);
}

static void leave(struct output *o, int result, const char *error, uint64_t *accepted)
{
    int64_t now_us = sp_clock_us();
    bool log = result < 0 && (o->logged_us == 0 || now_us - o->logged_us > LOG_US);
    pthread_mutex_lock(&o->mutex);
    o->call_since_us = 0;
    if (result < 0) {
        o->report.failed++;
        snprintf(o->report.error, sizeof o->report.error, "%s", error);
    } else if (accepted) {
        ++*accepted;
    }
    pthread_mutex_unlock(&o->mutex);
    if (log) {
        o->logged_us = now_us;
        sp_log(SP_LOG_WARNING, "output %s: %s", o->report.name, error);
    }
}

static void end_camera(struct output *o, int camera)
{
    if (o->cameras[camera].epoch == 0)
        return;
    if (HAS(o->api, camera_end)) {
        enter(o);
        o->api->camera_end(o->plugin, o->cameras[camera].name, o->cameras[camera].epoch);
        leave(o, 0, "", NULL);
    }
    o->cameras[camera].epoch = 0;
}

static void begin_camera(struct output *o, int camera, const char *name, uint64_t epoch)
{
    if (o->cameras[camera].epoch == epoch)
        return;
    end_camera(o, camera);
    snprintf(o->cameras[camera].name, sizeof o->cameras[camera].name, "%s", name);
    o->cameras[camera].epoch = epoch;
    if (HAS(o->api, camera_begin)) {
        enter(o);
        o->api->camera_begin(o->plugin, name, epoch);
        leave(o, 0, "", NULL);
    }
}

static void fill_tracks(struct output *o, const struct sp_result *result)
{
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *t = &result->tracks[i];
        const struct sp_world_position *at =
            result->has_world_positions ? &result->positions[i] : NULL;
        o->tracks[i] = (struct spoton_output_track){
            .id = t->id,
            .global_id = at ? at->person : 0,
            .class_id = t->class_id,
            .class_name = sp_class_names_get(&o->classes, t->class_id),
            .confidence = t->confidence,
            .x1 = t->x1_px,
            .y1 = t->y1_px,
            .x2 = t->x2_px,
            .y2 = t->y2_px,
            .matched = t->detection != 0,
            .on_map = at && at->on_map,
            .map_x = at && at->on_map ? at->x : 0,
            .map_y = at && at->on_map ? at->y : 0,
        };
    }
}

/* Releases the result before the plugin is called, as the call may block for ever. */
static void deliver_frame(struct output *o, struct sp_result *result)
{
    char error[256] = "";
    int camera = result->camera;
    begin_camera(o, camera, result->name, result->generation);
    fill_tracks(o, result);
    struct spoton_output_frame frame = {
        .struct_bytes = sizeof frame,
        .camera = o->cameras[camera].name,
        .epoch = result->generation,
        .sequence = result->sequence,
        .pts_us = result->pts_us,
        .wall_us = result->wall_us,
        .inferred = result->inferred,
        .width = result->width_px,
        .height = result->height_px,
        .track_count = result->track_count,
        .tracks = o->tracks,
    };
    sp_result_unref(result);
    enter(o);
    int failed = o->api->frame(o->plugin, &frame, error, sizeof error);
    leave(o, failed, error, &o->report.frames);
    o->unflushed = true;
}

static void deliver_event(struct output *o, struct sp_event *event)
{
    char error[256] = "";
    if (HAS(o->api, event)) {
        const struct spoton_output_event shown = {
            .struct_bytes = sizeof shown,
            .id = event->id,
            .kind = event->kind,
            .camera = event->camera,
            .wall_us = event->wall_us,
            .payload = event->payload,
        };
        enter(o);
        int result = o->api->event(o->plugin, &shown, error, sizeof error);
        leave(o, result, error, &o->report.events);
        o->unflushed = true;
    }
    free(event);
}

static void flush(struct output *o)
{
    char error[256] = "";
    if (o->unflushed && HAS(o->api, flush)) {
        enter(o);
        leave(o, o->api->flush(o->plugin, error, sizeof error), error, NULL);
    }
    o->unflushed = false;
    o->flushed_us = sp_clock_us();
}

/* Waits for an item for a second at most; *found: whether there is one, *idle: nothing is queued
 * behind it. False: stopping, and nothing is queued. */
static bool take(struct output *o, struct item *item, bool *found, bool *idle)
{
    pthread_mutex_lock(&o->mutex);
    if (o->used == 0 && !o->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 1;
        pthread_cond_timedwait(&o->changed, &o->mutex, &until);
    }
    *found = o->used > 0;
    bool more = *found || !o->stopping;
    if (*found) {
        *item = o->ring[o->first];
        o->first = (o->first + 1) % SP_OUTPUT_QUEUE;
        o->used--;
    }
    *idle = o->used == 0;
    pthread_mutex_unlock(&o->mutex);
    return more;
}

static void *run(void *argument)
{
    struct output *o = argument;
    struct item item = {0};
    bool found, idle;
    while (take(o, &item, &found, &idle)) {
        if (found && item.kind == FRAME)
            deliver_frame(o, item.result);
        else if (found && item.kind == EVENT)
            deliver_event(o, item.event);
        else if (found)
            end_camera(o, item.camera);
        if (idle && sp_clock_us() - o->flushed_us >= FLUSH_US)
            flush(o);
    }
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        end_camera(o, i);
    flush(o);
    enter(o);
    o->api->close(o->plugin);
    leave(o, 0, "", NULL);
    pthread_mutex_lock(&o->mutex);
    o->finished = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mutex);
    return NULL;
}

/* ---- opening ---- */

/* The option `name`; otherwise "jsonl", then "jsonl-2". */
static int name_output(struct sp_fan_out *f, const struct spoton_output_api *api,
                       const char *options, char name[SP_OUTPUT_NAME_BYTES], struct sp_error *err)
{
    int same = 1;
    for (int i = 0; i < f->plugin_count; i++)
        same += strcmp(f->plugin[i], api->name) == 0;
    f->plugin[f->plugin_count++] = api->name;
    int n = snprintf(name, SP_OUTPUT_NAME_BYTES - 4, "%s", api->name);
    if (same > 1 && n > 0)
        snprintf(name + strlen(name), 4, "-%d", same);
    char own[SP_OUTPUT_NAME_BYTES];
    if (!sp_output_plugin_delivers(api) || !spoton_option(options, "name", own, sizeof own))
        return SP_OK;
    bool valid = own[0] != '\0' && strlen(own) < SP_OUTPUT_NAME_BYTES - 1;
    for (const char *at = own; *at; at++)
        valid = valid && (isalnum((unsigned char)*at) || *at == '-' || *at == '_');
    for (int i = 0; i < f->delivery_count; i++)
        valid = valid && strcmp(f->delivery_name[i], own) != 0;
    if (!valid)
        return sp_fail(err, SP_ERR_INVALID,
                       "output %s: name=%s: not a unique name of letters, digits, '-', '_'",
                       api->name, own);
    snprintf(name, SP_OUTPUT_NAME_BYTES, "%s", own);
    return SP_OK;
}

static int open_queued(struct sp_fan_out *f, const struct spoton_output_api *api,
                       const char *options, const char *name, struct sp_error *err)
{
    char error[256] = "";
    struct output *o = calloc(1, sizeof *o);
    if (!o)
        return sp_fail(err, SP_ERR_NO_MEMORY, "output %s: out of memory", name);
    o->api = api;
    if (api->open(&o->plugin, options, error, sizeof error) < 0) {
        free(o);
        return sp_fail(err, SP_ERR_IO, "output %s: %s", api->name, error);
    }
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->changed, &clock);
    pthread_condattr_destroy(&clock);
    snprintf(o->report.name, sizeof o->report.name, "%s", name);
    f->output[f->count++] = o;
    char thread[16];
    snprintf(thread, sizeof thread, "out-%.11s", o->report.name);
    int result = sp_thread_start(&o->thread, thread, run, o, err);
    o->started = result == SP_OK;
    return result;
}

static int open_delivery(struct sp_fan_out *f, const struct spoton_output_api *api,
                         const char *options, const char *name, struct sp_error *err)
{
    if (!f->outbox && !f->options.check) {
        int result = sp_outbox_open(&f->outbox, &f->options.outbox, err);
        if (result < 0)
            return result;
    }
    const struct sp_delivery_setup setup = {
        .api = api,
        .name = name,
        .options = options,
        .outbox = f->outbox,
        .site = f->options.site,
        .node = f->options.node,
        .image = f->options.image,
    };
    struct sp_delivery **delivery = &f->delivery[f->delivery_count];
    int result = sp_delivery_open(delivery, &setup, err);
    if (result < 0)
        return result;
    snprintf(f->delivery_name[f->delivery_count++], SP_OUTPUT_NAME_BYTES, "%s", name);
    return f->options.check ? SP_OK : sp_delivery_start(*delivery, err);
}

static int open_output(struct sp_fan_out *f, const char *plugin, const char *options,
                       struct sp_error *err)
{
    char name[SP_OUTPUT_NAME_BYTES];
    const struct spoton_output_api *api;
    int result = sp_output_plugin_load(&api, plugin, err);
    if (result == SP_OK)
        result = name_output(f, api, options, name, err);
    if (result < 0)
        return result;
    if (sp_output_plugin_delivers(api))
        return open_delivery(f, api, options, name, err);
    return f->options.check ? SP_OK : open_queued(f, api, options, name, err);
}

static int open_all(struct sp_fan_out *f, const char *outputs, struct sp_error *err)
{
    for (const char *at = outputs + strspn(outputs, " \t"); *at; at += strspn(at, " \t")) {
        char word[OPTIONS_BYTES];
        size_t n = strcspn(at, " \t");
        if (n >= sizeof word)
            return sp_fail(err, SP_ERR_INVALID, "OUTPUTS: an entry has %zu bytes; at most %d", n,
                           OPTIONS_BYTES - 1);
        if (f->plugin_count == SP_OUTPUTS_MAX)
            return sp_fail(err, SP_ERR_INVALID, "OUTPUTS: more than %d outputs; remove some",
                           SP_OUTPUTS_MAX);
        memcpy(word, at, n);
        word[n] = '\0';
        char *options = strchr(word, '?');
        if (options)
            *options++ = '\0';
        if (word[0] == '\0')
            return sp_fail(err, SP_ERR_INVALID,
                           "OUTPUTS: an entry has no name before '?'; write NAME?OPTIONS");
        int result = open_output(f, word, options ? options : "", err);
        if (result < 0)
            return result;
        at += n;
    }
    return SP_OK;
}

int sp_fan_out_open(struct sp_fan_out **out, const struct sp_fan_out_options *options,
                    struct sp_error *err)
{
    struct sp_fan_out *f = calloc(1, sizeof *f);
    if (!f)
        return sp_fail(err, SP_ERR_NO_MEMORY, "outputs: out of memory");
    f->options = *options;
    int result = open_all(f, options->outputs, err);
    if (result < 0) {
        sp_fan_out_close(f);
        return result;
    }
    *out = f;
    return SP_OK;
}

struct sp_outbox *sp_fan_out_outbox(const struct sp_fan_out *fan_out)
{
    return fan_out->outbox;
}

void sp_fan_out_set_classes(struct sp_fan_out *fan_out, const struct sp_class_names *classes)
{
    for (int i = 0; i < fan_out->count; i++)
        fan_out->output[i]->classes = *classes; /* an abandoned output still uses it */
    if (fan_out->outbox)
        sp_outbox_set_classes(fan_out->outbox, classes);
}

/* ---- queueing ---- */

static bool push(struct output *o, const struct item *item, size_t most)
{
    pthread_mutex_lock(&o->mutex);
    bool fits = o->used < most && !o->stopping;
    if (fits) {
        o->ring[(o->first + o->used++) % SP_OUTPUT_QUEUE] = *item;
        pthread_cond_signal(&o->changed);
    } else {
        o->report.dropped++;
    }
    pthread_mutex_unlock(&o->mutex);
    return fits;
}

void sp_fan_out_frame(struct sp_fan_out *fan_out, struct sp_result *result)
{
    for (int i = 0; i < fan_out->count; i++) {
        struct item item = {
            .kind = FRAME, .camera = result->camera, .result = sp_result_ref(result)};
        if (!push(fan_out->output[i], &item, FRAMES_MAX))
            sp_result_unref(result);
    }
    if (fan_out->outbox && result->inferred)
        sp_outbox_frame(fan_out->outbox, result);
}

void sp_fan_out_event(struct sp_fan_out *fan_out, const struct sp_event *event)
{
    for (int i = 0; i < fan_out->count; i++) {
        struct item item = {.kind = EVENT, .event = malloc(sizeof *event)};
        if (item.event)
            *item.event = *event;
        if (!item.event || !push(fan_out->output[i], &item, SP_OUTPUT_QUEUE))
            free(item.event);
    }
    if (fan_out->outbox)
        sp_outbox_event(fan_out->outbox, event);
}

void sp_fan_out_end_camera(struct sp_fan_out *fan_out, int camera)
{
    const struct item item = {.kind = END, .camera = camera};
    for (int i = 0; i < fan_out->count; i++)
        push(fan_out->output[i], &item, SP_OUTPUT_QUEUE);
}

int sp_fan_out_count(const struct sp_fan_out *fan_out)
{
    return fan_out->count + fan_out->delivery_count;
}

static void report_delivery(struct sp_fan_out *f, int index, struct sp_output_report *report)
{
    struct sp_delivery_report d;
    sp_delivery_report(f->delivery[index], &d);
    *report = (struct sp_output_report){
        .delivers = true,
        .connected = d.connected,
        .blocked = d.blocked,
        .failed = d.failed,
        .sent = d.sent,
        .retried = d.retried,
        .rejected = d.rejected,
        .lost = d.lost,
        .lag_messages = d.lag_messages,
        .lag_seconds = d.lag_seconds,
    };
    snprintf(report->name, sizeof report->name, "%s", f->delivery_name[index]);
    snprintf(report->error, sizeof report->error, "%s", d.error);
}

void sp_fan_out_report(struct sp_fan_out *fan_out, int index, struct sp_output_report *report)
{
    if (index >= fan_out->count) {
        report_delivery(fan_out, index - fan_out->count, report);
        return;
    }
    struct output *o = fan_out->output[index];
    pthread_mutex_lock(&o->mutex);
    *report = o->report;
    report->queued = (int)o->used;
    report->blocked = o->call_since_us && sp_clock_us() - o->call_since_us > BLOCKED_US;
    pthread_mutex_unlock(&o->mutex);
}

int sp_fan_out_check(struct sp_fan_out *fan_out, int index, struct sp_error *err)
{
    return index < fan_out->count
               ? SP_OK
               : sp_delivery_check(fan_out->delivery[index - fan_out->count], err);
}

/* ---- closing ---- */

static void drain(struct output *o)
{
    for (; o->used > 0; o->used--) {
        struct item *item = &o->ring[o->first];
        sp_result_unref(item->result);
        free(item->event);
        o->first = (o->first + 1) % SP_OUTPUT_QUEUE;
    }
}

/* False: the plugin does not return. */
static bool stop(struct output *o, const struct timespec *until)
{
    pthread_mutex_lock(&o->mutex);
    while (o->started && !o->finished &&
           pthread_cond_timedwait(&o->changed, &o->mutex, until) != ETIMEDOUT)
        ;
    bool finished = o->finished || !o->started;
    drain(o);
    pthread_mutex_unlock(&o->mutex);
    return finished;
}

bool sp_fan_out_close(struct sp_fan_out *fan_out)
{
    if (!fan_out)
        return true;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_US / 1000000;
    for (int i = 0; i < fan_out->delivery_count; i++)
        sp_delivery_stop(fan_out->delivery[i]);
    for (int i = 0; i < fan_out->count; i++) {
        pthread_mutex_lock(&fan_out->output[i]->mutex);
        fan_out->output[i]->stopping = true;
        pthread_cond_broadcast(&fan_out->output[i]->changed);
        pthread_mutex_unlock(&fan_out->output[i]->mutex);
    }
    bool all_closed = true, none_reads = true;
    for (int i = 0; i < fan_out->count; i++) {
        struct output *o = fan_out->output[i];
        if (!stop(o, &until)) {
            all_closed = false;
            sp_log(SP_LOG_WARNING, "output %s: does not return; ending without it", o->report.name);
            pthread_detach(o->thread);
            continue;
        }
        if (o->started)
            pthread_join(o->thread, NULL);
        pthread_cond_destroy(&o->changed);
        pthread_mutex_destroy(&o->mutex);
        free(o);
    }
    for (int i = 0; i < fan_out->delivery_count; i++)
        none_reads = sp_delivery_close(fan_out->delivery[i], &until) && none_reads;
    if (none_reads)
        sp_outbox_close(fan_out->outbox);
    else /* an abandoned one still reads it */
        sp_outbox_end(fan_out->outbox);
    free(fan_out);
    return all_closed && none_reads;
}
