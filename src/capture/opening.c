#include "capture/opening.h"

#include "base/clock.h"
#include "base/redact.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t SLICE_US = 50000;
static const int64_t GRACE_US = 500000; /* for openings that end by themselves */

struct opening {
    const struct sp_source_kind *kind;
    struct sp_source_options options; /* url is a copy */
    struct sp_source_gpu gpu;         /* the caller's */
    char *url;
    atomic_bool interrupted;

    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    bool done, given_up;
    int result;
    void *source;
    struct sp_error error;
};

static void free_opening(struct opening *o)
{
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->mutex);
    free(o->url);
    free(o);
}

/* Asks the caller, unless it has given up. */
static int choose_device(void *user, const struct sp_source_info *info)
{
    struct opening *o = user;
    pthread_mutex_lock(&o->mutex);
    int device = o->given_up ? -1 : o->gpu.choose_device(o->gpu.user, info);
    pthread_mutex_unlock(&o->mutex);
    return device;
}

static void *open_it(void *argument)
{
    struct opening *o = argument;
    void *source = NULL;
    struct sp_error error = {0};
    int result = o->kind->open(&source, &o->options, &o->interrupted, &error);
    pthread_mutex_lock(&o->mutex);
    bool given_up = o->given_up;
    o->done = true;
    o->result = result;
    o->source = source;
    o->error = error;
    pthread_cond_signal(&o->changed);
    pthread_mutex_unlock(&o->mutex);
    if (given_up) {
        if (result == SP_OK)
            o->kind->close(source);
        free_opening(o);
    }
    return NULL;
}

static struct opening *make_opening(const struct sp_source_kind *kind,
                                    const struct sp_source_options *options)
{
    struct opening *o = calloc(1, sizeof *o);
    char *url = strdup(options->url);
    if (!o || !url) {
        free(o);
        free(url);
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    atomic_init(&o->interrupted, false);
    o->kind = kind;
    o->options = *options;
    o->options.url = o->url = url;
    o->options.interrupted = NULL;
    o->gpu = options->gpu;
    o->options.gpu.user = o;
    o->options.gpu.choose_device = choose_device;
    return o;
}

/* With the mutex held. *stopped: ended by an interruption. */
static void wait_for_end(struct opening *o, const atomic_bool *interrupted, bool *stopped)
{
    int64_t limit_us = o->options.open_timeout_us;
    int64_t until_us = limit_us > 0 ? sp_clock_us() + limit_us + GRACE_US : INT64_MAX;
    *stopped = false;
    while (!o->done && sp_clock_us() < until_us) {
        if (!*stopped && atomic_load_explicit(interrupted, memory_order_acquire)) {
            *stopped = true;
            atomic_store(&o->interrupted, true);
            until_us = sp_clock_us() + GRACE_US;
        }
        int64_t wake_us = sp_clock_us() + SLICE_US;
        struct timespec at = {.tv_sec = wake_us / 1000000, .tv_nsec = wake_us % 1000000 * 1000};
        pthread_cond_timedwait(&o->changed, &o->mutex, &at);
    }
}

static int fail_hanging(const struct sp_source_options *options, bool stopped, struct sp_error *err)
{
    char shown[256];
    sp_redact_url(options->url, shown, sizeof shown);
    if (stopped)
        return sp_fail(err, SP_ERR_INTERRUPTED, "%s: opening was interrupted", shown);
    return sp_fail(err, SP_ERR_TIMEOUT,
                   "%s: opening hangs for %.1f s and is given up; check the name server, "
                   "network, disk or device",
                   shown, (double)options->open_timeout_us / 1e6);
}

int sp_opening_run(void **out, const struct sp_source_kind *kind,
                   const struct sp_source_options *options, const atomic_bool *interrupted,
                   struct sp_error *err)
{
    pthread_t thread;
    bool stopped;
    struct opening *o = make_opening(kind, options);
    if (!o)
        return sp_fail(err, SP_ERR_NO_MEMORY, "source: out of memory");
    int result = sp_thread_start(&thread, "open", open_it, o, err);
    if (result < 0) {
        free_opening(o);
        return result;
    }
    pthread_mutex_lock(&o->mutex);
    wait_for_end(o, interrupted, &stopped);
    o->given_up = !o->done;
    if (o->given_up) /* ends the opening soon after the call that hangs */
        atomic_store(&o->interrupted, true);
    bool done = o->done;
    pthread_mutex_unlock(&o->mutex);
    if (!done) { /* the thread now owns o */
        pthread_detach(thread);
        return fail_hanging(options, stopped, err);
    }
    pthread_join(thread, NULL);
    result = o->result;
    if (result == SP_OK) {
        *out = o->source;
        if (kind->adopt)
            kind->adopt(*out, interrupted);
    } else if (err) {
        *err = o->error;
    }
    free_opening(o);
    return result;
}
