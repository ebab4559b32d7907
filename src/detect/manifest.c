#include "detect/manifest.h"

#include "base/json.h"
#include "base/lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "spoton model manifest"
#define OLD_FORMAT "spoton model card" /* up to 0.2, with other names of some keys */

enum { MANIFEST_VERSION = 1, MANIFEST_BYTES_MAX = 1 << 20 };

static const char *const precisions[] = {
    [SPOTON_PRECISION_AUTO] = "auto", [SPOTON_PRECISION_F32] = "f32",
    [SPOTON_PRECISION_BF16] = "bf16", [SPOTON_PRECISION_F16] = "f16",
    [SPOTON_PRECISION_INT8] = "int8",
};

/* ---- reading ---- */

static const struct {
    const char *key, *old;
} old_keys[] = {
    {"head_type", "family"},
    {"quantization_check", "gate"},
    {"confidence", "score"},
    {"check_frames", "gate_frames"},
};

/* The member of that name, or of the name that it had up to 0.2. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    for (size_t i = 0; !value && i < sizeof old_keys / sizeof *old_keys; ++i)
        if (strcmp(key, old_keys[i].key) == 0)
            value = json_object_get(object, old_keys[i].old);
    return value;
}

struct reader {
    const char *path;
    struct sp_error *err;
    bool failed;
};

static void refuse(struct reader *reader, const char *key, const char *wanted)
{
    if (!reader->failed)
        sp_fail(reader->err, SP_ERR_FORMAT,
                "model manifest %s: \"%s\" must be %s; export the model again", reader->path, key,
                wanted);
    reader->failed = true;
}

static void get_text(struct reader *reader, const json_t *object, const char *key, char *out,
                     size_t out_bytes)
{
    const char *text = json_string_value(member(object, key));
    if (!text || strlen(text) >= out_bytes)
        refuse(reader, key, "a string, and not so long");
    else
        snprintf(out, out_bytes, "%s", text);
}

static double get_number(struct reader *reader, const json_t *object, const char *key, double low,
                         double high)
{
    const json_t *value = member(object, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || number < low || number > high) {
        refuse(reader, key, "a number within its range");
        return low;
    }
    return number;
}

static int get_count(struct reader *reader, const json_t *object, const char *key, int low)
{
    return (int)get_number(reader, object, key, low, 1e9);
}

static void read_precision(struct reader *reader, const json_t *root, struct sp_manifest *manifest)
{
    char word[16] = "";
    get_text(reader, root, "precision", word, sizeof word);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; ++i) {
        if (strcmp(word, precisions[i]) == 0) {
            manifest->precision = (enum spoton_precision)i;
            return;
        }
    }
    refuse(reader, "precision", "f32, bf16, f16 or int8");
}

static void read_sources(struct reader *reader, const json_t *list, struct sp_manifest *manifest)
{
    size_t index;
    const json_t *entry;
    json_array_foreach(list, index, entry)
    {
        if (manifest->source_count == SP_CAMERAS_MAX)
            return;
        struct sp_manifest_source *source = &manifest->source[manifest->source_count++];
        get_text(reader, entry, "name", source->name, sizeof source->name);
        source->frames = get_count(reader, entry, "frames", 0);
        source->check_frames = get_count(reader, entry, "check_frames", 0);
        source->recall = get_number(reader, entry, "recall", 0, 1);
        source->precision = get_number(reader, entry, "precision", 0, 1);
    }
}

static void read_quantization(struct reader *reader, const json_t *root,
                              struct sp_manifest *manifest)
{
    const json_t *calibration = json_object_get(root, "calibration");
    const json_t *check = member(root, "quantization_check");
    if (json_is_object(calibration)) {
        manifest->calibration_frames = get_count(reader, calibration, "frames", 1);
        get_text(reader, calibration, "method", manifest->calibration_method,
                 sizeof manifest->calibration_method);
        read_sources(reader, json_object_get(calibration, "sources"), manifest);
    }
    if (json_is_object(check)) {
        manifest->check_frames = get_count(reader, check, "frames", 1);
        manifest->check_boxes = get_count(reader, check, "boxes", 0);
        manifest->check_iou = get_number(reader, check, "iou", 0, 1);
        manifest->check_confidence = get_number(reader, check, "confidence", 0, 1);
        manifest->check_required = get_number(reader, check, "required", 0, 1);
        manifest->check_recall = get_number(reader, check, "recall", 0, 1);
        manifest->check_precision = get_number(reader, check, "precision", 0, 1);
    }
}

static void read_root(struct reader *reader, const json_t *root, struct sp_manifest *manifest)
{
    char format[32] = "";
    const json_t *input = json_object_get(root, "input");
    const json_t *engine = json_object_get(root, "engine");
    const json_t *source = json_object_get(root, "source");
    get_text(reader, root, "format", format, sizeof format);
    if (strcmp(format, FORMAT) != 0 && strcmp(format, OLD_FORMAT) != 0)
        refuse(reader, "format", "\"" FORMAT "\"");
    get_number(reader, root, "version", MANIFEST_VERSION, MANIFEST_VERSION);
    get_text(reader, root, "file", manifest->file, sizeof manifest->file);
    if (strchr(manifest->file, '/') || manifest->file[0] == '.')
        refuse(reader, "file", "the name of a file beside the manifest");
    get_text(reader, root, "sha256", manifest->sha256, sizeof manifest->sha256);
    manifest->bytes = (int64_t)get_number(reader, root, "bytes", 0, 1e15);
    get_text(reader, source, "file", manifest->source_file, sizeof manifest->source_file);
    get_text(reader, source, "sha256", manifest->source_sha256, sizeof manifest->source_sha256);
    get_text(reader, root, "head_type", manifest->head_type, sizeof manifest->head_type);
    manifest->classes = get_count(reader, root, "classes", 1);
    manifest->width_px = get_count(reader, input, "width", 1);
    manifest->height_px = get_count(reader, input, "height", 1);
    manifest->batch = get_count(reader, input, "batch", 1);
    read_precision(reader, root, manifest);
    get_text(reader, engine, "name", manifest->engine, sizeof manifest->engine);
    get_text(reader, engine, "version", manifest->engine_version, sizeof manifest->engine_version);
    get_text(reader, engine, "device", manifest->device, sizeof manifest->device);
    manifest->cache_bytes = (int64_t)get_number(reader, engine, "cache_bytes", 0, 1e15);
    manifest->compile_s = get_number(reader, engine, "compile_s", 0, 1e9);
    manifest->ms_per_image = get_number(reader, engine, "ms_per_image", 0, 1e9);
    read_quantization(reader, root, manifest);
}

int sp_manifest_read(struct sp_manifest *manifest, const char *path, struct sp_error *err)
{
    struct stat status;
    json_error_t why;
    *manifest = (struct sp_manifest){0};
    if (stat(path, &status) != 0)
        return sp_fail(err, sp_error_from_errno(errno), "model manifest %s: %s", path,
                       strerror(errno));
    if (status.st_size > MANIFEST_BYTES_MAX)
        return sp_fail(err, SP_ERR_FORMAT,
                       "model manifest %s: %lld bytes are too many for a manifest; at most %d "
                       "are read",
                       path, (long long)status.st_size, MANIFEST_BYTES_MAX);
    FILE *file = sp_lines_open(path);
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "model manifest %s: %s", path,
                       strerror(errno));
    json_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    fclose(file);
    if (!root)
        return sp_fail(err, SP_ERR_FORMAT, "model manifest %s: line %d: %s", path, why.line,
                       why.text);
    struct reader reader = {.path = path, .err = err};
    read_root(&reader, root, manifest);
    json_decref(root);
    return reader.failed ? SP_ERR_FORMAT : SP_OK;
}

/* ---- writing ---- */

static void put_calibration(struct sp_json *json, const struct sp_manifest *manifest)
{
    sp_json_key(json, "calibration");
    sp_json_begin_object(json);
    sp_json_member_string(json, "method", manifest->calibration_method);
    sp_json_member_int(json, "frames", manifest->calibration_frames);
    sp_json_key(json, "sources");
    sp_json_begin_array(json);
    for (int i = 0; i < manifest->source_count; ++i) {
        const struct sp_manifest_source *source = &manifest->source[i];
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", source->name);
        sp_json_member_int(json, "frames", source->frames);
        sp_json_member_int(json, "check_frames", source->check_frames);
        sp_json_member_number(json, "recall", source->recall, 4);
        sp_json_member_number(json, "precision", source->precision, 4);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

static void put_check(struct sp_json *json, const struct sp_manifest *manifest)
{
    sp_json_key(json, "quantization_check");
    sp_json_begin_object(json);
    sp_json_member_int(json, "frames", manifest->check_frames);
    sp_json_member_int(json, "boxes", manifest->check_boxes);
    sp_json_member_number(json, "iou", manifest->check_iou, 3);
    sp_json_member_number(json, "confidence", manifest->check_confidence, 3);
    sp_json_member_number(json, "required", manifest->check_required, 4);
    sp_json_member_number(json, "recall", manifest->check_recall, 4);
    sp_json_member_number(json, "precision", manifest->check_precision, 4);
    sp_json_end_object(json);
}

static void put_manifest(struct sp_json *json, const struct sp_manifest *manifest)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "format", FORMAT);
    sp_json_member_int(json, "version", MANIFEST_VERSION);
    sp_json_member_string(json, "file", manifest->file);
    sp_json_member_string(json, "sha256", manifest->sha256);
    sp_json_member_int(json, "bytes", manifest->bytes);
    sp_json_member_string(json, "head_type", manifest->head_type);
    sp_json_member_int(json, "classes", manifest->classes);
    sp_json_member_string(json, "precision", precisions[manifest->precision]);
    sp_json_key(json, "source");
    sp_json_begin_object(json);
    sp_json_member_string(json, "file", manifest->source_file);
    sp_json_member_string(json, "sha256", manifest->source_sha256);
    sp_json_end_object(json);
    sp_json_key(json, "input");
    sp_json_begin_object(json);
    sp_json_member_int(json, "width", manifest->width_px);
    sp_json_member_int(json, "height", manifest->height_px);
    sp_json_member_int(json, "batch", manifest->batch);
    sp_json_end_object(json);
    sp_json_key(json, "engine");
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", manifest->engine);
    sp_json_member_string(json, "version", manifest->engine_version);
    sp_json_member_string(json, "device", manifest->device);
    sp_json_member_int(json, "cache_bytes", manifest->cache_bytes);
    sp_json_member_number(json, "compile_s", manifest->compile_s, 2);
    sp_json_member_number(json, "ms_per_image", manifest->ms_per_image, 3);
    sp_json_end_object(json);
    if (manifest->calibration_frames > 0)
        put_calibration(json, manifest);
    if (manifest->check_frames > 0)
        put_check(json, manifest);
    sp_json_end_object(json);
}

int sp_manifest_write(const struct sp_manifest *manifest, const char *path, struct sp_error *err)
{
    char part[4096 + 8];
    struct sp_json json = {0};
    put_manifest(&json, manifest);
    snprintf(part, sizeof part, "%s.part", path);
    int why = 0;
    FILE *file = json.failed ? NULL : fopen(part, "wbe");
    if (!file)
        why = json.failed ? ENOMEM : errno;
    else if (fprintf(file, "%s\n", json.text) < 0 || fflush(file) != 0)
        why = errno;
    if (file && fclose(file) != 0 && !why)
        why = errno;
    sp_json_release(&json);
    if (!why && rename(part, path) != 0)
        why = errno;
    if (why && file)
        unlink(part);
    return why ? sp_fail(err, sp_error_from_errno(why), "model manifest %s: %s", path,
                         strerror(why))
               : SP_OK;
}

bool sp_manifest_passed_check(const struct sp_manifest *manifest)
{
    return manifest->check_frames > 0 && manifest->check_boxes > 0 &&
           manifest->check_recall >= manifest->check_required &&
           manifest->check_precision >= manifest->check_required;
}
