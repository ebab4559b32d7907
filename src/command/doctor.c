/* spoton doctor: what this machine has, what spoton would choose, and what is wrong. */
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

/* Frames a second below which people jump from box to box. */
static const double LOW_RATE = 5;

/* Every finding is a line; a problem makes the exit code 1. */
static int problems;

static void say_problem(const char *topic, const char *text)
{
    printf("%-9s PROBLEM: %s\n", topic, text);
    problems++;
}

static void look_at_cpu(const struct sp_settings *settings)
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
        printf("%-9s as SPOTON_CPUINFO=%s describes it\n", "", sp_cpu_info_path());
    printf("%-9s %d threads for inference%s\n", "choice",
           settings->threads > 0 ? settings->threads : cpu.cores_usable,
           settings->threads > 0 ? " (THREADS)" : "");
    if (settings->threads > cpu.cores_usable) {
        char text[128];
        snprintf(text, sizeof text,
                 "THREADS=%d, but only %d cores are granted: threads will wait for each other",
                 settings->threads, cpu.cores_usable);
        say_problem("cpu", text);
    }
}

static void look_at_memory(void)
{
    double gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    printf("%-9s %.1f GiB\n", "memory", gib);
}

static void look_at_gpu(void)
{
    bool device = access("/dev/nvidiactl", F_OK) == 0;
    bool driver = access("/proc/driver/nvidia/version", R_OK) == 0;
    if (device && driver)
        printf("%-9s an NVIDIA GPU and its driver are here\n", "gpu");
    else if (device || driver)
        say_problem("gpu", "NVIDIA driver and device nodes do not fit together: is the driver "
                           "loaded, and /dev/nvidia* passed into this container?");
    else
        printf("%-9s no NVIDIA GPU; inference runs on the CPU\n", "gpu");
}

static const struct spoton_engine_api *look_at_engines(const struct sp_settings *settings)
{
    struct sp_engine_report reports[8];
    int count = sp_engine_list(reports, 8);
    for (int i = 0; i < count; i++) {
        const struct sp_engine_report *r = &reports[i];
        if (r->broken)
            say_problem("engine", r->error);
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
        say_problem("engine", err.text);
        return NULL;
    }
    printf("%-9s engine %s%s\n", "choice", engine->name,
           strcmp(settings->engine, "auto") == 0 ? "" : " (ENGINE)");
    return engine;
}

/* Those that cameras would be spread over, as DEVICES says. */
static void look_at_devices(const struct spoton_engine_api *engine,
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
        snprintf(text, sizeof text, "DEVICES: there is no device %s: engine %s has %d", word,
                 engine->name, count);
        say_problem("device", text);
    }
}

/* What `auto` comes to: the first of the engine's fast precisions that the file allows. */
static void say_precision(const struct spoton_engine_api *engine, const struct sp_model *model,
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
        if (strcmp(word, "int8") == 0 && !model->quantised)
            continue;
        printf("%-9s precision %s\n", "choice", word);
        return;
    }
}

/* All of them, and whether CLASSES is among them. */
static void say_classes(const struct sp_model *model, const struct sp_settings *settings)
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
        say_problem("model", err.text);
    free(wanted);
}

static void look_at_model(const struct spoton_engine_api *engine,
                          const struct sp_settings *settings, const char *path)
{
    struct sp_error err = {0};
    struct sp_model *model = calloc(1, sizeof *model);
    struct sp_model_wish wish = sp_pipeline_model_wish(settings);
    if (!model || sp_model_open(model, engine, path, &wish, &err) < 0) {
        say_problem("model", model ? err.text : "out of memory");
        free(model);
        return;
    }
    printf("%-9s %s: %s, %d class%s%s\n", "model", path, sp_head_type_name(model->head_type),
           model->classes, model->classes == 1 ? "" : "es", model->quantised ? ", INT8" : "");
    say_classes(model, settings);
    printf("%-9s wants %s in %s\n", "", model->swap_red_blue ? "BGR" : "RGB",
           model->scale == 1.0f ? "0..255" : "0..1");
    if (model->fixed_width_px)
        printf("%-9s input fixed at %dx%d\n", "", model->fixed_width_px, model->fixed_height_px);
    else
        printf("%-9s input free: longest side %d, as high as the camera needs\n", "",
               settings->input_size_px);
    say_precision(engine, model, settings);
    free(model);
}

/* What the engine is opened and filled for, and why. */
static void say_batch(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    int batch = choice->model.fixed_batch ? choice->model.fixed_batch : choice->batch;
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    choice->engine->probe(&probe);
    printf("%-9s batch %d", "choice", batch);
    if (choice->model.fixed_batch)
        printf(", fixed by the file\n");
    else if (settings->engine_batch > 0)
        printf(" (ENGINE_BATCH)\n");
    else if (choice->bundle.is_folder)
        printf(", by the bundle\n");
    else if (probe.batch <= 1)
        printf(": fastest on a CPU as measured; BATCH_ACCUMULATION_SIZE has no effect here\n");
    else if (settings->camera_count == 0 || settings->batch_accumulation == 0)
        printf(": the engine's best\n");
    else
        printf(": %d cameras x %d (BATCH_ACCUMULATION_SIZE)\n", settings->camera_count,
               settings->batch_accumulation);
}

/* A batch that the file cannot have runs as the file's own, and slower than was meant. */
static void look_at_batch(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    char text[300];
    const struct sp_bundle *bundle = &choice->bundle;
    int wanted = settings->engine_batch, fixed = choice->model.fixed_batch;
    if (wanted > 0 && fixed > 0 && wanted != fixed) {
        snprintf(text, sizeof text,
                 "ENGINE_BATCH=%d, but the file takes %d frames at a time and no other number: %d "
                 "are used; export the model with a free batch, or set ENGINE_BATCH=%d",
                 wanted, fixed, fixed, fixed);
        say_problem("model", text);
    } else if (wanted > 0 && bundle->is_folder && wanted != bundle->manifest.batch) {
        snprintf(
            text, sizeof text,
            "ENGINE_BATCH=%d, but the bundle was compiled for %d: it is compiled anew at every "
            "start; run `spoton export --batch %d`",
            wanted, bundle->manifest.batch, wanted);
        say_problem("model", text);
    }
}

/* Compiles and runs it as the pipeline would: what fails there fails here, with the same words. */
static void look_at_speed(const struct sp_model_choice *choice, const struct sp_settings *settings)
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
        say_problem("engine", text);
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
        say_problem("engine", err.text);
        return;
    }
    double rate = 1000 / best_ms * d.streams;
    printf("%-9s %.1f ms a frame in %s, at most %.0f frames/s on %d streams, in batches of %d\n",
           "speed", best_ms, sp_precision_name(d.precision), rate, d.streams, batch);
    double each =
        rate * settings->frame_skip / (settings->camera_count ? settings->camera_count : 1);
    if (settings->camera_count > 0 && each < LOW_RATE) {
        snprintf(
            text, sizeof text,
            "%d cameras leave %.1f frames/s to each: raise FRAME_SKIP, lower YOLO_INPUT_SIZE, set "
            "PRECISION=int8, or let `spoton tune` find what fits",
            settings->camera_count, each);
        say_problem("speed", text);
    }
}

/* The model that would be used, with its INT8 form where that is chosen. */
static struct sp_model_choice *look_at_set_model(const struct sp_settings *settings)
{
    struct sp_error err = {0};
    struct sp_model_choice *choice = calloc(1, sizeof *choice);
    if (!choice || sp_model_choose(choice, settings, &err) < 0) {
        say_problem("model", choice ? err.text : "out of memory");
        free(choice);
        return NULL;
    }
    look_at_model(choice->engine, settings, choice->model.path);
    if (choice->bundle.notice[0])
        say_problem("model", choice->bundle.notice);
    say_batch(choice, settings);
    look_at_batch(choice, settings);
    look_at_speed(choice, settings);
    return choice;
}

/* A frame of each of the first cameras, with the pool that it is of. */
static struct {
    struct sp_frame *frame[SP_READING_FRAMES];
    struct sp_frame_pool *pool[SP_READING_FRAMES];
    int count;
} looked;

/* Whether the model finds anything in the cameras' frames, and if not, whether it would. */
static void look_at_frames(const struct sp_model_choice *choice, const struct sp_settings *settings)
{
    struct sp_model_wish wish = sp_pipeline_model_wish(settings);
    struct sp_reading_options options = {.choice = choice, .settings = settings};
    struct sp_reading *reading = NULL;
    char text[SP_READING_TEXT_BYTES];
    int boxes;
    int hits = sp_reading_look(choice, settings, &wish, looked.frame, looked.count, &boxes);
    if (hits > 0)
        printf("%-9s %d objects in the first frames of %d of %d cameras\n", "finds", boxes, hits,
               looked.count);
    if (hits == 0 && sp_reading_open(&reading, &options, NULL) == SP_OK) {
        for (int i = 0; i < looked.count; i++)
            sp_reading_note(reading, looked.frame[i], 0);
        if (sp_reading_try(reading, text))
            say_problem("model", text);
        else
            printf("%-9s nothing in the first frames of %d cameras\n", "finds", looked.count);
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

static void look_at_camera(const struct sp_settings *settings, int index)
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
                 result == SP_ERR_END ? "holds no frame" : err.text);
        say_problem("camera", text);
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
    if (frame && looked.count < SP_READING_FRAMES) {
        looked.frame[looked.count] = frame;
        looked.pool[looked.count++] = pool;
        return;
    }
    sp_frame_unref(frame);
    sp_frame_pool_close(pool);
}

static const struct sp_command_usage usage = {
    .name = "doctor",
    .synopsis = "[MODEL...] [--camera NAME=URL]... [URL...]",
    .about = "Says what this machine has, what spoton would choose on it, and what is wrong with\n"
             "the models (.onnx, .xml, .tflite) and the cameras given.\n",
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
    look_at_cpu(settings);
    look_at_memory();
    look_at_gpu();
    const struct spoton_engine_api *engine = look_at_engines(settings);
    struct sp_model_choice *choice = NULL;
    if (engine) {
        look_at_devices(engine, settings);
        choice = look_at_set_model(settings);
    }
    for (int i = 0; i < settings->camera_count; i++) {
        const char *url = settings->camera[i].url;
        if (!is_model_file(url))
            look_at_camera(settings, i);
        else if (engine)
            look_at_model(engine, settings, url);
    }
    if (choice && looked.count > 0)
        look_at_frames(choice, settings);
    for (int i = 0; i < looked.count; i++) {
        sp_frame_unref(looked.frame[i]);
        sp_frame_pool_close(looked.pool[i]);
    }
    free(choice);
    printf("\n%s\n", problems ? "There are problems: see above." : "All is well.");
    free(options);
    return problems ? SP_EXIT_FAILED : SP_EXIT_OK;
}
