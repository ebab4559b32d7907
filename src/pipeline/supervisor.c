/* The thread of a live camera: connects, reads frames and reconnects until the camera is stopped.
 *
 *     wait while paused ─► open ─► read, push, read, push ... ─► closed, lost, stalled, damaged
 *            ▲                                                              │
 *            └──────────────────── wait: back-off with jitter ◄─────────────┘
 *
 * One camera never affects another: the thread pushes into its own mailbox only, and never blocks
 * there. Sequence numbers and timestamps rise across connections: after a reconnect, time continues
 * by the clock, so that the tracker sees how long the gap was. Files are paced by their timestamps;
 * with `loop` a file is rewound at its end, and opened again if that fails or it has changed. */
#include "pipeline/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/backoff.h"
#include "pipeline/camera_source.h"
#include "pipeline/camera_state.h"
#include "pipeline/gpu.h"
#include "pipeline/pipeline_impl.h"

#include <errno.h>
#include <math.h>
#include <time.h>

static const int64_t BACKOFF_FIRST_US = 500000;
static const int64_t BACKOFF_LIMIT_US = 10000000;
static const int64_t STABLE_US =
    5000000; /* a connection that lasts this long resets the back-off */
/* A camera is healthy after this long without trouble; a gap of GAP_US is trouble. */
static const int64_t HEALTHY_AFTER_US = 3000000;
static const int64_t GAP_US = 1000000;
static const int64_t BLACK_AFTER_US = 1000000;
static const int64_t GPU_HEALTH_PERIOD_US = 250000;
static const int64_t CLOCK_SLACK_US = 2000000;   /* a camera's clock may run ahead by this much */
static const int64_t PACE_GAP_MAX_US = 10000000; /* longer gaps in a file are skipped */
static const int64_t PACE_LATE_MAX_US =
    500000; /* a file read this much slower than real time is paced anew */
/* Cameras lock out clients after repeated failed logins: the wait after each refused one. */
static const int64_t REFUSED_US[] = {60000000, 300000000, 900000000};
enum {
    SILENT_READS_MAX = 2, /* stall timeouts in a row until the connection is closed */
    FROZEN_IMAGES = 4,    /* equal frames of a still image, added to the frozen time */
};

/* What ends a connection, besides an error. */
enum { AGAIN = 1, OVER, LEFT };

struct supervisor {
    struct sp_camera *camera;
    struct sp_pass pass;
    struct sp_backoff backoff;
    unsigned refused; /* logins in a row */
    struct sp_health_watch watch;
    enum sp_camera_health health; /* its last result */
    int64_t health_due_us;        /* when a frame on a GPU is next fetched for it */
    uint32_t epoch;
    int64_t last_came_us; /* of the last frame; 0: none yet */
    uint64_t failed;      /* of this connection, already in the ledger */
    int64_t trouble_us;   /* the time of the last trouble */
    int64_t last_failed_us;
    bool healthy;

    /* The connection. */
    struct sp_source *source;
    struct sp_source_info info;
    bool rebased;  /* base_pts_us is set for this connection */
    bool anchored; /* pacing of a file: its timestamp 0 is due at anchor_us */
    int64_t anchor_us;
    int64_t target_pts_us; /* after a seek: earlier frames are skipped; -1: none */
    int64_t position_base; /* the file's number of the stream's frame 0 */
    bool find_position;    /* after a seek, from the next frame's time */
    uint64_t frames;       /* of this connection; of a file, since it was opened or rewound */
    bool rewound;          /* in this connection */
};

/* ---- states ---- */

static void set_link(struct sp_camera *camera, enum sp_camera_state link,
                     enum sp_camera_health health, const struct sp_error *why)
{
    pthread_mutex_lock(&camera->mutex);
    bool changed = camera->status.link != link || camera->status.health != health;
    camera->status.link = link;
    camera->status.health = health;
    if (why)
        camera->status.error = *why;
    else if (changed && link == SP_CAMERA_LIVE)
        camera->status.error = (struct sp_error){0};
    pthread_mutex_unlock(&camera->mutex);
    if (!changed)
        return;
    const char *name = health == SP_HEALTH_BLACK    ? "black"
                       : health == SP_HEALTH_FROZEN ? "frozen"
                                                    : sp_camera_state_name(link);
    bool good =
        (link == SP_CAMERA_LIVE && health == SP_HEALTH_LIVE) || link == SP_CAMERA_CONNECTING;
    sp_log(good ? SP_LOG_INFO : SP_LOG_WARNING, "camera %s is %s%s%s", camera->status.setting.name,
           name, why ? ": " : "", why ? why->text : "");
}

static int64_t period_us(const struct supervisor *s)
{
    return (int64_t)(1e6 / (s->info.frame_rate > 0 ? s->info.frame_rate : SP_FRAME_RATE_DEFAULT));
}

/* ---- health of the connection ---- */

static void set_healthy(struct supervisor *s, bool healthy)
{
    if (s->healthy != healthy)
        sp_frame_scheduler_set_healthy(s->camera->pipeline->scheduler, s->camera->index, healthy);
    s->healthy = healthy;
}

/* It is connecting, stalled, or sends undecodable data. */
static void note_trouble(struct supervisor *s)
{
    s->trouble_us = sp_clock_us();
    set_healthy(s, false);
}

/* A single undecodable frame now and then is no trouble. */
static void note_failed(struct supervisor *s)
{
    int64_t now_us = sp_clock_us();
    if (s->last_failed_us != 0 && now_us - s->last_failed_us < HEALTHY_AFTER_US)
        note_trouble(s);
    s->last_failed_us = now_us;
}

static void update_healthy(struct supervisor *s, int64_t now_us)
{
    int64_t gap_us = GAP_US + (s->info.snapshot ? period_us(s) : 0);
    if (s->info.live && s->last_came_us != 0 && now_us - s->last_came_us > gap_us)
        note_trouble(s);
    else if (!s->healthy && now_us - s->trouble_us >= HEALTHY_AFTER_US)
        set_healthy(s, true);
}

/* ---- waiting ---- */

static void wait_locked(struct sp_camera *camera, int64_t until_us)
{
    struct timespec at = {.tv_sec = until_us / 1000000, .tv_nsec = (until_us % 1000000) * 1000};
    pthread_cond_timedwait(&camera->wake, &camera->mutex, &at);
}

/* Until the delay has passed, or a stop or a pause. */
static void wait_backoff(struct sp_camera *camera, int64_t delay_us)
{
    int64_t until_us = sp_clock_us() + delay_us;
    pthread_mutex_lock(&camera->mutex);
    while (!sp_camera_should_stop(camera) && !camera->status.paused && sp_clock_us() < until_us)
        wait_locked(camera, until_us);
    pthread_mutex_unlock(&camera->mutex);
}

/* False: stopping. */
static bool wait_while_paused(struct sp_camera *camera)
{
    pthread_mutex_lock(&camera->mutex);
    while (camera->status.paused && !sp_camera_should_stop(camera))
        wait_locked(camera, sp_clock_us() + 1000000); /* bounded, in case a signal is missed */
    if (!sp_camera_should_stop(camera))
        atomic_store(&camera->interrupted, false);
    pthread_mutex_unlock(&camera->mutex);
    return !sp_camera_should_stop(camera);
}

enum pace { PACE_DUE, PACE_DROP };

/* Holds a file's frame until it is due, also across a pause. PACE_DROP: a stop or a seek. */
static enum pace wait_due(struct supervisor *s, int64_t pts_us)
{
    struct sp_camera *camera = s->camera;
    pthread_mutex_lock(&camera->mutex);
    for (;;) {
        int64_t now_us = sp_clock_us(), due_us = s->anchor_us + pts_us;
        if (sp_camera_should_stop(camera) || camera->status.seek_frame >= 0) {
            pthread_mutex_unlock(&camera->mutex);
            return PACE_DROP;
        }
        if (camera->status.paused) {
            wait_locked(camera, now_us + 1000000);
            s->anchored = false;
            continue;
        }
        if (!s->anchored || now_us - due_us > PACE_LATE_MAX_US ||
            due_us - now_us > PACE_GAP_MAX_US) {
            s->anchor_us = now_us - pts_us;
            s->anchored = true;
            continue;
        }
        if (now_us >= due_us)
            break;
        wait_locked(camera, due_us);
    }
    pthread_mutex_unlock(&camera->mutex);
    return PACE_DUE;
}

/* ---- frames ---- */

/* Makes numbers and times continue across connections. Those of pushed frames do already. */
static void renumber(struct supervisor *s, struct sp_frame *frame)
{
    struct sp_pass *pass = &s->pass;
    if (s->camera->push) {
        s->last_came_us = frame->received_us;
        return;
    }
    int64_t elapsed_us = frame->received_us - s->last_came_us;
    if (!s->rebased && s->last_came_us != 0) {
        /* A file continues at its position; of a live stream real time has passed. */
        int64_t step_us = s->info.live && elapsed_us > period_us(s) ? elapsed_us : period_us(s);
        pass->base_pts_us = pass->last_pts_us + step_us - frame->pts_us;
    } else if (s->info.live && s->last_came_us != 0) {
        int64_t ahead_us = frame->pts_us + pass->base_pts_us - pass->last_pts_us - elapsed_us;
        if (ahead_us > CLOCK_SLACK_US) /* its clock jumped */
            pass->base_pts_us -= ahead_us;
    }
    s->rebased = true;
    frame->sequence += pass->base_sequence;
    frame->pts_us += pass->base_pts_us;
    if (s->last_came_us != 0 && frame->pts_us <= pass->last_pts_us) {
        pass->base_pts_us += pass->last_pts_us + 1 - frame->pts_us;
        frame->pts_us = pass->last_pts_us + 1;
    }
    frame->epoch = s->epoch;
    pass->next_sequence = frame->sequence + 1;
    pass->last_pts_us = frame->pts_us;
    s->last_came_us = frame->received_us;
}

static void count_failed(struct supervisor *s)
{
    uint64_t failed = sp_source_failed(s->source);
    if (failed > s->failed) {
        sp_ledger_pass(s->camera->ledger, SP_OUTCOME_FAILED, failed - s->failed);
        note_failed(s);
    }
    s->failed = failed;
}

/* Needs the pixels: a frame on a GPU is fetched for it, at most every GPU_HEALTH_PERIOD_US. */
static enum sp_camera_health observe_health(struct supervisor *s, const struct sp_frame *frame)
{
    struct sp_error err;
    if (frame->surface) {
        if (s->watch.any && frame->received_us < s->health_due_us)
            return s->health;
        s->health_due_us = frame->received_us + GPU_HEALTH_PERIOD_US;
        if (sp_frame_fetch(frame, &err) < 0)
            return s->health; /* the next stage that needs the pixels reports it */
    }
    s->health = sp_health_observe(&s->watch, frame);
    return s->health;
}

/* Takes the reference. False: the scheduler is closed. */
static bool hand_on(struct supervisor *s, struct sp_frame *frame, int64_t position)
{
    struct sp_camera *camera = s->camera;
    enum sp_camera_health health = observe_health(s, frame);
    update_healthy(s, frame->received_us);
    renumber(s, frame);
    pthread_mutex_lock(&camera->mutex);
    camera->status.last_frame_us = frame->received_us;
    camera->status.file_position = position;
    camera->status.info.width_px = frame->width_px;
    camera->status.info.height_px = frame->height_px;
    sp_rate_add(&camera->status.received, frame->received_us);
    pthread_mutex_unlock(&camera->mutex);
    set_link(camera, SP_CAMERA_LIVE, health, NULL);

    return sp_camera_push(camera, frame);
}

/* A frame that was read. SP_OK: read the next one. */
static int take_frame(struct supervisor *s, struct sp_frame *frame)
{
    const struct sp_pipeline *p = s->camera->pipeline;
    int64_t position = -1;
    if (s->target_pts_us >= 0 && frame->pts_us < s->target_pts_us) {
        sp_frame_unref(frame); /* decoded only to reach the requested one */
        return SP_OK;
    }
    s->target_pts_us = -1;
    if (!s->info.live) {
        if (s->find_position)
            s->position_base = llround((double)frame->pts_us * s->info.frame_rate / 1e6) -
                               (int64_t)frame->sequence;
        s->find_position = false;
        position = s->position_base + (int64_t)frame->sequence;
        if (wait_due(s, frame->pts_us) == PACE_DROP) {
            sp_frame_unref(frame);
            return SP_OK;
        }
        frame->received_us = sp_clock_us(); /* so that pacing does not count as latency */
    }
    uint64_t limit = p->options.frame_limit;
    if (limit && frame->sequence + s->pass.base_sequence >= limit) {
        sp_frame_unref(frame);
        return OVER;
    }
    s->frames++;
    return hand_on(s, frame, position) ? SP_OK : OVER;
}

/* ---- connections ---- */

/* Performs the requested seek, if any. */
static int follow_seek(struct supervisor *s, struct sp_error *err)
{
    struct sp_camera *camera = s->camera;
    pthread_mutex_lock(&camera->mutex);
    int64_t frame_index = camera->status.seek_frame;
    camera->status.seek_frame = -1;
    pthread_mutex_unlock(&camera->mutex);
    if (frame_index < 0)
        return SP_OK;
    int64_t time_us = llround((double)frame_index * 1e6 / s->info.frame_rate);
    int result = sp_source_seek(s->source, time_us, err);
    if (result < 0)
        return result;
    s->target_pts_us = time_us - period_us(s) / 2;
    s->find_position = true;
    s->anchored = s->rebased = false;
    s->epoch++;
    sp_camera_begin_pass(camera, &s->pass);
    return SP_OK;
}

/* A connection begins, or a pass over a file that is open. */
static void begin_pass(struct supervisor *s)
{
    sp_health_restart(&s->watch);
    s->frames = 0;
    s->rebased = s->anchored = s->find_position = false;
    s->target_pts_us = -1;
    s->position_base = 0;
    sp_camera_begin_pass(s->camera, &s->pass);
}

/* Another pass over a whole file: by the same decoder, as making one takes a GPU long. False: the
 * file has to be opened again. */
static bool rewind_file(struct supervisor *s)
{
    s->rewound = sp_source_rewind(s->source, NULL) == SP_OK;
    if (!s->rewound)
        return false;
    s->epoch++;
    begin_pass(s);
    return true;
}

/* What follows a read without a frame. SP_OK: read again. */
static int judge_read(struct supervisor *s, int result, int *silent, struct sp_error *err)
{
    struct sp_camera *camera = s->camera;
    bool loop = camera->pipeline->options.loop;
    if (result == SP_ERR_INTERRUPTED)
        return SP_OK; /* a stop or a pause: the caller checks */
    if (result == SP_ERR_TIMEOUT)
        note_trouble(s);
    bool pushed = camera->push != NULL; /* has no connection to close */
    if (result == SP_ERR_TIMEOUT && (pushed || ++*silent < SILENT_READS_MAX)) {
        set_link(camera, SP_CAMERA_STALLED, SP_HEALTH_LIVE, err);
        return SP_OK;
    }
    if (result == SP_ERR_END) {
        uint64_t tail = sp_source_tail_undecoded(s->source);
        sp_ledger_pass(camera->ledger, SP_OUTCOME_SKIPPED, tail);
        s->pass.next_sequence += tail;
        if (pushed)
            return OVER;
    }
    bool over = result == SP_ERR_END || (result == SP_ERR_FORMAT && s->frames > 0);
    if (s->info.live || !over)
        return result == SP_ERR_END
                   ? sp_fail(err, SP_ERR_IO, "%s: the stream was closed", camera->status.shown_url)
                   : result;
    if (result == SP_ERR_FORMAT) {
        if (!loop)
            return result;
        sp_log(SP_LOG_WARNING, "camera %s: %s", camera->status.setting.name, err->text);
    }
    if (s->frames == 0 && !s->rewound) /* or it would be reopened in a busy loop */
        return sp_fail(err, SP_ERR_FORMAT, "%s: it contains no frames", camera->status.shown_url);
    if (loop && result == SP_ERR_END && s->frames > 0 && rewind_file(s))
        return SP_OK;
    return loop ? AGAIN : OVER;
}

/* Whether to disconnect because of a pause. A paused file stays open: wait_due. */
static bool is_paused_live(struct supervisor *s)
{
    struct sp_camera *camera = s->camera;
    pthread_mutex_lock(&camera->mutex);
    bool paused = camera->status.paused;
    if (!paused && !atomic_load(&camera->stop))
        atomic_store(&camera->interrupted, false);
    pthread_mutex_unlock(&camera->mutex);
    return paused && s->info.live;
}

static int read_on(struct supervisor *s, struct sp_error *err)
{
    struct sp_camera *camera = s->camera;
    int silent = 0;
    for (;;) {
        if (sp_camera_should_stop(camera) || is_paused_live(s))
            return LEFT;
        int result = follow_seek(s, err);
        if (result < 0)
            return result;
        struct sp_frame *frame;
        struct sp_stage_clock begin = sp_stage_begin();
        result = sp_source_read(s->source, &frame, err);
        atomic_fetch_add(&camera->stages[SP_STAGE_DECODE].cpu_us,
                         (uint64_t)(sp_stage_begin().cpu_us - begin.cpu_us));
        count_failed(s);
        if (result < 0) {
            result = judge_read(s, result, &silent, err);
        } else {
            silent = 0;
            result = take_frame(s, frame);
        }
        if (result != SP_OK)
            return result;
    }
}

static int connect_and_read(struct supervisor *s, struct sp_error *err)
{
    struct sp_camera *camera = s->camera;
    s->frames = 0; /* also if it does not open: the previous connection's do not count */
    int result = sp_camera_open_source(camera, &s->source, err);
    if (result < 0)
        return result;
    s->refused = 0;
    sp_source_info(s->source, &s->info);
    s->watch.frozen_after_us = 2000LL * camera->status.setting.stall_timeout_ms +
                               (s->info.snapshot ? FROZEN_IMAGES * period_us(s) : 0);
    s->failed = 0;
    s->rewound = false;
    begin_pass(s);
    int64_t opened_us = sp_clock_us();
    result = read_on(s, err);
    count_failed(s);
    sp_source_close(s->source);
    sp_camera_leave_gpu(camera);
    if (s->frames > 0 && s->last_came_us - opened_us >= STABLE_US)
        sp_backoff_succeed(&s->backoff);
    return result;
}

/* One connection. False: the camera has ended. */
static bool supervise(struct supervisor *s, struct sp_error *err)
{
    struct sp_camera *camera = s->camera;
    int result = connect_and_read(s, err);
    if (sp_camera_should_stop(camera) || result == OVER)
        return false;
    if (result == AGAIN) { /* a file */
        s->epoch++;
        return true;
    }
    note_trouble(s);
    if (result == LEFT || result == SP_ERR_INTERRUPTED) {
        set_link(camera, SP_CAMERA_CONNECTING, SP_HEALTH_LIVE, NULL);
    } else if (result == SP_ERR_FORMAT && s->frames > 0 && !s->info.live) {
        sp_camera_fail(camera, err); /* a damaged file, played once */
        pthread_mutex_lock(&camera->mutex);
        camera->status.refused = true;
        pthread_mutex_unlock(&camera->mutex);
        return false;
    } else if (result == SP_ERR_UNAUTHORIZED) {
        unsigned last = sizeof REFUSED_US / sizeof REFUSED_US[0] - 1;
        set_link(camera, SP_CAMERA_UNAUTHORIZED, SP_HEALTH_LIVE, err);
        wait_backoff(camera, REFUSED_US[s->refused < last ? s->refused : last]);
        s->refused++;
    } else {
        set_link(camera, SP_CAMERA_OFFLINE, SP_HEALTH_LIVE, err);
        wait_backoff(camera, sp_backoff_next(&s->backoff));
    }
    if (result != LEFT) {
        pthread_mutex_lock(&camera->mutex);
        camera->status.connections++;
        pthread_mutex_unlock(&camera->mutex);
    }
    return true;
}

void *sp_supervisor_main(void *argument)
{
    struct sp_camera *camera = argument;
    struct sp_error err = {0};
    struct supervisor s = {
        .camera = camera,
        .backoff = {.first_us = BACKOFF_FIRST_US,
                    .limit_us = BACKOFF_LIMIT_US,
                    .random = (uint64_t)sp_clock_us() * 64 + (uint64_t)camera->index + 1},
        .watch = {.black_after_us = BLACK_AFTER_US, .black_since_us = -1},
    };
    note_trouble(&s); /* a new camera is not healthy yet */
    while (wait_while_paused(camera) && supervise(&s, &err))
        continue;
    pthread_mutex_lock(&camera->mutex);
    if (!camera->status.refused) /* the last connection error is not why it ends */
        camera->status.error = (struct sp_error){0};
    pthread_mutex_unlock(&camera->mutex);
    sp_camera_end(camera);
    return NULL;
}
