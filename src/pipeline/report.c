/* Reports: the state of cameras and detectors, and stage times. */
#include "pipeline/pipeline_impl.h"

#include "base/clock.h"
#include "pipeline/camera_state.h"
#include "pipeline/classes.h"
#include "pipeline/detector_pool.h"

#include <stdio.h>
#include <string.h>

const char *sp_camera_state_name(enum sp_camera_state state)
{
    static const char *const names[] = {
#define X(id, name) name,
        SP_CAMERA_STATES(X)
#undef X
    };
    return names[state];
}

int sp_pipeline_camera_capacity(const struct sp_pipeline *pipeline)
{
    return pipeline->camera_count;
}

/* With the mutex held. */
static enum sp_camera_state state_of(const struct sp_camera *c, int64_t now_us)
{
    const struct sp_pipeline *p = c->pipeline;
    if (c->status.ended)
        return SP_CAMERA_ENDED;
    if (!p->options.live)
        return c->status.info.codec[0] ? SP_CAMERA_LIVE : SP_CAMERA_CONNECTING;
    if (c->status.paused)
        return SP_CAMERA_PAUSED;
    if (c->status.link != SP_CAMERA_LIVE)
        return c->status.link;
    /* Also detected while the camera's thread blocks inside a decoder. */
    if (now_us - c->status.last_frame_us >
        c->status.setting.stall_timeout_ms * 1000LL + sp_camera_snapshot_us(c))
        return SP_CAMERA_STALLED;
    return c->status.health == SP_HEALTH_BLACK    ? SP_CAMERA_BLACK
           : c->status.health == SP_HEALTH_FROZEN ? SP_CAMERA_FROZEN
                                                  : SP_CAMERA_LIVE;
}

void sp_pipeline_camera(struct sp_pipeline *pipeline, int camera, struct sp_camera_report *report)
{
    struct sp_camera *c = &pipeline->cameras[camera];
    struct sp_histogram latency = {0};
    int64_t now_us = sp_clock_us();
    *report = (struct sp_camera_report){.device = -1};
    pthread_mutex_lock(&c->mutex);
    report->used = c->status.busy && !c->status.removed;
    if (report->used) {
        memcpy(report->name, c->status.setting.name, sizeof report->name);
        memcpy(report->url, c->status.shown_url, sizeof report->url);
        report->state = state_of(c, now_us);
        report->reconnects = c->status.connections;
        report->last_frame_age_us = c->status.last_frame_us ? now_us - c->status.last_frame_us : -1;
        report->camera_fps = sp_rate_read(&c->status.received, now_us);
        report->inferred_fps = sp_rate_read(&c->status.inferred, now_us);
        report->file_position = c->status.file_position;
        report->info = c->status.info;
        report->error = c->status.error;
        report->ended = c->status.ended;
        report->paused = c->status.paused;
        report->snapshots = c->status.setting.store_snapshots;
        report->by_need = c->status.setting.inference == SP_INFERENCE_NEED;
        report->policy = c->status.policy;
    }
    pthread_mutex_unlock(&c->mutex);
    if (!report->used)
        return;
    report->frames_done = atomic_load(&c->frames_done);
    report->device = atomic_load(&c->device_shown);
    report->active_tracks = atomic_load(&c->active_tracks);
    report->mailbox_depth = (int)sp_frame_scheduler_depth(pipeline->scheduler, camera);
    sp_ledger_read(c->ledger, &report->ledger);
    if (pipeline->options.live)
        sp_rate_window_read(&c->tracking.latency, &latency);
    else
        sp_histogram_merge(&latency, &c->stages[SP_STAGE_TOTAL].wall);
    report->latency_p50_us = sp_histogram_percentile(&latency, 0.5);
    report->latency_p95_us = sp_histogram_percentile(&latency, 0.95);
}

bool sp_pipeline_camera_setting(struct sp_pipeline *pipeline, int camera,
                                struct sp_camera_setting *setting)
{
    struct sp_camera *c = &pipeline->cameras[camera];
    pthread_mutex_lock(&c->mutex);
    bool used = c->status.busy && !c->status.removed;
    if (used)
        *setting = c->status.setting;
    pthread_mutex_unlock(&c->mutex);
    return used;
}

int sp_pipeline_stage_histogram(struct sp_pipeline *pipeline, int camera, enum sp_stage stage,
                                struct sp_histogram *to)
{
    if (camera < 0 || camera >= pipeline->camera_count)
        return SP_ERR_NOT_FOUND;
    sp_histogram_merge(to, &pipeline->cameras[camera].stages[stage].wall);
    return SP_OK;
}

void sp_pipeline_stages(struct sp_pipeline *pipeline, struct sp_stage_stats *stages)
{
    for (int c = 0; c < pipeline->camera_count; c++) {
        struct sp_stage_stats *from = pipeline->cameras[c].stages;
        for (int i = 0; i < SP_STAGE_COUNT; i++) {
            sp_histogram_merge(&stages[i].wall, &from[i].wall);
            atomic_fetch_add(&stages[i].cpu_us, atomic_load(&from[i].cpu_us));
        }
    }
}

void sp_pipeline_stage_sums(struct sp_pipeline *pipeline, struct sp_stage_sum sums[SP_STAGE_COUNT])
{
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        sums[i] = (struct sp_stage_sum){0};
        for (int c = 0; c < pipeline->camera_count; c++) {
            const struct sp_stage_stats *stage = &pipeline->cameras[c].stages[i];
            sums[i].wall_us += atomic_load(&stage->wall.sum_us);
            sums[i].cpu_us += atomic_load(&stage->cpu_us);
        }
    }
}

struct sp_map *sp_pipeline_map(const struct sp_pipeline *pipeline)
{
    return pipeline->map;
}

int sp_pipeline_workers(const struct sp_pipeline *pipeline)
{
    return pipeline->worker_count;
}

bool sp_pipeline_other_reading(struct sp_pipeline *pipeline, char *text, size_t bytes)
{
    char found[SP_READING_TEXT_BYTES];
    if (pipeline->options.live || !sp_reading_try(pipeline->reading, found))
        return false;
    snprintf(text, bytes, "%s", found);
    return true;
}

bool sp_pipeline_reports_class(const struct sp_pipeline *pipeline, int class_id)
{
    return class_id >= 0 && class_id < pipeline->model.classes &&
           (!pipeline->head.class_wanted || pipeline->head.class_wanted[class_id]);
}

const struct sp_class_names *sp_pipeline_label_names(const struct sp_pipeline *pipeline)
{
    const struct sp_model *model = &pipeline->model;
    int single = sp_classes_single(model, pipeline->head.class_wanted);
    return single >= 0 && single == model->person_class ? NULL : &model->class_names;
}

const struct sp_model *sp_pipeline_model(const struct sp_pipeline *pipeline)
{
    return &pipeline->model;
}

const struct spoton_engine_api *sp_pipeline_engine(const struct sp_pipeline *pipeline)
{
    return pipeline->engine;
}

int sp_pipeline_detectors(struct sp_pipeline *pipeline,
                          struct sp_detector_report reports[SP_DETECTORS_MAX])
{
    int count = 0;
    struct sp_detector_instance *instance;
    for (; (instance = sp_instance_ready(pipeline, count)); count++) {
        reports[count] = (struct sp_detector_report){
            .device = instance->device->index,
            .width_px = instance->width_px,
            .height_px = instance->height_px,
            .batch = sp_detector_batch(instance->detector),
            .images = atomic_load(&instance->images),
            .description = {.struct_bytes = sizeof reports[count].description},
        };
        sp_detector_describe(instance->detector, &reports[count].description);
    }
    return count;
}

/* ---- inference servers ---- */

const char *sp_server_state_name(enum spoton_server_state state)
{
    switch (state) {
    case SPOTON_SERVER_CHECKING:
        return "checking";
    case SPOTON_SERVER_READY:
        return "ready";
    case SPOTON_SERVER_BUSY:
        return "busy";
    case SPOTON_SERVER_SLOW:
        return "slow";
    case SPOTON_SERVER_FAILED:
        return "failed";
    case SPOTON_SERVER_REFUSED:
        return "refused";
    }
    return "unknown";
}

/* Each detector has its own connections to the same servers; the first one's state is shown. */
static void add_server(struct spoton_server *sum, const struct spoton_server *server, bool first)
{
    if (first) {
        *sum = *server;
        return;
    }
    sum->in_flight += server->in_flight;
    sum->requests += server->requests;
    sum->failures += server->failures;
    sum->busy += server->busy;
    sum->sent_bytes += server->sent_bytes;
    sum->received_bytes += server->received_bytes;
}

int sp_pipeline_servers(struct sp_pipeline *p, struct spoton_server reports[SP_SERVERS_MAX])
{
    int count = 0;
    struct sp_detector_instance *instance;
    for (int i = 0; (instance = sp_instance_ready(p, i)); i++) {
        struct spoton_server server;
        for (int k = 0; k < SP_SERVERS_MAX && sp_detector_server(instance->detector, k, &server);
             k++) {
            add_server(&reports[k], &server, k >= count);
            count = k >= count ? k + 1 : count;
        }
    }
    return count;
}
