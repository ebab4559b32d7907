/* spoton tune: finds the settings that serve the most cameras on this machine.
 *
 * Each trial runs in subprocesses, so that a failure affects only that trial: `spoton run` on the
 * first frames of the cameras, whose tracks are compared with those of f32 on every frame (or both
 * with ground truth, if given, and tracker settings tuned for the trial), then `spoton bench` with
 * a JPEG of every frame. Starting from the best settings so far, one setting is varied after the
 * other, in the order of their usual gain. What cameras by need would serve is measured beside it:
 * MAX_CAMERAS is what every frame allows. */
#include "base/cpu.h"
#include "base/log.h"
#include "base/path.h"
#include "command/command.h"
#include "command/identity.h"
#include "command/options.h"
#include "command/remove.h"
#include "command/subprocess.h"
#include "command/tune_tracker.h"
#include "config/env_change.h"
#include "engine/loader.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FRAMES = 200,
    TRIALS_MAX = 40,
    FLAGS_MAX = 100,
    WORDS_MAX = 2 * SP_CAMERAS_MAX + FLAGS_MAX + 40,
    WORD_BYTES = 24
};

static const double SECONDS = 6, RATE = 25, FLOOR = 0.9, LATENCY_MS = 250;

/* The settings that are tuned. */
enum knob { PRECISION, ENGINE, SIZE, SKIP, STREAMS, THREADS, BATCH, KNOBS };

static const struct {
    const char *key, *flag, *title;
    int width;
    const char *values[10]; /* NULL-terminated; empty: depends on the machine */
} knobs[KNOBS] = {
    [PRECISION] = {"PRECISION", "--precision", "prec.", -6, {"int8", "bf16", "f16", "f32"}},
    [ENGINE] = {"ENGINE", "--engine", "engine", -12, {NULL}},
    [SIZE] = {"YOLO_INPUT_SIZE",
              "--yolo-input-size",
              "input",
              5,
              {"640", "544", "480", "416", "384", "320"}},
    [SKIP] = {"FRAME_SKIP", "--frame-skip", "skip", 5, {"1", "2", "3", "4"}},
    [STREAMS] = {"ENGINE_STREAMS", "--engine-streams", "streams", 8, {"auto", "1", "2", "4"}},
    [THREADS] = {"THREADS", "--threads", "threads", 8, {NULL}},
    [BATCH] = {"ENGINE_BATCH", "--engine-batch", "batch", 6, {"auto", "4"}},
};

enum { MACHINE_VALUES = 8 };

struct trial {
    const char *value[KNOBS];
    double frames_per_s, idf1, latency_ms;
    struct sp_tune_tracker tracker; /* with --ground-truth, if `tracked` */
    bool tracked, good;
    char rejected[200]; /* reason; empty: the best so far at the time */
};

struct tune {
    const struct sp_options *options;
    bool (*interrupted)(void);
    char program[PATH_MAX], work[PATH_MAX];
    const char *name[SP_CAMERAS_MAX];
    const struct sp_settings *settings;
    int cameras;
    char *flag[FLAGS_MAX]; /* all other settings, "--track-dt=auto" */
    int flags;
    double rate, floor, latency_ms;
    double ground_truth_f1[SP_CAMERAS_MAX]; /* of f32 on every frame; used with --ground-truth */
    char frames[WORD_BYTES], seconds[WORD_BYTES];
    char engine[MACHINE_VALUES][32], threads[MACHINE_VALUES][WORD_BYTES];
    int engines, thread_counts;
    struct trial trials[TRIALS_MAX];
    int count;
};

/* ---- one trial ---- */

static void add_flag(void *user, const char *key, const char *value)
{
    struct tune *tune = user;
    char *text = NULL;
    bool tuned = strncmp(key, "CAMERA_", 7) == 0 || tune->flags == FLAGS_MAX || !value[0];
    for (int i = 0; i < KNOBS; i++)
        tuned = tuned || strcmp(key, knobs[i].key) == 0;
    if (tuned || asprintf(&text, "--%s=%s", key, value) < 0)
        return;
    for (char *c = text + 2; *c != '='; c++)
        *c = *c == '_' ? '-' : (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    tune->flag[tune->flags++] = text;
}

static int add_words(const struct tune *tune, const struct trial *trial, const char **word,
                     int count)
{
    for (int i = 0; i < KNOBS; i++) {
        word[count++] = knobs[i].flag;
        word[count++] = trial->value[i];
    }
    word[count++] = "--env"; /* its settings are in the flags */
    word[count++] = "/dev/null";
    for (int i = 0; i < tune->flags; i++)
        word[count++] = tune->flag[i];
    if (trial->tracked) { /* the last occurrence of a flag counts */
        word[count++] = "--track-match-threshold";
        word[count++] = sp_tune_tracker_match(trial->tracker.match);
        word[count++] = "--track-high-threshold";
        word[count++] = sp_tune_tracker_high(trial->tracker.high);
    }
    word[count] = NULL;
    return count;
}

static int run(struct tune *tune, const char *const *word, char *out, struct sp_error *err)
{
    char log[PATH_MAX + 16];
    int status = 0;
    snprintf(out, PATH_MAX + 16, "%s/out", tune->work);
    snprintf(log, sizeof log, "%s/log", tune->work);
    int result = sp_subprocess_run(word, out, log, &status, err);
    if (tune->interrupted())
        return sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
    if (result < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return result;
    char last[160];
    sp_subprocess_last_line(log, "[ERROR] ", last, sizeof last);
    return sp_fail(err, SP_ERR_ENGINE, "%s", last);
}

static int track(struct tune *tune, const struct trial *trial, const char *name,
                 struct sp_error *err)
{
    const char *word[WORDS_MAX];
    char out[PATH_MAX + 16], folder[PATH_MAX + 16];
    snprintf(folder, sizeof folder, "%s/%s", tune->work, name);
    const char *const first[] = {tune->program, "run", "--limit", tune->frames, "--out", folder};
    memcpy(word, first, sizeof first);
    add_words(tune, trial, word, 6);
    return run(tune, word, out, err);
}

/* IDF1 of one camera of a run below `work`. */
static int camera_f1(struct tune *tune, const char *run_name, int camera, double *idf1,
                     struct sp_error *err)
{
    char reference[PATH_MAX + 128], tested[PATH_MAX + 128];
    const char *ground_truth = tune->options->ground_truth, *name = tune->name[camera];
    snprintf(reference, sizeof reference, "%s%s/%s.txt", ground_truth ? ground_truth : tune->work,
             ground_truth ? "" : "/reference", name);
    snprintf(tested, sizeof tested, "%s/%s/%s.txt", tune->work, run_name, name);
    return sp_identity_f1(reference, tested, atoll(tune->frames), idf1, err);
}

/* With --ground-truth: IDF1 of the reference itself. */
static int judge_reference(struct tune *tune, struct sp_error *err)
{
    int result = SP_OK;
    for (int i = 0; tune->options->ground_truth && i < tune->cameras && result == SP_OK; i++) {
        result = camera_f1(tune, "reference", i, &tune->ground_truth_f1[i], err);
        if (result == SP_OK && tune->ground_truth_f1[i] <= 0)
            result =
                sp_fail(err, SP_ERR_INVALID,
                        "--ground-truth: %s/%s.txt: f32 finds none of the people in the first %s "
                        "frames; check that it belongs to this camera",
                        tune->options->ground_truth, tune->name[i], tune->frames);
    }
    return result;
}

/* sp_tune_judge: mean over all cameras of the folder "trial". */
static int judge_trial(void *user, double *idf1, struct sp_error *err)
{
    struct tune *tune = user;
    double sum = 0;
    int result = tune->interrupted() ? sp_fail(err, SP_ERR_INTERRUPTED, "interrupted") : SP_OK;
    for (int i = 0; i < tune->cameras && result == SP_OK; i++) {
        double camera = 0;
        result = camera_f1(tune, "trial", i, &camera, err);
        sum += tune->options->ground_truth ? camera / tune->ground_truth_f1[i] : camera;
    }
    *idf1 = sum / tune->cameras;
    return result;
}

static int judge_tracks(struct tune *tune, struct trial *trial, struct sp_error *err)
{
    char folder[PATH_MAX + 16];
    int result = track(tune, trial, "trial", err);
    if (result < 0 || !tune->options->ground_truth)
        return result < 0 ? result : judge_trial(tune, &trial->idf1, err);
    snprintf(folder, sizeof folder, "%s/trial", tune->work);
    result = sp_tune_tracker(&trial->tracker, tune->settings, folder, tune->name, tune->cameras,
                             judge_trial, tune, err);
    if (result < 0)
        return result;
    trial->tracked = true;
    trial->idf1 = trial->tracker.idf1[trial->tracker.match][trial->tracker.high];
    return SP_OK;
}

/* With every frame, which no scene makes slower. By need cameras differ in their cost, so all play
 * as many frames. */
static int bench(struct tune *tune, const struct trial *trial, bool by_need, double *frames_per_s,
                 double *latency_ms, struct sp_error *err)
{
    const char *word[WORDS_MAX];
    char out[PATH_MAX + 16];
    const char *const first[] = {tune->program, "bench", "--json",
                                 by_need ? "--frames" : "--seconds",
                                 by_need ? tune->frames : tune->seconds};
    json_error_t where;
    memcpy(word, first, sizeof first);
    int count = add_words(tune, trial, word, 5);
    word[count++] = "--inference"; /* the last occurrence of a flag counts */
    word[count++] = by_need ? "need" : "every";
    word[count] = NULL;
    int result = run(tune, word, out, err);
    if (result < 0)
        return result;
    json_t *root = json_load_file(out, 0, &where);
    const json_t *engine = json_object_get(json_object_get(root, "stages"), "engine");
    *frames_per_s = json_number_value(json_object_get(root, "frames_per_s"));
    *latency_ms = json_number_value(json_object_get(engine, "p95_ms"));
    json_decref(root);
    return *frames_per_s > 0
               ? SP_OK
               : sp_fail(err, SP_ERR_FORMAT, "spoton bench: no rate in its output: %s", where.text);
}

static int measure_speed(struct tune *tune, struct trial *trial, struct sp_error *err)
{
    return bench(tune, trial, false, &trial->frames_per_s, &trial->latency_ms, err);
}

/* Not guaranteed: demand rises everywhere at once when everybody moves. Returns an error only if
 * interrupted. */
static int print_by_need(struct tune *tune, const struct trial *trial, struct sp_error *err)
{
    struct sp_error why = {0};
    double frames_per_s, latency_ms;
    int result = bench(tune, trial, true, &frames_per_s, &latency_ms, &why);
    if (result == SP_ERR_INTERRUPTED) {
        if (err)
            *err = why;
        return result;
    }
    if (result < 0)
        printf("by need: not measured: %s\n", why.text);
    else
        printf("by need: %d cameras of %.0f frames/s: %.1f frames/s, if they show what these "
               "show; not guaranteed\n",
               (int)(frames_per_s / tune->rate), tune->rate, frames_per_s);
    return SP_OK;
}

static int cameras_served(const struct tune *tune, const struct trial *trial)
{
    return (int)(trial->frames_per_s / tune->rate);
}

/* Returns an error only if interrupted; a failed trial is rejected. */
static int run_trial(struct tune *tune, const struct trial *best, struct trial *trial,
                     struct sp_error *err)
{
    struct sp_error why = {0};
    int result = judge_tracks(tune, trial, &why);
    bool accurate = result == SP_OK && trial->idf1 >= tune->floor;
    if (result == SP_OK && !accurate)
        snprintf(trial->rejected, sizeof trial->rejected, "tracks: IDF1 %.3f %s f32; %.2f required",
                 trial->idf1, tune->options->ground_truth ? "times that of" : "against",
                 tune->floor);
    if (accurate)
        result = measure_speed(tune, trial, &why);
    if (result == SP_ERR_INTERRUPTED) {
        if (err)
            *err = why;
        return result;
    }
    if (result < 0)
        snprintf(trial->rejected, sizeof trial->rejected, "%s", why.text);
    else if (accurate && trial->latency_ms > tune->latency_ms)
        snprintf(trial->rejected, sizeof trial->rejected,
                 "latency: %.0f ms in the engine; the limit is %.0f", trial->latency_ms,
                 tune->latency_ms);
    else if (accurate && best && trial->frames_per_s <= best->frames_per_s)
        snprintf(trial->rejected, sizeof trial->rejected, "slower than %.1f frames/s",
                 best->frames_per_s);
    trial->good = result == SP_OK && trial->rejected[0] == '\0';
    return SP_OK;
}

static void print_head(bool ground_truth)
{
    for (int i = 0; i < KNOBS; i++)
        printf("%*s ", knobs[i].width, knobs[i].title);
    printf("%9s %8s %7s %8s%s\n", "frames/s", "cameras", "IDF1", "p95 ms",
           ground_truth ? " match high" : "");
}

static void print_trial(const struct tune *tune, const struct trial *trial)
{
    for (int i = 0; i < KNOBS; i++)
        printf("%*s ", knobs[i].width, trial->value[i]);
    printf("%9.1f %8d %7.3f %8.1f", trial->frames_per_s, cameras_served(tune, trial), trial->idf1,
           trial->latency_ms);
    if (tune->options->ground_truth)
        printf(" %5s %4s", trial->tracked ? sp_tune_tracker_match(trial->tracker.match) : "",
               trial->tracked ? sp_tune_tracker_high(trial->tracker.high) : "");
    printf("  %s\n", trial->good ? "best so far" : trial->rejected);
    fflush(stdout);
}

/* ---- the search ---- */

static bool was_tried(const struct tune *tune, const struct trial *trial)
{
    for (int i = 0; i < tune->count; i++) {
        if (memcmp(tune->trials[i].value, trial->value, sizeof trial->value) == 0)
            return true;
    }
    return false;
}

/* Collects the values to try on this machine: its engines (unless ENGINE is set) and thread counts
 * below its number of cores. */
static int read_machine(struct tune *tune, const struct sp_settings *settings, struct sp_error *err)
{
    const struct spoton_engine_api *chosen = NULL;
    struct sp_engine_report reports[MACHINE_VALUES];
    struct sp_cpu cpu;
    int result = sp_engine_load(&chosen, settings->engine, err);
    if (result < 0)
        return result;
    snprintf(tune->engine[tune->engines++], sizeof tune->engine[0], "%s", chosen->name);
    int count = strcmp(settings->engine, "auto") == 0 ? sp_engine_list(reports, MACHINE_VALUES) : 0;
    for (int i = 0; i < count && tune->engines < MACHINE_VALUES; i++) {
        const struct sp_engine_report *report = &reports[i];
        if (report->found && report->probe.preference > 0 &&
            strcmp(report->name, chosen->name) != 0 && strcmp(report->name, "fake") != 0)
            snprintf(tune->engine[tune->engines++], sizeof tune->engine[0], "%s", report->name);
    }
    sp_cpu_read(&cpu);
    snprintf(tune->threads[tune->thread_counts++], WORD_BYTES, "auto");
    for (int n = cpu.cores_usable - 1; n >= 1 && n >= cpu.cores_usable / 2; n -= (n + 3) / 4)
        if (tune->thread_counts < MACHINE_VALUES)
            snprintf(tune->threads[tune->thread_counts++], WORD_BYTES, "%d", n);
    return SP_OK;
}

/* The i-th value of a knob, or NULL. */
static const char *value_of(const struct tune *tune, enum knob knob, int i)
{
    if (knob == ENGINE)
        return i < tune->engines ? tune->engine[i] : NULL;
    if (knob == THREADS)
        return i < tune->thread_counts ? tune->threads[i] : NULL;
    return knobs[knob].values[i];
}

static struct trial first_trial(const struct tune *tune, const char *precision)
{
    struct trial first = {0};
    for (int i = 0; i < KNOBS; i++)
        first.value[i] = value_of(tune, (enum knob)i, 0);
    first.value[PRECISION] = precision;
    return first;
}

/* Tries the other values of a knob, starting from the best settings so far. */
static int vary(struct tune *tune, enum knob knob, const struct trial **best, struct sp_error *err)
{
    const char *value;
    for (int i = 0; (value = value_of(tune, knob, i)) && tune->count < TRIALS_MAX; i++) {
        struct trial next = {0};
        memcpy(next.value, (*best)->value, sizeof next.value);
        next.value[knob] = value;
        if (knob == ENGINE && value != (*best)->value[ENGINE])
            next.value[PRECISION] = "auto"; /* engines differ in their precisions */
        if (was_tried(tune, &next))
            continue;
        struct trial *now = &tune->trials[tune->count++];
        *now = next;
        int result = run_trial(tune, (*best)->good ? *best : NULL, now, err);
        if (result < 0)
            return result;
        print_trial(tune, now);
        if (now->good)
            *best = now;
        /* Fewer inferred frames cannot improve the tracks. */
        else if (knob == SKIP && strncmp(now->rejected, "tracks", 6) == 0)
            break;
    }
    return SP_OK;
}

static int search(struct tune *tune, const struct trial **best, struct sp_error *err)
{
    struct trial *now = &tune->trials[tune->count++];
    *now = first_trial(tune, "auto");
    int result = run_trial(tune, NULL, now, err);
    if (result < 0)
        return result;
    print_trial(tune, now);
    *best = now;
    for (int knob = 0; knob < KNOBS && result == SP_OK; knob++)
        result = vary(tune, (enum knob)knob, best, err);
    if (result < 0)
        return result;
    return (*best)->good ? SP_OK
                         : sp_fail(err, SP_ERR_UNSUPPORTED,
                                   "tune: no trial meets the requirements; the defaults: %s",
                                   (*best)->rejected);
}

/* ---- .env ---- */

static int write_env(const struct tune *tune, const struct trial *best, const char *path,
                     struct sp_error *err)
{
    char cameras[16];
    struct sp_env_line lines[KNOBS + 3];
    size_t count = 0;
    int served = cameras_served(tune, best);
    snprintf(cameras, sizeof cameras, "%d", served);
    for (; count < KNOBS; count++)
        lines[count] = (struct sp_env_line){knobs[count].key, best->value[count]};
    if (best->tracked) {
        lines[count++] = (struct sp_env_line){"TRACK_MATCH_THRESHOLD",
                                              sp_tune_tracker_match(best->tracker.match)};
        lines[count++] =
            (struct sp_env_line){"TRACK_HIGH_THRESHOLD", sp_tune_tracker_high(best->tracker.high)};
    }
    lines[count++] = (struct sp_env_line){"MAX_CAMERAS",
                                          served >= 1 && served <= SP_CAMERAS_MAX ? cameras : NULL};
    return sp_env_change(path, lines, count, err);
}

/* ---- the command ---- */

/* Without cameras: the demo clip as four cameras. Passed to subprocesses in the environment, since
 * other users can read a command line. */
static int name_cameras(struct tune *tune, struct sp_settings *settings, struct sp_error *err)
{
    static const char *const names[] = {"c1", "c2", "c3", "c4"};
    char clip[SP_PATH_BYTES];
    int result = SP_OK;
    bool demo = settings->camera_count == 0;
    if (demo)
        result = sp_path_demo_clip(clip, sizeof clip, err);
    for (size_t i = 0; demo && i < sizeof names / sizeof *names && result == SP_OK; i++)
        result = sp_settings_add_camera(settings, names[i], clip, false, "the demo", err);
    for (; tune->cameras < settings->camera_count && result == SP_OK; tune->cameras++) {
        const struct sp_camera_setting *camera = &settings->camera[tune->cameras];
        char key[SP_CAMERA_NAME_BYTES + 8];
        tune->name[tune->cameras] = camera->name;
        snprintf(key, sizeof key, "CAMERA_%s", camera->name);
        if (setenv(key, camera->url, 1) != 0)
            result = sp_fail(err, SP_ERR_NO_MEMORY, "camera %s: out of memory", camera->name);
    }
    return result;
}

static int prepare(struct tune *tune, struct sp_settings *settings, struct sp_error *err)
{
    const struct sp_options *options = tune->options;
    ssize_t length = readlink("/proc/self/exe", tune->program, sizeof tune->program - 1);
    const char *folder = getenv("TMPDIR");
    if (length <= 0)
        return sp_fail(err, SP_ERR_IO, "/proc/self/exe: %s", strerror(errno));
    tune->program[length] = '\0';
    snprintf(tune->frames, sizeof tune->frames, "%lld",
             (long long)(options->limit ? options->limit : FRAMES));
    snprintf(tune->seconds, sizeof tune->seconds, "%.1f",
             options->seconds > 0 ? options->seconds : SECONDS);
    tune->rate = options->rate > 0 ? options->rate : RATE;
    tune->floor = options->required > 0 ? options->required : FLOOR;
    tune->latency_ms = options->latency_ms > 0 ? options->latency_ms : LATENCY_MS;
    snprintf(tune->work, sizeof tune->work, "%s/spoton-tune-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(tune->work))
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", tune->work, strerror(errno));
    tune->settings = settings;
    sp_settings_each(settings, add_flag, tune);
    int result = read_machine(tune, settings, err);
    return result == SP_OK ? name_cameras(tune, settings, err) : result;
}

static int tune_all(struct tune *tune, struct sp_error *err)
{
    const struct trial f32 = first_trial(tune, "f32");
    const struct trial *best = NULL;
    const char *path = tune->options->env_path ? tune->options->env_path : ".env";
    int result = sp_env_check_place(path, err);
    if (result < 0)
        return result;
    print_head(tune->options->ground_truth != NULL);
    result = track(tune, &f32, "reference", err);
    if (result == SP_OK)
        result = judge_reference(tune, err);
    if (result == SP_OK)
        result = search(tune, &best, err);
    if (result < 0 || !best)
        return result;
    const struct trial *first = &tune->trials[0];
    if (best->tracked)
        sp_tune_tracker_print(&best->tracker);
    printf("\nchosen: %.1f frames/s, %.2f times the defaults, %d cameras of %.0f frames/s\n",
           best->frames_per_s,
           first->frames_per_s > 0 ? best->frames_per_s / first->frames_per_s : 0,
           cameras_served(tune, best), tune->rate);
    result = print_by_need(tune, best, err);
    if (result == SP_OK)
        result = write_env(tune, best, path, err);
    if (result == SP_OK)
        printf("wrote:  %s\n", path);
    return result;
}

/* --capacity: with the current settings. */
static int print_capacity(struct tune *tune, struct sp_error *err)
{
    const struct sp_settings *s = &tune->options->settings;
    char size[WORD_BYTES], skip[WORD_BYTES], streams[WORD_BYTES], threads[WORD_BYTES],
        batch[WORD_BYTES];
    snprintf(size, sizeof size, "%d", s->input_size_px);
    snprintf(skip, sizeof skip, "%d", s->frame_skip);
    snprintf(streams, sizeof streams, "%d", s->streams);
    snprintf(threads, sizeof threads, "%d", s->threads);
    snprintf(batch, sizeof batch, "%d", s->engine_batch);
    struct trial now = {.value = {
                            [PRECISION] = sp_precision_name((enum spoton_precision)s->precision),
                            [ENGINE] = s->engine,
                            [SIZE] = size,
                            [SKIP] = skip,
                            [STREAMS] = s->streams ? streams : "auto",
                            [THREADS] = s->threads ? threads : "auto",
                            [BATCH] = s->engine_batch ? batch : "auto",
                        }};
    int result = measure_speed(tune, &now, err);
    if (result == SP_OK)
        printf("%d cameras of %.0f frames/s: %.1f frames/s in total, with a JPEG of every frame\n",
               cameras_served(tune, &now), tune->rate, now.frames_per_s);
    if (result == SP_OK)
        result = print_by_need(tune, &now, err);
    return result;
}

static const struct sp_command_usage usage = {
    .name = "tune",
    .synopsis =
        "[--camera NAME=URL]... [URL...] [--rate N] [--required SHARE] [--ground-truth DIR]\n"
        "                   [--capacity]",
    .about =
        "Tries precision, engine, input size, FRAME_SKIP, streams, threads and batch on the\n"
        "cameras (files, or the demo clip) and writes to .env the settings that serve the most\n"
        "cameras with tracks close to those of f32 on every frame. --capacity: only measures how\n"
        "many cameras the current settings can serve.\n",
    .takes = SP_TAKES_CAMERAS | SP_TAKES_SECONDS | SP_TAKES_LIMIT | SP_TAKES_TUNE,
};

int sp_command_tune_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct tune *tune = calloc(1, sizeof *tune);
    int result = tune ? SP_OK : sp_fail(&err, SP_ERR_NO_MEMORY, "tune: out of memory");
    if (tune) {
        tune->options = options;
        tune->interrupted = context->interrupted;
        result = prepare(tune, &options->settings, &err);
        if (result == SP_OK)
            result = options->capacity ? print_capacity(tune, &err) : tune_all(tune, &err);
        if (tune->work[0])
            sp_remove_folder(tune->work);
        for (int i = 0; i < tune->flags; i++)
            free(tune->flag[i]);
    }
    if (result < 0)
        sp_log(SP_LOG_ERROR, "%s", err.text);
    free(tune);
    free(options);
    return result == SP_ERR_INTERRUPTED ? SP_EXIT_INTERRUPTED
                                        : (result < 0 ? SP_EXIT_FAILED : SP_EXIT_OK);
}
