/* Reports at the end of a command: members of summary.json, and tables on stdout. */
#pragma once

#include "base/json.h"
#include "pipeline/pipeline.h"

#include <stdio.h>

/* Totals of a measured run. */
struct sp_run_measure {
    double seconds;
    int64_t cpu_us;            /* of the whole process during the run */
    uint64_t frames, inferred; /* finished */
    struct sp_stage_sum stage[SP_STAGE_COUNT];
    int device_count;
    struct sp_device_report device[SP_DEVICES_MAX]; /* counts and times of this run */
};

/* Each adds one member, "ledger": {...} and so on, to the open object. */
void sp_report_ledger(struct sp_json *json, const struct sp_ledger_counts *counts);
void sp_report_stages(struct sp_json *json, struct sp_pipeline *pipeline,
                      const struct sp_run_measure *measure);
/* "devices": figures per device; "overlap": total time of all stages over the time of the run. */
void sp_report_devices(struct sp_json *json, const struct sp_run_measure *measure);
/* Includes the names of the reported classes. */
void sp_report_model(struct sp_json *json, const struct sp_pipeline *pipeline);
void sp_report_engine(struct sp_json *json, struct sp_pipeline *pipeline);
void sp_report_settings(struct sp_json *json, const struct sp_settings *settings);

/* One line per stage that ran; "in stage" is the mean number of frames in the stage. */
void sp_report_stage_table(FILE *to, struct sp_pipeline *pipeline,
                           const struct sp_run_measure *measure);
/* One line per device, and one on the overlap of stages. */
void sp_report_device_lines(FILE *to, const struct sp_run_measure *measure);
void sp_report_ledger_line(FILE *to, const struct sp_ledger_counts *counts);
void sp_report_engine_lines(FILE *to, struct sp_pipeline *pipeline);

/* Sums over all cameras. */
void sp_report_totals(struct sp_pipeline *pipeline, int cameras, struct sp_ledger_counts *ledger,
                      uint64_t *frames_done);
