#include "detect/recognize.h"
#include "detect/grid.h"

#include <stdio.h>
#include <string.h>

#define SUPPORTED                                                                                  \
    "supported: YOLOv5, v6, v7, v8, v11, YOLO10, YOLO26, YOLOX, RT-DETR and RF-DETR as their "     \
    "exporters write them; see docs/MODELS.md"

enum {
    COCO_CLASSES = 80,
    COCO_CATEGORIES = 91,
    CLASSES_MAX = 1000,
    QUERIES_MAX = 1000, /* rows of a head without NMS: 300 in most exports */
    DETR_QUERIES = 100, /* rows of heads with softmax and a "no object" class */
    NANODET_BINS = 32,  /* values of a box after its confidences */
};

struct sp_shape_text sp_shape_text(const struct spoton_tensor *tensor)
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
    struct sp_shape_text shape;
    size_t used = 0, capacity = sizeof shape.text;
    for (int i = 0; i < tensor->rank; ++i) {
        char number[24] = "?";
        if (tensor->dims[i] >= 0)
            snprintf(number, sizeof number, "%lld", (long long)tensor->dims[i]);
        used += (size_t)snprintf(shape.text + used, capacity - used, "%s%s", i ? "," : "[", number);
        if (used >= capacity)
            return shape;
    }
    snprintf(shape.text + used, capacity - used, "%s%s", tensor->rank ? "] " : "of any rank, ",
             elements[tensor->element]);
    return shape;
}

/* An output [b, first, second] as a list of boxes. */
struct form {
    int64_t boxes, values; /* -1: dynamic */
    bool rows_first;
    bool size_known; /* the input size and the number of boxes are fixed */
    bool one, three; /* boxes per cell of the usual grids */
};

static bool is_cells(int64_t boxes, int width_px, int height_px)
{
    return boxes > 0 && width_px > 0 && height_px > 0 && sp_grid_find(boxes, width_px, height_px);
}

/* The shorter dimension is a box's values, the longer one the boxes. On tiny inputs this can be the
 * other way round, so a dimension that equals the number of cells takes precedence. */
static struct form read_form(const struct spoton_tensor *output, int width_px, int height_px)
{
    int64_t first = output->dims[1], second = output->dims[2];
    struct form form = {.rows_first = second > 0 && (first < 0 || first > second)};
    bool first_is_cells = is_cells(first, width_px, height_px);
    if (first_is_cells != is_cells(second, width_px, height_px))
        form.rows_first = first_is_cells;
    form.boxes = form.rows_first ? first : second;
    form.values = form.rows_first ? second : first;
    form.size_known = width_px > 0 && height_px > 0 && form.boxes > 0;
    form.one = is_cells(form.boxes, width_px, height_px);
    form.three = form.boxes % 3 == 0 && is_cells(form.boxes / 3, width_px, height_px);
    return form;
}

static int refuse(const struct sp_model *model, const struct spoton_tensor *output, int index,
                  const char *why, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_UNSUPPORTED, "model %s: output %d is %s%s; " SUPPORTED, model->path,
                   index, sp_shape_text(output).text, why);
}

static bool is_list_of_queries(const struct form *form)
{
    return form->rows_first && form->boxes > 0 && form->boxes <= QUERIES_MAX && !form->one &&
           !form->three;
}

/* Whether the head type that MODEL_HEAD requests can have this form. */
static bool can_be(enum sp_head_type head_type, const struct form *form)
{
    if (form->values > 5 + CLASSES_MAX)
        return head_type == SP_HEAD_AUTO; /* refused later, with a better message */
    switch (head_type) {
    case SP_HEAD_AUTO:
        return true;
    case SP_HEAD_YOLOV5:
        return form->rows_first && form->values >= 6 && (form->three || !form->size_known);
    case SP_HEAD_YOLOX:
    case SP_HEAD_YOLOV6:
        return form->rows_first && form->values >= 6 && (form->one || !form->size_known);
    case SP_HEAD_YOLOV8:
        return form->values >= 5 && (form->one || !form->size_known);
    case SP_HEAD_END_TO_END:
        return form->values == 6 && form->rows_first && !form->three;
    case SP_HEAD_RTDETR:
        return form->values >= 5 && is_list_of_queries(form);
    case SP_HEAD_RFDETR:
        return false; /* always a pair */
    }
    return false;
}

/* SP_HEAD_AUTO: the form fits no head type. */
static enum sp_head_type choose(struct sp_model *model, const struct form *form)
{
    int64_t values = form->values;
    bool named = model->names > 0;
    bool names_fit = named ? model->names == values - 4 : values == 4 + COCO_CLASSES;
    bool names_fit_objectness = named ? model->names == values - 5 : values == 5 + COCO_CLASSES;
    /* Names with gaps need not reach the last class, so their count is no upper bound. */
    named = named && !model->names_sparse;
    if (values < 5 || values > 5 + CLASSES_MAX)
        return SP_HEAD_AUTO;
    if (values == 6 && (is_list_of_queries(form) || (form->rows_first && form->boxes < 0)))
        return SP_HEAD_END_TO_END;
    /* One row per cell: YOLOv8 with two classes, YOLOX with one, or end-to-end rows. More than two
     * names exclude the first two. */
    if (values == 6 && form->rows_first && !form->three && named && model->names > 2)
        return SP_HEAD_END_TO_END;
    if (!form->rows_first)
        return form->size_known && !form->one ? SP_HEAD_AUTO : SP_HEAD_YOLOV8;
    if (form->three)
        return values >= 6 ? SP_HEAD_YOLOV5 : SP_HEAD_AUTO;
    if (form->one && (values == 5 || names_fit || (named && !names_fit_objectness)))
        return SP_HEAD_YOLOV8;
    if (form->one) {
        model->unsure = !names_fit_objectness;
        return model->unsure ? SP_HEAD_YOLOV8 : SP_HEAD_YOLOX;
    }
    if (is_list_of_queries(form) && names_fit)
        return SP_HEAD_RTDETR;
    if (form->size_known)
        return SP_HEAD_AUTO;
    return names_fit_objectness ? SP_HEAD_YOLOV5 : SP_HEAD_YOLOV8;
}

/* A hint for head types that are often tried. */
static const char *why_not(const struct sp_model *model, const struct form *form)
{
    if (form->one && form->rows_first && form->values == COCO_CLASSES + NANODET_BINS)
        return ", a NanoDet head (class confidences, then a distribution for each side of the box)";
    if (is_list_of_queries(form) && form->values > 6)
        return model->names > 0 ? ", rows with more values than a box and the named classes have "
                                  "(masks, keypoints, angles)"
                                : ", rows of an unknown kind (for RT-DETR set MODEL_HEAD=rtdetr)";
    if (form->size_known && !form->one && !form->three && form->values >= 5)
        return ", a number of boxes that no known head type has at this input size";
    return "";
}

static int recognize_one(struct sp_model *model, const struct spoton_tensor *output, int width_px,
                         int height_px, struct sp_error *err)
{
    if (output->rank == 4 || output->rank == 5)
        return refuse(
            model, output, 0,
            ", a feature map without decoded boxes (FastestDet, NanoDet, or an export without "
            "decoding)",
            err);
    if (output->rank != 3)
        return refuse(model, output, 0, "", err);
    struct form form = read_form(output, width_px, height_px);
    enum sp_head_type head_type = model->wish.head_type;
    if (form.one && form.rows_first && !model->names && !head_type &&
        form.values == COCO_CLASSES + NANODET_BINS)
        return refuse(model, output, 0, why_not(model, &form), err);
    if (!can_be(head_type, &form))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: output 0 is %s, which does not fit MODEL_HEAD=%s; set "
                       "MODEL_HEAD=auto, or see docs/MODELS.md",
                       model->path, sp_shape_text(output).text, sp_head_type_name(head_type));
    if (!head_type)
        head_type = choose(model, &form);
    if (!head_type)
        return refuse(model, output, 0, why_not(model, &form), err);
    bool objectness =
        head_type == SP_HEAD_YOLOV5 || head_type == SP_HEAD_YOLOX || head_type == SP_HEAD_YOLOV6;
    model->head_type = head_type;
    model->rows_first = form.rows_first;
    model->classes = head_type == SP_HEAD_END_TO_END ? (model->names ? model->names : COCO_CLASSES)
                                                     : (int)form.values - (objectness ? 5 : 4);
    if (head_type == SP_HEAD_RTDETR)
        model->relative_boxes = true;
    return SP_OK;
}

static int refuse_pair(const struct sp_model *model, const struct spoton_tensor *outputs, int count,
                       struct sp_error *err)
{
    return sp_fail(err, SP_ERR_UNSUPPORTED,
                   "model %s: has %d outputs, the first is %s, the second %s; " SUPPORTED,
                   model->path, count, sp_shape_text(&outputs[0]).text,
                   sp_shape_text(&outputs[1]).text);
}

static bool is_named(const struct spoton_tensor *output, const char *name)
{
    return strstr(output->name, name) != NULL;
}

/* RF-DETR's export names its outputs "dets" and "labels"; their shapes are those of RT-DETR. */
static bool is_rfdetr(const struct sp_model *model, const struct spoton_tensor *outputs)
{
    if (model->wish.head_type)
        return model->wish.head_type == SP_HEAD_RFDETR;
    return (is_named(&outputs[0], "dets") && is_named(&outputs[1], "labels")) ||
           (is_named(&outputs[1], "dets") && is_named(&outputs[0], "labels"));
}

/* A fine-tuned RF-DETR has n+1 logits, the last for "no object"; the COCO one has one for each of
 * the 91 categories. */
static int rfdetr_classes(const struct sp_model *model, int columns)
{
    bool all = columns == COCO_CATEGORIES || columns == 1 || model->names == columns;
    return all ? columns : columns - 1;
}

/* RT-DETR and D-FINE as Transformers exports them: "logits" [b, queries, classes] and "pred_boxes"
 * [b, queries, 4]; RF-DETR. With four classes both shapes are equal, and the names decide. Older
 * DETRs have the same shapes, but another input normalization and softmax confidences. */
static int recognize_pair(struct sp_model *model, const struct spoton_tensor *outputs,
                          struct sp_error *err)
{
    int boxes = outputs[1].rank == 3 && outputs[1].dims[2] == 4 ? 1 : 0;
    if (outputs[0].rank == 3 && outputs[0].dims[2] == 4 &&
        (is_named(&outputs[0], "box") || is_named(&outputs[0], "dets")))
        boxes = 0;
    bool rfdetr = is_rfdetr(model, outputs);
    const struct spoton_tensor *box = &outputs[boxes], *confidence = &outputs[1 - boxes];
    if (box->rank != 3 || confidence->rank != 3 || box->dims[2] != 4 ||
        box->dims[1] != confidence->dims[1] || box->dims[1] > QUERIES_MAX ||
        confidence->dims[2] < 1 || confidence->dims[2] > CLASSES_MAX ||
        (model->wish.head_type && model->wish.head_type != SP_HEAD_RTDETR && !rfdetr))
        return refuse_pair(model, outputs, 2, err);
    bool table_of_91 = confidence->dims[2] == COCO_CATEGORIES || confidence->dims[2] == 92;
    if (!rfdetr && !model->wish.head_type && (box->dims[1] == DETR_QUERIES || table_of_91))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: outputs %s and %s are those of DETR or Deformable DETR, or of an "
                       "RF-DETR whose outputs are not named dets and labels (set "
                       "MODEL_HEAD=rfdetr); " SUPPORTED,
                       model->path, sp_shape_text(&outputs[0]).text,
                       sp_shape_text(&outputs[1]).text);
    model->head_type = rfdetr ? SP_HEAD_RFDETR : SP_HEAD_RTDETR;
    model->confidence_columns = (int)confidence->dims[2];
    model->classes =
        rfdetr ? rfdetr_classes(model, model->confidence_columns) : model->confidence_columns;
    model->rows_first = model->relative_boxes = true;
    model->boxes_output = boxes;
    model->confidences_output = 1 - boxes;
    model->logits = true;
    return SP_OK;
}

/* Older exports of YOLOv5 and v7 add the raw feature maps after the boxes. */
static bool are_maps(const struct spoton_tensor *outputs, int count)
{
    for (int i = 0; i < count; ++i) {
        if (outputs[i].rank != 5)
            return false;
    }
    return true;
}

static int read_names(struct sp_model *model, struct sp_error *err)
{
    if (model->names == 0 || model->names == model->classes ||
        (model->names_sparse && model->names < model->classes))
        return SP_OK;
    return sp_fail(err, SP_ERR_UNSUPPORTED,
                   "model %s: names %d classes, but its output has values for %d: a head with more "
                   "than boxes (keypoints, masks, angles); " SUPPORTED,
                   model->path, model->names, model->classes);
}

static void read_input(struct sp_model *model)
{
    bool yolox = model->head_type == SP_HEAD_YOLOX;
    bool bytes = model->input_element == SPOTON_ELEMENT_U8 || model->graph_takes_bytes || yolox;
    if (model->wish.range != SP_RANGE_AUTO)
        bytes = model->wish.range == SP_RANGE_BYTES;
    model->scale = bytes ? 1 : 255;
    bool normalized =
        model->head_type == SP_HEAD_RFDETR && !bytes && model->wish.range == SP_RANGE_AUTO;
    for (int i = 0; i < 3; ++i) {
        static const float mean[] = {0.485f, 0.456f, 0.406f},
                           deviation[] = {0.229f, 0.224f, 0.225f};
        model->mean[i] = normalized ? mean[i] : 0;
        model->deviation[i] = normalized ? deviation[i] : 0;
    }
    model->swap_red_blue =
        model->wish.color == SP_COLOR_AUTO ? yolox : model->wish.color == SP_COLOR_BGR;
}

int sp_head_type_recognize(struct sp_model *model, const struct spoton_tensor *outputs, int count,
                           int width_px, int height_px, struct sp_error *err)
{
    int result;
    model->unsure = model->rows_overlap = false;
    model->boxes_output = model->confidences_output = 0;
    if (count < 1)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "model %s: has no outputs; " SUPPORTED,
                       model->path);
    if (count == 1 || (outputs[0].rank == 3 && are_maps(outputs + 1, count - 1)))
        result = recognize_one(model, outputs, width_px, height_px, err);
    else if (count == 2)
        result = recognize_pair(model, outputs, err);
    else
        result = refuse_pair(model, outputs, count, err);
    if (result == SP_OK)
        result = read_names(model, err);
    if (result == SP_OK)
        read_input(model);
    return result;
}
