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
    for (int i = 0; i < info->output_count; i++)
        take_tensor(&info->output[i]);
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
        FUZZ_CHECK(d->confidence >= threshold && d->confidence <= 1);
        FUZZ_CHECK(i == 0 || d->confidence <= found[i - 1].confidence);
        FUZZ_CHECK(d->class_id >= 0 && d->class_id < classes);
    }
}

/* By what the file promised, and by what the first run made of it. */
static void decode(const struct sp_model *opened, const int64_t dims[2][2], int rank, int width,
                   int height)
{
    static struct sp_detection found[SP_DETECTIONS_MAX];
    static struct sp_model model;
    bool *wanted = calloc((size_t)opened->classes, sizeof *wanted);
    struct sp_letterbox_geometry geometry;
    FUZZ_CHECK(wanted != NULL);
    unsigned mask = (unsigned)fuzz_take(&input, 1);
    for (int i = 0; i < opened->classes; i++)
        wanted[i] = (mask >> i % 8 & 1) != 0;
    double threshold = (double)fuzz_take(&input, 1) / 255;
    struct sp_head_options options = {.confidence_threshold = threshold,
                                      .nms_iou = 0.7,
                                      .class_wanted = mask == 0xFF ? NULL : wanted};
    int count = 1 + (opened->boxes_output != opened->confidences_output);
    struct sp_model_output outputs[2] = {0};
    float *data[2] = {NULL, NULL};
    for (int i = 0; i < count; i++) {
        data[i] = make_floats((size_t)dims[i][0] * (size_t)dims[i][1]);
        outputs[i].data = data[i];
        outputs[i].rank = rank;
        outputs[i].dims[0] = dims[i][0];
        outputs[i].dims[1] = dims[i][1];
        outputs[i].dims[2] = 1;
    }
    sp_letterbox_geometry(&geometry, 1920, 1080, width, height);
    size_t boxes = sp_head_decode(opened, outputs, &options, &geometry, found);
    check_detections(found, boxes, threshold, opened->classes, &geometry);
    struct sp_error err = {0};
    model = *opened;
    int result = sp_model_verify(&model, outputs, count, width, height, &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK) {
        FUZZ_CHECK(model.classes > 0 && model.classes <= opened->classes);
        boxes = sp_head_decode(&model, outputs, &options, &geometry, found);
        check_detections(found, boxes, threshold, model.classes, &geometry);
    }
    free(data[0]);
    free(data[1]);
    free(wanted);
}

static struct sp_model_wish take_wish(void)
{
    unsigned wish = (unsigned)fuzz_take(&input, 1);
    if (wish < 0xA0)
        return (struct sp_model_wish){0};
    return (struct sp_model_wish){.head_type = (enum sp_head_type)(wish % 8),
                                  .range = (enum sp_input_range)(wish / 8 % 3),
                                  .color = (enum sp_input_color)(wish / 24 % 3)};
}

/* Values a box of the model's first output, by what the file promised. */
static int64_t values_of(const struct sp_model *model)
{
    switch (model->head_type) {
    case SP_HEAD_END_TO_END:
        return 6;
    case SP_HEAD_YOLOV5:
    case SP_HEAD_YOLOX:
    case SP_HEAD_YOLOV6:
        return 5 + (int64_t)model->classes;
    default:
        return 4 + (int64_t)model->classes;
    }
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
    struct sp_model_wish wish = take_wish();
    int result = sp_model_open(&model, &engine, path, &wish, &err);
    fuzz_check_result(result, &err);
    close(file);
    if (result < 0)
        return 0;
    FUZZ_CHECK(model.classes > 0 && model.classes < CLASSES_MAX);
    FUZZ_CHECK(model.person_class < model.classes);
    /* What the engine gives need not be what the file promised. */
    int64_t values = values_of(&model);
    bool rows_first = model.rows_first || model.head_type == SP_HEAD_END_TO_END;
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
    if (model.head_type == SP_HEAD_YOLOV5 && oddity < 0x80) {
        boxes *= 3;
        if (boxes * values > FLOATS_MAX)
            return 0;
    }
    if (oddity >= 0xF0)
        values += (int)(oddity & 7) - 3;
    int64_t dims[2][2] = {{rows_first ? boxes : values, rows_first ? values : boxes}};
    if (model.boxes_output != model.confidences_output) {
        if (boxes * model.classes > FLOATS_MAX)
            return 0;
        dims[model.boxes_output][0] = dims[model.confidences_output][0] = boxes;
        dims[model.boxes_output][1] = oddity >= 0xF0 ? oddity & 7 : 4;
        dims[model.confidences_output][1] = model.classes;
    }
    decode(&model, dims, oddity == 0xEF ? 3 : 2, width, height);
    return 0;
}
