#include "detect/manifest.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Length of "DIR/NAME.EXT" without ".EXT". */
static size_t stem_bytes(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    return dot && dot != path && dot[-1] != '/' ? (size_t)(dot - path) : strlen(path);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int check_digest(const struct sp_manifest *manifest, const char *model_path,
                        const char *manifest_path, struct sp_error *err)
{
    char digest[SP_DIGEST_TEXT_BYTES];
    int result = sp_digest_file(model_path, digest, err);
    if (result == SP_OK && strcmp(digest, manifest->sha256) != 0)
        return sp_fail(err, SP_ERR_FORMAT,
                       "model manifest %s: %s has SHA-256 %.12s... instead of %.12s...; export the "
                       "model again",
                       manifest_path, model_path, digest, manifest->sha256);
    return result;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);
    return length > tail && strcasecmp(name + length - tail, suffix) == 0;
}

/* Counts the files in the folder with this suffix; name: the first in alphabetical order. */
static int count_models(const char *folder, const char *suffix, char name[SP_MANIFEST_NAME_BYTES])
{
    DIR *dir = opendir(folder);
    int count = 0;
    const struct dirent *entry;
    name[0] = '\0';
    while (dir && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);
        if (!ends_with(entry->d_name, suffix) || length >= SP_MANIFEST_NAME_BYTES)
            continue;
        if (count++ == 0 || strcmp(entry->d_name, name) < 0)
            memcpy(name, entry->d_name, length + 1);
    }
    if (dir)
        closedir(dir);
    return count;
}

/* A folder written by another exporter: best_openvino_model/ contains best.xml, best.bin and
 * metadata.yaml; best_saved_model/ one TFLite model in several precisions. */
static int resolve_export(struct sp_bundle *bundle, const char *path, struct sp_error *err)
{
    static const char *const endings[] = {".xml", "_float32.tflite", ".onnx", ".tflite"};
    char name[SP_MANIFEST_NAME_BYTES];
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        int count = count_models(path, endings[i], name);
        if (count > 1)
            return sp_fail(err, SP_ERR_INVALID,
                           "model %s: the folder contains %d models (*%s, the first is %s); give "
                           "the path of one file",
                           path, count, endings[i], name);
        if (count == 0)
            continue;
        size_t length = strlen(path);
        int written = snprintf(bundle->model_path, sizeof bundle->model_path, "%s%s%s", path,
                               length > 0 && path[length - 1] == '/' ? "" : "/", name);
        return written > 0 && (size_t)written < sizeof bundle->model_path
                   ? SP_OK
                   : sp_fail(err, SP_ERR_INVALID,
                             "model path of %d characters: too long; move the file", written);
    }
    return sp_fail(
        err, SP_ERR_NOT_FOUND,
        "model %s: the folder contains neither manifest.json nor a .xml, .onnx or .tflite file; "
        "give a model file, an exported folder, or a bundle of `spoton export`",
        path);
}

bool sp_bundle_find_manifest(const char *folder, char *path, size_t path_bytes)
{
    static const char *const names[] = {"manifest.json", "card.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int length = snprintf(path, path_bytes, "%s/%s", folder, names[i]);
        if (length > 0 && (size_t)length < path_bytes && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static int resolve_folder(struct sp_bundle *bundle, const char *path, struct sp_error *err)
{
    char manifest_path[sizeof bundle->model_path];
    if (!sp_bundle_find_manifest(path, manifest_path, sizeof manifest_path))
        return resolve_export(bundle, path, err);
    int result = sp_manifest_read(&bundle->manifest, manifest_path, err);
    if (result < 0)
        return result;
    bundle->is_folder = bundle->has_manifest = true;
    snprintf(bundle->model_path, sizeof bundle->model_path, "%s/%s", path, bundle->manifest.file);
    snprintf(bundle->cache_dir, sizeof bundle->cache_dir, "%s/cache", path);
    return check_digest(&bundle->manifest, bundle->model_path, manifest_path, err);
}

int sp_bundle_resolve(struct sp_bundle *bundle, const char *path, struct sp_error *err)
{
    *bundle = (struct sp_bundle){0};
    if (strlen(path) + 16 >= sizeof bundle->model_path)
        return sp_fail(err, SP_ERR_INVALID, "model path of %zu characters: too long; move the file",
                       strlen(path));
    if (is_folder(path))
        return resolve_folder(bundle, path, err);
    snprintf(bundle->model_path, sizeof bundle->model_path, "%s", path);
    char manifest_path[sizeof bundle->model_path + 8];
    snprintf(manifest_path, sizeof manifest_path, "%.*s.json", (int)stem_bytes(path), path);
    struct sp_error why = {0};
    if (access(manifest_path, F_OK) != 0 || access(path, F_OK) != 0)
        return SP_OK;
    int result = sp_manifest_read(&bundle->manifest, manifest_path, &why);
    if (result == SP_OK)
        result = check_digest(&bundle->manifest, path, manifest_path, &why);
    bundle->has_manifest = result == SP_OK;
    /* Other programs write .json files beside models, too: only a manifest gets a notice. */
    if (result < 0 && bundle->manifest.file[0])
        snprintf(bundle->notice, sizeof bundle->notice, "%s", why.text);
    return SP_OK;
}

void sp_bundle_check_cache(struct sp_bundle *bundle, const struct spoton_engine_api *engine)
{
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    const struct sp_manifest *manifest = &bundle->manifest;
    if (!bundle->is_folder)
        return;
    engine->probe(&probe);
    const char *what = NULL, *was = NULL, *is = NULL;
    if (strcmp(manifest->engine, engine->name) != 0)
        what = "engine", was = manifest->engine, is = engine->name;
    else if (strcmp(manifest->engine_version, probe.version) != 0)
        what = "engine version", was = manifest->engine_version, is = probe.version;
    else if (strcmp(manifest->device, probe.device) != 0)
        what = "device", was = manifest->device, is = probe.device;
    bool has_cache = is_folder(bundle->cache_dir);
    if (!what && has_cache)
        return;
    bundle->cache_dir[0] = '\0';
    if (what)
        snprintf(bundle->notice, sizeof bundle->notice,
                 "model %s: its cache was compiled for another %s (%s, this machine has %s); "
                 "compiling the model again",
                 bundle->model_path, what, was, is);
    else
        snprintf(bundle->notice, sizeof bundle->notice,
                 "model %s: the bundle has no folder cache; compiling the model again",
                 bundle->model_path);
}

bool sp_bundle_find_int8(struct sp_bundle *int8, const char *model_path)
{
    char manifest_path[sizeof int8->model_path + 16], digest[SP_DIGEST_TEXT_BYTES];
    const char *slash = strrchr(model_path, '/');
    int folder = slash ? (int)(slash + 1 - model_path) : 0;
    *int8 = (struct sp_bundle){0};
    snprintf(manifest_path, sizeof manifest_path, "%.*s-int8.json", (int)stem_bytes(model_path),
             model_path);
    if (sp_manifest_read(&int8->manifest, manifest_path, NULL) < 0 ||
        int8->manifest.precision != SPOTON_PRECISION_INT8 ||
        !sp_manifest_passed_check(&int8->manifest))
        return false;
    snprintf(int8->model_path, sizeof int8->model_path, "%.*s%s", folder, model_path,
             int8->manifest.file);
    int8->has_manifest = true;
    return sp_digest_file(model_path, digest, NULL) == SP_OK &&
           strcmp(digest, int8->manifest.source_sha256) == 0 &&
           check_digest(&int8->manifest, int8->model_path, manifest_path, NULL) == SP_OK;
}
