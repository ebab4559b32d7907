#include "command/ending.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOG_S = 2 };

static struct {
    int limit_s, code;
    _Atomic(const char *) step;
} ending;

static void *watch(void *unused)
{
    int64_t until_us = sp_clock_us() + (int64_t)ending.limit_s * 1000000;
    const struct timespec step = {.tv_nsec = 50000000};
    (void)unused;
    while (sp_clock_us() < until_us)
        nanosleep(&step, NULL);
    /* The log may be what does not return: a pipe that is not read, a full disk. */
    signal(SIGALRM, SIG_DFL);
    alarm(LOG_S);
    sp_log(SP_LOG_WARNING, "%s: not closed within %d s (STOP_TIMEOUT_S); exiting without it",
           atomic_load(&ending.step), ending.limit_s);
    quick_exit(ending.code); /* no handler runs: other threads are still at work */
}

void sp_ending_begin(int limit_s, int code)
{
    pthread_t thread;
    struct sp_error err = {0};
    ending.limit_s = limit_s;
    ending.code = code;
    atomic_store(&ending.step, "cameras");
    if (sp_thread_start(&thread, "ending", watch, NULL, &err) == SP_OK)
        pthread_detach(thread);
    else
        sp_log(SP_LOG_WARNING, "%s; the end has no limit", err.text);
}

void sp_ending_step(const char *what)
{
    atomic_store(&ending.step, what);
}
