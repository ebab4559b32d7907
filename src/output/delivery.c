#include "output/delivery.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "capacity.h"
#include "output/dialect.h"
#include "output/option_text.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH_MESSAGES = 512,
    BATCH_BYTES = 1 << 20,
    OPTIONS_BYTES = 1024,
    DIALECTS_MAX = 2,
    CAMERAS = 2 * SP_CAMERAS_MAX,
    ALL = 7,
};

static const int64_t WAIT_US = 100000, DRAIN_US = 500000, LOG_US = 60000000,
                     BACKOFF_FIRST_US = 200000, BACKOFF_MOST_US = 10000000, STEP_US = 50000,
                     BLOCKED_US = 35000000;

static const char *const kinds[] = {"tracks", "events", "health"};

struct sp_delivery {
    const struct spoton_output_api *api;
    struct spoton_output *plugin;
    char name[64], options[OPTIONS_BYTES], client_id[96], status_topic[256];
    char subscription[DIALECTS_MAX][256];
    const char *subscriptions[DIALECTS_MAX + 1];
    struct spoton_output_setup setup;
    struct sp_outbox *outbox;
    struct sp_outbox_reader *reader;
    struct sp_dialect *dialects[DIALECTS_MAX];
    int dialect_count;
    unsigned send;       /* bits of kinds[] */
    int64_t interval_us; /* between tracks of one camera */
    pthread_t thread;
    bool started;

    _Atomic int64_t stop_us; /* when the end was requested; 0: not yet */

    pthread_mutex_t mutex; /* guards the next members */
    pthread_cond_t ended;
    bool finished;
    int64_t call_since_us;  /* 0: not in the plugin */
    int64_t oldest_wall_us; /* of the messages in hand; 0: none */
    struct sp_delivery_report report;

    /* The thread's own. */
    struct sp_record record;
    struct sp_messages messages;
    size_t first; /* not delivered yet */
    bool tried;   /* the first one was sent before */
    bool asked[DIALECTS_MAX];
    int64_t backoff_us, logged_us;
    unsigned seed;
    struct {
        char name[SP_HUB_NAME_BYTES];
        int64_t pts_us;
    } cameras[CAMERAS]; /* of `rate` */
    int next_camera;
};

/* ---- what the plugin calls ---- */

static int is_stopping(void *user)
{
    const struct sp_delivery *d = user;
    int64_t stop_us = atomic_load(&d->stop_us);
    return stop_us != 0 && sp_clock_us() - stop_us > DRAIN_US;
}

/* During deliver or poll, on the delivery's thread. */
static void receive(void *user, const char *topic, const void *payload, size_t payload_bytes)
{
    struct sp_delivery *d = user;
    for (int i = 0; i < d->dialect_count; i++)
        if (d->subscription[i][0] && strcmp(d->subscription[i], topic) == 0 &&
            payload_bytes == strlen("online") && memcmp(payload, "online", payload_bytes) == 0)
            d->asked[i] = true;
}

/* ---- rendering ---- */

/* At the rate of the options: true for frames that are not sent. */
static bool is_too_soon(struct sp_delivery *d, const struct sp_record *r)
{
    if (d->interval_us == 0)
        return false;
    int at = 0;
    while (at < CAMERAS && strcmp(d->cameras[at].name, r->camera) != 0)
        at++;
    if (at == CAMERAS) {
        at = d->next_camera;
        d->next_camera = (d->next_camera + 1) % CAMERAS;
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
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0 && !(d->send & 1U << i))
            return false;
    return r->type != SP_RECORD_FRAME || !is_too_soon(d, r);
}

/* A companion of the format, such as home_assistant, sees all records. */
static void render(struct sp_delivery *d)
{
    const struct sp_record *r = &d->record;
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

static void *run(void *argument)
{
    struct sp_delivery *d = argument;
    while (!is_stopping(d)) {
        if (d->first == d->messages.count)
            gather(d);
        bool idle = d->messages.count == 0;
        if (idle && atomic_load(&d->stop_us) != 0)
            break;
        if (idle ? !keep_alive(d) : !deliver(d)) {
            if (atomic_load(&d->stop_us) != 0)
                break;
            back_off(d);
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

/* ---- opening ---- */

static const char *const own_options[] = {"format", "topic",          "prefix", "send",   "rate",
                                          "site",   "home_assistant", "name",   "status", NULL};

static int read_send(struct sp_delivery *d, const char *options, struct sp_error *err)
{
    char text[128];
    d->send = ALL;
    if (!spoton_option(options, "send", text, sizeof text))
        return SP_OK;
    d->send = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        unsigned bit = 0;
        for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            bit |= strcmp(word, kinds[i]) == 0 ? 1U << i : 0;
        if (!bit)
            return sp_fail(err, SP_ERR_INVALID,
                           "output %s: send=%s: unknown; there are tracks, events, health", d->name,
                           word);
        d->send |= bit;
    }
    return SP_OK;
}

static int read_rate(struct sp_delivery *d, const char *options, struct sp_error *err)
{
    char text[32], *end;
    if (!spoton_option(options, "rate", text, sizeof text))
        return SP_OK;
    double rate = strtod(text, &end);
    if (*end || !(rate >= 0.001 && rate <= 1000))
        return sp_fail(err, SP_ERR_INVALID,
                       "output %s: rate=%s: not a number from 0.001 to 1000 (messages per second "
                       "and camera)",
                       d->name, text);
    d->interval_us = (int64_t)(1e6 / rate * 0.999); /* frames are not exactly periodic */
    return SP_OK;
}

static int open_dialects(struct sp_delivery *d, const struct sp_delivery_setup *setup,
                         struct sp_error *err)
{
    char format[32], topic[256], prefix[128], site[64];
    const char *options = setup->options;
    bool has_topic = spoton_option(options, "topic", topic, sizeof topic);
    bool has_prefix = spoton_option(options, "prefix", prefix, sizeof prefix);
    bool has_site = spoton_option(options, "site", site, sizeof site);
    struct sp_dialect_setup shared = {
        .site = has_site ? site : setup->site,
        .node = setup->node,
        .topic = has_topic ? topic : NULL,
        .prefix = has_prefix ? prefix : NULL,
    };
    if (!spoton_option(options, "format", format, sizeof format))
        snprintf(format, sizeof format, "spoton");
    int result = sp_dialect_open(&d->dialects[0], format, setup->api->default_topic, &shared, err);
    d->dialect_count += result == SP_OK;
    if (result == SP_OK && spoton_option_is_on(options, "home_assistant")) {
        shared.topic = shared.prefix = NULL;
        result = sp_dialect_open(&d->dialects[1], "home_assistant", setup->api->default_topic,
                                 &shared, err);
        d->dialect_count += result == SP_OK;
    }
    return result < 0 ? sp_fail_prefix(err, result, "output %s", d->name) : SP_OK;
}

/* The last dialect with a status topic decides: Home Assistant's entities name one. */
static void fill_setup(struct sp_delivery *d, const struct sp_delivery_setup *setup)
{
    char own[256];
    const char *status = "spoton/{site}/status";
    int subscriptions = 0;
    for (int i = 0; i < d->dialect_count; i++) {
        const struct sp_dialect *dialect = d->dialects[i];
        if (dialect->type->status_topic)
            status = dialect->type->status_topic;
        if (spoton_option(setup->options, "status", own, sizeof own))
            status = own;
        sp_dialect_topic(dialect, status, "", "", d->status_topic, sizeof d->status_topic);
        if (!dialect->type->subscription)
            continue;
        sp_dialect_topic(dialect, dialect->type->subscription, "", "", d->subscription[i],
                         sizeof d->subscription[i]);
        d->subscriptions[subscriptions++] = d->subscription[i];
    }
    for (int i = 0; i < d->dialect_count; i++)
        snprintf(d->dialects[i]->status, sizeof d->dialects[i]->status, "%s",
                 strcmp(d->status_topic, "none") != 0 ? d->status_topic : "");
    snprintf(d->client_id, sizeof d->client_id, "spoton-%08x-%.48s",
             setup->outbox ? sp_outbox_identity(setup->outbox) : (unsigned)getpid(), d->name);
    d->setup = (struct spoton_output_setup){
        .struct_bytes = sizeof d->setup,
        .options = d->options,
        .name = d->name,
        .client_id = d->client_id,
        .status_topic = strcmp(d->status_topic, "none") != 0 ? d->status_topic : NULL,
        .subscriptions = d->subscriptions,
        .user = d,
        .received = receive,
        .stopping = is_stopping,
    };
}

static void release(struct sp_delivery *d)
{
    if (d->plugin)
        d->api->close(d->plugin);
    for (int i = 0; i < d->dialect_count; i++)
        sp_dialect_close(d->dialects[i]);
    sp_outbox_reader_close(d->reader);
    sp_messages_release(&d->messages);
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

int sp_delivery_open(struct sp_delivery **out, const struct sp_delivery_setup *setup,
                     struct sp_error *err)
{
    char error[256] = "";
    struct sp_delivery *d = calloc(1, sizeof *d);
    if (!d)
        return sp_fail(err, SP_ERR_NO_MEMORY, "output %s: out of memory", setup->name);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->ended, &clock);
    pthread_condattr_destroy(&clock);
    d->api = setup->api;
    d->outbox = setup->outbox;
    d->seed = (unsigned)sp_clock_us();
    snprintf(d->name, sizeof d->name, "%s", setup->name);
    spoton_option_split(setup->options, own_options, false, d->options);
    int result = read_send(d, setup->options, err);
    if (result == SP_OK)
        result = read_rate(d, setup->options, err);
    if (result == SP_OK)
        result = open_dialects(d, setup, err);
    if (result == SP_OK && setup->outbox)
        result = sp_outbox_reader_open(&d->reader, setup->outbox, d->name, err);
    if (result == SP_OK) {
        fill_setup(d, setup);
        if (d->api->connect(&d->plugin, &d->setup, error, sizeof error) < 0)
            result = sp_fail(err, SP_ERR_INVALID, "output %s: %s", d->name, error);
    }
    if (result < 0)
        release(d);
    else
        *out = d;
    return result;
}

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

bool sp_delivery_close(struct sp_delivery *d, const struct timespec *until)
{
    pthread_mutex_lock(&d->mutex);
    while (d->started && !d->finished &&
           pthread_cond_timedwait(&d->ended, &d->mutex, until) != ETIMEDOUT)
        ;
    bool finished = d->finished || !d->started;
    pthread_mutex_unlock(&d->mutex);
    if (!finished) {
        sp_log(SP_LOG_WARNING, "output %s: does not return; ending without it", d->name);
        pthread_detach(d->thread);
        return false;
    }
    if (d->started)
        pthread_join(d->thread, NULL);
    release(d);
    return true;
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
