#include "output/delivery_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "output/option_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SNAPSHOT_S = 60, SNAPSHOT_WIDTH_PX = 640 };

static const char *const own_options[] = {
    "format", "topic",  "prefix",     "send",           "rate",           "site",
    "name",   "status", "snapshot_s", "snapshot_width", "home_assistant", NULL};

static int read_send(struct sp_delivery *d, const char *options, struct sp_error *err)
{
    char text[128];
    d->send = DELIVERY_ALL;
    if (!spoton_option(options, "send", text, sizeof text))
        return SP_OK;
    d->send = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        unsigned bit = 0;
        for (unsigned i = 0; i < DELIVERY_KINDS; i++)
            bit |= strcmp(word, delivery_kinds[i]) == 0 ? 1U << i : 0;
        if (!bit)
            return sp_fail(err, SP_ERR_INVALID,
                           "output %s: send=%s: unknown; there are tracks, events, people, health, "
                           "snapshots",
                           d->name, word);
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

static int read_whole(struct sp_delivery *d, const char *options, const char *key, int least,
                      int most, int *value, struct sp_error *err)
{
    char text[32], *end;
    if (!spoton_option(options, key, text, sizeof text))
        return SP_OK;
    long found = strtol(text, &end, 10);
    if (*end || text[0] == '\0' || found < least || found > most)
        return sp_fail(err, SP_ERR_INVALID, "output %s: %s=%s: not a whole number from %d to %d",
                       d->name, key, text, least, most);
    *value = (int)found;
    return SP_OK;
}

/* After the dialects. */
static int read_snapshots(struct sp_delivery *d, const struct sp_delivery_setup *setup,
                          struct sp_error *err)
{
    bool any = false, periodic = false;
    int seconds = SNAPSHOT_S;
    d->image = setup->image;
    d->image_width_px = SNAPSHOT_WIDTH_PX;
    int result = read_whole(d, setup->options, "snapshot_s", 1, 86400, &seconds, err);
    if (result == SP_OK)
        result = read_whole(d, setup->options, "snapshot_width", 16, 8192, &d->image_width_px, err);
    if (result < 0 || !(d->send & DELIVERY_SNAPSHOTS))
        return result;
    for (int i = 0; i < d->dialect_count; i++) {
        const struct sp_dialect_type *type = d->dialects[i]->type;
        d->dialects[i]->has_images = type->image != NULL;
        any |= type->image != NULL;
        periodic |= type->image && !type->image_command;
    }
    d->snapshots.interval_us = periodic ? (int64_t)seconds * 1000000 : 0;
    return any ? SP_OK
               : sp_fail(err, SP_ERR_INVALID,
                         "output %s: send=snapshots: format %s has no images; use format spoton, "
                         "cloudevents, frigate or scenescape, or home_assistant",
                         d->name, d->dialects[0]->type->name);
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
        if (!dialect->type->subscription || (dialect->type->image_command && !dialect->has_images))
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
        .received = delivery_receive,
        .stopping = delivery_is_stopping,
    };
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
    if (result == SP_OK)
        result = read_snapshots(d, setup, err);
    if (result == SP_OK && setup->outbox)
        result = sp_outbox_reader_open(&d->reader, setup->outbox, d->name, err);
    if (result == SP_OK) {
        fill_setup(d, setup);
        if (d->api->connect(&d->plugin, &d->setup, error, sizeof error) < 0)
            result = sp_fail(err, SP_ERR_INVALID, "output %s: %s", d->name, error);
    }
    if (result < 0)
        delivery_release(d);
    else
        *out = d;
    return result;
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
    delivery_release(d);
    return true;
}
