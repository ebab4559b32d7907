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
    measure->begin_us = sp_clock_us();
    measure->begin_cpu_us = sp_process_cpu_us();
    measure->running = true;
    return true;
}

struct sp_run_measure sp_measure_end(const struct sp_measure *measure, struct sp_pipeline *pipeline,
                                     int cameras, int64_t started_us)
{
    struct sp_ledger_counts ledger;
    uint64_t frames;
    sp_report_totals(pipeline, cameras, &ledger, &frames);
    int64_t begin_us = measure->running ? measure->begin_us : started_us;
    return (struct sp_run_measure){
        .seconds = (double)(sp_clock_us() - begin_us) / 1e6,
        .cpu_us = sp_process_cpu_us() - measure->begin_cpu_us,
        .frames = frames - measure->begin_frames,
        .inferred = ledger.settled[SP_OUTCOME_INFERRED] - measure->begin_inferred,
    };
}
