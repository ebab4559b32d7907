/* spoton bench: throughput of the pipeline against that of the engine alone on the same input
 * shape.
 *
 * Rounds of both alternate, so that a drift in the machine's speed affects both. The ratio is
 * computed per round and its median reported. --mix: bench_mix.h. */
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "command/bench_mix.h"
#include "command/command.h"
#include "command/measure.h"
#include "command/options.h"
#include "command/outputs.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3, ROUNDS_MAX = 9 };

static const double DEFAULT_SECONDS = 30.0;
static const int64_t POLL_US = 5000;

struct round {
    struct sp_run_measure pipeline;
    double frames_per_s, inferred_per_s, engine_per_s;
    double ratio; /* inferred frames/s of the pipeline over images/s of the engine alone */
};

struct bench {
    const struct sp_options *options;
    struct sp_settings *settings;
    int64_t frames; /* of each camera in a round; 0: the time is limited */
    struct round rounds[ROUNDS_MAX];
    int round_count;
    struct sp_bench_mix mix;
    /* Those of the last round. */
    struct sp_outputs *outputs;
    struct sp_pipeline *pipeline;
};

/* Cameras of several shapes may share a device: shapes are weighted by their number of images.
 * Devices run in parallel, so the slowest one determines the rate. */
static int run_engine_alone(struct bench *bench, int64_t duration_us, double *images_per_s,
                            struct sp_error *err)
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    struct sp_device_report devices[SP_DEVICES_MAX];
    int count = sp_pipeline_detectors(bench->pipeline, detectors);
    int device_count = sp_pipeline_devices(bench->pipeline, devices);
    uint64_t images = 0;
    double seconds[SP_DEVICES_MAX] = {0}; /* that each device needs for the round's images */
    double longest = 0;
    for (int i = 0; i < count; i++)
        images += devices[detectors[i].device].lost ? 0 : detectors[i].images;
    for (int i = 0; i < count; i++) {
        double rate;
        double share = images ? (double)detectors[i].images / (double)images : 0;
        if (devices[detectors[i].device].lost)
            continue;
        int result = sp_pipeline_engine_alone(bench->pipeline, i,
                                              (int64_t)((double)duration_us * share), &rate, err);
        if (result < 0)
            return result;
        seconds[detectors[i].device] += (double)detectors[i].images / rate;
    }
    for (int i = 0; i < device_count; i++)
        longest = seconds[i] > longest ? seconds[i] : longest;
    *images_per_s = longest > 0 ? (double)images / longest : 0;
    return SP_OK;
}

static int first_camera_error(struct bench *bench, struct sp_error *err)
{
    sp_pipeline_error(bench->pipeline, err);
    for (int i = 0; i < bench->settings->camera_count && err->code == SP_OK; i++) {
        struct sp_camera_report camera;
        sp_pipeline_camera(bench->pipeline, i, &camera);
        *err = camera.error;
    }
    return err->code;
}

static void close_round(struct bench *bench)
{
    sp_pipeline_close(bench->pipeline);
    sp_outputs_close(bench->outputs);
    bench->pipeline = NULL;
    bench->outputs = NULL;
}

static int open_round(struct bench *bench, struct sp_error *err)
{
    struct sp_outputs_options outputs = {.settings = bench->settings,
                                         .jpeg = !bench->options->no_jpeg,
                                         .jpeg_rate = bench->options->jpeg_rate};
    int result = sp_outputs_open(&bench->outputs, &outputs, err);
    if (result < 0)
        return result;
    struct sp_pipeline_options pipeline = {
        .settings = bench->settings,
        .sink = sp_outputs_sink(bench->outputs),
        .environment = "bench",
        .frame_limit = (uint64_t)bench->frames,
        .loop = true,
    };
    result = sp_pipeline_open(&bench->pipeline, &pipeline, err);
    if (result == SP_OK) {
        sp_outputs_attach(bench->outputs, bench->pipeline);
        result = sp_pipeline_start(bench->pipeline, err);
    }
    return result;
}

/* Runs one round. Its time starts when every camera has delivered a frame and ends when the
 * pipeline is stopped, so it includes neither opening the engine nor closing decoders. The pipeline
 * of the last round stays open for the report. */
static int run_round(struct bench *bench, double seconds, bool (*interrupted)(void),
                     struct sp_error *err)
{
    struct round *round = &bench->rounds[bench->round_count];
    struct sp_measure measure = {0};
    int64_t started_us = sp_clock_us();
    int cameras = bench->settings->camera_count;
    int result = open_round(bench, err);
    if (result < 0)
        return result;
    bool measured = false;
    while (!sp_pipeline_wait(bench->pipeline, POLL_US)) {
        bool over = sp_measure_begin_when_ready(&measure, bench->pipeline, cameras) &&
                    !bench->frames && (double)(sp_clock_us() - measure.begin_us) / 1e6 >= seconds;
        if (over && !measured)
            round->pipeline = sp_measure_end(&measure, bench->pipeline, cameras, started_us);
        measured = measured || over;
        if (over || interrupted())
            sp_pipeline_stop(bench->pipeline);
    }
    if (!measured)
        round->pipeline = sp_measure_end(&measure, bench->pipeline, cameras, started_us);
    if (interrupted())
        return sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
    result = first_camera_error(bench, err);
    if (result < 0 || bench->options->mix)
        return result;
    result = run_engine_alone(bench, (int64_t)(round->pipeline.seconds * 0.5e6),
                              &round->engine_per_s, err);
    if (result < 0)
        return result;
    round->frames_per_s = (double)round->pipeline.frames / round->pipeline.seconds;
    round->inferred_per_s = (double)round->pipeline.inferred / round->pipeline.seconds;
    round->ratio = round->engine_per_s > 0 ? round->inferred_per_s / round->engine_per_s : 0;
    bench->round_count++;
    return SP_OK;
}

static int compare_ratio(const void *a, const void *b)
{
    double x = ((const struct round *)a)->ratio, y = ((const struct round *)b)->ratio;
    return (x > y) - (x < y);
}

/* The round with the median ratio. */
static struct round median_round(const struct bench *bench)
{
    struct round sorted[ROUNDS_MAX];
    for (int i = 0; i < bench->round_count; i++)
        sorted[i] = bench->rounds[i];
    qsort(sorted, (size_t)bench->round_count, sizeof sorted[0], compare_ratio);
    return sorted[bench->round_count / 2];
}

static void print_json(const struct bench *bench)
{
    struct sp_json json = {0};
    struct sp_ledger_counts ledger;
    uint64_t frames;
    struct round median = median_round(bench);
    const struct round *last = &bench->rounds[bench->round_count - 1];
    sp_report_totals(bench->pipeline, bench->settings->camera_count, &ledger, &frames);
    sp_json_begin_object(&json);
    sp_json_key(&json, "frames_per_s");
    sp_json_number(&json, median.frames_per_s, 2);
    sp_json_key(&json, "inferred_per_s");
    sp_json_number(&json, median.inferred_per_s, 2);
    sp_json_key(&json, "engine_frames_per_s");
    sp_json_number(&json, median.engine_per_s, 2);
    sp_json_key(&json, "ratio");
    sp_json_number(&json, median.ratio, 4);
    sp_json_key(&json, "frames");
    sp_json_int(&json, (int64_t)median.pipeline.frames);
    sp_json_key(&json, "seconds");
    sp_json_number(&json, median.pipeline.seconds, 3);
    sp_json_key(&json, "cpu_cores"); /* mean cores in use */
    sp_json_number(&json, (double)median.pipeline.cpu_us / 1e6 / median.pipeline.seconds, 2);
    sp_json_key(&json, "jpeg");
    sp_json_bool(&json, !bench->options->no_jpeg);
    sp_json_key(&json, "rounds");
    sp_json_begin_array(&json);
    for (int i = 0; i < bench->round_count; i++) {
        const struct round *round = &bench->rounds[i];
        sp_json_begin_object(&json);
        sp_json_key(&json, "frames_per_s");
        sp_json_number(&json, round->frames_per_s, 2);
        sp_json_key(&json, "engine_frames_per_s");
        sp_json_number(&json, round->engine_per_s, 2);
        sp_json_key(&json, "ratio");
        sp_json_number(&json, round->ratio, 4);
        sp_json_end_object(&json);
    }
    sp_json_end_array(&json);
    sp_report_stages(&json, bench->pipeline, &last->pipeline);
    sp_report_devices(&json, &last->pipeline);
    sp_report_ledger(&json, &ledger);
    sp_report_model(&json, bench->pipeline);
    sp_report_engine(&json, bench->pipeline);
    sp_report_settings(&json, bench->settings);
    sp_json_end_object(&json);
    printf("%s\n", json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

static void print_table(const struct bench *bench)
{
    struct sp_ledger_counts ledger;
    uint64_t frames;
    struct round median = median_round(bench);
    sp_report_totals(bench->pipeline, bench->settings->camera_count, &ledger, &frames);
    printf("%-6s %12s %12s %14s %8s\n", "round", "frames/s", "inferred/s", "engine alone/s",
           "ratio");
    for (int i = 0; i < bench->round_count; i++) {
        const struct round *r = &bench->rounds[i];
        printf("%-6d %12.1f %12.1f %14.1f %8.3f\n", i + 1, r->frames_per_s, r->inferred_per_s,
               r->engine_per_s, r->ratio);
    }
    printf("\n");
    sp_report_stage_table(stdout, bench->pipeline, &bench->rounds[bench->round_count - 1].pipeline);
    printf("\n");
    sp_report_ledger_line(stdout, &ledger);
    sp_report_engine_lines(stdout, bench->pipeline);
    sp_report_device_lines(stdout, &bench->rounds[bench->round_count - 1].pipeline);
    char jpeg[64] = "every frame";
    if (bench->options->no_jpeg)
        snprintf(jpeg, sizeof jpeg, "no frame");
    else if (bench->options->jpeg_rate > 0)
        snprintf(jpeg, sizeof jpeg, "at most %lld frames a second of each",
                 (long long)bench->options->jpeg_rate);
    printf("rate:   %.1f frames/s over %d cameras, JPEG of %s; %.3f of the engine alone "
           "(median round)\n",
           median.frames_per_s, bench->settings->camera_count, jpeg, median.ratio);
}

/* Without cameras: the demo clip as four cameras. */
static int use_demo_cameras(struct sp_settings *settings, struct sp_error *err)
{
    static const char *const names[] = {"c1", "c2", "c3", "c4"};
    char clip[SP_PATH_BYTES];
    int result = sp_path_demo_clip(clip, sizeof clip, err);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && result == SP_OK; i++)
        result = sp_settings_add_camera(settings, names[i], clip, false, "the demo", err);
    return result;
}

/* Each round with both policies. */
static int run_mix(struct bench *bench, int64_t rounds, bool (*interrupted)(void),
                   struct sp_error *err)
{
    int result = sp_bench_mix_cameras(bench->settings, err);
    if (bench->options->seconds > 0)
        result = sp_fail(err, SP_ERR_INVALID, "--mix: --seconds is invalid; use --frames");
    if (bench->frames == 0)
        bench->frames = SP_BENCH_MIX_FRAMES;
    for (int64_t i = 0; i < rounds * 2 && result == SP_OK; i++) {
        close_round(bench);
        bench->settings->inference = i % 2 ? SP_INFERENCE_NEED : SP_INFERENCE_EVERY;
        result = run_round(bench, 0, interrupted, err);
        if (result == SP_OK)
            sp_bench_mix_note(&bench->mix, bench->settings->inference, &bench->rounds[0].pipeline,
                              bench->pipeline);
    }
    return result;
}

static int work(struct bench *bench, bool (*interrupted)(void), struct sp_error *err)
{
    double seconds = bench->options->seconds > 0 ? bench->options->seconds : DEFAULT_SECONDS;
    int64_t rounds = bench->options->rounds ? bench->options->rounds : ROUNDS;
    if (rounds > ROUNDS_MAX)
        return sp_fail(err, SP_ERR_INVALID, "--rounds %lld: invalid; must be at most %d",
                       (long long)rounds, ROUNDS_MAX);
    bench->frames = bench->options->frames;
    if (bench->options->mix)
        return run_mix(bench, rounds, interrupted, err);
    if (bench->frames)
        rounds = 1;
    if (bench->settings->camera_count == 0) {
        int result = use_demo_cameras(bench->settings, err);
        if (result < 0)
            return result;
    }
    for (int64_t i = 0; i < rounds; i++) {
        close_round(bench); /* the previous round; compiled models are cached */
        int result = run_round(bench, seconds / (double)rounds / 1.5, interrupted, err);
        if (result < 0)
            return result;
    }
    return SP_OK;
}

static const struct sp_command_usage usage = {
    .name = "bench",
    .synopsis = "[--camera NAME=URL]... [URL...] [--seconds N | --frames N] [--rounds N]\n"
                "                    [--mix]",
    .about =
        "Runs the pipeline on the cameras (files are repeated) as fast as possible, with a JPEG\n"
        "of every frame, and compares it with the engine alone on the same input. --mix: 16 "
        "cameras\n"
        "instead, most of them quiet, with INFERENCE every and need.\n",
    .takes = SP_TAKES_CAMERAS | SP_TAKES_SECONDS | SP_TAKES_FRAMES | SP_TAKES_JSON |
             SP_TAKES_NO_JPEG | SP_TAKES_ROUNDS | SP_TAKES_MIX,
};

int sp_command_bench_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct bench bench = {.options = options};
    bench.settings = &options->settings;
    int code = SP_EXIT_OK;
    if (work(&bench, context->interrupted, &err) < 0) {
        sp_log(SP_LOG_ERROR, "%s", err.text);
        code = err.code == SP_ERR_INTERRUPTED ? SP_EXIT_INTERRUPTED : SP_EXIT_FAILED;
    } else if (options->mix && options->json) {
        sp_bench_mix_print_json(&bench.mix, bench.pipeline, bench.settings, !options->no_jpeg);
    } else if (options->mix) {
        sp_bench_mix_print_table(&bench.mix, bench.pipeline, !options->no_jpeg);
    } else if (options->json) {
        print_json(&bench);
    } else {
        print_table(&bench);
    }
    close_round(&bench);
    free(options);
    return code;
}
