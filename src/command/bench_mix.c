#include "command/bench_mix.h"

#include "base/json.h"
#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *simulated; /* without a clip */
    int cameras;
} kinds[SP_MIX_KINDS] = {
    [SP_MIX_BUSY] = {"busy", NULL, 2},
    [SP_MIX_MEDIUM] = {"medium", "sim://visit?paced=0&fps=10&width=768&height=576&people=1", 4},
    [SP_MIX_QUIET] = {"quiet", "sim://empty?paced=0&fps=10&width=768&height=576", 10},
};

static const char *const policy_names[] = {
    [SP_INFERENCE_EVERY] = "every", [SP_INFERENCE_NEED] = "need"};

int sp_bench_mix_cameras(struct sp_settings *settings, struct sp_error *err)
{
    static char url[SP_MIX_KINDS][SP_PATH_BYTES];
    int given = settings->camera_count, result = SP_OK;
    if (given != 0 && given != SP_MIX_KINDS)
        return sp_fail(err, SP_ERR_INVALID,
                       "--mix: %d cameras; give three, a busy, a medium and a quiet one, or none",
                       given);
    for (int kind = 0; kind < SP_MIX_KINDS && result == SP_OK; kind++) {
        if (given)
            snprintf(url[kind], sizeof url[kind], "%s", settings->camera[kind].url);
        else if (kinds[kind].simulated)
            snprintf(url[kind], sizeof url[kind], "%s", kinds[kind].simulated);
        else
            result = sp_path_demo_clip(url[kind], sizeof url[kind], err);
    }
    settings->camera_count = 0;
    for (int kind = 0; kind < SP_MIX_KINDS; kind++)
        for (int i = 1; i <= kinds[kind].cameras && result == SP_OK; i++) {
            char name[32];
            snprintf(name, sizeof name, "%s%d", kinds[kind].name, i);
            result = sp_settings_add_camera(settings, name, url[kind], false, "--mix", err);
        }
    return result;
}

void sp_bench_mix_note(struct sp_bench_mix *mix, enum sp_inference_policy policy,
                       const struct sp_run_measure *measure, struct sp_pipeline *pipeline)
{
    struct sp_bench_mix_run *run = &mix->round[mix->count][policy];
    int camera = 0;
    *run = (struct sp_bench_mix_run){.measure = *measure};
    for (int kind = 0; kind < SP_MIX_KINDS; kind++)
        for (int i = 0; i < kinds[kind].cameras; i++) {
            struct sp_camera_report report;
            sp_pipeline_camera(pipeline, camera++, &report);
            sp_ledger_sum(&run->ledger[kind], &report.ledger);
        }
    mix->count += policy == SP_INFERENCE_NEED; /* the second of a round */
}

/* ---- figures ---- */

static double frames_per_s(const struct sp_bench_mix_run *run)
{
    return (double)run->measure.frames / run->measure.seconds;
}

static double cpu_ms_per_frame(const struct sp_bench_mix_run *run)
{
    return run->measure.frames ? (double)run->measure.cpu_us / 1e3 / (double)run->measure.frames
                               : 0;
}

static double inferred_share(const struct sp_ledger_counts *ledger)
{
    return ledger->received
               ? (double)ledger->settled[SP_OUTCOME_INFERRED] / (double)ledger->received
               : 0;
}

static double rate_ratio(const struct sp_bench_mix_run round[2])
{
    return frames_per_s(&round[SP_INFERENCE_NEED]) / frames_per_s(&round[SP_INFERENCE_EVERY]);
}

static double cpu_ratio(const struct sp_bench_mix_run round[2])
{
    double need = cpu_ms_per_frame(&round[SP_INFERENCE_NEED]);
    return need > 0 ? cpu_ms_per_frame(&round[SP_INFERENCE_EVERY]) / need : 0;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(const struct sp_bench_mix *mix,
                     double (*ratio)(const struct sp_bench_mix_run[2]))
{
    double values[SP_BENCH_MIX_ROUNDS_MAX] = {0};
    for (int i = 0; i < mix->count; i++)
        values[i] = ratio(mix->round[i]);
    qsort(values, (size_t)mix->count, sizeof values[0], compare);
    return values[mix->count / 2];
}

static void sum_ledger(const struct sp_bench_mix_run *run, struct sp_ledger_counts *sum)
{
    *sum = (struct sp_ledger_counts){0};
    for (int kind = 0; kind < SP_MIX_KINDS; kind++)
        sp_ledger_sum(sum, &run->ledger[kind]);
}

/* ---- output ---- */

static void write_run(struct sp_json *json, const struct sp_bench_mix_run *run)
{
    struct sp_ledger_counts ledger;
    sum_ledger(run, &ledger);
    sp_json_begin_object(json);
    sp_json_key(json, "frames_per_s");
    sp_json_number(json, frames_per_s(run), 2);
    sp_json_key(json, "cpu_ms_per_frame");
    sp_json_number(json, cpu_ms_per_frame(run), 3);
    sp_json_key(json, "inferred_share");
    sp_json_begin_object(json);
    sp_json_key(json, "all");
    sp_json_number(json, inferred_share(&ledger), 4);
    for (int kind = 0; kind < SP_MIX_KINDS; kind++) {
        sp_json_key(json, kinds[kind].name);
        sp_json_number(json, inferred_share(&run->ledger[kind]), 4);
    }
    sp_json_end_object(json);
    sp_report_ledger(json, &ledger);
    sp_json_end_object(json);
}

void sp_bench_mix_print_json(const struct sp_bench_mix *mix, struct sp_pipeline *pipeline,
                             const struct sp_settings *settings, bool jpeg)
{
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_json_key(&json, "ratio");
    sp_json_number(&json, median(mix, rate_ratio), 3);
    sp_json_key(&json, "cpu_ratio");
    sp_json_number(&json, median(mix, cpu_ratio), 3);
    sp_json_key(&json, "jpeg");
    sp_json_bool(&json, jpeg);
    sp_json_key(&json, "rounds");
    sp_json_begin_array(&json);
    for (int i = 0; i < mix->count; i++) {
        sp_json_begin_object(&json);
        for (int policy = 0; policy < 2; policy++) {
            sp_json_key(&json, policy_names[policy]);
            write_run(&json, &mix->round[i][policy]);
        }
        sp_json_end_object(&json);
    }
    sp_json_end_array(&json);
    sp_report_model(&json, pipeline);
    sp_report_engine(&json, pipeline);
    sp_report_settings(&json, settings);
    sp_json_end_object(&json);
    printf("%s\n", json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

void sp_bench_mix_print_table(const struct sp_bench_mix *mix, struct sp_pipeline *pipeline,
                              bool jpeg)
{
    printf("%-6s %-10s %10s %14s %10s", "round", "INFERENCE", "frames/s", "CPU ms/frame",
           "inferred");
    for (int kind = 0; kind < SP_MIX_KINDS; kind++)
        printf(" %8s", kinds[kind].name);
    printf("\n");
    for (int i = 0; i < mix->count; i++)
        for (int policy = 0; policy < 2; policy++) {
            const struct sp_bench_mix_run *run = &mix->round[i][policy];
            struct sp_ledger_counts ledger;
            sum_ledger(run, &ledger);
            printf("%-6d %-10s %10.1f %14.2f %10.3f", i + 1, policy_names[policy],
                   frames_per_s(run), cpu_ms_per_frame(run), inferred_share(&ledger));
            for (int kind = 0; kind < SP_MIX_KINDS; kind++)
                printf(" %8.3f", inferred_share(&run->ledger[kind]));
            printf("\n");
        }
    printf("\n");
    sp_report_engine_lines(stdout, pipeline);
    printf("need:   %.2f times the frames/s of every frame, CPU time of a frame divided by %.2f "
           "(medians), JPEG of %s frame\n",
           median(mix, rate_ratio), median(mix, cpu_ratio), jpeg ? "every" : "no");
}
