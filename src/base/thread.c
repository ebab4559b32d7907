#include "base/thread.h"

#include <stdio.h>
#include <string.h>

int sp_thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument,
                    struct sp_error *err)
{
    int failed = pthread_create(out, NULL, run, argument);
    if (failed)
        return sp_fail(err, SP_ERR_NO_MEMORY, "thread %s: %s", name, strerror(failed));
    char short_name[16];
    snprintf(short_name, sizeof short_name, "%s", name);
    pthread_setname_np(*out, short_name);
    return SP_OK;
}
