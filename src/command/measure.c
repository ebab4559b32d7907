#include "command/measure.h"

#include "base/clock.h"

bool sp_measure_begin_when_ready(struct sp_measure *measure, struct sp_pipeline *pipeline,
                                 int cameras)
{
    if (measure->running)
        return true;
    for (int i = 0; i < cameras; i++) {
        struct sp_camera_report camera;
        sp_pipeline_camera(pipeline, i, &camera);
        if (camera.frames_done == 0 && !camera.ended)
            return false;
    }
    struct sp_ledger_counts ledger;
    sp_report_totals(pipeline, cameras, &ledger, &measure->begin_frames);
    measure->begin_inferred = ledger.settled[SP_OUTCOME_INFERRED];
    /* The process first here and last at the end, so that its time includes that of the stages. */
    measure->begin_cpu_us = sp_process_cpu_us();
    sp_pipeline_stage_sums(pipeline, measure->begin_stage);
    sp_pipeline_devices(pipeline, measure->begin_device);
    measure->begin_us = sp_clock_us();
    measure->running = true;
    return true;
}

struct sp_run_measure sp_measure_end(const struct sp_measure *measure, struct sp_pipeline *pipeline,
                                     int cameras, int64_t started_us)
{
    struct sp_ledger_counts ledger;
    uint64_t frames;
    sp_report_totals(pipeline, cameras, &ledger, &frames);
    /* A short run may end before the measurement begins; then all of it is measured. */
    struct sp_measure from = *measure;
    if (!measure->running || frames == measure->begin_frames)
        from = (struct sp_measure){.begin_us = started_us};
    struct sp_run_measure run = {
        .seconds = (double)(sp_clock_us() - from.begin_us) / 1e6,
        .frames = frames - from.begin_frames,
        .inferred = ledger.settled[SP_OUTCOME_INFERRED] - from.begin_inferred,
    };
    sp_pipeline_stage_sums(pipeline, run.stage);
    run.cpu_us = sp_process_cpu_us() - from.begin_cpu_us;
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        run.stage[i].wall_us -= from.begin_stage[i].wall_us;
        run.stage[i].cpu_us -= from.begin_stage[i].cpu_us;
    }
    run.device_count = sp_pipeline_devices(pipeline, run.device);
    for (int i = 0; i < run.device_count; i++) {
        run.device[i].batches -= from.begin_device[i].batches;
        run.device[i].images -= from.begin_device[i].images;
        run.device[i].decoded -= from.begin_device[i].decoded;
        run.device[i].busy_us -= from.begin_device[i].busy_us;
        run.device[i].flight_us -= from.begin_device[i].flight_us;
    }
    return run;
}
