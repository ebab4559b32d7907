#include "detect/card.h"

#include "base/json.h"
#include "base/lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "spoton model card"

enum { CARD_VERSION = 1, CARD_BYTES_MAX = 1 << 20 };

static const char *const precisions[] = {
    [SPOTON_PRECISION_AUTO] = "auto", [SPOTON_PRECISION_F32] = "f32",
    [SPOTON_PRECISION_BF16] = "bf16", [SPOTON_PRECISION_F16] = "f16",
    [SPOTON_PRECISION_INT8] = "int8",
};

/* ---- reading ---- */

struct reader {
    const char *path;
    struct sp_error *err;
    bool failed;
};

static void refuse(struct reader *reader, const char *key, const char *wanted)
{
    if (!reader->failed)
        sp_fail(reader->err, SP_ERR_FORMAT,
                "model card %s: \"%s\" is not %s; export the model again", reader->path, key,
                wanted);
    reader->failed = true;
}

static void get_text(struct reader *reader, const json_t *object, const char *key, char *out,
                     size_t out_bytes)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= out_bytes)
        refuse(reader, key, "a short text");
    else
        snprintf(out, out_bytes, "%s", text);
}

static double get_number(struct reader *reader, const json_t *object, const char *key, double low,
                         double high)
{
    const json_t *value = json_object_get(object, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || number < low || number > high) {
        refuse(reader, key, "a number in its range");
        return low;
    }
    return number;
}

static int get_count(struct reader *reader, const json_t *object, const char *key, int low)
{
    return (int)get_number(reader, object, key, low, 1e9);
}

static void read_precision(struct reader *reader, const json_t *root, struct sp_card *card)
{
    char word[16] = "";
    get_text(reader, root, "precision", word, sizeof word);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; ++i) {
        if (strcmp(word, precisions[i]) == 0) {
            card->precision = (enum spoton_precision)i;
            return;
        }
    }
    refuse(reader, "precision", "f32, bf16, f16 or int8");
}

static void read_sources(struct reader *reader, const json_t *list, struct sp_card *card)
{
    size_t index;
    const json_t *entry;
    json_array_foreach(list, index, entry)
    {
        if (card->source_count == SP_CARD_SOURCES_MAX)
            return;
        struct sp_card_source *source = &card->source[card->source_count++];
        get_text(reader, entry, "name", source->name, sizeof source->name);
        source->frames = get_count(reader, entry, "frames", 0);
        source->gate_frames = get_count(reader, entry, "gate_frames", 0);
        source->recall = get_number(reader, entry, "recall", 0, 1);
        source->precision = get_number(reader, entry, "precision", 0, 1);
    }
}

static void read_quantisation(struct reader *reader, const json_t *root, struct sp_card *card)
{
    const json_t *calibration = json_object_get(root, "calibration");
    const json_t *gate = json_object_get(root, "gate");
    if (json_is_object(calibration)) {
        card->calibration_frames = get_count(reader, calibration, "frames", 1);
        get_text(reader, calibration, "method", card->calibration_method,
                 sizeof card->calibration_method);
        read_sources(reader, json_object_get(calibration, "sources"), card);
    }
    if (json_is_object(gate)) {
        card->gate_frames = get_count(reader, gate, "frames", 1);
        card->gate_boxes = get_count(reader, gate, "boxes", 0);
        card->gate_iou = get_number(reader, gate, "iou", 0, 1);
        card->gate_score = get_number(reader, gate, "score", 0, 1);
        card->gate_required = get_number(reader, gate, "required", 0, 1);
        card->gate_recall = get_number(reader, gate, "recall", 0, 1);
        card->gate_precision = get_number(reader, gate, "precision", 0, 1);
    }
}

static void read_root(struct reader *reader, const json_t *root, struct sp_card *card)
{
    char format[32] = "";
    const json_t *input = json_object_get(root, "input");
    const json_t *engine = json_object_get(root, "engine");
    const json_t *source = json_object_get(root, "source");
    get_text(reader, root, "format", format, sizeof format);
    if (strcmp(format, FORMAT) != 0)
        refuse(reader, "format", "\"" FORMAT "\"");
    get_number(reader, root, "version", CARD_VERSION, CARD_VERSION);
    get_text(reader, root, "file", card->file, sizeof card->file);
    if (strchr(card->file, '/') || card->file[0] == '.')
        refuse(reader, "file", "the name of a file beside the card");
    get_text(reader, root, "sha256", card->sha256, sizeof card->sha256);
    card->bytes = (int64_t)get_number(reader, root, "bytes", 0, 1e15);
    get_text(reader, source, "file", card->source_file, sizeof card->source_file);
    get_text(reader, source, "sha256", card->source_sha256, sizeof card->source_sha256);
    get_text(reader, root, "family", card->family, sizeof card->family);
    card->classes = get_count(reader, root, "classes", 1);
    card->width_px = get_count(reader, input, "width", 1);
    card->height_px = get_count(reader, input, "height", 1);
    card->batch = get_count(reader, input, "batch", 1);
    read_precision(reader, root, card);
    get_text(reader, engine, "name", card->engine, sizeof card->engine);
    get_text(reader, engine, "version", card->engine_version, sizeof card->engine_version);
    get_text(reader, engine, "device", card->device, sizeof card->device);
    card->cache_bytes = (int64_t)get_number(reader, engine, "cache_bytes", 0, 1e15);
    card->compile_s = get_number(reader, engine, "compile_s", 0, 1e9);
    card->ms_per_image = get_number(reader, engine, "ms_per_image", 0, 1e9);
    read_quantisation(reader, root, card);
}

int sp_card_read(struct sp_card *card, const char *path, struct sp_error *err)
{
    struct stat status;
    json_error_t why;
    *card = (struct sp_card){0};
    if (stat(path, &status) != 0)
        return sp_fail(err, sp_error_from_errno(errno), "model card %s: %s", path, strerror(errno));
    if (status.st_size > CARD_BYTES_MAX)
        return sp_fail(err, SP_ERR_FORMAT, "model card %s: %lld bytes are no card", path,
                       (long long)status.st_size);
    FILE *file = sp_lines_open(path);
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "model card %s: %s", path, strerror(errno));
    json_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    fclose(file);
    if (!root)
        return sp_fail(err, SP_ERR_FORMAT, "model card %s: line %d: %s", path, why.line, why.text);
    struct reader reader = {.path = path, .err = err};
    read_root(&reader, root, card);
    json_decref(root);
    return reader.failed ? SP_ERR_FORMAT : SP_OK;
}

/* ---- writing ---- */

static void put_calibration(struct sp_json *json, const struct sp_card *card)
{
    sp_json_key(json, "calibration");
    sp_json_begin_object(json);
    sp_json_member_string(json, "method", card->calibration_method);
    sp_json_member_int(json, "frames", card->calibration_frames);
    sp_json_key(json, "sources");
    sp_json_begin_array(json);
    for (int i = 0; i < card->source_count; ++i) {
        const struct sp_card_source *source = &card->source[i];
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", source->name);
        sp_json_member_int(json, "frames", source->frames);
        sp_json_member_int(json, "gate_frames", source->gate_frames);
        sp_json_member_number(json, "recall", source->recall, 4);
        sp_json_member_number(json, "precision", source->precision, 4);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

static void put_gate(struct sp_json *json, const struct sp_card *card)
{
    sp_json_key(json, "gate");
    sp_json_begin_object(json);
    sp_json_member_int(json, "frames", card->gate_frames);
    sp_json_member_int(json, "boxes", card->gate_boxes);
    sp_json_member_number(json, "iou", card->gate_iou, 3);
    sp_json_member_number(json, "score", card->gate_score, 3);
    sp_json_member_number(json, "required", card->gate_required, 4);
    sp_json_member_number(json, "recall", card->gate_recall, 4);
    sp_json_member_number(json, "precision", card->gate_precision, 4);
    sp_json_end_object(json);
}

static void put_card(struct sp_json *json, const struct sp_card *card)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "format", FORMAT);
    sp_json_member_int(json, "version", CARD_VERSION);
    sp_json_member_string(json, "file", card->file);
    sp_json_member_string(json, "sha256", card->sha256);
    sp_json_member_int(json, "bytes", card->bytes);
    sp_json_member_string(json, "family", card->family);
    sp_json_member_int(json, "classes", card->classes);
    sp_json_member_string(json, "precision", precisions[card->precision]);
    sp_json_key(json, "source");
    sp_json_begin_object(json);
    sp_json_member_string(json, "file", card->source_file);
    sp_json_member_string(json, "sha256", card->source_sha256);
    sp_json_end_object(json);
    sp_json_key(json, "input");
    sp_json_begin_object(json);
    sp_json_member_int(json, "width", card->width_px);
    sp_json_member_int(json, "height", card->height_px);
    sp_json_member_int(json, "batch", card->batch);
    sp_json_end_object(json);
    sp_json_key(json, "engine");
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", card->engine);
    sp_json_member_string(json, "version", card->engine_version);
    sp_json_member_string(json, "device", card->device);
    sp_json_member_int(json, "cache_bytes", card->cache_bytes);
    sp_json_member_number(json, "compile_s", card->compile_s, 2);
    sp_json_member_number(json, "ms_per_image", card->ms_per_image, 3);
    sp_json_end_object(json);
    if (card->calibration_frames > 0)
        put_calibration(json, card);
    if (card->gate_frames > 0)
        put_gate(json, card);
    sp_json_end_object(json);
}

int sp_card_write(const struct sp_card *card, const char *path, struct sp_error *err)
{
    char part[4096 + 8];
    struct sp_json json = {0};
    put_card(&json, card);
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
    return why ? sp_fail(err, sp_error_from_errno(why), "model card %s: %s", path, strerror(why))
               : SP_OK;
}

bool sp_card_passed_gate(const struct sp_card *card)
{
    return card->gate_frames > 0 && card->gate_boxes > 0 &&
           card->gate_recall >= card->gate_required && card->gate_precision >= card->gate_required;
}
