#include "command/deadline.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "command/command.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHECK_US = 20000 };

static const int64_t ORDERLY_US = 1400000;
static const int64_t LAST_US = 5000000; /* of a busy machine: it takes some milliseconds */

struct sp_deadline {
    pthread_t thread;
    bool (*interrupted)(void);
    void (*last)(void *user);
    void *user;
    atomic_bool stopped, saved;
};

static void *save(void *argument)
{
    struct sp_deadline *d = argument;
    d->last(d->user);
    atomic_store(&d->saved, true);
    return NULL;
}

/* False: stopped. */
static bool wait_for(const struct sp_deadline *d, int64_t since_us)
{
    while (!atomic_load(&d->stopped)) {
        if (sp_clock_us() - since_us >= ORDERLY_US)
            return true;
        usleep(CHECK_US);
    }
    return false;
}

static void *watch(void *argument)
{
    struct sp_deadline *d = argument;
    struct sp_error err;
    pthread_t saver;
    while (!d->interrupted()) {
        if (atomic_load(&d->stopped))
            return NULL;
        usleep(CHECK_US);
    }
    int64_t since_us = sp_clock_us();
    if (!wait_for(d, since_us))
        return NULL;
    sp_log(SP_LOG_ERROR, "interrupted: orderly end timed out; exiting with the frames written so "
                         "far");
    if (sp_thread_start(&saver, "save", save, d, &err) == SP_OK) {
        pthread_detach(saver);
        while (!atomic_load(&d->saved) && sp_clock_us() - since_us < ORDERLY_US + LAST_US)
            usleep(CHECK_US / 4);
    }
    quick_exit(SP_EXIT_INTERRUPTED); /* no handler runs: other threads are still at work */
}

int sp_deadline_start(struct sp_deadline **out, bool (*interrupted)(void), void (*last)(void *user),
                      void *user, struct sp_error *err)
{
    struct sp_deadline *d = calloc(1, sizeof *d);
    if (!d)
        return sp_fail(err, SP_ERR_NO_MEMORY, "deadline: out of memory");
    d->interrupted = interrupted;
    d->last = last;
    d->user = user;
    atomic_init(&d->stopped, false);
    atomic_init(&d->saved, false);
    int result = sp_thread_start(&d->thread, "deadline", watch, d, err);
    if (result < 0) {
        free(d);
        return result;
    }
    *out = d;
    return SP_OK;
}

void sp_deadline_stop(struct sp_deadline *deadline)
{
    if (!deadline)
        return;
    atomic_store(&deadline->stopped, true);
    pthread_join(deadline->thread, NULL);
    free(deadline);
}
