/* What the pipeline says of itself. */
#include "pipeline/internal.h"

void sp_pipeline_camera(struct sp_pipeline *pipeline, int camera, struct sp_camera_report *report)
{
    struct sp_camera *c = &pipeline->cameras[camera];
    *report = (struct sp_camera_report){.frames_done = atomic_load(&c->frames_done)};
    sp_ledger_read(c->ledger, &report->ledger);
    pthread_mutex_lock(&c->mutex);
    report->info = c->info;
    report->error = c->error;
    report->ended = c->ended;
    pthread_mutex_unlock(&c->mutex);
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

int sp_pipeline_workers(const struct sp_pipeline *pipeline)
{
    return pipeline->worker_count;
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
    int count = atomic_load(&pipeline->lane_count);
    for (int i = 0; i < count; i++) {
        struct sp_lane *lane = &pipeline->lanes[i];
        reports[i] = (struct sp_detector_report){
            .width_px = lane->width_px,
            .height_px = lane->height_px,
            .batch = sp_detector_batch(lane->detector),
            .images = atomic_load(&lane->images),
            .description = {.struct_bytes = sizeof reports[i].description},
        };
        sp_detector_describe(lane->detector, &reports[i].description);
    }
    return count;
}
