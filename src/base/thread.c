#include "base/thread.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct start {
    void *(*run)(void *);
    void *argument;
    struct sp_log_sink *sink;
};

static void *run_with_sink(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    sp_log_use(start.sink);
    void *result = start.run(start.argument);
    sp_log_use(NULL);
    sp_log_sink_unref(start.sink);
    return result;
}

int sp_thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument,
                    struct sp_error *err)
{
    struct sp_log_sink *sink = sp_log_used();
    struct start *start = NULL;
    if (sink) {
        start = malloc(sizeof *start);
        if (!start)
            return sp_fail(err, SP_ERR_NO_MEMORY, "thread %s: out of memory", name);
        *start = (struct start){run, argument, sp_log_sink_ref(sink)};
    }
    int failed = pthread_create(out, NULL, sink ? run_with_sink : run, sink ? start : argument);
    if (failed) {
        sp_log_sink_unref(sink);
        free(start);
        return sp_fail(err, SP_ERR_NO_MEMORY, "thread %s: %s", name, strerror(failed));
    }
    char short_name[16];
    snprintf(short_name, sizeof short_name, "%s", name);
    pthread_setname_np(*out, short_name);
    return SP_OK;
}
