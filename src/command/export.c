/* spoton export: compiles a model for this machine into a relocatable bundle. */
#include "command/export.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/path.h"
#include "base/redact.h"
#include "command/command.h"
#include "command/remove.h"
#include "engine/loader.h"
#include "pipeline/model_choice.h"
#include "pipeline/pipeline.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH_MAX = 32, SAMPLES = 375, MEASURED_RUNS = 40, SIDE_MAX = 4096 };

static const double REQUIRED = 0.95, CHECK_IOU = 0.5;

/* ---- folders and files ---- */

static int64_t folder_bytes(const char *path)
{
    char inside[PATH_MAX + 300];
    struct stat status;
    int64_t sum = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(inside, &status) != 0)
            continue;
        sum += S_ISDIR(status.st_mode) ? folder_bytes(inside) : status.st_size;
    }
    if (folder)
        closedir(folder);
    return sum;
}

static int copy_file(const char *from, const char *to, struct sp_error *err)
{
    char part[65536];
    FILE *in = fopen(from, "rbe");
    if (!in)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", from, strerror(errno));
    FILE *out = fopen(to, "wbe");
    int why = out ? 0 : errno;
    for (size_t got; !why && (got = fread(part, 1, sizeof part, in)) > 0;)
        why = fwrite(part, 1, got, out) == got ? 0 : errno;
    if (!why && ferror(in))
        why = EIO;
    fclose(in);
    if (out && fclose(out) != 0 && !why)
        why = errno;
    return why ? sp_fail(err, sp_error_from_errno(why), "%s: %s", to, strerror(why)) : SP_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int stem_bytes(const char *name)
{
    const char *dot = strrchr(name, '.');
    return (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* An OpenVINO IR consists of two files. */
static int copy_model(const char *from, const char *to, struct sp_error *err)
{
    char bin_from[PATH_MAX], bin_to[PATH_MAX];
    int result = copy_file(from, to, err);
    if (result < 0 || strcmp(from + strlen(from) - 4, ".xml") != 0)
        return result;
    snprintf(bin_from, sizeof bin_from, "%.*sbin", (int)strlen(from) - 3, from);
    snprintf(bin_to, sizeof bin_to, "%.*sbin", (int)strlen(to) - 3, to);
    return copy_file(bin_from, bin_to, err);
}

/* ---- options ---- */

static int read_input_size(struct sp_export *e, struct sp_error *err)
{
    const char *text = e->options->input_size;
    int size = e->options->settings.input_size_px, used = 0;
    e->width_px = size;
    e->height_px = (size * 9 / 16 + 31) / 32 * 32;
    if (e->options->settings.square_input)
        e->height_px = size;
    if (text && (sscanf(text, "%dx%d%n", &e->width_px, &e->height_px, &used) != 2 || text[used] ||
                 e->width_px < 32 || e->height_px < 32 || e->width_px > SIDE_MAX ||
                 e->height_px > SIDE_MAX))
        return sp_fail(err, SP_ERR_INVALID,
                       "--input %s: invalid; must be WIDTHxHEIGHT in pixels, such as 640x384",
                       text);
    if (e->source.fixed_width_px)
        e->width_px = e->source.fixed_width_px;
    if (e->source.fixed_height_px)
        e->height_px = e->source.fixed_height_px;
    return SP_OK;
}

static int read_batch(struct sp_export *e, struct sp_error *err)
{
    int wanted =
        (int)(e->options->batch ? e->options->batch : (int64_t)e->options->settings.engine_batch);
    if (e->options->batch > BATCH_MAX)
        return sp_fail(err, SP_ERR_INVALID, "--batch %lld: invalid; must be from 1 to %d",
                       (long long)e->options->batch, BATCH_MAX);
    e->batch = wanted > 0 ? wanted : 1;
    if (e->source.fixed_batch && wanted > 0 && wanted != e->source.fixed_batch)
        return sp_fail(
            err, SP_ERR_INVALID,
            "--batch %d: model %s has a fixed batch of %d; export it with a dynamic batch "
            "(dynamic=True), or omit --batch",
            wanted, e->source.path, e->source.fixed_batch);
    if (e->source.fixed_batch)
        e->batch = e->source.fixed_batch;
    return SP_OK;
}

static int open_model(struct sp_export *e, struct sp_model *model, const char *path,
                      struct sp_error *err)
{
    struct sp_model_wish wish = sp_model_choice_wish(&e->options->settings);
    return sp_model_open(model, e->engine, path, &wish, err);
}

static int open_source(struct sp_export *e, struct sp_error *err)
{
    const struct sp_settings *settings = &e->options->settings;
    char path[SP_PATH_BYTES];
    struct sp_bundle bundle;
    if (e->options->input_count > 1)
        return sp_fail(err, SP_ERR_INVALID, "%s: unexpected argument; give one model",
                       e->options->input[1]);
    int result = sp_engine_load(&e->engine, settings->engine, err);
    if (result < 0)
        return result;
    if (e->options->input_count == 1)
        snprintf(path, sizeof path, "%s", e->options->input[0]);
    else if (settings->model_path[0])
        snprintf(path, sizeof path, "%s", settings->model_path);
    else if ((result = sp_path_bundled_model(path, sizeof path, "person.onnx", err)) < 0)
        return result;
    result = sp_bundle_resolve(&bundle, path, err);
    if (result == SP_OK)
        result = open_model(e, &e->model, bundle.model_path, err);
    e->source = e->model;
    if (result == SP_OK && e->options->reference)
        result = open_model(e, &e->source, e->options->reference, err);
    return result;
}

static int check_options(struct sp_export *e, struct sp_error *err)
{
    enum spoton_precision wanted = (enum spoton_precision)e->options->settings.precision;
    bool quantizes = wanted == SPOTON_PRECISION_INT8 && !e->model.quantized;
    if (e->options->required > 1)
        return sp_fail(err, SP_ERR_INVALID, "--required %g: invalid; must be at most 1",
                       e->options->required);
    if (quantizes && e->options->calibrate_count == 0)
        return sp_fail(
            err, SP_ERR_INVALID,
            "--precision int8: no calibration set; give videos or folders of every camera "
            "with --calibrate");
    if (e->model.quantized && !e->options->reference)
        return sp_fail(
            err, SP_ERR_INVALID,
            "model %s: already quantized; give its f32 original with --reference for the "
            "quantization check",
            e->model.path);
    if (e->model.quantized && e->options->calibrate_count == 0)
        return sp_fail(err, SP_ERR_INVALID,
                       "quantization check: no frames; give videos or folders of every camera with "
                       "--calibrate");
    if (e->model.quantized && e->source.quantized)
        return sp_fail(err, SP_ERR_INVALID, "--reference %s: quantized; give the f32 original",
                       e->source.path);
    e->precision = e->model.quantized ? SPOTON_PRECISION_INT8 : wanted;
    return SP_OK;
}

/* ---- steps ---- */

static int begin_folder(struct sp_export *e, struct sp_error *err)
{
    const char *name = base_name(e->model.path);
    char word[16];
    snprintf(word, sizeof word, "%s", sp_precision_name(e->precision));
    int length = e->options->out_dir
                     ? snprintf(e->out, sizeof e->out, "%s", e->options->out_dir)
                     : snprintf(e->out, sizeof e->out, "%.*s-%s-%dx%d.spoton", stem_bytes(name),
                                name, word, e->width_px, e->height_px);
    while (length > 1 && e->out[length - 1] == '/')
        e->out[--length] = '\0';
    if (length <= 0 || (size_t)length + 300 > sizeof e->out)
        return sp_fail(err, SP_ERR_INVALID, "--out: path empty or too long; give another");
    char manifest[PATH_MAX + 16];
    struct stat status;
    if (lstat(e->out, &status) == 0 && !sp_bundle_find_manifest(e->out, manifest, sizeof manifest))
        return sp_fail(err, SP_ERR_INVALID, "%s: exists and is not a bundle; give another --out",
                       e->out);
    snprintf(e->work, sizeof e->work, "%s.part", e->out);
    sp_remove_folder(e->work);
    return sp_path_make_dirs(e->work, err);
}

static int collect_calibration_frames(struct sp_export *e, struct sp_error *err)
{
    char calibration[PATH_MAX + 32], check[PATH_MAX + 32];
    bool quantizes = e->precision == SPOTON_PRECISION_INT8 && !e->model.quantized;
    if (e->options->calibrate_count == 0)
        return SP_OK;
    snprintf(calibration, sizeof calibration, "%s/calibration.npy", e->work);
    snprintf(check, sizeof check, "%s/check.npy", e->work);
    struct sp_calibration_frames_options options = {
        .name = e->options->calibrate,
        .name_count = e->options->calibrate_count,
        .wanted = (int)(e->options->samples ? e->options->samples : SAMPLES),
        .width_px = e->width_px,
        .height_px = e->height_px,
        .layout = e->source.layout,
        .calibration_path = quantizes ? calibration : NULL,
        .check_path = check,
        .interrupted = e->interrupted,
    };
    if (!quantizes)
        options.wanted = options.wanted / SP_CALIBRATION_CHECK_EVERY + 1;
    int result = sp_calibration_frames_collect(&e->samples, &options, err);
    e->has_calibration_frames = result == SP_OK;
    if (e->has_calibration_frames)
        sp_log(SP_LOG_INFO,
               "%d calibration frames and %d frames for the quantization check, from %d sources",
               e->samples.calibration.count, e->samples.check.count, options.name_count);
    return result;
}

static int make_model(struct sp_export *e, struct sp_error *err)
{
    const char *name = base_name(e->model.path);
    bool quantizes = e->precision == SPOTON_PRECISION_INT8 && !e->model.quantized;
    if (!quantizes) {
        snprintf(e->file, sizeof e->file, "%.3000s/%.250s", e->work, name);
        int result = copy_model(e->model.path, e->file, err);
        return result == SP_OK ? open_model(e, &e->model, e->file, err) : result;
    }
    bool onnx = strcmp(name + stem_bytes(name), ".onnx") == 0;
    snprintf(e->file, sizeof e->file, "%.3000s/%.*s-int8%s", e->work,
             stem_bytes(name) < 200 ? stem_bytes(name) : 200, name, onnx ? ".onnx" : ".xml");
    int64_t begin_us = sp_clock_us();
    int result = sp_export_quantize(e, err);
    if (result == SP_OK)
        result = open_model(e, &e->model, e->file, err);
    if (result == SP_OK && !e->model.quantized)
        result = sp_fail(err, SP_ERR_FORMAT, "model %s: quantization produced no INT8 layers",
                         e->source.path);
    if (result == SP_OK)
        sp_log(SP_LOG_INFO, "quantized in %.1f s", (double)(sp_clock_us() - begin_us) / 1e6);
    return result;
}

static double measure(struct sp_detector *detector, struct sp_error *err)
{
    struct sp_detector_request *request = sp_detector_acquire(detector);
    int64_t best_us = INT64_MAX;
    int result = SP_OK;
    for (int i = 0; i < MEASURED_RUNS && result == SP_OK; ++i) {
        result = sp_detector_submit(detector, request, err);
        if (result == SP_OK)
            result = sp_detector_collect(detector, request, err);
        int64_t took_us = request->finished_us - request->submitted_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    sp_detector_release(detector, request);
    return (double)best_us / 1e3 / sp_detector_batch(detector);
}

/* Halves the batch until the memory suffices. */
static int compile(struct sp_export *e, struct sp_error *err)
{
    const struct sp_settings *settings = &e->options->settings;
    char cache[PATH_MAX + 16];
    struct sp_error why = {0};
    int result;
    snprintf(cache, sizeof cache, "%s/cache", e->work);
    result = sp_path_make_dirs(cache, err);
    if (result < 0)
        return result;
    for (;;) {
        struct sp_detector *detector = NULL;
        struct sp_detector_options options = {
            .engine = e->engine,
            .model = &e->model,
            .precision = e->precision,
            .batch = e->batch,
            .width_px = e->width_px,
            .height_px = e->height_px,
            .threads = e->threads,
            .streams = settings->streams,
            .cache_dir = cache,
            .backend_options = settings->engine_options[0] ? settings->engine_options : NULL,
            .head = {.confidence_threshold = settings->confidence_threshold,
                     .nms_iou = settings->nms_iou},
        };
        int64_t begin_us = sp_clock_us();
        result = sp_detector_open(&detector, &options, &why);
        e->manifest.compile_s = (double)(sp_clock_us() - begin_us) / 1e6;
        if (result == SP_OK) {
            struct spoton_engine_description d = {.struct_bytes = sizeof d};
            sp_detector_describe(detector, &d);
            e->manifest.precision = d.precision;
            e->manifest.ms_per_image = measure(detector, err);
            sp_detector_close(detector);
            break;
        }
        if (result != SP_ERR_NO_MEMORY || e->batch == 1 || e->model.fixed_batch)
            return sp_fail(err, result, "%s", why.text);
        sp_log(SP_LOG_WARNING, "batch %d: %s; trying %d", e->batch, why.text, e->batch / 2);
        e->batch /= 2;
    }
    e->manifest.cache_bytes = folder_bytes(cache);
    return SP_OK;
}

static int pass_check(struct sp_export *e, struct sp_error *err)
{
    const struct sp_settings *settings = &e->options->settings;
    if (!e->has_calibration_frames || e->samples.check.count == 0)
        return SP_OK;
    struct sp_quantization_check_options options = {
        .engine = e->engine,
        .reference = &e->source,
        .tested = &e->model,
        .tested_precision = e->precision,
        .batch = e->batch,
        .threads = e->threads,
        .streams = settings->streams,
        .backend_options = settings->engine_options[0] ? settings->engine_options : NULL,
        .confidence = settings->confidence_threshold,
        .iou = CHECK_IOU,
        .nms_iou = settings->nms_iou,
        .required = e->options->required > 0 ? e->options->required : REQUIRED,
        .source_name = e->options->calibrate,
        .sources = e->options->calibrate_count,
    };
    int result = sp_quantization_check_run(&e->check, &options, &e->samples.check, err);
    if (result < 0)
        return result;
    struct sp_manifest *manifest = &e->manifest;
    manifest->check_frames = (int)e->check.total.frames;
    manifest->check_boxes = (int64_t)e->check.total.reference;
    manifest->check_iou = CHECK_IOU;
    manifest->check_confidence = options.confidence;
    manifest->check_required = options.required;
    manifest->check_recall = sp_agreement_recall(&e->check.total);
    manifest->check_precision = sp_agreement_precision(&e->check.total);
    if (e->check.passed)
        return SP_OK;
    char worst[300] = "";
    if (e->precision == SPOTON_PRECISION_INT8)
        sp_export_worst_layers(e, worst, sizeof worst);
    return sp_fail(err, SP_ERR_FORMAT, "%s: quantization check failed: %s%s%s",
                   base_name(e->model.path), e->check.text, worst[0] ? "; worst layers: " : "",
                   worst);
}

static void count_sources(struct sp_export *e)
{
    struct sp_manifest *manifest = &e->manifest;
    manifest->source_count = e->manifest.calibration_frames ? e->options->calibrate_count : 0;
    for (int i = 0; i < manifest->source_count; ++i) {
        struct sp_manifest_source *source = &manifest->source[i];
        char shown[PATH_MAX];
        sp_redact_url(e->options->calibrate[i], shown, sizeof shown);
        size_t length = strlen(shown);
        while (length > 1 && shown[length - 1] == '/')
            shown[--length] = '\0';
        snprintf(source->name, sizeof source->name, "%s", base_name(shown));
        source->recall = sp_agreement_recall(&e->check.source[i]);
        source->precision = sp_agreement_precision(&e->check.source[i]);
        for (int k = 0; k < e->samples.calibration.count; ++k)
            source->frames += e->samples.calibration.source[k] == i;
        for (int k = 0; k < e->samples.check.count; ++k)
            source->check_frames += e->samples.check.source[k] == i;
    }
}

static int write_manifest(struct sp_export *e, struct sp_error *err)
{
    struct sp_manifest *manifest = &e->manifest;
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    struct stat status;
    char path[PATH_MAX + 16];
    e->engine->probe(&probe);
    snprintf(manifest->file, sizeof manifest->file, "%s", base_name(e->file));
    snprintf(manifest->source_file, sizeof manifest->source_file, "%s", base_name(e->source.path));
    snprintf(manifest->head_type, sizeof manifest->head_type, "%s",
             sp_head_type_name(e->model.head_type));
    snprintf(manifest->engine, sizeof manifest->engine, "%s", e->engine->name);
    snprintf(manifest->engine_version, sizeof manifest->engine_version, "%s", probe.version);
    snprintf(manifest->device, sizeof manifest->device, "%s", probe.device);
    manifest->classes = e->model.classes;
    manifest->width_px = e->width_px;
    manifest->height_px = e->height_px;
    manifest->batch = e->batch;
    manifest->bytes = stat(e->file, &status) == 0 ? status.st_size : 0;
    count_sources(e);
    int result = sp_digest_file(e->file, manifest->sha256, err);
    if (result == SP_OK)
        result = sp_digest_file(e->source.path, manifest->source_sha256, err);
    snprintf(path, sizeof path, "%s/manifest.json", e->work);
    return result == SP_OK ? sp_manifest_write(manifest, path, err) : result;
}

static int publish(struct sp_export *e, struct sp_error *err)
{
    char leftover[PATH_MAX + 32], before[PATH_MAX + 16];
    static const char *const scratch[] = {"calibration.npy", "check.npy"};
    for (size_t i = 0; i < 2; ++i) {
        snprintf(leftover, sizeof leftover, "%s/%s", e->work, scratch[i]);
        unlink(leftover);
    }
    snprintf(before, sizeof before, "%s.old", e->out);
    sp_remove_folder(before);
    rename(e->out, before); /* of an existing bundle */
    if (rename(e->work, e->out) != 0) {
        int why = errno;
        rename(before, e->out);
        return sp_fail(err, sp_error_from_errno(why), "%s: %s", e->out, strerror(why));
    }
    sp_remove_folder(before);
    return SP_OK;
}

static void print_result(const struct sp_export *e)
{
    const struct sp_manifest *manifest = &e->manifest;
    printf("%s: %s, %s on %s, %dx%d, batch %d\n", e->out, manifest->file,
           sp_precision_name(manifest->precision), manifest->engine, manifest->width_px,
           manifest->height_px, manifest->batch);
    printf("compiled in %.1f s, %.2f ms per image, %.1f MB (%.1f MB of it compiled)\n",
           manifest->compile_s, manifest->ms_per_image, (double)folder_bytes(e->out) / 1e6,
           (double)manifest->cache_bytes / 1e6);
    if (manifest->check_frames > 0)
        printf("quantization check: %s\n", e->check.text);
    else
        printf("quantization check: not run; --calibrate PATH compares the model with f32\n");
    printf("use it: YOLO_MODEL_PATH=%s\n", e->out);
}

static int work(struct sp_export *e, struct sp_error *err)
{
    int result = open_source(e, err);
    if (result == SP_OK)
        result = check_options(e, err);
    if (result == SP_OK)
        result = read_input_size(e, err);
    if (result == SP_OK)
        result = read_batch(e, err);
    if (result == SP_OK)
        result = begin_folder(e, err);
    if (result == SP_OK)
        result = collect_calibration_frames(e, err);
    if (result == SP_OK)
        result = make_model(e, err);
    if (result == SP_OK)
        result = compile(e, err);
    if (result == SP_OK)
        result = pass_check(e, err);
    if (result == SP_OK && e->interrupted())
        result = sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
    if (result == SP_OK)
        result = write_manifest(e, err);
    if (result == SP_OK)
        result = publish(e, err);
    return result;
}

static const struct sp_command_usage usage = {
    .name = "export",
    .synopsis =
        "[MODEL] [--precision P] [--calibrate PATH]... [--input WxH] [--batch N] [--out DIR]",
    .about = "Compiles a model for this machine and saves it with the compiled form and a manifest "
             "as a\n"
             "bundle for YOLO_MODEL_PATH. --precision int8 quantizes it first (requires\n"
             "`./setup nncf`) and refuses the result if it deviates from the f32 model.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_DIR | SP_TAKES_EXPORT,
};

int sp_command_export_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct sp_export *e = calloc(1, sizeof *e);
    if (e) {
        struct sp_cpu cpu;
        sp_cpu_read(&cpu);
        e->options = options;
        e->interrupted = context->interrupted;
        e->threads = options->settings.threads > 0 ? options->settings.threads : cpu.cores_usable;
        e->samples.calibration.file = e->samples.check.file = -1;
    }
    int result = e ? work(e, &err) : sp_fail(&err, SP_ERR_NO_MEMORY, "export: out of memory");
    int code = SP_EXIT_OK;
    if (result < 0) {
        sp_log(SP_LOG_ERROR, "%s", err.text);
        code = result == SP_ERR_INTERRUPTED
                   ? SP_EXIT_INTERRUPTED
                   : (result == SP_ERR_INVALID ? SP_EXIT_USAGE : SP_EXIT_FAILED);
    } else if (e) {
        print_result(e);
    }
    if (e && e->has_calibration_frames)
        sp_calibration_frames_release(&e->samples);
    if (e && result < 0 && e->work[0])
        sp_remove_folder(e->work);
    free(e);
    free(options);
    return code;
}
