/* Measures a run from the time every camera has delivered a frame, without compiling and opening.
 */
#pragma once

#include "command/report.h"

struct sp_measure {
    bool running;
    int64_t begin_us, begin_cpu_us;
    uint64_t begin_frames, begin_inferred;
    struct sp_stage_sum begin_stage[SP_STAGE_COUNT];
    struct sp_device_report begin_device[SP_DEVICES_MAX];
};

/* Call repeatedly until it returns true: the measurement has begun. */
bool sp_measure_begin_when_ready(struct sp_measure *measure, struct sp_pipeline *pipeline,
                                 int cameras);

/* From the beginning until now; from `started_us` if the run ended before the measurement began. */
struct sp_run_measure sp_measure_end(const struct sp_measure *measure, struct sp_pipeline *pipeline,
                                     int cameras, int64_t started_us);
