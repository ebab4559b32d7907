/* What the commands say at the end: the parts of summary.json, and tables for people. */
#pragma once

#include "base/json.h"
#include "pipeline/pipeline.h"

#include <stdio.h>

/* A run, measured from outside. */
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
/* "devices": what each did; "overlap": the stages' time over the run's. */
void sp_report_devices(struct sp_json *json, const struct sp_run_measure *measure);
/* With the names of the classes that are reported. */
void sp_report_model(struct sp_json *json, const struct sp_pipeline *pipeline);
void sp_report_engine(struct sp_json *json, struct sp_pipeline *pipeline);
void sp_report_settings(struct sp_json *json, const struct sp_settings *settings);

/* "stage  p50 p95 p99 ms  CPU share  at once": a line a stage that ran; at once: its time in all
 * over the run's, so how many frames were in it on average. */
void sp_report_stage_table(FILE *to, struct sp_pipeline *pipeline,
                           const struct sp_run_measure *measure);
/* A line a device, and one on how the stages overlap. */
void sp_report_device_lines(FILE *to, const struct sp_run_measure *measure);
void sp_report_ledger_line(FILE *to, const struct sp_ledger_counts *counts);
void sp_report_engine_lines(FILE *to, struct sp_pipeline *pipeline);

/* Adds up the cameras. */
void sp_report_totals(struct sp_pipeline *pipeline, int cameras, struct sp_ledger_counts *ledger,
                      uint64_t *frames_done);
