#include "command/report.h"

#include "engine/loader.h"

#include <math.h>
#include <stdlib.h>

void sp_report_totals(struct sp_pipeline *pipeline, int cameras, struct sp_ledger_counts *ledger,
                      uint64_t *frames_done)
{
    *ledger = (struct sp_ledger_counts){0};
    *frames_done = 0;
    for (int i = 0; i < cameras; i++) {
        struct sp_camera_report camera;
        sp_pipeline_camera(pipeline, i, &camera);
        sp_ledger_sum(ledger, &camera.ledger);
        *frames_done += camera.frames_done;
    }
}

void sp_report_ledger(struct sp_json *json, const struct sp_ledger_counts *counts)
{
    sp_json_key(json, "ledger");
    sp_json_begin_object(json);
    sp_json_key(json, "received");
    sp_json_int(json, (int64_t)counts->received);
    for (int i = 0; i < SP_OUTCOME_COUNT; i++) {
        sp_json_key(json, sp_outcome_name((enum sp_outcome)i));
        sp_json_int(json, (int64_t)counts->settled[i]);
    }
    sp_json_key(json, "in_flight");
    sp_json_int(json, (int64_t)counts->in_flight);
    sp_json_end_object(json);
}

/* Fraction of the process's CPU time. The engine runs on its own threads, so its share is the rest
 * after the measured stages; it includes scheduling, well under one percent. A stage is counted
 * when it ends, so in a very short run the stages may exceed the process. */
static double stage_share(const struct sp_run_measure *measure, int stage)
{
    double measured_us = 0;
    for (int i = 0; i < SP_STAGE_COUNT; i++)
        measured_us += (double)measure->stage[i].cpu_us;
    double whole_us = fmax((double)measure->cpu_us, measured_us);
    double own_us =
        stage == SP_STAGE_ENGINE ? whole_us - measured_us : (double)measure->stage[stage].cpu_us;
    return whole_us > 0 ? own_us / whole_us : 0;
}

/* Mean number of frames in the stage. */
static double concurrency(const struct sp_run_measure *measure, int stage)
{
    return measure->seconds > 0 ? (double)measure->stage[stage].wall_us / 1e6 / measure->seconds
                                : 0;
}

/* Total time of all working stages over the time of the run: above 1 they overlap. */
static double overlap(const struct sp_run_measure *measure)
{
    double sum = 0;
    for (int i = 0; i < SP_STAGE_COUNT; i++)
        if (i != SP_STAGE_WAIT && i != SP_STAGE_TOTAL)
            sum += concurrency(measure, i);
    return sum;
}

static struct sp_stage_stats *collect_stages(struct sp_pipeline *pipeline)
{
    struct sp_stage_stats *stages = calloc(SP_STAGE_COUNT, sizeof *stages);
    if (stages)
        sp_pipeline_stages(pipeline, stages);
    return stages;
}

void sp_report_stages(struct sp_json *json, struct sp_pipeline *pipeline,
                      const struct sp_run_measure *measure)
{
    struct sp_stage_stats *stages = collect_stages(pipeline);
    sp_json_key(json, "stages");
    sp_json_begin_object(json);
    for (int i = 0; stages && i < SP_STAGE_COUNT; i++) {
        const struct sp_histogram *wall = &stages[i].wall;
        uint64_t count = atomic_load(&wall->count);
        if (count == 0)
            continue;
        sp_json_key(json, sp_stage_name((enum sp_stage)i));
        sp_json_begin_object(json);
        sp_json_key(json, "count");
        sp_json_int(json, (int64_t)count);
        sp_json_key(json, "mean_ms");
        sp_json_number(json, sp_histogram_mean_us(wall) / 1e3, 4);
        sp_json_key(json, "p50_ms");
        sp_json_number(json, sp_histogram_percentile(wall, 0.50) / 1e3, 3);
        sp_json_key(json, "p95_ms");
        sp_json_number(json, sp_histogram_percentile(wall, 0.95) / 1e3, 3);
        sp_json_key(json, "p99_ms");
        sp_json_number(json, sp_histogram_percentile(wall, 0.99) / 1e3, 3);
        sp_json_key(json, "share");
        sp_json_number(json, stage_share(measure, i), 4);
        sp_json_key(json, "concurrency");
        sp_json_number(json, concurrency(measure, i), 3);
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
    free(stages);
}

void sp_report_stage_table(FILE *to, struct sp_pipeline *pipeline,
                           const struct sp_run_measure *measure)
{
    struct sp_stage_stats *stages = collect_stages(pipeline);
    fprintf(to, "%-10s %10s %10s %10s %10s %9s %8s %8s\n", "stage", "p50 ms", "p95 ms", "p99 ms",
            "mean ms", "count", "CPU", "in stage");
    for (int i = 0; stages && i < SP_STAGE_COUNT; i++) {
        const struct sp_histogram *wall = &stages[i].wall;
        uint64_t count = atomic_load(&wall->count);
        if (count == 0)
            continue;
        fprintf(to, "%-10s %10.2f %10.2f %10.2f %10.2f %9llu", sp_stage_name((enum sp_stage)i),
                sp_histogram_percentile(wall, 0.50) / 1e3,
                sp_histogram_percentile(wall, 0.95) / 1e3,
                sp_histogram_percentile(wall, 0.99) / 1e3, sp_histogram_mean_us(wall) / 1e3,
                (unsigned long long)count);
        if (i == SP_STAGE_WAIT || i == SP_STAGE_TOTAL)
            fprintf(to, " %8s", "-"); /* waiting uses no CPU */
        else
            fprintf(to, " %7.1f%%", 100 * stage_share(measure, i));
        fprintf(to, " %8.2f\n", concurrency(measure, i));
    }
    free(stages);
}

struct device_figures {
    double share;       /* of all frames */
    double utilization; /* fraction of the time with at least one batch in flight */
    double in_flight;   /* mean batches in flight */
    double batch;       /* mean frames per batch */
};

static struct device_figures figures_of(const struct sp_run_measure *measure, int index)
{
    const struct sp_device_report *d = &measure->device[index];
    double all = 0, us = measure->seconds > 0 ? measure->seconds * 1e6 : 1;
    for (int i = 0; i < measure->device_count; i++)
        all += (double)measure->device[i].images;
    return (struct device_figures){
        .share = all > 0 ? (double)d->images / all : 0,
        .utilization = (double)d->busy_us / us,
        .in_flight = (double)d->flight_us / us,
        .batch = d->batches > 0 ? (double)d->images / (double)d->batches : 0,
    };
}

void sp_report_devices(struct sp_json *json, const struct sp_run_measure *measure)
{
    sp_json_key(json, "overlap");
    sp_json_number(json, overlap(measure), 3);
    sp_json_key(json, "devices");
    sp_json_begin_array(json);
    for (int i = 0; i < measure->device_count; i++) {
        const struct sp_device_report *d = &measure->device[i];
        struct device_figures figures = figures_of(measure, i);
        sp_json_begin_object(json);
        sp_json_key(json, "device");
        sp_json_int(json, d->number);
        sp_json_key(json, "name");
        sp_json_string(json, d->name);
        sp_json_key(json, "error");
        sp_json_string(json, d->lost ? d->error.text : NULL);
        sp_json_key(json, "images");
        sp_json_int(json, (int64_t)d->images);
        sp_json_key(json, "decoded");
        sp_json_int(json, (int64_t)d->decoded);
        sp_json_key(json, "share");
        sp_json_number(json, figures.share, 4);
        sp_json_key(json, "utilization");
        sp_json_number(json, figures.utilization, 4);
        sp_json_key(json, "in_flight");
        sp_json_number(json, figures.in_flight, 3);
        sp_json_key(json, "mean_batch");
        sp_json_number(json, figures.batch, 2);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

void sp_report_device_lines(FILE *to, const struct sp_run_measure *measure)
{
    for (int i = 0; i < measure->device_count; i++) {
        const struct sp_device_report *d = &measure->device[i];
        struct device_figures figures = figures_of(measure, i);
        fprintf(to,
                "device: %d%s%s: %.1f%% of the frames, %.1f%% utilization, %.2f batches of "
                "%.1f in flight, %llu frames decoded%s%s\n",
                d->number, d->name[0] ? " " : "", d->name, 100 * figures.share,
                100 * figures.utilization, figures.in_flight, figures.batch,
                (unsigned long long)d->decoded, d->lost ? "; FAILED: " : "",
                d->lost ? d->error.text : "");
    }
    fprintf(to, "overlap: total stage time is %.2f times the duration of the run\n",
            overlap(measure));
}

void sp_report_ledger_line(FILE *to, const struct sp_ledger_counts *counts)
{
    fprintf(to, "ledger: received %llu =", (unsigned long long)counts->received);
    for (int i = 0; i < SP_OUTCOME_COUNT; i++)
        fprintf(to, "%s %s %llu", i ? " +" : "", sp_outcome_name((enum sp_outcome)i),
                (unsigned long long)counts->settled[i]);
    fprintf(to, " + in flight %llu%s\n", (unsigned long long)counts->in_flight,
            sp_ledger_balances(counts) ? "" : " (DOES NOT BALANCE)");
}

void sp_report_model(struct sp_json *json, const struct sp_pipeline *pipeline)
{
    const struct sp_model *model = sp_pipeline_model(pipeline);
    char number[16];
    sp_json_key(json, "model");
    sp_json_begin_object(json);
    sp_json_key(json, "path");
    sp_json_string(json, model->path);
    sp_json_key(json, "head_type");
    sp_json_string(json, sp_head_type_name(model->head_type));
    sp_json_key(json, "classes");
    sp_json_int(json, model->classes);
    sp_json_key(json, "reported");
    sp_json_begin_object(json);
    for (int i = 0; i < model->classes; i++) {
        if (!sp_pipeline_reports_class(pipeline, i))
            continue;
        sp_json_key(json, sp_class_name(NULL, i, number));
        sp_json_string(json, sp_class_names_get(&model->class_names, i));
    }
    sp_json_end_object(json);
    sp_json_key(json, "quantized");
    sp_json_bool(json, model->quantized);
    sp_json_end_object(json);
}

void sp_report_engine(struct sp_json *json, struct sp_pipeline *pipeline)
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    int count = sp_pipeline_detectors(pipeline, detectors);
    struct sp_device_report devices[SP_DEVICES_MAX];
    sp_pipeline_devices(pipeline, devices);
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    sp_pipeline_engine(pipeline)->probe(&probe);
    sp_json_key(json, "engine");
    sp_json_begin_object(json);
    sp_json_key(json, "name");
    sp_json_string(json, sp_pipeline_engine(pipeline)->name);
    sp_json_key(json, "version");
    sp_json_string(json, probe.version);
    sp_json_key(json, "device");
    sp_json_string(json, probe.device);
    sp_json_key(json, "precision");
    sp_json_string(json, count ? sp_precision_name(detectors[0].description.precision) : NULL);
    sp_json_key(json, "inputs");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        const struct spoton_engine_description *d = &detectors[i].description;
        sp_json_begin_object(json);
        sp_json_key(json, "device");
        sp_json_int(json, devices[detectors[i].device].number);
        sp_json_key(json, "width");
        sp_json_int(json, detectors[i].width_px);
        sp_json_key(json, "height");
        sp_json_int(json, detectors[i].height_px);
        sp_json_key(json, "batch");
        sp_json_int(json, detectors[i].batch);
        sp_json_key(json, "precision");
        sp_json_string(json, sp_precision_name(d->precision));
        sp_json_key(json, "streams");
        sp_json_int(json, d->streams);
        sp_json_key(json, "threads");
        sp_json_int(json, d->threads);
        sp_json_key(json, "requests");
        sp_json_int(json, d->requests);
        sp_json_key(json, "images");
        sp_json_int(json, (int64_t)detectors[i].images);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

void sp_report_engine_lines(FILE *to, struct sp_pipeline *pipeline)
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    int count = sp_pipeline_detectors(pipeline, detectors);
    for (int i = 0; i < count; i++) {
        const struct spoton_engine_description *d = &detectors[i].description;
        fprintf(to, "engine: %s on %s, %dx%d, batch %d, %s, %d streams, %d threads\n",
                sp_pipeline_engine(pipeline)->name, d->device, detectors[i].width_px,
                detectors[i].height_px, detectors[i].batch, sp_precision_name(d->precision),
                d->streams, d->threads);
    }
}

static void add_setting(void *user, const char *key, const char *value)
{
    struct sp_json *json = user;
    sp_json_key(json, key);
    sp_json_string(json, value);
}

void sp_report_settings(struct sp_json *json, const struct sp_settings *settings)
{
    sp_json_key(json, "settings");
    sp_json_begin_object(json);
    sp_settings_each(settings, add_setting, json);
    sp_json_end_object(json);
}
