#include "output/delivery.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "output/delivery_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH_MESSAGES = 512, BATCH_BYTES = 1 << 20 };

static const int64_t WAIT_US = 100000, LOG_US = 60000000, BACKOFF_FIRST_US = 200000,
                     BACKOFF_MOST_US = 10000000, STEP_US = 50000, BLOCKED_US = 35000000,
                     NO_IMAGE_US = 10000000; /* without tries after one that failed */

/* ---- rendering ---- */

/* At the rate of the options: true for frames that are not sent. */
static bool is_too_soon(struct sp_delivery *d, const struct sp_record *r)
{
    if (d->interval_us == 0)
        return false;
    int at = 0;
    while (at < DELIVERY_CAMERAS && strcmp(d->cameras[at].name, r->camera) != 0)
        at++;
    if (at == DELIVERY_CAMERAS) {
        at = d->next_camera;
        d->next_camera = (d->next_camera + 1) % DELIVERY_CAMERAS;
        snprintf(d->cameras[at].name, sizeof d->cameras[at].name, "%s", r->camera);
        d->cameras[at].pts_us = INT64_MIN;
    }
    int64_t last_us = d->cameras[at].pts_us, pts_us = r->frame.pts_us;
    if (last_us != INT64_MIN && pts_us >= last_us && pts_us - last_us < d->interval_us)
        return true;
    d->cameras[at].pts_us = pts_us;
    return false;
}

static bool is_wanted(struct sp_delivery *d, const struct sp_record *r)
{
    const char *kind = sp_dialect_kind(r);
    for (unsigned i = 0; i < DELIVERY_KINDS; i++)
        if (strcmp(kind, delivery_kinds[i]) == 0 && !(d->send & 1U << i))
            return false;
    return r->type != SP_RECORD_FRAME || !is_too_soon(d, r);
}

/* A companion of the format, such as home_assistant, sees all records. */
static void render(struct sp_delivery *d)
{
    const struct sp_record *r = &d->record;
    if (r->type == SP_RECORD_FRAME)
        sp_snapshots_see(&d->snapshots, r->camera);
    else if (strcmp(r->event.kind, "camera.removed") == 0)
        sp_snapshots_forget(&d->snapshots, r->camera);
    if (is_wanted(d, r))
        d->dialects[0]->type->render(d->dialects[0], r, &d->messages);
    for (int i = 1; i < d->dialect_count; i++)
        d->dialects[i]->type->render(d->dialects[i], r, &d->messages);
    sp_messages_end_record(&d->messages, sp_outbox_place(d->reader));
}

static void answer(struct sp_delivery *d)
{
    for (int i = 0; i < d->dialect_count; i++) {
        if (d->asked[i] && d->dialects[i]->type->received) {
            struct sp_record *r = &d->record; /* the one that the answers belong to */
            r->type = SP_RECORD_EVENT;
            r->head = (struct sp_record_head){.epoch = sp_outbox_epoch(d->outbox),
                                              .sequence = (uint64_t)sp_clock_us()};
            r->camera = "";
            r->wall_us = sp_clock_wall_us();
            r->event = (struct spoton_output_event){.kind = "", .payload = "{}"};
            d->dialects[i]->type->received(d->dialects[i], r, &d->messages);
        }
        d->asked[i] = false;
    }
}

static void gather(struct sp_delivery *d)
{
    struct sp_messages *m = &d->messages;
    sp_messages_clear(m);
    d->first = 0;
    d->tried = false;
    m->place = sp_outbox_place(d->reader);
    answer(d);
    int64_t wait_us = m->count > 0 ? 0 : WAIT_US;
    while (m->count < BATCH_MESSAGES && m->used_bytes < BATCH_BYTES &&
           sp_outbox_read(d->reader, &d->record, wait_us)) {
        render(d);
        wait_us = 0;
    }
    sp_messages_finish(m);
    if (m->failed)
        sp_log(SP_LOG_ERROR, "output %s: out of memory; messages are lost", d->name);
    m->failed = false;
    pthread_mutex_lock(&d->mutex);
    d->oldest_wall_us = m->count > 0 ? m->list[0].wall_us : 0;
    pthread_mutex_unlock(&d->mutex);
    if (m->count == 0)
        sp_outbox_commit(d->reader, &m->place);
}

/* ---- delivering ---- */

static void enter(struct sp_delivery *d)
{
    pthread_mutex_lock(&d->mutex);
    d->call_since_us = sp_clock_us();
    pthread_mutex_unlock(&d->mutex);
}

static void leave(struct sp_delivery *d, int result, const char *error)
{
    pthread_mutex_lock(&d->mutex);
    bool was_connected = d->report.connected;
    d->call_since_us = 0;
    d->report.connected = result >= 0;
    d->report.failed += result < 0;
    snprintf(d->report.error, sizeof d->report.error, "%s", error);
    pthread_mutex_unlock(&d->mutex);
    int64_t now_us = sp_clock_us();
    if (result < 0 && (was_connected || d->logged_us == 0 || now_us - d->logged_us > LOG_US)) {
        d->logged_us = now_us;
        sp_log(SP_LOG_WARNING, "output %s: %s", d->name, error);
    } else if (result >= 0 && !was_connected) {
        sp_log(SP_LOG_INFO, "output %s: connected", d->name);
        d->logged_us = 0;
    }
}

static void back_off(struct sp_delivery *d)
{
    d->backoff_us = d->backoff_us == 0 ? BACKOFF_FIRST_US : d->backoff_us * 2;
    if (d->backoff_us > BACKOFF_MOST_US)
        d->backoff_us = BACKOFF_MOST_US;
    int64_t jitter_us = d->backoff_us / 4;
    int64_t wait_us = d->backoff_us - jitter_us + rand_r(&d->seed) % (2 * jitter_us);
    const struct timespec step = {.tv_nsec = STEP_US * 1000};
    for (; wait_us > 0 && atomic_load(&d->stop_us) == 0; wait_us -= STEP_US)
        nanosleep(&step, NULL);
}

static bool deliver(struct sp_delivery *d)
{
    char error[256] = "";
    struct sp_messages *m = &d->messages;
    struct spoton_output_outcome outcome = {.struct_bytes = sizeof outcome};
    size_t left = m->count - d->first;
    enter(d);
    int result =
        d->api->deliver(d->plugin, m->list + d->first, left, &outcome, error, sizeof error);
    size_t done = outcome.delivered < left ? outcome.delivered : left;
    leave(d, result, error);
    if (outcome.rejected > 0 && result >= 0)
        sp_log(SP_LOG_WARNING, "output %s: %s", d->name, error);
    if (done > 0)
        sp_outbox_commit(d->reader, done == left ? &m->place : &m->places[d->first + done - 1]);
    d->first += done;
    pthread_mutex_lock(&d->mutex);
    d->report.sent += done - outcome.rejected;
    d->report.rejected += outcome.rejected;
    d->report.retried += result < 0 ? left - done : 0;
    d->oldest_wall_us = d->first < m->count ? m->list[d->first].wall_us : 0;
    pthread_mutex_unlock(&d->mutex);
    if (done > 0)
        d->backoff_us = 0;
    return result >= 0;
}

static bool keep_alive(struct sp_delivery *d)
{
    char error[256] = "";
    enter(d);
    int result = d->api->poll(d->plugin, 0, error, sizeof error);
    leave(d, result, error);
    if (result >= 0)
        d->backoff_us = 0;
    return result >= 0;
}

/* ---- images ---- */

static bool wants_end(void *user)
{
    const struct sp_delivery *d = user;
    return atomic_load(&d->stop_us) != 0;
}

static void render_image(struct sp_delivery *d, const char *camera, const struct sp_still *still)
{
    sp_messages_clear(&d->images);
    for (int i = 0; i < d->dialect_count; i++) {
        const struct sp_record r = {
            .type = SP_RECORD_EVENT,
            .head = {.epoch = sp_outbox_epoch(d->outbox),
                     .sequence = (uint64_t)sp_clock_us() + (uint64_t)i},
            .camera = camera,
            .wall_us = still->wall_us,
            .event = {.kind = "snapshot", .payload = "{}"},
        };
        if (d->dialects[i]->has_images)
            d->dialects[i]->type->image(d->dialects[i], &r, still, &d->images);
    }
    sp_messages_finish(&d->images);
    d->images.failed = false;
}

/* At most one, so that tracks do not wait for many. */
static void send_image(struct sp_delivery *d)
{
    char error[256] = "";
    struct sp_still still;
    struct spoton_output_outcome outcome = {.struct_bytes = sizeof outcome};
    int64_t now_us = sp_clock_us();
    if (!(d->send & DELIVERY_SNAPSHOTS) || !d->image.take || wants_end(d) ||
        now_us < d->no_image_until_us)
        return;
    const char *camera = sp_snapshots_next(&d->snapshots, now_us);
    if (!camera)
        return;
    if (!d->image.take(d->image.user, camera, d->image_width_px, wants_end, d, &still)) {
        d->no_image_until_us = now_us + NO_IMAGE_US;
        return;
    }
    render_image(d, camera, &still);
    free(still.jpeg);
    if (d->images.count == 0)
        return;
    enter(d);
    int result =
        d->api->deliver(d->plugin, d->images.list, d->images.count, &outcome, error, sizeof error);
    leave(d, result, error);
    pthread_mutex_lock(&d->mutex);
    d->report.sent += outcome.delivered - outcome.rejected;
    d->report.rejected += outcome.rejected;
    pthread_mutex_unlock(&d->mutex);
}

static void *run(void *argument)
{
    struct sp_delivery *d = argument;
    while (!delivery_is_stopping(d)) {
        if (d->first == d->messages.count)
            gather(d);
        bool idle = d->messages.count == 0;
        if (idle && atomic_load(&d->stop_us) != 0)
            break;
        if (idle ? !keep_alive(d) : !deliver(d)) {
            if (atomic_load(&d->stop_us) != 0)
                break;
            back_off(d);
        } else {
            send_image(d);
        }
    }
    enter(d);
    d->api->close(d->plugin);
    d->plugin = NULL;
    pthread_mutex_lock(&d->mutex);
    d->finished = true;
    pthread_cond_broadcast(&d->ended);
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

/* ---- life ---- */

int sp_delivery_start(struct sp_delivery *d, struct sp_error *err)
{
    char thread[16];
    snprintf(thread, sizeof thread, "out-%.11s", d->name);
    int result = sp_thread_start(&d->thread, thread, run, d, err);
    d->started = result == SP_OK;
    return result;
}

void sp_delivery_stop(struct sp_delivery *d)
{
    int64_t now_us = sp_clock_us();
    atomic_store(&d->stop_us, now_us);
}

void sp_delivery_report(struct sp_delivery *d, struct sp_delivery_report *report)
{
    pthread_mutex_lock(&d->mutex);
    *report = d->report;
    report->blocked = d->call_since_us && sp_clock_us() - d->call_since_us > BLOCKED_US;
    int64_t oldest_us = d->oldest_wall_us;
    pthread_mutex_unlock(&d->mutex);
    report->lag_messages = sp_outbox_lag(d->reader, &report->lost);
    double age_s = (double)(sp_clock_wall_us() - oldest_us) / 1e6;
    report->lag_seconds = oldest_us && age_s > 0 ? age_s : 0;
}

int sp_delivery_check(struct sp_delivery *d, struct sp_error *err)
{
    static const char payload[] = "{\"schema\":1,\"type\":\"check\"}";
    char error[256] = "", topic[512];
    struct spoton_output_outcome outcome = {.struct_bytes = sizeof outcome};
    sp_dialect_topic(d->dialects[0], d->dialects[0]->topic, "check", "health", topic, sizeof topic);
    const struct spoton_output_message message = {
        .struct_bytes = sizeof message,
        .id = "check/0/0",
        .camera = "check",
        .kind = "health",
        .topic = topic,
        .content_type = "application/json",
        .type = "dev.spoton.check.v1",
        .source = "/check",
        .payload = payload,
        .payload_bytes = sizeof payload - 1,
        .wall_us = sp_clock_wall_us(),
    };
    int result = d->api->deliver(d->plugin, &message, 1, &outcome, error, sizeof error);
    if (result < 0 || outcome.rejected > 0)
        return sp_fail(err, SP_ERR_IO, "output %s: %s", d->name, error);
    return SP_OK;
}
