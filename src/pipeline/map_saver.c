#include "pipeline/map_saver.h"

#include "base/log.h"
#include "base/thread.h"

#include <stdlib.h>

struct sp_map_saver {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, ending, waits; /* guarded */
    struct sp_error failed;      /* of the last write; guarded */
    struct sp_calibration *next; /* guarded */
    struct sp_calibration *now;  /* the thread's */
    const char *path;
};

static void *work(void *argument)
{
    struct sp_map_saver *saver = argument;
    pthread_mutex_lock(&saver->mutex);
    for (;;) {
        while (!saver->waits && !saver->ending)
            pthread_cond_wait(&saver->changed, &saver->mutex);
        if (!saver->waits)
            break;
        struct sp_error err = {0};
        *saver->now = *saver->next;
        saver->waits = false;
        pthread_mutex_unlock(&saver->mutex);
        if (sp_calibration_write(saver->now, saver->path, &err) < 0)
            sp_log(SP_LOG_ERROR, "%s", err.text);
        pthread_mutex_lock(&saver->mutex);
        saver->failed = err;
    }
    pthread_mutex_unlock(&saver->mutex);
    return NULL;
}

int sp_map_saver_open(struct sp_map_saver **out, const char *path, struct sp_error *err)
{
    struct sp_map_saver *saver = calloc(1, sizeof *saver);
    if (!saver)
        return sp_fail(err, SP_ERR_NO_MEMORY, "map: out of memory");
    pthread_mutex_init(&saver->mutex, NULL);
    pthread_cond_init(&saver->changed, NULL);
    saver->path = path;
    saver->next = malloc(sizeof *saver->next);
    saver->now = malloc(sizeof *saver->now);
    int result = saver->next && saver->now
                     ? sp_thread_start(&saver->thread, "map-saver", work, saver, err)
                     : sp_fail(err, SP_ERR_NO_MEMORY, "map: out of memory");
    saver->started = result == SP_OK;
    if (result < 0)
        sp_map_saver_close(saver);
    else
        *out = saver;
    return result;
}

void sp_map_saver_close(struct sp_map_saver *saver)
{
    if (!saver)
        return;
    pthread_mutex_lock(&saver->mutex);
    saver->ending = true;
    pthread_cond_signal(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    if (saver->started)
        pthread_join(saver->thread, NULL);
    pthread_mutex_destroy(&saver->mutex);
    pthread_cond_destroy(&saver->changed);
    free(saver->next);
    free(saver->now);
    free(saver);
}

int sp_map_saver_put(struct sp_map_saver *saver, const struct sp_calibration *calibration,
                     struct sp_error *err)
{
    int result = sp_calibration_may_write(saver->path, err);
    pthread_mutex_lock(&saver->mutex);
    if (result == SP_OK && saver->failed.code != SP_OK)
        result = sp_fail(err, saver->failed.code, "%s", saver->failed.text);
    *saver->next = *calibration;
    saver->waits = true;
    pthread_cond_signal(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    return result;
}
