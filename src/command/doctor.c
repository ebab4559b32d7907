/* spoton doctor: reports hardware, engines and choices, and checks models and sources. */
#include "base/cpu.h"
#include "base/path.h"
#include "base/redact.h"
#include "capture/source.h"
#include "command/command.h"
#include "command/options.h"
#include "detect/detector.h"
#include "engine/loader.h"
#include "pipeline/classes.h"
#include "pipeline/model_choice.h"
#include "pipeline/pipeline.h"
#include "pipeline/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t OPEN_TIMEOUT_US = 10000000;

/* Frames/s below which the tracker loses people between frames. */
static const double LOW_RATE = 5;

/* Each problem is one line and makes the exit code 1. */
static int problems;

static void report_problem(const char *topic, const char *text)
{
    printf("%-9s PROBLEM: %s\n", topic, text);
    problems++;
}

static void check_cpu(const struct sp_settings *settings)
{
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    printf("%-9s %s, %d cores online, %d allowed to this process", "cpu", cpu.model,
           cpu.cores_online, cpu.cores_affinity);
    if (cpu.cgroup_quota_cores > 0)
        printf(", cgroup quota %.2f cores", cpu.cgroup_quota_cores);
    else
        printf(", no cgroup quota");
    printf("\n%-9s %s\n", "", cpu.features);
    if (strcmp(sp_cpu_info_path(), "/proc/cpuinfo") != 0)
        printf("%-9s from SPOTON_CPUINFO=%s\n", "", sp_cpu_info_path());
    printf("%-9s %d threads for inference%s\n", "choice",
           settings->threads > 0 ? settings->threads : cpu.cores_usable,
           settings->threads > 0 ? " (THREADS)" : "");
    if (settings->threads > cpu.cores_usable) {
        char text[128];
        snprintf(text, sizeof text, "THREADS=%d: only %d cores are granted; lower it or set auto",
                 settings->threads, cpu.cores_usable);
        report_problem("cpu", text);
    }
}

static void check_memory(void)
{
    double gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    printf("%-9s %.1f GiB\n", "memory", gib);
}

static void check_gpu(void)
{
    bool device = access("/dev/nvidiactl", F_OK) == 0;
    bool driver = access("/proc/driver/nvidia/version", R_OK) == 0;
    if (device && driver)
        printf("%-9s NVIDIA GPU and driver present\n", "gpu");
    else if (device || driver)
        report_problem("gpu", "NVIDIA: only one of driver and device nodes is present; load the "
                              "driver, and pass /dev/nvidia* into the container");
    else
        printf("%-9s no NVIDIA GPU; inference runs on the CPU\n", "gpu");
}

static const struct spoton_engine_api *check_engines(const struct sp_settings *settings)
{
    struct sp_engine_report reports[8];
    int count = sp_engine_list(reports, 8);
    for (int i = 0; i < count; i++) {
        const struct sp_engine_report *r = &reports[i];
        if (r->broken)
            report_problem("engine", r->error);
        else if (!r->found)
            printf("%-9s %-12s not there: %s\n", "engine", r->name, r->error);
        else if (r->probe.preference <= 0)
            printf("%-9s %-12s %s: %s\n", "engine", r->name, r->probe.version, r->probe.reason);
        else
            printf("%-9s %-12s %s on %s; fast in %s\n", "engine", r->name, r->probe.version,
                   r->probe.device, r->probe.precisions);
    }
    const struct spoton_engine_api *engine = NULL;
    struct sp_error err = {0};
    if (sp_engine_load(&engine, settings->engine, &err) < 0) {
        report_problem("engine", err.text);
        return NULL;
    }
    printf("%-9s engine %s%s\n", "choice", engine->name,
           strcmp(settings->engine, "auto") == 0 ? "" : " (ENGINE)");
    return engine;
}

/* The devices that cameras are distributed over, as set by DEVICES. */
static void check_devices(const struct spoton_engine_api *engine,
                          const struct sp_settings *settings)
{
    bool any = engine->struct_bytes > offsetof(struct spoton_engine_api, device) && engine->device;
    const char *backend_options = settings->engine_options[0] ? settings->engine_options : NULL;
    char text[200], list[sizeof settings->devices];
    char *rest, *word;
    int count = 0;
    for (; any; count++) {
        struct spoton_device device = {.struct_bytes = sizeof device};
        if (engine->device(count, backend_options, &device) < 0)
            break;
        printf("%-9s %d: %s\n", "device", count, device.name);
    }
    count = any ? count : 1;
    snprintf(list, sizeof list, "%s", settings->devices);
    if (strcmp(list, "auto") == 0)
        return;
    printf("%-9s devices %s (DEVICES)\n", "choice", list);
    for (word = strtok_r(list, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
        if (strtol(word, NULL, 10) < count)
            continue;
        snprintf(text, sizeof text,
                 "DEVICES: device %s: does not exist; engine %s has %d, numbered from 0", word,
                 engine->name, count);
        report_problem("device", text);
    }
}

/* Resolves auto: the engine's fastest precision that the model allows. */
static void print_precision(const struct spoton_engine_api *engine, const struct sp_model *model,
                            const struct sp_settings *settings)
{
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    char *rest, *word;
    if (settings->precision != SPOTON_PRECISION_AUTO) {
        printf("%-9s precision %s (PRECISION)\n", "choice",
               sp_precision_name((enum spoton_precision)settings->precision));
        return;
    }
    engine->probe(&probe);
    for (word = strtok_r(probe.precisions, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "int8") == 0 && !model->quantized)
            continue;
        printf("%-9s precision %s\n", "choice", word);
        return;
    }
}

/* Lists the classes and checks CLASSES. */
static void print_classes(const struct sp_model *model, const struct sp_settings *settings)
{
    static char text[SP_CLASS_TEXT_BYTES + 16 * SP_CLASSES_MAX];
    struct sp_error err = {0};
    bool *wanted = NULL;
    if (model->class_names.count > 0) {
        sp_classes_text(model, text, sizeof text);
        printf("%-9s classes: %s\n", "", text);
    } else {
        printf("%-9s classes without names: 0 to %d\n", "", model->classes - 1);
    }
    if (sp_classes_choose(&wanted, model, settings->classes, &err) < 0)
        report_problem("model", err.text);
    free(wanted);
}

static void check_model(const struct spoton_engine_api *engine, const struct sp_settings *settings,
                        const char *path)
{
    struct sp_error err = {0};
    struct sp_model *model = calloc(1, sizeof *model);
    struct sp_model_wish wish = sp_model_choice_wish(settings);
    char options[SP_ENGINE_OPTIONS_BYTES];
    wish.backend_options = options;
    if (!model || sp_model_choice_engine_options(options, settings, engine->name, &err) < 0 ||
        sp_model_open(model, engine, path, &wish, &err) < 0) {
        report_problem("model", model ? err.text : "out of memory");
        free(model);
        return;
    }
    printf("%-9s %s: %s, %d class%s%s\n", "model", path, sp_head_type_name(model->head_type),
           model->classes, model->classes == 1 ? "" : "es", model->quantized ? ", INT8" : "");
    print_classes(model, settings);
    printf("%-9s input %s, range %s\n", "", model->swap_red_blue ? "BGR" : "RGB",
           model->scale == 1.0f ? "0..255" : "0..1");
    if (model->fixed_width_px)
        printf("%-9s fixed input size %dx%d\n", "", model->fixed_width_px, model->fixed_height_px);
    else
        printf("%-9s dynamic input size: longest side %d, the other by the camera's aspect ratio\n",
               "", settings->input_size_px);
    print_precision(engine, model, settings);
    free(model);
}

/* The batch size and its reason. */
static void print_batch(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    int batch = choice->model.fixed_batch ? choice->model.fixed_batch : choice->batch;
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    choice->engine->probe(&probe);
    printf("%-9s batch %d", "choice", batch);
    if (choice->model.fixed_batch)
        printf(", fixed by the model file\n");
    else if (settings->engine_batch > 0)
        printf(" (ENGINE_BATCH)\n");
    else if (choice->bundle.is_folder)
        printf(", set by the bundle\n");
    else if (probe.batch <= 1)
        printf(": fastest on a CPU as measured; BATCH_ACCUMULATION_SIZE has no effect here\n");
    else if (settings->camera_count == 0 || settings->batch_accumulation == 0)
        printf(": preferred by the engine\n");
    else
        printf(": %d cameras x %d (BATCH_ACCUMULATION_SIZE)\n", settings->camera_count,
               settings->batch_accumulation);
}

/* With a fixed batch the model ignores ENGINE_BATCH and runs slower than intended. */
static void check_batch(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    char text[300];
    const struct sp_bundle *bundle = &choice->bundle;
    int wanted = settings->engine_batch, fixed = choice->model.fixed_batch;
    if (wanted > 0 && fixed > 0 && wanted != fixed) {
        snprintf(
            text, sizeof text,
            "ENGINE_BATCH=%d: the model file has a fixed batch of %d, so %d is used; export the "
            "model with a dynamic batch, or set ENGINE_BATCH=%d",
            wanted, fixed, fixed, fixed);
        report_problem("model", text);
    } else if (wanted > 0 && bundle->is_folder && wanted != bundle->manifest.batch) {
        snprintf(
            text, sizeof text,
            "ENGINE_BATCH=%d: the bundle was compiled for %d and is recompiled at every start; "
            "run `spoton export --batch %d`",
            wanted, bundle->manifest.batch, wanted);
        report_problem("model", text);
    }
}

/* Compiles and runs the model as the pipeline does, with the same errors. */
static void check_speed(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    enum { RUNS = 8 };
    char text[420];
    struct sp_error err = {0};
    struct sp_cpu cpu;
    struct sp_detector *detector = NULL;
    sp_cpu_read(&cpu);
    int size = choice->input_size_px, batch = choice->batch > 0 ? choice->batch : 1;
    struct sp_detector_options options = {
        .engine = choice->engine,
        .model = &choice->model,
        .precision = choice->precision,
        .batch = batch,
        .width_px = size,
        .height_px = (size * 9 / 16 + 31) / 32 * 32,
        .threads = settings->threads > 0 ? settings->threads : cpu.cores_usable,
        .streams = settings->streams,
        .backend_options = sp_model_choice_backend_options(choice),
    };
    int result = sp_detector_open(&detector, &options, &err);
    if (result < 0) {
        snprintf(text, sizeof text, "%.330s%s", err.text,
                 result == SP_ERR_NO_MEMORY ? "; set a smaller ENGINE_BATCH" : "");
        report_problem("engine", text);
        return;
    }
    struct sp_detector_request *request = sp_detector_acquire(detector);
    double best_ms = 1e9;
    for (int i = 0; i < RUNS && result == SP_OK; i++) {
        result = sp_detector_submit(detector, request, &err);
        if (result == SP_OK)
            result = sp_detector_collect(detector, request, &err);
        double ms = (double)(request->finished_us - request->submitted_us) / 1e3 / batch;
        best_ms = ms < best_ms ? ms : best_ms;
    }
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_detector_describe(detector, &d);
    sp_detector_release(detector, request);
    sp_detector_close(detector);
    if (result < 0) {
        report_problem("engine", err.text);
        return;
    }
    double rate = 1000 / best_ms * d.streams;
    printf("%-9s %.1f ms per frame in %s, at most %.0f frames/s on %d streams, in batches of %d\n",
           "speed", best_ms, sp_precision_name(d.precision), rate, d.streams, batch);
    double each =
        rate * settings->frame_skip / (settings->camera_count ? settings->camera_count : 1);
    if (settings->camera_count > 0 && each < LOW_RATE) {
        snprintf(
            text, sizeof text,
            "%d cameras: only %.1f frames/s each; raise FRAME_SKIP, lower YOLO_INPUT_SIZE, set "
            "PRECISION=int8, or run `spoton tune`",
            settings->camera_count, each);
        report_problem("speed", text);
    }
}

/* The configured model, or its INT8 form if chosen. */
static struct sp_model_choice *check_configured_model(const struct sp_settings *settings)
{
    struct sp_error err = {0};
    struct sp_model_choice *choice = calloc(1, sizeof *choice);
    if (!choice || sp_model_choose(choice, settings, &err) < 0) {
        report_problem("model", choice ? err.text : "out of memory");
        free(choice);
        return NULL;
    }
    check_model(choice->engine, settings, choice->model.path);
    if (choice->bundle.notice[0])
        report_problem("model", choice->bundle.notice);
    print_batch(choice, settings);
    check_batch(choice, settings);
    check_speed(choice, settings);
    return choice;
}

/* One frame of each of the first cameras, with its pool. */
static struct {
    struct sp_frame *frame[SP_READING_FRAMES];
    struct sp_frame_pool *pool[SP_READING_FRAMES];
    int count;
} sampled;

/* Whether the model detects anything in the cameras' frames and, if not, whether it would with
 * other input settings. */
static void check_frames(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    struct sp_model_wish wish = sp_model_choice_wish(settings);
    struct sp_reading_options options = {.choice = choice, .settings = settings};
    struct sp_reading *reading = NULL;
    char text[SP_READING_TEXT_BYTES];
    int boxes;
    int hits = sp_reading_evaluate(choice, settings, &wish, sampled.frame, sampled.count, &boxes);
    if (hits > 0)
        printf("%-9s %d objects in the first frames of %d of %d cameras\n", "detected", boxes, hits,
               sampled.count);
    if (hits == 0 && sp_reading_open(&reading, &options, NULL) == SP_OK) {
        for (int i = 0; i < sampled.count; i++)
            sp_reading_note(reading, sampled.frame[i], 0);
        if (sp_reading_try(reading, text))
            report_problem("model", text);
        else
            printf("%-9s nothing in the first frames of %d cameras\n", "detected", sampled.count);
    }
    sp_reading_close(reading);
}

static bool is_model_file(const char *url)
{
    static const char *const endings[] = {".onnx", ".xml", ".tflite"};
    size_t length = strlen(url);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i]);
        if (length > n && strcmp(url + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}

static void check_camera(const struct sp_settings *settings, int index)
{
    const struct sp_camera_setting *camera = &settings->camera[index];
    char url[SP_URL_BYTES];
    struct sp_error err = {0};
    struct sp_source *source = NULL;
    struct sp_frame_pool *pool = NULL;
    struct sp_frame *frame = NULL;
    sp_redact_url(camera->url, url, sizeof url);
    int result = sp_frame_pool_open(&pool, &err);
    if (result == SP_OK) {
        struct sp_source_options options = {.url = camera->url,
                                            .camera = index,
                                            .pool = pool,
                                            .frame_skip = 1,
                                            .open_timeout_us = OPEN_TIMEOUT_US,
                                            .read_timeout_us = OPEN_TIMEOUT_US};
        result = sp_source_open(&source, &options, &err);
    }
    if (result == SP_OK)
        result = sp_source_read(source, &frame, &err);
    if (!frame) {
        char text[sizeof err.text + SP_CAMERA_NAME_BYTES + 4];
        snprintf(text, sizeof text, "%s: %s", camera->name,
                 result == SP_ERR_END ? "no frame" : err.text);
        report_problem("camera", text);
    } else {
        struct sp_source_info info;
        sp_source_info(source, &info);
        printf("%-9s %s (%s): %s in %s, %dx%d, %.3g frames/s", "camera", camera->name, url,
               info.codec, info.format, frame->width_px, frame->height_px, info.frame_rate);
        if (info.frames_total > 0)
            printf(", %lld frames", (long long)info.frames_total);
        printf("\n");
    }
    sp_source_close(source);
    if (frame && sampled.count < SP_READING_FRAMES) {
        sampled.frame[sampled.count] = frame;
        sampled.pool[sampled.count++] = pool;
        return;
    }
    sp_frame_unref(frame);
    sp_frame_pool_close(pool);
}

static const struct sp_command_usage usage = {
    .name = "doctor",
    .synopsis = "[MODEL...] [--camera NAME=URL]... [URL...]",
    .about =
        "Reports the hardware, the engines and the settings chosen on this machine, and checks\n"
        "the given models (.onnx, .xml, .tflite) and cameras.\n",
    .takes = SP_TAKES_CAMERAS,
};

int sp_command_doctor_main(const struct sp_command_context *context)
{
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    const struct sp_settings *settings = &options->settings;
    printf("%-9s %s\n", "spoton", SPOTON_VERSION);
    check_cpu(settings);
    check_memory();
    check_gpu();
    const struct spoton_engine_api *engine = check_engines(settings);
    struct sp_model_choice *choice = NULL;
    if (engine) {
        check_devices(engine, settings);
        choice = check_configured_model(settings);
    }
    for (int i = 0; i < settings->camera_count; i++) {
        const char *url = settings->camera[i].url;
        if (!is_model_file(url))
            check_camera(settings, i);
        else if (engine)
            check_model(engine, settings, url);
    }
    if (choice && sampled.count > 0)
        check_frames(choice, settings);
    for (int i = 0; i < sampled.count; i++) {
        sp_frame_unref(sampled.frame[i]);
        sp_frame_pool_close(sampled.pool[i]);
    }
    free(choice);
    printf("\n%s\n", problems ? "problems found, see above" : "no problems found");
    free(options);
    return problems ? SP_EXIT_FAILED : SP_EXIT_OK;
}
