/* Models whose tensors have any shape, whose file holds any class names, and whose outputs hold any
 * numbers in any shape: recognised or refused, and decoded within the memory that there is. */
#include "detect/head.h"
#include "detect/names.h"
#include "detect/verify.h"

#include "fuzz.h"

#include <math.h>

enum { FLOATS_MAX = 1 << 15, CLASSES_MAX = 2048, SIZES = 16 };

static struct fuzz_bytes input;

/* Mostly sizes that mean something, sometimes any number. */
static int64_t take_size(void)
{
    static const int64_t sizes[SIZES] = {-1, 0,  1,   2,   3,   5,    6,   7,
                                         84, 85, 300, 320, 640, 2100, 8400};
    unsigned choice = (unsigned)fuzz_take(&input, 1);
    if (choice < 0xF0)
        return sizes[choice % (SIZES - 1)];
    return choice < 0xFC ? (int64_t)(int16_t)fuzz_take(&input, 2) : (int64_t)fuzz_take(&input, 8);
}

static void take_tensor(struct spoton_tensor *tensor)
{
    unsigned kind = (unsigned)fuzz_take(&input, 1);
    tensor->element = (enum spoton_element)(kind & 7);
    tensor->rank = kind >> 3 < 24 ? (int)(3 + (kind >> 3) % 2) : (int)(kind >> 3) % 9;
    for (int i = 0; i < tensor->rank && i < SPOTON_RANK_MAX; i++)
        tensor->dims[i] = take_size();
    snprintf(tensor->name, sizeof tensor->name, "images");
}

static int inspect(const char *path, struct spoton_model_info *info, char *error,
                   size_t error_bytes)
{
    (void)path;
    unsigned counts = (unsigned)fuzz_take(&input, 1);
    snprintf(error, error_bytes, "unreadable");
    if (counts == 0xFF)
        return -1;
    info->input_count = counts < 0xE0 ? 1 : (int)(counts & 7);
    info->output_count = counts < 0xE0 ? 1 : (int)(counts >> 3 & 3);
    take_tensor(&info->input[0]);
    take_tensor(&info->output[0]);
    return 0;
}

/* Numbers from the input's end, again and again; every byte stands for a float of some sort. */
static float *make_floats(size_t count)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 1e-40f, 0.0f, -0.0f};
    float *data = malloc(count ? count * sizeof *data : 1);
    FUZZ_CHECK(data != NULL);
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = input.left ? input.at[i % input.left] : 0;
        if (byte >= 0xF8)
            data[i] = odd[byte & 7];
        else
            data[i] = byte & 1 ? (float)byte / 240.0f : (float)byte * 3.0f - 20.0f;
    }
    return data;
}

static void check_detections(const struct sp_detection *found, size_t count, double threshold,
                             int classes, const struct sp_letterbox_geometry *geometry)
{
    FUZZ_CHECK(count <= SP_DETECTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct sp_detection *d = &found[i];
        FUZZ_CHECK(d->x1_px >= 0 && d->x1_px < d->x2_px && d->x2_px <= geometry->source_width_px);
        FUZZ_CHECK(d->y1_px >= 0 && d->y1_px < d->y2_px && d->y2_px <= geometry->source_height_px);
        FUZZ_CHECK(d->score >= threshold && d->score <= 1);
        FUZZ_CHECK(i == 0 || d->score <= found[i - 1].score);
        FUZZ_CHECK(d->class_id >= 0 && d->class_id < classes);
    }
}

static void decode(struct sp_model *model, const int64_t dims[2], int rank, int width, int height)
{
    static struct sp_detection found[SP_DETECTIONS_MAX];
    bool *wanted = calloc((size_t)model->classes, sizeof *wanted);
    struct sp_letterbox_geometry geometry;
    FUZZ_CHECK(wanted != NULL);
    unsigned mask = (unsigned)fuzz_take(&input, 1);
    for (int i = 0; i < model->classes; i++)
        wanted[i] = (mask >> i % 8 & 1) != 0;
    double threshold = (double)fuzz_take(&input, 1) / 255;
    struct sp_head_options options = {
        .score_threshold = threshold, .nms_iou = 0.7, .class_wanted = mask == 0xFF ? NULL : wanted};
    float *data = make_floats((size_t)dims[0] * (size_t)dims[1]);
    sp_letterbox_geometry(&geometry, 1920, 1080, width, height);
    struct sp_error err = {0};
    int result = sp_model_verify(model, data, dims, rank, width, height, &err);
    fuzz_check_result(result, &err);
    size_t count = sp_head_decode(model, data, dims, rank, &options, &geometry, found);
    check_detections(found, count, threshold, model->classes, &geometry);
    free(data);
    free(wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_model model;
    static const struct spoton_engine_api engine = {.abi = SPOTON_ENGINE_ABI, .inspect = inspect};
    struct sp_error err = {0};
    char path[64];
    /* The file's names stand behind the numbers, from the first brace on. */
    const uint8_t *names = bytes ? memchr(data, '{', bytes) : NULL;
    size_t names_bytes = names ? bytes - (size_t)(names - data) : 0;
    int file = fuzz_file(names ? names : data, names_bytes, path);
    input = (struct fuzz_bytes){data, bytes - names_bytes};
    int result = sp_model_open(&model, &engine, path, &err);
    fuzz_check_result(result, &err);
    close(file);
    if (result < 0)
        return 0;
    FUZZ_CHECK(model.classes > 0 && model.classes < CLASSES_MAX);
    FUZZ_CHECK(model.person_class < model.classes);
    /* What the engine gives need not be what the file promised. */
    int64_t values = model.family == SP_FAMILY_END_TO_END ? 6 : 4 + (int64_t)model.classes;
    bool rows_first = model.rows_first || model.family == SP_FAMILY_END_TO_END;
    int64_t boxes = (int64_t)(fuzz_take(&input, 2) % (FLOATS_MAX / (size_t)values + 1));
    unsigned oddity = (unsigned)fuzz_take(&input, 1);
    int width = model.fixed_width_px ? model.fixed_width_px : 320;
    int height = model.fixed_height_px ? model.fixed_height_px : 192;
    FUZZ_CHECK(width > 0 && width <= 8192 && height > 0 && height <= 8192);
    if (oddity < 0x80) {
        static const int strides[] = {8, 16, 32};
        boxes = 0;
        for (int i = 0; i < 3; i++)
            boxes += (int64_t)((width + strides[i] - 1) / strides[i]) *
                     ((height + strides[i] - 1) / strides[i]);
        if (boxes * values > FLOATS_MAX)
            return 0;
    }
    if (oddity >= 0xF0)
        values += (int)(oddity & 7) - 3;
    const int64_t dims[2] = {rows_first ? boxes : values, rows_first ? values : boxes};
    decode(&model, dims, oddity == 0xEF ? 3 : 2, width, height);
    return 0;
}
