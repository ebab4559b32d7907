/* spoton tune: which settings serve the most cameras on this machine, and what they cost.
 *
 * Each try is a process of its own, so that one that fails ends nothing else: `spoton run` on the
 * first frames of the cameras, whose tracks are held against those of f32 on every frame (or both
 * against the ground truth, where that is known, with tracker settings that suit the try), then
 * `spoton bench`, which makes a JPEG of every frame. One setting after the other is tried from the
 * best so far, in the order of what they usually win.
 */
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
    TRIES_MAX = 40,
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
    const char *values[10]; /* NULL ends them; none: as the machine is */
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

struct
try {
    const char *value[KNOBS];
    double frames_per_s, idf1, latency_ms;
    struct sp_tune_tracker tracker; /* with --ground truth, once `tracked` */
    bool tracked, good;
    char lost[200]; /* why; empty: the best so far when it was tried */
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
    double ground_truth_f1[SP_CAMERAS_MAX]; /* of f32 on every frame; used with --ground truth */
    char frames[WORD_BYTES], seconds[WORD_BYTES];
    char engine[MACHINE_VALUES][32], threads[MACHINE_VALUES][WORD_BYTES];
    int engines, thread_counts;
    struct try tries[TRIES_MAX];
    int count;
};

/* ---- one try ---- */

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

static int add_words(const struct tune *tune, const struct try *try, const char **word, int count)
{
    for (int i = 0; i < KNOBS; i++) {
        word[count++] = knobs[i].flag;
        word[count++] = try->value[i];
    }
    word[count++] = "--env"; /* it is in the flags */
    word[count++] = "/dev/null";
    for (int i = 0; i < tune->flags; i++)
        word[count++] = tune->flag[i];
    if (try->tracked) { /* the last of a flag counts */
        word[count++] = "--track-match-threshold";
        word[count++] = sp_tune_tracker_match(try->tracker.match);
        word[count++] = "--track-high-threshold";
        word[count++] = sp_tune_tracker_high(try->tracker.high);
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

static int track(struct tune *tune, const struct try *try, const char *name, struct sp_error *err)
{
    const char *word[WORDS_MAX];
    char out[PATH_MAX + 16], folder[PATH_MAX + 16];
    snprintf(folder, sizeof folder, "%s/%s", tune->work, name);
    const char *const first[] = {tune->program, "run", "--limit", tune->frames, "--out", folder};
    memcpy(word, first, sizeof first);
    add_words(tune, try, word, 6);
    return run(tune, word, out, err);
}

/* Of one camera, from the folder of a run in `work`. */
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

/* With --ground truth: how good the reference itself is. */
static int judge_reference(struct tune *tune, struct sp_error *err)
{
    int result = SP_OK;
    for (int i = 0; tune->options->ground_truth && i < tune->cameras && result == SP_OK; i++) {
        result = camera_f1(tune, "reference", i, &tune->ground_truth_f1[i], err);
        if (result == SP_OK && tune->ground_truth_f1[i] <= 0)
            result = sp_fail(err, SP_ERR_INVALID,
                             "--truth: none of the people in %s/%s.txt is found by f32 in the "
                             "first %s frames; is it of this camera?",
                             tune->options->ground_truth, tune->name[i], tune->frames);
    }
    return result;
}

/* Of the folder "try", over all cameras: sp_tune_judge. */
static int judge_try(void *user, double *idf1, struct sp_error *err)
{
    struct tune *tune = user;
    double sum = 0;
    int result = tune->interrupted() ? sp_fail(err, SP_ERR_INTERRUPTED, "interrupted") : SP_OK;
    for (int i = 0; i < tune->cameras && result == SP_OK; i++) {
        double one = 0;
        result = camera_f1(tune, "try", i, &one, err);
        sum += tune->options->ground_truth ? one / tune->ground_truth_f1[i] : one;
    }
    *idf1 = sum / tune->cameras;
    return result;
}

static int judge_tracks(struct tune *tune, struct try *try, struct sp_error *err)
{
    char folder[PATH_MAX + 16];
    int result = track(tune, try, "try", err);
    if (result < 0 || !tune->options->ground_truth)
        return result < 0 ? result : judge_try(tune, &try->idf1, err);
    snprintf(folder, sizeof folder, "%s/try", tune->work);
    result = sp_tune_tracker(&try->tracker, tune->settings, folder, tune->name, tune->cameras,
                             judge_try, tune, err);
    if (result < 0)
        return result;
    try->tracked = true;
    try->idf1 = try->tracker.idf1[try->tracker.match][try->tracker.high];
    return SP_OK;
}

static int measure_speed(struct tune *tune, struct try *try, struct sp_error *err)
{
    const char *word[WORDS_MAX];
    char out[PATH_MAX + 16];
    const char *const first[] = {tune->program, "bench", "--json", "--seconds", tune->seconds};
    json_error_t where;
    memcpy(word, first, sizeof first);
    add_words(tune, try, word, 5);
    int result = run(tune, word, out, err);
    if (result < 0)
        return result;
    json_t *root = json_load_file(out, 0, &where);
    const json_t *engine = json_object_get(json_object_get(root, "stages"), "engine");
    try->frames_per_s = json_number_value(json_object_get(root, "frames_per_s"));
    try->latency_ms = json_number_value(json_object_get(engine, "p95_ms"));
    json_decref(root);
    return try->frames_per_s > 0
               ? SP_OK
               : sp_fail(err, SP_ERR_FORMAT, "spoton bench said no rate: %s", where.text);
}

static int cameras_served(const struct tune *tune, const struct try *try)
{
    return (int)(try->frames_per_s / tune->rate);
}

/* Only an interruption is an error: what fails has lost. */
static int attempt(struct tune *tune, const struct try *best, struct try *try, struct sp_error *err)
{
    struct sp_error why = {0};
    int result = judge_tracks(tune, try, &why);
    bool right = result == SP_OK && try->idf1 >= tune->floor;
    if (result == SP_OK && !right)
        snprintf(try->lost, sizeof try->lost, "tracks: IDF1 %.3f %s f32, at least %.2f is wanted",
                 try->idf1, tune->options->ground_truth ? "times that of" : "against", tune->floor);
    if (right)
        result = measure_speed(tune, try, &why);
    if (result == SP_ERR_INTERRUPTED) {
        if (err)
            *err = why;
        return result;
    }
    if (result < 0)
        snprintf(try->lost, sizeof try->lost, "%s", why.text);
    else if (right && try->latency_ms > tune->latency_ms)
        snprintf(try->lost, sizeof try->lost,
                 "latency: %.0f ms in the engine, at most %.0f is wanted", try->latency_ms,
                 tune->latency_ms);
    else if (right && best && try->frames_per_s <= best->frames_per_s)
        snprintf(try->lost, sizeof try->lost, "slower than %.1f frames/s", best->frames_per_s);
    try->good = result == SP_OK && try->lost[0] == '\0';
    return SP_OK;
}

static void print_head(bool ground_truth)
{
    for (int i = 0; i < KNOBS; i++)
        printf("%*s ", knobs[i].width, knobs[i].title);
    printf("%9s %8s %7s %8s%s\n", "frames/s", "cameras", "IDF1", "p95 ms",
           ground_truth ? " match high" : "");
}

static void print_try(const struct tune *tune, const struct try *try)
{
    for (int i = 0; i < KNOBS; i++)
        printf("%*s ", knobs[i].width, try->value[i]);
    printf("%9.1f %8d %7.3f %8.1f", try->frames_per_s, cameras_served(tune, try), try->idf1,
           try->latency_ms);
    if (tune->options->ground_truth)
        printf(" %5s %4s", try->tracked ? sp_tune_tracker_match(try->tracker.match) : "",
               try->tracked ? sp_tune_tracker_high(try->tracker.high) : "");
    printf("  %s\n", try->good ? "best so far" : try->lost);
    fflush(stdout);
}

/* ---- the search ---- */

static bool was_tried(const struct tune *tune, const struct try *try)
{
    for (int i = 0; i < tune->count; i++) {
        if (memcmp(tune->tries[i].value, try->value, sizeof try->value) == 0)
            return true;
    }
    return false;
}

/* What this machine has: the engines that run here, fewer threads than its cores. An engine that is
 * set (ENGINE) stays. */
static int look_at_machine(struct tune *tune, const struct sp_settings *settings,
                           struct sp_error *err)
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

static struct try first_try(const struct tune *tune, const char *precision)
{
    struct try first = {0};
    for (int i = 0; i < KNOBS; i++)
        first.value[i] = value_of(tune, (enum knob)i, 0);
    first.value[PRECISION] = precision;
    return first;
}

/* A knob's other values, from the best so far. */
static int turn(struct tune *tune, enum knob knob, const struct try **best, struct sp_error *err)
{
    const char *value;
    for (int i = 0; (value = value_of(tune, knob, i)) && tune->count < TRIES_MAX; i++) {
        struct try next = {0};
        memcpy(next.value, (*best)->value, sizeof next.value);
        next.value[knob] = value;
        if (knob == ENGINE && value != (*best)->value[ENGINE])
            next.value[PRECISION] = "auto"; /* what is best in one is not there in the other */
        if (was_tried(tune, &next))
            continue;
        struct try *now = &tune->tries[tune->count++];
        *now = next;
        int result = attempt(tune, (*best)->good ? *best : NULL, now, err);
        if (result < 0)
            return result;
        print_try(tune, now);
        if (now->good)
            *best = now;
        /* Less of what the tracks are made of will not bring them back. */
        else if (knob == SKIP && strncmp(now->lost, "tracks", 6) == 0)
            break;
    }
    return SP_OK;
}

static int search(struct tune *tune, const struct try **best, struct sp_error *err)
{
    struct try *now = &tune->tries[tune->count++];
    *now = first_try(tune, "auto");
    int result = attempt(tune, NULL, now, err);
    if (result < 0)
        return result;
    print_try(tune, now);
    *best = now;
    for (int knob = 0; knob < KNOBS && result == SP_OK; knob++)
        result = turn(tune, (enum knob)knob, best, err);
    if (result < 0)
        return result;
    return (*best)->good ? SP_OK
                         : sp_fail(err, SP_ERR_UNSUPPORTED,
                                   "nothing that was tried keeps the floors; the defaults: %s",
                                   (*best)->lost);
}

/* ---- .env ---- */

static int write_env(const struct tune *tune, const struct try *best, const char *path,
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

/* Without cameras: the demo clip as four. The tries find them in the environment: other users of
 * the machine can read a command line. */
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
    int result = look_at_machine(tune, settings, err);
    return result == SP_OK ? name_cameras(tune, settings, err) : result;
}

static int tune_all(struct tune *tune, struct sp_error *err)
{
    const struct try f32 = first_try(tune, "f32");
    const struct try *best = NULL;
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
    const struct try *first = &tune->tries[0];
    if (best->tracked)
        sp_tune_tracker_print(&best->tracker);
    printf("\nchosen: %.1f frames/s, %.2f times the defaults, %d cameras of %.0f frames/s\n",
           best->frames_per_s,
           first->frames_per_s > 0 ? best->frames_per_s / first->frames_per_s : 0,
           cameras_served(tune, best), tune->rate);
    result = write_env(tune, best, path, err);
    if (result == SP_OK)
        printf("wrote:  %s\n", path);
    return result;
}

/* With the settings as they are. */
static int say_capacity(struct tune *tune, struct sp_error *err)
{
    const struct sp_settings *s = &tune->options->settings;
    char size[WORD_BYTES], skip[WORD_BYTES], streams[WORD_BYTES], threads[WORD_BYTES],
        batch[WORD_BYTES];
    snprintf(size, sizeof size, "%d", s->input_size_px);
    snprintf(skip, sizeof skip, "%d", s->frame_skip);
    snprintf(streams, sizeof streams, "%d", s->streams);
    snprintf(threads, sizeof threads, "%d", s->threads);
    snprintf(batch, sizeof batch, "%d", s->engine_batch);
    struct try now = {.value = {
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
        printf("%d cameras of %.0f frames/s: %.1f frames/s in all, a JPEG of every frame\n",
               cameras_served(tune, &now), tune->rate, now.frames_per_s);
    return result;
}

static const struct sp_command_usage usage = {
    .name = "tune",
    .synopsis = "[--camera NAME=URL]... [URL...] [--rate N] [--required SHARE] [--truth DIR]\n"
                "                   [--capacity]",
    .about =
        "Tries precision, engine, input size, FRAME_SKIP, streams, threads and batch on the "
        "cameras\n"
        "(files, or the demo clip) and writes what serves the most of them into .env, where the\n"
        "tracks stay near those of f32 on every frame. --capacity: how many fit, as it is set "
        "now.\n",
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
            result = options->capacity ? say_capacity(tune, &err) : tune_all(tune, &err);
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
