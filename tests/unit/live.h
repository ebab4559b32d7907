/* Shared by the tests of the live pipeline: a pipeline with the fake engine, and a sink that checks
 * and counts its results. */
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/pipeline.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

struct live_camera { /* the results of one camera index */
    _Atomic uint64_t results, inferred, failed, begins, ends;
    _Atomic uint64_t tracks; /* of the last result */
    _Atomic uint32_t highest_id;
    _Atomic uint64_t disorder;
    _Atomic uint64_t longest_gap;   /* in numbers of frames */
    _Atomic uint64_t shortest_step; /* likewise, from one inferred frame to the next; 0: none */
    _Atomic uint64_t sequence, inferred_sequence;
    _Atomic int64_t pts_us, width_px;
    _Atomic uint64_t epoch_sequence; /* of the first result of the last epoch */
    _Atomic uint32_t epoch;
    bool any;
};

struct live {
    struct sp_settings settings;
    struct sp_pipeline *pipeline;
    _Atomic int64_t sink_delay_us;
    struct live_camera camera[SP_CAMERAS_MAX];
};

static inline int live_begin(void *user, int camera, const struct sp_source_info *info,
                             struct sp_error *err)
{
    struct live *live = user;
    (void)info;
    (void)err;
    live->camera[camera].any = false;
    atomic_fetch_add(&live->camera[camera].begins, 1);
    return SP_OK;
}

static inline int live_result(void *user, struct sp_result *result,
                              const struct sp_result_source *source, struct sp_error *err)
{
    struct live *live = user;
    struct live_camera *c = &live->camera[result->camera];
    (void)err;
    if (c->any && (result->sequence <= atomic_load(&c->sequence) ||
                   result->pts_us <= atomic_load(&c->pts_us)))
        atomic_fetch_add(&c->disorder, 1);
    if (c->any && result->sequence - atomic_load(&c->sequence) > c->longest_gap)
        atomic_store(&c->longest_gap, result->sequence - atomic_load(&c->sequence));
    if (result->inferred) {
        uint64_t step = result->sequence - atomic_load(&c->inferred_sequence);
        if (atomic_load(&c->inferred) > 0 &&
            (c->shortest_step == 0 || step < atomic_load(&c->shortest_step)))
            atomic_store(&c->shortest_step, step);
        atomic_store(&c->inferred_sequence, result->sequence);
    }
    if (!c->any || source->frame->epoch != atomic_load(&c->epoch))
        atomic_store(&c->epoch_sequence, result->sequence);
    atomic_store(&c->epoch, source->frame->epoch);
    c->any = true;
    atomic_store(&c->sequence, result->sequence);
    atomic_store(&c->pts_us, result->pts_us);
    atomic_store(&c->width_px, result->width_px);
    atomic_store(&c->tracks, result->track_count);
    for (size_t i = 0; i < result->track_count; i++)
        if (result->tracks[i].id > atomic_load(&c->highest_id))
            atomic_store(&c->highest_id, result->tracks[i].id);
    atomic_fetch_add(&c->results, 1);
    atomic_fetch_add(&c->inferred, result->inferred);
    atomic_fetch_add(&c->failed, result->failed);
    int64_t delay_us = atomic_load(&live->sink_delay_us);
    if (delay_us > 0)
        usleep((useconds_t)delay_us);
    return SP_OK;
}

static inline void live_end(void *user, int camera, const struct sp_error *why)
{
    struct live *live = user;
    (void)why;
    atomic_fetch_add(&live->camera[camera].ends, 1);
}

/* `backend_options`: options of the fake engine. */
static inline struct live *live_prepare(const char *backend_options)
{
    struct live *live = calloc(1, sizeof *live);
    assert_non_null(live);
    sp_log_set_level(SP_LOG_ERROR);
    struct sp_settings *s = &live->settings;
    sp_settings_default(s);
    snprintf(s->engine, sizeof s->engine, "fake");
    snprintf(s->model_path, sizeof s->model_path, "fake");
    snprintf(s->cache_dir, sizeof s->cache_dir, "off");
    snprintf(s->engine_options, sizeof s->engine_options, "%s", backend_options);
    s->input_size_px = 320;
    s->threads = 2;
    s->streams = 2;
    s->stall_timeout_ms = 400;
    return live;
}

/* Of `options`, what the pipeline does; the rest is put in. */
static inline void live_run(struct live *live, struct sp_pipeline_options options)
{
    struct sp_error err = {0};
    options.settings = &live->settings;
    options.sink = (struct sp_pipeline_sink){
        .user = live, .begin = live_begin, .result = live_result, .end = live_end};
    int result = sp_pipeline_open(&live->pipeline, &options, &err);
    if (result == SP_OK)
        result = sp_pipeline_start(live->pipeline, &err);
    if (result < 0)
        print_message("%s\n", err.text);
    assert_int_equal(result, SP_OK);
}

static inline void live_start(struct live *live, bool loop)
{
    live_run(live, (struct sp_pipeline_options){.live = true, .loop = loop});
}

static inline struct live *live_open(const char *backend_options)
{
    struct live *live = live_prepare(backend_options);
    live_start(live, false);
    return live;
}

static inline int live_add(struct live *live, const char *name, const char *url)
{
    struct sp_camera_setting setting = {0};
    struct sp_error err = {0};
    int index = -1;
    snprintf(setting.name, sizeof setting.name, "%s", name);
    snprintf(setting.url, sizeof setting.url, "%s", url);
    int result = sp_pipeline_add_camera(live->pipeline, &setting, &index, &err);
    if (result < 0)
        print_message("%s\n", err.text);
    assert_int_equal(result, SP_OK);
    return index;
}

static inline struct sp_camera_report live_report(struct live *live, int camera)
{
    struct sp_camera_report report;
    sp_pipeline_camera(live->pipeline, camera, &report);
    return report;
}

/* So many people were ever seen. A busy machine loses frames, and after a long gap people are new
 * to the tracker: then there may be more. */
static inline void live_check_ids(struct live *live, int camera, uint32_t count)
{
    struct live_camera *c = &live->camera[camera];
    if (atomic_load(&c->longest_gap) <= 3)
        assert_int_equal(c->highest_id, count);
    else
        assert_true(c->highest_id >= count);
}

/* Waits for the state; fails after two minutes. */
static inline void live_await_state(struct live *live, int camera, enum sp_camera_state state)
{
    int64_t deadline_us = sp_clock_us() + 120000000;
    struct sp_camera_report report;
    while (report = live_report(live, camera), report.state != state) {
        if (sp_clock_us() > deadline_us) {
            print_message("%s is %s, not %s (%s)\n", report.name,
                          sp_camera_state_name(report.state), sp_camera_state_name(state),
                          report.error.text);
            fail();
        }
        usleep(5000);
    }
}

/* Waits until `*count` is at least `wanted`; fails if it does not rise within a minute, because its
 * rate depends on the machine. */
static inline void live_await(_Atomic uint64_t *count, uint64_t wanted)
{
    uint64_t seen = atomic_load(count), last = seen;
    int64_t deadline_us = sp_clock_us() + 60000000;
    while ((seen = atomic_load(count)) < wanted) {
        if (seen != last)
            deadline_us = sp_clock_us() + 60000000;
        last = seen;
        if (sp_clock_us() > deadline_us) {
            print_message("%llu of %llu\n", (unsigned long long)seen, (unsigned long long)wanted);
            fail();
        }
        usleep(2000);
    }
}

/* Stops the pipeline, checks that no frame is left in flight, and frees it. The stop must take less
 * time than any uninterrupted wait (10 s to open a source, or unlimited); the limit leaves enough
 * for a busy machine. */
static inline void live_close(struct live *live)
{
    sp_pipeline_stop(live->pipeline);
    assert_true(sp_pipeline_wait(live->pipeline, 8000000));
    for (int i = 0; i < sp_pipeline_camera_capacity(live->pipeline); i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_true(sp_ledger_balances(&report.ledger));
        assert_int_equal(report.ledger.in_flight, 0);
        assert_int_equal(live->camera[i].disorder, 0);
    }
    sp_pipeline_close(live->pipeline);
    free(live);
}
