#include "pipeline/speed_log.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

void sp_speed_log_init(struct sp_speed_log *log, const char *environment)
{
    memset(log, 0, sizeof *log);
    log->environment = environment;
    log->last_done_us = sp_clock_us();
    pthread_mutex_init(&log->mutex, NULL);
}

void sp_speed_log_release(struct sp_speed_log *log)
{
    pthread_mutex_destroy(&log->mutex);
}

static struct sp_batch_record *open_record(struct sp_speed_log *log, uint64_t sequence)
{
    struct sp_batch_record *record = NULL;
    pthread_mutex_lock(&log->mutex);
    for (int i = 0; i < SP_BATCH_RECORDS && !record; i++)
        if (!log->records[i].used)
            record = &log->records[i];
    if (record) {
        memset(record, 0, sizeof *record);
        record->used = true;
        record->first_sequence = record->last_sequence = sequence;
        record->started_us = sp_clock_us();
        atomic_store(&record->remaining, 1);
    }
    pthread_mutex_unlock(&log->mutex);
    return record;
}

static double ms(int64_t us)
{
    return (double)us / 1000.0;
}

static void write_record(struct sp_speed_log *log, struct sp_batch_record *r)
{
    int64_t now_us = sp_clock_us();
    pthread_mutex_lock(&log->mutex);
    int64_t since_us = now_us - log->last_done_us;
    log->last_done_us = now_us;
    pthread_mutex_unlock(&log->mutex);
    double camera_seconds = (double)(since_us > 0 ? since_us : 1) / 1e6 * r->cameras;
    int64_t first_us = atomic_load(&r->first_submit_us);
    int64_t detect_us = first_us ? atomic_load(&r->last_result_us) - first_us : 0;
    sp_log_tagged(SP_LOG_DEBUG, "SPEED_DEBUG",
                  "MEGA-BATCH Env=%s Frames=%llu-%llu | Total=%.1fms | Read=%.1fms BatchDet=%.1fms "
                  "Track=%.1fms SpaceMatch=%.1fms Enc=%.1fms WsSend=%.1fms | Cams=%d BatchSize=%d "
                  "FPS=%.1f (Eff: %.1f)",
                  log->environment, (unsigned long long)r->first_sequence,
                  (unsigned long long)r->last_sequence, ms(now_us - r->started_us),
                  ms(atomic_load(&r->read_us)), ms(detect_us), ms(atomic_load(&r->track_us)),
                  ms(atomic_load(&r->space_us)), ms(atomic_load(&r->encode_us)), 0.0, r->cameras,
                  r->inferred, r->inferred / camera_seconds, r->frames / camera_seconds);
}

static void drop_hold(struct sp_speed_log *log, struct sp_batch_record *record)
{
    if (atomic_fetch_sub(&record->remaining, 1) != 1)
        return;
    write_record(log, record);
    pthread_mutex_lock(&log->mutex);
    record->used = false;
    pthread_mutex_unlock(&log->mutex);
}

struct sp_batch_record *sp_speed_log_add(struct sp_speed_log *log, struct sp_batch_record **open,
                                         int camera, uint64_t sequence, bool inferred,
                                         int64_t decode_us)
{
    if (!sp_log_enabled(SP_LOG_DEBUG)) {
        sp_speed_log_flush(log, open);
        return NULL;
    }
    struct sp_batch_record *r = *open;
    if (!r)
        r = *open = open_record(log, sequence);
    if (!r)
        return NULL;
    atomic_fetch_add(&r->remaining, 1);
    r->frames++;
    r->inferred += inferred;
    if (!(r->camera_mask >> camera & 1)) {
        r->camera_mask |= 1ULL << camera;
        r->cameras++;
    }
    if (sequence < r->first_sequence)
        r->first_sequence = sequence;
    if (sequence > r->last_sequence)
        r->last_sequence = sequence;
    atomic_fetch_add(&r->read_us, decode_us);
    return r;
}

void sp_speed_log_flush(struct sp_speed_log *log, struct sp_batch_record **open)
{
    if (*open)
        drop_hold(log, *open);
    *open = NULL;
}

void sp_batch_note_engine(struct sp_batch_record *record, int64_t submitted_us, int64_t finished_us)
{
    if (!record)
        return;
    int64_t none = 0;
    atomic_compare_exchange_strong(&record->first_submit_us, &none, submitted_us);
    int64_t last_us = atomic_load(&record->last_result_us);
    while (last_us < finished_us &&
           !atomic_compare_exchange_weak(&record->last_result_us, &last_us, finished_us))
        ;
}

void sp_batch_note_tracking(struct sp_batch_record *record, int64_t track_us, int64_t encode_us)
{
    if (!record)
        return;
    atomic_fetch_add(&record->track_us, track_us);
    atomic_fetch_add(&record->encode_us, encode_us);
}

void sp_batch_note_space(struct sp_batch_record *record, int64_t space_us)
{
    if (record)
        atomic_fetch_add(&record->space_us, space_us);
}

void sp_speed_log_done(struct sp_speed_log *log, struct sp_batch_record *record)
{
    if (record)
        drop_hold(log, record);
}
