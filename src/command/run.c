/* spoton run: processes every frame of every file, in order, and writes the results to files. */
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/progress.h"
#include "base/redact.h"
#include "command/command.h"
#include "command/deadline.h"
#include "command/measure.h"
#include "command/options.h"
#include "command/outputs.h"
#include "publish/files.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t POLL_US = 50000;
enum { SHOWN_CAMERAS = 8 };

struct run {
    const struct sp_options *options;
    const struct sp_settings *settings;
    struct sp_people *people; /* or NULL */
    struct sp_outputs *outputs;
    struct sp_pipeline *pipeline;
    struct sp_measure measure;
    int64_t started_us;
    atomic_bool interrupted, started;
    atomic_bool summed; /* summary.json is written or being written */
    struct sp_deadline *deadline;
    int lock; /* descriptor that locks the folder; -1: none */
};

static uint64_t frame_skip_of(const struct run *run, int camera)
{
    struct sp_camera_setting setting = run->settings->camera[camera];
    sp_camera_setting_complete(&setting, run->settings);
    return (uint64_t)setting.frame_skip;
}

/* Expected frames over all cameras; 0 while that of any camera is unknown. */
static uint64_t expected_frames(const struct run *run)
{
    uint64_t total = 0;
    for (int i = 0; i < run->settings->camera_count; i++) {
        struct sp_camera_report camera;
        sp_pipeline_camera(run->pipeline, i, &camera);
        uint64_t frames = camera.info.frames_total > 0 ? (uint64_t)camera.info.frames_total : 0;
        uint64_t limit = (uint64_t)run->options->limit;
        if (limit > 0 && (frames == 0 || frames > limit))
            frames = limit;
        if (run->settings->output_frames == SP_OUTPUT_FRAMES_INFERRED)
            frames /= frame_skip_of(run, i);
        if (camera.ended)
            frames = camera.frames_done;
        else if (frames == 0)
            return 0;
        total += frames;
    }
    return total;
}

static int follow(struct run *run, bool (*interrupted)(void), struct sp_error *err)
{
    struct sp_ledger_counts ledger;
    uint64_t frames;
    struct sp_progress *progress;
    int result = sp_progress_open(&progress, STDERR_FILENO, err);
    if (result < 0)
        return result;
    while (!sp_pipeline_wait(run->pipeline, POLL_US)) {
        if (interrupted() && !run->interrupted) {
            run->interrupted = true;
            sp_log(SP_LOG_WARNING, "interrupted: finishing the decoded frames");
            sp_pipeline_stop(run->pipeline);
        }
        sp_measure_begin_when_ready(&run->measure, run->pipeline, run->settings->camera_count);
        sp_report_totals(run->pipeline, run->settings->camera_count, &ledger, &frames);
        sp_progress_update(progress, frames, expected_frames(run));
    }
    sp_report_totals(run->pipeline, run->settings->camera_count, &ledger, &frames);
    sp_progress_update(progress, frames, frames);
    sp_progress_close(progress);
    return SP_OK;
}

/* The camera's first error: source, engine or files. */
static const char *camera_error(const struct sp_camera_report *camera,
                                const struct sp_outputs_report *outputs)
{
    if (camera->error.code != SP_OK)
        return camera->error.text;
    return outputs->error.code != SP_OK ? outputs->error.text : NULL;
}

static void add_camera(struct sp_json *json, const struct run *run, int index)
{
    struct sp_camera_report camera;
    struct sp_outputs_report outputs;
    char url[SP_URL_BYTES];
    sp_pipeline_camera(run->pipeline, index, &camera);
    sp_outputs_camera(run->outputs, index, &outputs);
    sp_redact_url(run->settings->camera[index].url, url, sizeof url);
    sp_json_begin_object(json);
    sp_json_key(json, "name");
    sp_json_string(json, run->settings->camera[index].name);
    sp_json_key(json, "url");
    sp_json_string(json, url);
    sp_json_key(json, "codec");
    sp_json_string(json, camera.info.codec[0] ? camera.info.codec : NULL);
    sp_json_key(json, "width");
    sp_json_int(json, camera.info.width_px);
    sp_json_key(json, "height");
    sp_json_int(json, camera.info.height_px);
    sp_json_key(json, "frame_rate");
    sp_json_number(json, camera.info.frame_rate, 3);
    sp_json_key(json, "error");
    sp_json_string(json, camera_error(&camera, &outputs));
    sp_json_key(json, "frames_out");
    sp_json_int(json, (int64_t)camera.frames_done);
    sp_json_key(json, "tracks");
    sp_json_int(json, (int64_t)outputs.track_ids);
    sp_json_key(json, "rows");
    sp_json_int(json, (int64_t)outputs.rows);
    sp_report_ledger(json, &camera.ledger);
    sp_json_key(json, "inference");
    sp_policy_write(json, camera.by_need ? &camera.policy : NULL);
    sp_json_end_object(json);
}

/* "complete": every camera was read to its end or to --limit, and all its files are written. */
static bool all_complete(const struct run *run)
{
    struct sp_error error;
    sp_pipeline_error(run->pipeline, &error);
    bool complete = !run->interrupted && error.code == SP_OK;
    for (int i = 0; i < run->settings->camera_count; i++) {
        struct sp_camera_report camera;
        struct sp_outputs_report outputs;
        sp_pipeline_camera(run->pipeline, i, &camera);
        sp_outputs_camera(run->outputs, i, &outputs);
        complete = complete && !camera_error(&camera, &outputs);
    }
    return complete;
}

static int write_summary(const struct run *run, const struct sp_run_measure *measure,
                         struct sp_error *err)
{
    struct sp_json json = {0};
    struct sp_ledger_counts ledger;
    uint64_t frames;
    sp_report_totals(run->pipeline, run->settings->camera_count, &ledger, &frames);
    sp_json_begin_object(&json);
    sp_json_key(&json, "version");
    sp_json_string(&json, SPOTON_VERSION);
    sp_json_key(&json, "complete");
    sp_json_bool(&json, all_complete(run));
    sp_json_key(&json, "cameras");
    sp_json_begin_array(&json);
    for (int i = 0; i < run->settings->camera_count; i++)
        add_camera(&json, run, i);
    sp_json_end_array(&json);
    sp_report_ledger(&json, &ledger);
    sp_json_key(&json, "seconds");
    sp_json_number(&json, (double)(sp_clock_us() - run->started_us) / 1e6, 3);
    sp_json_key(&json, "frames_per_s");
    sp_json_number(&json, (double)measure->frames / measure->seconds, 2);
    sp_json_key(&json, "inferred_per_s");
    sp_json_number(&json, (double)measure->inferred / measure->seconds, 2);
    sp_report_stages(&json, run->pipeline, measure);
    sp_people_report(run->people, &json);
    sp_report_model(&json, run->pipeline);
    sp_report_engine(&json, run->pipeline);
    sp_report_devices(&json, measure);
    sp_report_settings(&json, run->settings);
    sp_json_end_object(&json);
    sp_json_raw(&json, "\n");
    int result = json.failed ? sp_fail(err, SP_ERR_NO_MEMORY, "summary.json: out of memory")
                             : sp_files_write_whole(run->options->out_dir, "summary.json",
                                                    json.text, json.used_bytes, err);
    sp_json_release(&json);
    return result;
}

/* Lists only files that exist. */
static void print_written(const struct run *run, bool summary, bool people)
{
    const char *dir = run->options->out_dir;
    int cameras = 0;
    for (int i = 0; i < run->settings->camera_count; i++) {
        struct sp_outputs_report outputs;
        sp_outputs_camera(run->outputs, i, &outputs);
        cameras += outputs.finished;
    }
    if (summary)
        printf("wrote:  %s/summary.json\n", dir);
    for (int i = 0; i < run->settings->camera_count; i++) {
        const char *name = run->settings->camera[i].name;
        struct sp_outputs_report outputs;
        sp_outputs_camera(run->outputs, i, &outputs);
        if (outputs.finished && cameras <= SHOWN_CAMERAS)
            printf("wrote:  %s/%s.txt and .jsonl%s\n", dir, name, outputs.video ? " and .mp4" : "");
    }
    if (cameras > SHOWN_CAMERAS)
        printf("wrote:  files of %d of %d cameras in %s\n", cameras, run->settings->camera_count,
               dir);
    if (people && sp_people_associates(run->people))
        printf("people: %s/people.jsonl\n", dir);
    if (people && sp_people_counts(run->people))
        printf("counts: %s/counts.json and events.jsonl\n", dir);
}

static void print_summary(const struct run *run, const struct sp_run_measure *measure)
{
    struct sp_ledger_counts ledger;
    uint64_t frames;
    for (int i = 0; i < run->settings->camera_count; i++) {
        struct sp_camera_report camera;
        struct sp_outputs_report outputs;
        sp_pipeline_camera(run->pipeline, i, &camera);
        sp_outputs_camera(run->outputs, i, &outputs);
        const char *error = camera_error(&camera, &outputs);
        printf("%-12s %6llu frames, %4llu tracks, %6llu boxes%s%s\n", run->settings->camera[i].name,
               (unsigned long long)camera.frames_done, (unsigned long long)outputs.track_ids,
               (unsigned long long)outputs.rows, error ? ", FAILED: " : "", error ? error : "");
    }
    sp_report_totals(run->pipeline, run->settings->camera_count, &ledger, &frames);
    printf("\n");
    sp_report_stage_table(stdout, run->pipeline, measure);
    printf("\n");
    sp_report_ledger_line(stdout, &ledger);
    sp_report_engine_lines(stdout, run->pipeline);
    if (measure->device_count > 1)
        sp_report_device_lines(stdout, measure);
    printf("rate:   %.1f frames/s (%.1f inferred) over all cameras, %.1f s in all\n",
           (double)measure->frames / measure->seconds, (double)measure->inferred / measure->seconds,
           (double)(sp_clock_us() - run->started_us) / 1e6);
}

static int finish(struct run *run)
{
    struct sp_error err = {0};
    struct sp_run_measure measure =
        sp_measure_end(&run->measure, run->pipeline, run->settings->camera_count, run->started_us);
    int code = all_complete(run) ? SP_EXIT_OK : SP_EXIT_FAILED;
    bool people = sp_people_finish(run->people, &err) == SP_OK;
    if (!people)
        sp_log(SP_LOG_ERROR, "%s", err.text);
    bool first = !atomic_exchange(&run->summed, true);
    bool summary = !first || write_summary(run, &measure, &err) == SP_OK;
    if (!summary)
        sp_log(SP_LOG_ERROR, "%s", err.text);
    if (!people || !summary)
        code = SP_EXIT_FAILED;
    char other[400];
    if (!run->interrupted && sp_pipeline_other_reading(run->pipeline, other, sizeof other))
        sp_log(SP_LOG_WARNING, "%s", other);
    print_summary(run, &measure);
    print_written(run, summary, people && run->people);
    return run->interrupted ? SP_EXIT_INTERRUPTED : code;
}

/* Runs in the deadline's thread; all it reads is set before that thread starts. */
static void save(void *user)
{
    struct run *run = user;
    sp_outputs_save(run->outputs);
    sp_people_save(run->people);
    if (!atomic_load(&run->started) || atomic_exchange(&run->summed, true))
        return;
    struct sp_measure so_far = {0}; /* run->measure belongs to the other thread */
    atomic_store(&run->interrupted, true);
    struct sp_run_measure measure =
        sp_measure_end(&so_far, run->pipeline, run->settings->camera_count, run->started_us);
    (void)write_summary(run, &measure, NULL);
}

static int work(struct run *run, const struct sp_command_context *context, struct sp_error *err)
{
    struct sp_outputs_options outputs = {
        .settings = run->settings, .dir = run->options->out_dir, .video = run->options->video};
    int result = sp_path_make_dirs(run->options->out_dir, err);
    if (result == SP_OK)
        result = sp_path_lock_dir(run->options->out_dir, &run->lock, err);
    if (result == SP_OK)
        result = sp_people_open(&run->people, run->settings, run->options->out_dir, err);
    outputs.people = run->people;
    if (result == SP_OK)
        result = sp_outputs_open(&run->outputs, &outputs, err);
    if (result < 0)
        return result;
    result = sp_deadline_start(&run->deadline, context->interrupted, save, run, err);
    if (result < 0)
        return result;
    struct sp_pipeline_options pipeline = {.settings = run->settings,
                                           .sink = sp_outputs_sink(run->outputs),
                                           .environment = "run",
                                           .by_time = run->people != NULL,
                                           .frame_limit = (uint64_t)run->options->limit,
                                           .interrupted = context->interrupted};
    run->started_us = sp_clock_us();
    result = sp_pipeline_open(&run->pipeline, &pipeline, err);
    if (result == SP_OK) {
        sp_outputs_attach(run->outputs, run->pipeline);
        result = sp_pipeline_start(run->pipeline, err);
    }
    atomic_store(&run->started, result == SP_OK);
    if (result == SP_OK)
        result = follow(run, context->interrupted, err);
    return result;
}

static const struct sp_command_usage usage = {
    .name = "run",
    .synopsis = "[--camera NAME=URL]... [URL...] --out DIR",
    .about =
        "Tracks people in every frame of every file, in order. Writes NAME.txt (MOT Challenge\n"
        "rows) and NAME.jsonl (one line per frame) for each camera, and summary.json. With\n"
        "calibrated cameras (HOMOGRAPHY_FILE_PATH) also people.jsonl: cross-camera\n"
        "association; with lines and zones in spoton.yaml events.jsonl and counts.json.\n",
    .takes = SP_TAKES_CAMERAS | SP_TAKES_OUT_DIR | SP_TAKES_VIDEO | SP_TAKES_LIMIT,
};

int sp_command_run_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct run run = {.options = options, .settings = &options->settings, .lock = -1};
    bool no_camera = options->settings.camera_count == 0;
    if (no_camera || !options->out_dir) {
        fprintf(stderr, "spoton run: %s\n",
                no_camera ? "cameras: none given; give files, or cameras with --camera NAME=URL"
                          : "--out: missing; give an output folder with --out DIR");
        free(options);
        return SP_EXIT_USAGE;
    }
    int result = work(&run, context, &err), code;
    if (result == SP_OK) {
        code = finish(&run);
    } else {
        sp_log(SP_LOG_ERROR, "%s", err.text);
        code = result == SP_ERR_INTERRUPTED ? SP_EXIT_INTERRUPTED : SP_EXIT_FAILED;
    }
    /* Joining may hang, so the deadline still applies; save() reads the pipeline, so it ends before
     * the close. */
    sp_pipeline_join(run.pipeline);
    sp_deadline_stop(run.deadline);
    sp_pipeline_close(run.pipeline);
    sp_outputs_close(run.outputs);
    sp_people_close(run.people);
    if (run.lock >= 0)
        close(run.lock);
    free(options);
    return code;
}
