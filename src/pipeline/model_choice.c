#include "pipeline/model_choice.h"

#include "base/log.h"
#include "base/path.h"
#include "engine/loader.h"
#include "pipeline/quantization_check.h"
#include "spoton/device.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Frames per camera, so many that all cameras have CHECK_FRAMES, but at least one: so the check
 * takes seconds with any number of cameras. */
enum { FRAMES_A_CAMERA = 8, CHECK_FRAMES = 24 };

static const int64_t SAMPLING_US = 4000000;

static const double REQUIRED = 0.95, CHECK_IOU = 0.5;

/* ---- opening ---- */

struct sp_model_wish sp_model_choice_wish(const struct sp_settings *settings)
{
    return (struct sp_model_wish){
        .head_type = (enum sp_head_type)settings->head_type,
        .range = (enum sp_input_range)settings->model_input_range,
        .color = (enum sp_input_color)settings->model_input_color,
    };
}

static int load_engine(struct sp_model_choice *choice, const struct sp_settings *settings,
                       struct sp_error *err)
{
    const struct sp_bundle *bundle = &choice->bundle;
    bool automatic = strcmp(settings->engine, "auto") == 0;
    struct sp_error why = {0};
    if (automatic && bundle->is_folder) {
        if (sp_engine_load(&choice->engine, bundle->manifest.engine, &why) == SP_OK)
            return SP_OK;
        sp_log(SP_LOG_WARNING, "%s: the engine it was exported for is not available: %s",
               bundle->model_path, why.text);
    }
    return sp_engine_load(&choice->engine, settings->engine, err);
}

static bool is_tensorrt_engine(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && (strcasecmp(end, ".engine") == 0 || strcasecmp(end, ".plan") == 0 ||
                   strcasecmp(end, ".trt") == 0);
}

static int check_file(const char *key, const char *path, struct sp_error *err)
{
    if (!is_tensorrt_engine(path))
        return SP_OK;
    return sp_fail(err, SP_ERR_UNSUPPORTED,
                   "%s=%s: a TensorRT engine file, which fits one GPU and one version only; use "
                   "the ONNX file it was built from; USE_TENSORRT=yes builds the engine here",
                   key, path);
}

static bool is_remote(const char *engine)
{
    return strcmp(engine, "kserve") == 0;
}

int sp_model_choice_engine_options(char out[SP_ENGINE_OPTIONS_BYTES],
                                   const struct sp_settings *settings, const char *engine,
                                   struct sp_error *err)
{
    const struct sp_settings *s = settings;
    bool own = !is_remote(engine) || is_remote(s->engine); /* ENGINE_OPTIONS is this engine's */
    int length = snprintf(out, SP_ENGINE_OPTIONS_BYTES, "%s", own ? s->engine_options : "");
    if (!is_remote(engine))
        return SP_OK;
    if (strchr(s->kserve_url, ';') || strchr(s->kserve_token, ';') ||
        strchr(s->kserve_ca_file, ';'))
        return sp_fail(err, SP_ERR_INVALID,
                       "KSERVE_URL, KSERVE_TOKEN, KSERVE_CA_FILE: must not contain a semicolon");
    length += snprintf(out + length, (size_t)(SP_ENGINE_OPTIONS_BYTES - length),
                       "%stimeout_ms=%d;requests=%d%s%s%s%s%s%s", length ? ";" : "",
                       s->kserve_timeout_ms, s->kserve_requests, s->kserve_url[0] ? ";url=" : "",
                       s->kserve_url, s->kserve_token[0] ? ";token=" : "", s->kserve_token,
                       s->kserve_ca_file[0] ? ";ca=" : "", s->kserve_ca_file);
    return length < SP_ENGINE_OPTIONS_BYTES
               ? SP_OK
               : sp_fail(err, SP_ERR_INVALID, "KSERVE_URL: too long; name fewer servers");
}

int sp_model_choice_spill(struct sp_model_choice *choice, const struct sp_settings *settings,
                          struct sp_error *err)
{
    if (!settings->kserve_url[0] || is_remote(choice->engine->name))
        return SP_OK;
    if (spoton_engine_takes_images(choice->engine))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "KSERVE_URL: spill-over is not supported by engine %s; use ENGINE=kserve or "
                       "unset KSERVE_URL",
                       choice->engine->name);
    int result = sp_engine_load(&choice->spill, "kserve", err);
    if (result == SP_OK)
        result = sp_model_choice_engine_options(choice->spill_options, settings, "kserve", err);
    size_t used = strlen(choice->spill_options);
    int n = snprintf(choice->spill_options + used, sizeof choice->spill_options - used,
                     ";later=1;budget_ms=%d", settings->kserve_budget_ms);
    if (result == SP_OK && (size_t)n >= sizeof choice->spill_options - used)
        result = sp_fail(err, SP_ERR_INVALID, "KSERVE_URL: too long; name fewer servers");
    return result;
}

/* A file beside which the server's model has its manifest must describe that model. */
static int check_remote_model(const struct sp_model_choice *choice, struct sp_error *err)
{
    const struct sp_manifest *manifest = &choice->bundle.manifest;
    const struct sp_model *model = &choice->model;
    const char *type = sp_head_type_name(model->head_type);
    if (!SPOTON_ENGINE_HAS(choice->engine, inspect_with) || !choice->bundle.has_manifest)
        return SP_OK;
    if (model->head_type != SP_HEAD_AUTO && manifest->head_type[0] &&
        strcmp(type, manifest->head_type) != 0)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "KSERVE_URL: the server's model is %s, but that of %s is %s; use the same "
                       "model on both sides",
                       type, choice->bundle.model_path, manifest->head_type);
    if (!model->unsure && manifest->classes > 0 && model->classes != manifest->classes)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "KSERVE_URL: the server's model has %d classes, but that of %s has %d; use "
                       "the same model on both sides",
                       model->classes, choice->bundle.model_path, manifest->classes);
    return SP_OK;
}

/* Applies USE_TENSORRT, which other engines than cuda ignore. */
static int use_tensorrt(struct sp_model_choice *choice, const struct sp_settings *settings,
                        struct sp_error *err)
{
    const char *path = settings->tensorrt_model_path, *options = settings->engine_options;
    bool here = settings->use_tensorrt && strcmp(choice->engine->name, "cuda") == 0;
    if (sp_model_choice_engine_options(choice->engine_options, settings, choice->engine->name,
                                       err) < 0)
        return SP_ERR_INVALID;
    if (here)
        snprintf(choice->engine_options, sizeof choice->engine_options, "tensorrt=1%s%s",
                 options[0] ? ";" : "", options);
    if (settings->use_tensorrt && !here)
        sp_log(SP_LOG_INFO, "USE_TENSORRT: only for NVIDIA GPUs; engine %s ignores it",
               choice->engine->name);
    if (!here || !path[0])
        return SP_OK;
    int result = check_file("YOLO_MODEL_PATH_TENSORRT", path, err);
    return result == SP_OK ? sp_bundle_resolve(&choice->bundle, path, err) : result;
}

static bool is_fast_in(const struct spoton_engine_api *engine, const char *precision)
{
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    char *rest, *word;
    engine->probe(&probe);
    for (word = strtok_r(probe.precisions, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, precision) == 0)
            return true;
    }
    return false;
}

int sp_model_choice_batch(int engine_best, int cameras, int accumulation)
{
    if (engine_best <= 1)
        return 1;
    if (cameras == 0 || accumulation == 0)
        return engine_best;
    int wanted = cameras * accumulation;
    return wanted < SP_BATCH_FOLLOWED_MAX ? wanted : SP_BATCH_FOLLOWED_MAX;
}

static int best_batch(const struct spoton_engine_api *engine, const struct sp_settings *settings)
{
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    engine->probe(&probe);
    return sp_model_choice_batch(probe.batch, settings->camera_count, settings->batch_accumulation);
}

int sp_model_choice_gather(const struct sp_model_choice *choice, int cameras, int accumulation)
{
    int batch = choice->model.fixed_batch ? choice->model.fixed_batch : choice->batch;
    int each = batch / (cameras > 0 ? cameras : 1);
    each = each < accumulation ? each : accumulation;
    return each > 1 ? each : 1;
}

/* bf16 and f16 do not change the results; without both, only INT8 is fast. */
static bool wants_int8(const struct sp_model_choice *choice)
{
    if (choice->precision == SPOTON_PRECISION_AUTO)
        return is_fast_in(choice->engine, "int8") && !is_fast_in(choice->engine, "bf16") &&
               !is_fast_in(choice->engine, "f16");
    return choice->precision == SPOTON_PRECISION_INT8;
}

static int open_int8_form(struct sp_model_choice *choice, const struct sp_model_wish *wish,
                          struct sp_error *err)
{
    struct sp_bundle form;
    struct sp_model model;
    struct sp_error why = {0};
    if (choice->model.quantized || choice->bundle.is_folder || !wants_int8(choice))
        return SP_OK;
    bool found = sp_bundle_find_int8(&form, choice->model.path);
    if (found && sp_model_open(&model, choice->engine, form.model_path, wish, &why) == SP_OK) {
        sp_log(SP_LOG_INFO, "%s: recall %.3f and precision %.3f against f32 by its manifest",
               form.model_path, form.manifest.check_recall, form.manifest.check_precision);
        choice->bundle = form;
        choice->model = model;
        choice->int8_form = true;
    } else if (choice->precision == SPOTON_PRECISION_INT8) {
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "model %s: not quantized, and no INT8 model beside it passed its quantization "
            "check%s%s; make one with `spoton export %s --precision int8 --calibrate ...`",
            choice->model.path, found ? ": " : "", found ? why.text : "", choice->model.path);
    }
    return SP_OK;
}

int sp_model_choose(struct sp_model_choice *choice, const struct sp_settings *settings,
                    struct sp_error *err)
{
    char path[SP_PATH_BYTES];
    struct sp_bundle *bundle = &choice->bundle;
    struct sp_model_wish wish = sp_model_choice_wish(settings);
    int result = SP_OK;
    *choice = (struct sp_model_choice){.precision = (enum spoton_precision)settings->precision,
                                       .input_size_px = settings->input_size_px,
                                       .batch = settings->engine_batch};
    if (settings->model_path[0])
        snprintf(path, sizeof path, "%s", settings->model_path);
    else if (is_remote(settings->engine))
        snprintf(path, sizeof path, "(on the server)");
    else
        result = sp_path_bundled_model(path, sizeof path, "person.onnx", err);
    if (result == SP_OK)
        result = check_file("YOLO_MODEL_PATH", path, err);
    if (result == SP_OK)
        result = sp_bundle_resolve(bundle, path, err);
    if (result == SP_OK)
        result = load_engine(choice, settings, err);
    if (result == SP_OK)
        result = use_tensorrt(choice, settings, err);
    wish.backend_options = sp_model_choice_backend_options(choice);
    if (result == SP_OK)
        result = sp_model_open(&choice->model, choice->engine, bundle->model_path, &wish, err);
    if (result == SP_OK)
        result = check_remote_model(choice, err);
    if (result == SP_OK)
        result = open_int8_form(choice, &wish, err);
    if (result < 0)
        return result;
    if (bundle->is_folder) {
        const struct sp_manifest *manifest = &bundle->manifest;
        sp_bundle_check_cache(bundle, choice->engine);
        choice->input_size_px =
            manifest->width_px > manifest->height_px ? manifest->width_px : manifest->height_px;
        choice->batch = choice->batch > 0 ? choice->batch : manifest->batch;
        if (choice->precision == SPOTON_PRECISION_AUTO)
            choice->precision = manifest->precision;
    }
    if (choice->batch == 0)
        choice->batch = best_batch(choice->engine, settings);
    if (bundle->notice[0])
        sp_log(SP_LOG_WARNING, "%s", bundle->notice);
    choice->check_needed = choice->model.quantized &&
                           !(bundle->has_manifest && sp_manifest_passed_check(&bundle->manifest));
    return SP_OK;
}

int sp_model_choice_cache_dir(char out[SP_PATH_BYTES], const struct sp_settings *settings,
                              struct sp_error *err)
{
    if (strcmp(settings->cache_dir, "off") == 0)
        out[0] = '\0';
    else if (settings->cache_dir[0])
        snprintf(out, SP_PATH_BYTES, "%s", settings->cache_dir);
    else
        sp_path_cache_dir(out, SP_PATH_BYTES);
    return out[0] ? sp_path_make_dirs(out, err) : SP_OK;
}

/* ---- the quantization check at load ---- */

static int judge(const struct sp_quantization_check_options *options,
                 const struct sp_images *images, const char *silent, struct sp_error *err)
{
    struct sp_quantization_check_result check;
    const char *path = options->tested->path;
    int result = options->reference ? sp_quantization_check_run(&check, options, images, err)
                                    : sp_quantization_check_run_alone(&check, options, images, err);
    if (result < 0)
        return result;
    bool too_few = options->reference && !check.passed && check.total.reference < 20;
    if (!check.passed && !too_few)
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "model %s: INT8 without a manifest, and it failed the quantization check: %s; "
            "make it with `spoton export --precision int8`",
            path, check.text);
    sp_log(SP_LOG_WARNING, "model %s: INT8 without a manifest; checked now: %s%s%s", path,
           check.text, silent,
           options->reference
               ? ""
               : "; set INT8_REFERENCE to it, or use `spoton export`, which writes a manifest");
    return SP_OK;
}

int sp_model_choice_check_quantization(const struct sp_model_choice *choice,
                                       const struct sp_settings *settings, int threads,
                                       const char *cache_dir, bool (*interrupted)(void),
                                       struct sp_error *err)
{
    const char *name[SP_CAMERAS_MAX];
    struct sp_calibration_frames frames;
    struct sp_model reference;
    struct sp_model_wish wish = sp_model_choice_wish(settings);
    struct sp_error why = {0};
    int cameras = settings->camera_count, result = SP_OK, size = choice->input_size_px;
    if (!choice->check_needed)
        return SP_OK;
    if (settings->int8_reference[0])
        result = sp_model_open(&reference, choice->engine, settings->int8_reference, &wish, err);
    if (result < 0)
        return sp_fail_prefix(err, result, "INT8_REFERENCE");
    for (int i = 0; i < cameras; ++i)
        name[i] = settings->camera[i].url;
    char silent_text[64] = "";
    int silent = 0, each = cameras > 0 ? CHECK_FRAMES / cameras : 0;
    each = each < 1 ? 1 : (each > FRAMES_A_CAMERA ? FRAMES_A_CAMERA : each);
    int fixed_width = choice->model.fixed_width_px, fixed_height = choice->model.fixed_height_px;
    struct sp_calibration_frames_options sampling = {
        .name = name,
        .name_count = cameras,
        .wanted = each * cameras,
        .width_px = fixed_width ? fixed_width : size,
        .height_px = fixed_height ? fixed_height : (size * 9 / 16 + 31) / 32 * 32,
        .layout = choice->model.layout,
        .interrupted = interrupted,
        .limit_us = SAMPLING_US,
    };
    if (cameras > 0)
        result = sp_calibration_frames_first(&frames, &sampling, &silent, &why);
    if (result == SP_ERR_INTERRUPTED)
        return sp_fail(err, result, "%s", why.text);
    if (silent > 0)
        snprintf(silent_text, sizeof silent_text, "; %d of %d cameras delivered no frame in %.0f s",
                 silent, cameras, SAMPLING_US / 1e6);
    if (cameras == 0 || result < 0) {
        sp_log(SP_LOG_WARNING,
               "model %s: INT8 without a manifest, used without a quantization check: %s",
               choice->model.path, cameras == 0 ? "there is no camera yet" : why.text);
        return SP_OK;
    }
    struct sp_quantization_check_options check = {
        .engine = choice->engine,
        .reference = settings->int8_reference[0] ? &reference : NULL,
        .tested = &choice->model,
        .tested_precision = choice->precision,
        .batch = choice->model.fixed_batch ? choice->model.fixed_batch : 1,
        .threads = threads,
        .streams = settings->streams,
        .cache_dir = cache_dir,
        .backend_options = sp_model_choice_backend_options(choice),
        .confidence = settings->confidence_threshold,
        .iou = CHECK_IOU,
        .nms_iou = settings->nms_iou,
        .required = REQUIRED,
        .source_name = name,
        .sources = cameras,
        .interrupted = interrupted,
    };
    result = judge(&check, &frames.check, silent_text, err);
    sp_calibration_frames_release(&frames);
    return result;
}
