#include "detect/model.h"
#include "detect/names.h"
#include "detect/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUPPORTED                                                                                  \
    "supported: one output [b,4+classes,n] or [b,n,4+classes] (YOLOv8, YOLO11) or [b,300,6] "      \
    "(YOLO10, YOLO26); see docs/MODELS.md"

enum { INPUT_PX_MAX = 8192, BATCH_MAX = 1024 };
enum { COCO_CLASSES = 80, CLASSES_MAX = 1000, STRIDE_PX = 32, END_TO_END_ROWS_MAX = 1000 };

/* "[1,84,8400] f32" */
struct shape_text {
    char text[128];
};

static struct shape_text shape_of(const struct spoton_tensor *tensor)
{
    static const char *const elements[] = {
        [SPOTON_ELEMENT_OTHER] = "of another type",
        [SPOTON_ELEMENT_F32] = "f32",
        [SPOTON_ELEMENT_F16] = "f16",
        [SPOTON_ELEMENT_BF16] = "bf16",
        [SPOTON_ELEMENT_U8] = "u8",
        [SPOTON_ELEMENT_I8] = "i8",
        [SPOTON_ELEMENT_I32] = "i32",
        [SPOTON_ELEMENT_I64] = "i64",
    };
    struct shape_text shape;
    size_t used = 0, room = sizeof shape.text;
    for (int i = 0; i < tensor->rank; ++i) {
        char number[24] = "?";
        if (tensor->dims[i] >= 0)
            snprintf(number, sizeof number, "%lld", (long long)tensor->dims[i]);
        used += (size_t)snprintf(shape.text + used, room - used, "%s%s", i ? "," : "[", number);
        if (used >= room)
            return shape;
    }
    snprintf(shape.text + used, room - used, "%s%s", tensor->rank ? "] " : "of any rank, ",
             elements[tensor->element]);
    return shape;
}

static int read_input(struct sp_model *model, const struct spoton_model_info *info,
                      struct sp_error *err)
{
    const struct spoton_tensor *input = &info->input[0];
    if (info->input_count != 1)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "model %s: has %d inputs; one picture is supported",
                       model->path, info->input_count);
    bool nchw = input->rank == 4 && input->dims[1] == 3;
    bool nhwc = input->rank == 4 && input->dims[3] == 3;
    if (!nchw && !nhwc)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s, not a picture; supported: [b,3,height,width] "
                       "or [b,height,width,3]; see docs/MODELS.md",
                       model->path, input->name, shape_of(input).text);
    switch (input->element) {
    case SPOTON_ELEMENT_F32:
    case SPOTON_ELEMENT_F16:
    case SPOTON_ELEMENT_BF16:
        model->scale = 255;
        break;
    case SPOTON_ELEMENT_U8:
        model->scale = 1;
        break;
    default:
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s; supported: f32, f16, bf16 (0..1) and u8",
                       model->path, input->name, shape_of(input).text);
    }
    model->layout = nchw ? SPOTON_LAYOUT_NCHW : SPOTON_LAYOUT_NHWC;
    int64_t height = input->dims[nchw ? 2 : 1], width = input->dims[nchw ? 3 : 2];
    if (input->dims[0] > BATCH_MAX || height > INPUT_PX_MAX || width > INPUT_PX_MAX)
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "model %s: input \"%s\" is %s; supported: up to %d pictures of up to %d px a "
            "side",
            model->path, input->name, shape_of(input).text, BATCH_MAX, INPUT_PX_MAX);
    model->fixed_batch = input->dims[0] > 0 ? (int)input->dims[0] : 0;
    model->fixed_height_px = height > 0 ? (int)height : 0;
    model->fixed_width_px = width > 0 ? (int)width : 0;
    model->stride_px = STRIDE_PX;
    return SP_OK;
}

static bool size_is_fixed(const struct sp_model *model)
{
    return model->fixed_width_px && model->fixed_height_px;
}

/* With a known input size the number of boxes tells heads of one anchor a cell from others. */
static bool is_anchors(const struct sp_model *model, int64_t boxes)
{
    return boxes > 0 && size_is_fixed(model) &&
           sp_anchor_count_is_known(boxes, model->fixed_width_px, model->fixed_height_px);
}

/* [b, rows, 6], unless the rows are anchors: one a cell (YOLOv8 with two classes) or three
 * (YOLOv5 with one). */
static bool is_end_to_end(const struct sp_model *model, int64_t rows, int64_t values)
{
    return values == 6 && rows > 0 && rows <= END_TO_END_ROWS_MAX && !is_anchors(model, rows) &&
           !(rows % 3 == 0 && is_anchors(model, rows / 3));
}

static int refuse_output(const struct sp_model *model, const struct spoton_tensor *output,
                         const char *why, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_UNSUPPORTED, "model %s: output 0 is %s%s; " SUPPORTED, model->path,
                   shape_of(output).text, why);
}

static int read_output(struct sp_model *model, const struct spoton_model_info *info,
                       struct sp_error *err)
{
    const struct spoton_tensor *output = &info->output[0];
    if (info->output_count != 1)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: has %d outputs, the first is %s; " SUPPORTED, model->path,
                       info->output_count, info->output_count ? shape_of(output).text : "none");
    if (output->rank != 3)
        return refuse_output(model, output, "", err);
    int64_t first = output->dims[1], second = output->dims[2];
    if (is_end_to_end(model, first, second)) {
        model->family = SP_FAMILY_END_TO_END;
        model->classes = COCO_CLASSES;
        return SP_OK;
    }
    /* The short side is the box, the long one the anchors; on tiny inputs only their number tells.
     */
    model->family = SP_FAMILY_YOLOV8;
    model->rows_first = second > 0 && (first < 0 || first > second);
    if (is_anchors(model, first) != is_anchors(model, second))
        model->rows_first = is_anchors(model, first);
    int64_t values = model->rows_first ? second : first;
    int64_t boxes = model->rows_first ? first : second;
    if (values < 5 || values > 4 + CLASSES_MAX)
        return refuse_output(model, output, "", err);
    if (model->rows_first && values == 5 + COCO_CLASSES)
        return refuse_output(model, output, " (80 classes and objectness: YOLOv5, v7 or YOLOX)",
                             err);
    if (size_is_fixed(model) && boxes > 0 && !is_anchors(model, boxes))
        return refuse_output(model, output, ", a number of boxes that is not of these families",
                             err);
    model->classes = (int)values - 4;
    return SP_OK;
}

static int read_names(struct sp_model *model, struct sp_error *err)
{
    struct sp_model_names names;
    sp_model_names_find(&names, model->path);
    if (names.count == 0) {
        model->person_class = 0; /* of COCO's classes, and of one class */
        return SP_OK;
    }
    if (model->family == SP_FAMILY_END_TO_END)
        model->classes = names.count;
    if (names.count != model->classes)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: names %d classes, but its output has room for %d: a head with "
                       "more than boxes (keypoints, masks, angles); " SUPPORTED,
                       model->path, names.count, model->classes);
    model->person_class = names.count == 1 ? 0 : names.person_class;
    return SP_OK;
}

/* Ultralytics' TFLite exports give boxes in 0..1, all its other exports pixels. */
static bool is_tflite(const char *path)
{
    char head[8] = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    size_t got = fread(head, 1, sizeof head, file);
    fclose(file);
    return got == sizeof head && memcmp(head + 4, "TFL3", 4) == 0;
}

static int fail_inspect(const char *path, const char *text, struct sp_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0 && errno == ENOENT)
        return sp_fail(err, SP_ERR_NOT_FOUND, "model %s: no such file", path);
    return sp_fail(err, SP_ERR_FORMAT, "%s", text);
}

int sp_model_open(struct sp_model *model, const struct spoton_engine_api *engine, const char *path,
                  struct sp_error *err)
{
    *model = (struct sp_model){0};
    if (strlen(path) >= sizeof model->path)
        return sp_fail(err, SP_ERR_INVALID, "model path of %zu characters: too long", strlen(path));
    snprintf(model->path, sizeof model->path, "%s", path);

    struct spoton_model_info *info = calloc(1, sizeof *info);
    if (!info)
        return sp_fail(err, SP_ERR_NO_MEMORY, "model %s: out of memory", path);
    info->struct_bytes = sizeof *info;
    char text[400] = "";
    int result = SP_OK;
    if (engine->inspect(path, info, text, sizeof text) < 0)
        result = fail_inspect(path, text, err);
    if (result == SP_OK)
        result = read_input(model, info, err);
    if (result == SP_OK)
        result = read_output(model, info, err);
    if (result == SP_OK)
        result = read_names(model, err);
    model->quantised = info->quantised != 0;
    model->relative_boxes = is_tflite(path);
    free(info);
    return result;
}

const char *sp_model_family_name(enum sp_model_family family)
{
    switch (family) {
    case SP_FAMILY_YOLOV8:
        return "yolov8";
    case SP_FAMILY_END_TO_END:
        return "end-to-end";
    }
    return "unknown";
}
