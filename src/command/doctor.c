/* spoton doctor: what this machine has, what spoton would choose, and what is wrong. */
#include "base/cpu.h"
#include "base/path.h"
#include "base/redact.h"
#include "capture/source.h"
#include "command/command.h"
#include "command/options.h"
#include "detect/model.h"
#include "engine/loader.h"
#include "pipeline/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t OPEN_TIMEOUT_US = 10000000;

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
        if (!r->found)
            printf("%-9s %-12s not there: %s\n", "engine", r->name, r->error);
        else if (r->probe.score <= 0)
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

static void look_at_model(const struct spoton_engine_api *engine,
                          const struct sp_settings *settings, const char *path)
{
    struct sp_error err = {0};
    struct sp_model *model = calloc(1, sizeof *model);
    struct sp_model_wish wish = sp_pipeline_model_wish(settings);
    if (!model || sp_model_open_as(model, engine, path, &wish, &err) < 0) {
        say_problem("model", model ? err.text : "out of memory");
        free(model);
        return;
    }
    printf("%-9s %s: %s, %d class%s%s\n", "model", path, sp_model_family_name(model->family),
           model->classes, model->classes == 1 ? "" : "es", model->quantised ? ", INT8" : "");
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

/* The model that would be used. */
static void look_at_set_model(const struct spoton_engine_api *engine,
                              const struct sp_settings *settings)
{
    struct sp_error err = {0};
    char path[SP_PATH_BYTES];
    if (settings->model_path[0])
        look_at_model(engine, settings, settings->model_path);
    else if (sp_path_bundled_model(path, sizeof path, "person.onnx", &err) < 0)
        say_problem("model", err.text);
    else
        look_at_model(engine, settings, path);
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
                 result == SP_ERR_END ? "holds no picture" : err.text);
        say_problem("camera", text);
    } else {
        struct sp_source_info info;
        sp_source_info(source, &info);
        printf("%-9s %s (%s): %s in %s, %dx%d, %.3g pictures/s", "camera", camera->name, url,
               info.codec, info.format, frame->width_px, frame->height_px, info.frame_rate);
        if (info.frames_total > 0)
            printf(", %lld pictures", (long long)info.frames_total);
        printf("\n");
    }
    sp_frame_unref(frame);
    sp_source_close(source);
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
    if (engine)
        look_at_set_model(engine, settings);
    for (int i = 0; i < settings->camera_count; i++) {
        const char *url = settings->camera[i].url;
        if (!is_model_file(url))
            look_at_camera(settings, i);
        else if (engine)
            look_at_model(engine, settings, url);
    }
    printf("\n%s\n", problems ? "There are problems: see above." : "All is well.");
    free(options);
    return problems ? SP_EXIT_FAILED : SP_EXIT_OK;
}
