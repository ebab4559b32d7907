#include "output/event_log.h"

#include "capacity.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sp_event_log {
    struct sp_event_log_options options;
    pthread_mutex_t mutex; /* guards the rest */
    uint64_t newest;       /* serial; 0: none yet */
    struct sp_event ring[SP_EVENT_LOG_MAX];
    struct {
        uint64_t epoch, count;
    } cameras[SP_CAMERAS_MAX + 1]; /* the last one is the program */
};

int sp_event_log_open(struct sp_event_log **out, const struct sp_event_log_options *options,
                      struct sp_error *err)
{
    struct sp_event_log *log = calloc(1, sizeof *log);
    if (!log)
        return sp_fail(err, SP_ERR_NO_MEMORY, "event log: out of memory");
    log->options = *options;
    pthread_mutex_init(&log->mutex, NULL);
    *out = log;
    return SP_OK;
}

void sp_event_log_close(struct sp_event_log *log)
{
    if (!log)
        return;
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

void sp_event_log_add(struct sp_event_log *log, int camera_index, const char *camera,
                      uint64_t epoch, const char *kind, int64_t wall_us, const char *payload)
{
    pthread_mutex_lock(&log->mutex);
    if (log->cameras[camera_index].epoch != epoch) {
        log->cameras[camera_index].epoch = epoch;
        log->cameras[camera_index].count = 0;
    }
    struct sp_event *event = &log->ring[log->newest % SP_EVENT_LOG_MAX];
    *event = (struct sp_event){.serial = ++log->newest,
                               .camera_index = camera_index < SP_CAMERAS_MAX ? camera_index : -1,
                               .epoch = epoch,
                               .wall_us = wall_us};
    snprintf(event->camera, sizeof event->camera, "%s", camera);
    snprintf(event->kind, sizeof event->kind, "%s", kind);
    snprintf(event->id, sizeof event->id, "%.63s/%llu/%llu", camera[0] ? camera : "server",
             (unsigned long long)epoch, (unsigned long long)++log->cameras[camera_index].count);
    bool fits = strlen(payload) < sizeof event->payload;
    snprintf(event->payload, sizeof event->payload, "%s", fits ? payload : "{}");
    if (log->options.listener)
        log->options.listener(log->options.user, event);
    pthread_mutex_unlock(&log->mutex);
}

size_t sp_event_log_read(struct sp_event_log *log, uint64_t since, struct sp_event *out,
                         size_t most, uint64_t *oldest, uint64_t *newest)
{
    size_t count = 0;
    pthread_mutex_lock(&log->mutex);
    uint64_t first = log->newest > SP_EVENT_LOG_MAX ? log->newest - SP_EVENT_LOG_MAX + 1 : 1;
    *newest = log->newest;
    *oldest = log->newest ? first : 0;
    uint64_t serial = since >= first ? since + 1 : first;
    for (; since < log->newest && serial <= log->newest && count < most; serial++)
        out[count++] = log->ring[(serial - 1) % SP_EVENT_LOG_MAX];
    pthread_mutex_unlock(&log->mutex);
    return count;
}
