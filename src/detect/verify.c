#include "detect/verify.h"
#include "detect/grid.h"
#include "detect/recognize.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Limit of the mean distance between a box's center and its cell, as a fraction of the input size.
 * On an empty image a YOLO head predicts distances of a few cells. */
static const double FAR = 0.15;

/* Limits of YOLOX's raw values: the center's offset in cells and the logarithm of the sides. */
static const double OFFSET_MOST = 3, LOG_SIZE_MOST = 6;

/* Limit of the fraction of boxes with x2 < x1 or y2 < y1. */
static const double CROSSED_MOST = 0.2;

/* Rounding can move a probability this far below 0 or above 1. */
static const double CONFIDENCE_SLACK = 0.02;

/* The boxes of one output, in either orientation. */
struct boxes {
    const float *data;
    size_t box_step, value_step;
    int64_t count, values;
};

static struct boxes boxes_of(const struct sp_model *model, const struct sp_model_output *output)
{
    bool rows = model->rows_first;
    struct boxes boxes = {.data = output->data};
    boxes.count = output->dims[rows ? 0 : 1];
    boxes.values = output->dims[rows ? 1 : 0];
    boxes.box_step = rows ? (size_t)boxes.values : 1;
    boxes.value_step = rows ? 1 : (size_t)boxes.count;
    return boxes;
}

static double value_of(const struct boxes *boxes, int64_t box, int64_t value)
{
    return (double)boxes->data[(size_t)box * boxes->box_step + (size_t)value * boxes->value_step];
}

static bool is_all_zero(const struct sp_model_output *output)
{
    size_t count = 1;
    for (int i = 0; i < output->rank; ++i)
        count *= (size_t)output->dims[i];
    for (size_t i = 0; i < count; ++i) {
        if (output->data[i] != 0)
            return false;
    }
    return true;
}

static int fail(const struct sp_model *model, const char *what, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_UNSUPPORTED, "model %s: %s; see docs/MODELS.md", model->path, what);
}

static int check_confidences(const struct sp_model *model, const struct boxes *boxes, int from,
                             struct sp_error *err)
{
    for (int64_t i = 0; i < boxes->count; ++i) {
        for (int64_t k = from; k < boxes->values; ++k) {
            double confidence = value_of(boxes, i, k);
            if (confidence < -CONFIDENCE_SLACK || confidence > 1 + CONFIDENCE_SLACK)
                return sp_fail(
                    err, SP_ERR_UNSUPPORTED,
                    "model %s: a confidence is %g, not in 0..1: another head type, or an export "
                    "without its sigmoid; see docs/MODELS.md",
                    model->path, confidence);
        }
    }
    return SP_OK;
}

/* Means over all boxes, for each way to interpret their values. */
struct distance {
    double pixels, relative;  /* between center and cell, as a fraction of the input */
    double offset, log_sizes; /* if they are YOLOX's raw values */
};

static struct distance measure(const struct boxes *boxes, int anchors_a_cell, int width_px,
                               int height_px)
{
    struct distance sum = {0};
    int64_t cells = boxes->count / anchors_a_cell, finite = 0;
    const int *strides_px = sp_grid_find(cells, width_px, height_px);
    for (int64_t i = 0, box = 0; i < cells; ++i) {
        struct sp_grid_cell cell = sp_grid_locate(strides_px, i, width_px, height_px);
        double grid_x = (cell.column + 0.5) * cell.stride_px / width_px;
        double grid_y = (cell.row + 0.5) * cell.stride_px / height_px;
        /* YOLOv5 lists the whole grid for the first anchor, then for the second, and so on. */
        int64_t columns = (width_px + cell.stride_px - 1) / cell.stride_px;
        int64_t rows = (height_px + cell.stride_px - 1) / cell.stride_px;
        for (int a = 0; a < anchors_a_cell; ++a) {
            int64_t at = box + a * columns * rows;
            double x = value_of(boxes, at, 0), y = value_of(boxes, at, 1);
            double w = value_of(boxes, at, 2), h = value_of(boxes, at, 3);
            if (!isfinite(x + y + w + h))
                continue;
            sum.pixels += (fabs(x / width_px - grid_x) + fabs(y / height_px - grid_y)) / 2;
            sum.relative += (fabs(x - grid_x) + fabs(y - grid_y)) / 2;
            sum.offset += (fabs(x - 0.5) + fabs(y - 0.5)) / 2;
            sum.log_sizes += (fabs(w) + fabs(h)) / 2;
            ++finite;
        }
        bool last = cell.column == columns - 1 && cell.row == rows - 1;
        box += last ? 1 + (anchors_a_cell - 1) * columns * rows : 1;
    }
    double each = finite > 0 ? 1.0 / (double)finite : INFINITY;
    return (struct distance){sum.pixels * each, sum.relative * each, sum.offset * each,
                             sum.log_sizes * each};
}

static int verify_grid(struct sp_model *model, const struct boxes *boxes, int width_px,
                       int height_px, struct sp_error *err)
{
    int anchors = model->head_type == SP_HEAD_YOLOV5 ? 3 : 1;
    int64_t usual = anchors * sp_grid_usual_cells(width_px, height_px);
    if (boxes->count % anchors != 0 || !sp_grid_find(boxes->count / anchors, width_px, height_px))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: %lld boxes at %dx%d px, but the head type %s has %lld; see "
                       "docs/MODELS.md",
                       model->path, (long long)boxes->count, width_px, height_px,
                       sp_head_type_name(model->head_type), (long long)usual);
    struct distance mean = measure(boxes, anchors, width_px, height_px);
    bool in_pixels = mean.pixels < FAR, in_relative = mean.relative < FAR;
    bool raw =
        !in_pixels && !in_relative && mean.offset < OFFSET_MOST && mean.log_sizes < LOG_SIZE_MOST;
    bool may_be_yolox = model->head_type == SP_HEAD_YOLOX || model->unsure;
    if (model->unsure && in_pixels) /* so does YOLOX with decode_in_inference */
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "model %s: its boxes may be those of YOLOv8 with %d classes or of YOLOX with %d; set "
            "MODEL_HEAD=yolov8 or MODEL_HEAD=yolox; see docs/MODELS.md",
            model->path, model->classes, model->classes - 1);
    if (!in_pixels && !in_relative && !(raw && may_be_yolox))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: its boxes are not near the cells of a %s head, neither in pixels "
                       "nor in 0..1; see docs/MODELS.md",
                       model->path, sp_head_type_name(model->head_type));
    model->raw_cells = raw;
    model->relative_boxes = !raw && in_relative;
    return SP_OK;
}

/* The best 300 boxes of any image are spread over it, so in pixels at least one of them ends beyond
 * 2. A class that is not an integer means another head type. Corners are ordered; where they are
 * not, the values are center and size: RT-DETR's rows as Ultralytics exports them. */
static int verify_end_to_end(struct sp_model *model, const struct boxes *boxes,
                             struct sp_error *err)
{
    double largest = 0;
    int64_t crossed = 0;
    for (int64_t i = 0; i < boxes->count; ++i) {
        crossed += value_of(boxes, i, 2) < value_of(boxes, i, 0) ||
                   value_of(boxes, i, 3) < value_of(boxes, i, 1);
        for (int k = 0; k < 4; ++k) {
            double value = fabs(value_of(boxes, i, k));
            largest = isfinite(value) && value > largest ? value : largest;
        }
        double class_id = value_of(boxes, i, 5);
        if (isfinite(class_id) && fabs(class_id - rint(class_id)) > 1e-3)
            return sp_fail(
                err, SP_ERR_UNSUPPORTED,
                "model %s: its rows are not x1 y1 x2 y2 confidence class: a class is %g; "
                "see docs/MODELS.md",
                model->path, class_id);
    }
    if (largest > 0)
        model->relative_boxes = largest <= 2;
    model->center_boxes = (double)crossed > CROSSED_MOST * (double)boxes->count;
    return SP_OK;
}

/* Boxes must be in 0..1. Confidences outside 0..1 are logits; most logits are far below 0. */
static int verify_rtdetr(struct sp_model *model, const struct boxes *boxes,
                         const struct boxes *confidences, struct sp_error *err)
{
    /* RF-DETR adds unbounded offsets to its anchors. */
    double beyond = model->head_type == SP_HEAD_RFDETR ? 1 : CONFIDENCE_SLACK;
    for (int64_t i = 0; i < boxes->count; ++i) {
        for (int k = 0; k < 4; ++k) {
            double value = value_of(boxes, i, k);
            if (value < -beyond || value > 1 + beyond)
                return sp_fail(err, SP_ERR_UNSUPPORTED,
                               "model %s: a box has the value %g, but RT-DETR's are in 0..1; see "
                               "docs/MODELS.md",
                               model->path, value);
        }
    }
    if (boxes->data == confidences->data)
        return check_confidences(model, boxes, 4, err);
    model->logits = model->head_type == SP_HEAD_RFDETR ||
                    check_confidences(model, confidences, 0, NULL) != SP_OK;
    return SP_OK;
}

/* One row of x1 y1 x2 y2 confidence class per cell: Ultralytics' exports with nms=True dynamic=True
 * at another input size than the traced one (its pull request 25843). */
static bool are_corner_rows(const struct boxes *boxes, int width_px, int height_px)
{
    const int *strides_px = sp_grid_find(boxes->count, width_px, height_px);
    if (boxes->values != 6 || !strides_px)
        return false;
    double pixels = 0, relative = 0;
    int64_t crossed = 0;
    for (int64_t i = 0; i < boxes->count; ++i) {
        struct sp_grid_cell cell = sp_grid_locate(strides_px, i, width_px, height_px);
        double grid_x = (cell.column + 0.5) * cell.stride_px / width_px;
        double grid_y = (cell.row + 0.5) * cell.stride_px / height_px;
        double x = (value_of(boxes, i, 0) + value_of(boxes, i, 2)) / 2;
        double y = (value_of(boxes, i, 1) + value_of(boxes, i, 3)) / 2;
        double class_id = value_of(boxes, i, 5);
        if (!isfinite(x + y) || !isfinite(class_id) || class_id != rint(class_id) || class_id < 0)
            return false;
        crossed += value_of(boxes, i, 2) < value_of(boxes, i, 0) ||
                   value_of(boxes, i, 3) < value_of(boxes, i, 1);
        pixels += (fabs(x / width_px - grid_x) + fabs(y / height_px - grid_y)) / 2;
        relative += (fabs(x - grid_x) + fabs(y - grid_y)) / 2;
    }
    double each = 1.0 / (double)boxes->count;
    return (double)crossed * each <= CROSSED_MOST && (pixels * each < FAR || relative * each < FAR);
}

/* YOLOv6 sets the objectness to 1 everywhere. */
static bool is_always_an_object(const struct boxes *boxes)
{
    for (int64_t i = 0; i < boxes->count; ++i) {
        if (fabs(value_of(boxes, i, 4) - 1) > 1e-3)
            return false;
    }
    return boxes->values >= 6 && boxes->count > 0;
}

/* The head type of models whose shape is that of another one; SP_HEAD_AUTO: none. */
static enum sp_head_type same_shape_type(const struct sp_model *model, const struct boxes *boxes,
                                         int width_px, int height_px)
{
    bool rows = model->rows_first &&
                (model->head_type == SP_HEAD_YOLOV8 || model->head_type == SP_HEAD_YOLOX);
    if (!rows || model->wish.head_type)
        return SP_HEAD_AUTO;
    if (are_corner_rows(boxes, width_px, height_px))
        return SP_HEAD_END_TO_END;
    bool may_be_yolox = model->head_type == SP_HEAD_YOLOX || model->unsure;
    return may_be_yolox && is_always_an_object(boxes) ? SP_HEAD_YOLOV6 : SP_HEAD_AUTO;
}

/* Recognizes the head type again, now that all dimensions are known. */
static int recognize(struct sp_model *model, const struct sp_model_output *outputs, int count,
                     int width_px, int height_px, struct sp_error *err)
{
    struct spoton_tensor tensors[SPOTON_TENSORS_MAX];
    memset(tensors, 0, sizeof tensors);
    for (int i = 0; i < count; ++i) {
        tensors[i].element = SPOTON_ELEMENT_F32;
        tensors[i].rank = outputs[i].rank + 1;
        tensors[i].dims[0] = 1;
        memcpy(tensors[i].dims + 1, outputs[i].dims,
               sizeof tensors[i].dims - sizeof tensors[i].dims[0]);
    }
    return sp_head_type_recognize(model, tensors, count, width_px, height_px, err);
}

int sp_model_verify(struct sp_model *model, const struct sp_model_output *outputs, int count,
                    int width_px, int height_px, struct sp_error *err)
{
    bool any = false;
    for (int i = 0; i < count; ++i)
        any = any || !is_all_zero(&outputs[i]);
    if (!any)
        return SP_OK;
    bool pair = model->boxes_output != model->confidences_output;
    for (int i = 0; pair && i < 2; ++i) {
        if (outputs[i].rank != 2)
            return fail(model, "its outputs have other dimensions than the file declares", err);
    }
    int declared = model->classes;
    int result = pair ? SP_OK : recognize(model, outputs, count, width_px, height_px, err);
    if (result < 0)
        return result;
    struct boxes boxes = boxes_of(model, &outputs[model->boxes_output]);
    enum sp_head_type other =
        pair ? SP_HEAD_AUTO : same_shape_type(model, &boxes, width_px, height_px);
    if (other) {
        model->wish.head_type = other;
        result = recognize(model, outputs, count, width_px, height_px, err);
        if (result < 0)
            return result;
    }
    if (other == SP_HEAD_END_TO_END && model->classes > declared)
        return fail(
            model,
            "its rows may be x1 y1 x2 y2 confidence class, and the file names no classes; set "
            "MODEL_HEAD=end-to-end",
            err);
    if (model->classes > declared) /* the caller has sized its lists by then */
        return fail(model, "its output has more classes than the file declares", err);
    struct boxes confidences = boxes_of(model, &outputs[model->confidences_output]);
    switch (model->head_type) {
    case SP_HEAD_END_TO_END:
        result = verify_end_to_end(model, &boxes, err);
        model->rows_overlap = sp_grid_find(boxes.count, width_px, height_px) != NULL;
        break;
    case SP_HEAD_RTDETR:
    case SP_HEAD_RFDETR:
        if (pair && (boxes.values != 4 || confidences.values != model->confidence_columns ||
                     boxes.count != confidences.count))
            return fail(model, "its outputs have other dimensions than the file declares", err);
        result = verify_rtdetr(model, &boxes, &confidences, err);
        break;
    default:
        result = verify_grid(model, &boxes, width_px, height_px, err);
        if (result == SP_OK && model->unsure && model->raw_cells) {
            model->wish.head_type = SP_HEAD_YOLOX; /* no other head has raw values */
            result = recognize(model, outputs, count, width_px, height_px, err);
        }
        if (result == SP_OK)
            result = check_confidences(model, &boxes, 4, err);
    }
    return result;
}
