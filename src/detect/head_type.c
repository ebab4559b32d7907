#include "detect/head_type.h"
#include "detect/grid.h"

#include <stdio.h>
#include <string.h>

#define SUPPORTED                                                                                  \
    "supported: YOLOv5, v6, v7, v8, v11, YOLO10, YOLO26, YOLOX, RT-DETR and RF-DETR as their "     \
    "exporters give them; see docs/MODELS.md"

enum {
    COCO_CLASSES = 80,
    COCO_CATEGORIES = 91,
    CLASSES_MAX = 1000,
    QUERIES_MAX = 1000, /* boxes of a head without NMS: mostly 300 */
    DETR_QUERIES = 100, /* of heads with softmax and a class "nothing" */
    NANODET_BINS = 32,  /* values a box behind the confidences */
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

/* An output [b, first, second] as a list of boxes. */
struct form {
    int64_t boxes, values; /* -1: free */
    bool rows_first;
    bool size_known; /* of the input, and the number of boxes */
    bool one, three; /* boxes a cell of the usual grids */
};

static bool is_cells(int64_t boxes, int width_px, int height_px)
{
    return boxes > 0 && width_px > 0 && height_px > 0 && sp_grid_find(boxes, width_px, height_px);
}

/* The short side is the box, the long one the boxes; on tiny inputs only their number tells. */
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

/* Whether a wished head type can have this form. */
static bool can_be(enum sp_head_type head_type, const struct form *form)
{
    if (form->values > 5 + CLASSES_MAX)
        return head_type == SP_HEAD_AUTO; /* refused later, with more to say */
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

/* SP_HEAD_AUTO: none. */
static enum sp_head_type choose(struct sp_model *model, const struct form *form)
{
    int64_t values = form->values;
    bool named = model->names > 0;
    bool names_fit = named ? model->names == values - 4 : values == 4 + COCO_CLASSES;
    bool names_fit_objectness = named ? model->names == values - 5 : values == 5 + COCO_CLASSES;
    /* Names with gaps may leave out the last ones, too. */
    named = named && !model->names_sparse;
    if (values < 5 || values > 5 + CLASSES_MAX)
        return SP_HEAD_AUTO;
    if (values == 6 && (is_list_of_queries(form) || (form->rows_first && form->boxes < 0)))
        return SP_HEAD_END_TO_END;
    /* The rows are of all cells: of YOLOv8 with two classes, of YOLOX with one, or these. */
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

/* A word about heads that come up often. */
static const char *why_not(const struct sp_model *model, const struct form *form)
{
    if (form->one && form->rows_first && form->values == COCO_CLASSES + NANODET_BINS)
        return ", a NanoDet head (class scores, then a distribution for each side of the box)";
    if (is_list_of_queries(form) && form->values > 6)
        return model->names > 0 ? ", rows of more than a box and the classes that the file names "
                                  "(masks, keypoints, angles)"
                                : ", rows of an unknown kind (if it is RT-DETR, say "
                                  "MODEL_FAMILY=rtdetr)";
    if (form->size_known && !form->one && !form->three && form->values >= 5)
        return ", a number of boxes that is not of these families";
    return "";
}

static int recognise_one(struct sp_model *model, const struct spoton_tensor *output, int width_px,
                         int height_px, struct sp_error *err)
{
    if (output->rank == 4 || output->rank == 5)
        return refuse(
            model, output, 0,
            ", a map of cells whose boxes are still to be computed (FastestDet, NanoDet, or "
            "an export without its decoding)",
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
                       "model %s: output 0 is %s, which is no output of %s (MODEL_FAMILY); see "
                       "docs/MODELS.md",
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

/* "dets" and "labels", as RF-DETR's own export calls them: nothing else tells them from RT-DETR's.
 */
static bool is_rfdetr(const struct sp_model *model, const struct spoton_tensor *outputs)
{
    if (model->wish.head_type)
        return model->wish.head_type == SP_HEAD_RFDETR;
    return (is_named(&outputs[0], "dets") && is_named(&outputs[1], "labels")) ||
           (is_named(&outputs[1], "dets") && is_named(&outputs[0], "labels"));
}

/* A fine-tuned one has n+1 logits, the last for "nothing"; that of COCO has its 91 categories. */
static int rfdetr_classes(const struct sp_model *model, int columns)
{
    bool all = columns == COCO_CATEGORIES || columns == 1 || model->names == columns;
    return all ? columns : columns - 1;
}

/* RT-DETR and D-FINE as Transformers exports them: "logits" [b, queries, classes] and "pred_boxes"
 * [b, queries, 4]; RF-DETR. With four classes the sizes are the same, and the names tell. Older
 * DETRs look alike, but want another input and have another confidence. */
static int recognise_pair(struct sp_model *model, const struct spoton_tensor *outputs,
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
                       "RF-DETR whose outputs are not called dets and labels (say "
                       "MODEL_FAMILY=rfdetr); " SUPPORTED,
                       model->path, sp_shape_text(&outputs[0]).text,
                       sp_shape_text(&outputs[1]).text);
    model->head_type = rfdetr ? SP_HEAD_RFDETR : SP_HEAD_RTDETR;
    model->score_columns = (int)confidence->dims[2];
    model->classes = rfdetr ? rfdetr_classes(model, model->score_columns) : model->score_columns;
    model->rows_first = model->relative_boxes = true;
    model->boxes_output = boxes;
    model->confidences_output = 1 - boxes;
    model->logits = true;
    return SP_OK;
}

/* Older exports of YOLOv5 and v7 give the raw maps behind the boxes. */
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
                   "model %s: names %d classes, but its output has room for %d: a head with more "
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
    bool normalised =
        model->head_type == SP_HEAD_RFDETR && !bytes && model->wish.range == SP_RANGE_AUTO;
    for (int i = 0; i < 3; ++i) {
        static const float mean[] = {0.485f, 0.456f, 0.406f},
                           deviation[] = {0.229f, 0.224f, 0.225f};
        model->mean[i] = normalised ? mean[i] : 0;
        model->deviation[i] = normalised ? deviation[i] : 0;
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
        result = recognise_one(model, outputs, width_px, height_px, err);
    else if (count == 2)
        result = recognise_pair(model, outputs, err);
    else
        result = refuse_pair(model, outputs, count, err);
    if (result == SP_OK)
        result = read_names(model, err);
    if (result == SP_OK)
        read_input(model);
    return result;
}
