#include "detect/verify.h"

#include <math.h>
#include <stddef.h>

enum { GRID_SETS = 3, GRIDS_MAX = 4 };

static const int grid_sets[GRID_SETS][GRIDS_MAX] = {
    {8, 16, 32, 0}, {4, 8, 16, 32}, {8, 16, 32, 64}};

/* Mean distance of the boxes' centres from their cells, as a share of the input's size. Distances
 * that a YOLOv8 head predicts for nothing in particular are a few cells. */
static const double FAR = 0.15;

static int64_t cells(int stride_px, int width_px, int height_px)
{
    return (int64_t)((width_px + stride_px - 1) / stride_px) *
           ((height_px + stride_px - 1) / stride_px);
}

static int64_t count_anchors(const int strides_px[GRIDS_MAX], int width_px, int height_px)
{
    int64_t count = 0;
    for (int i = 0; i < GRIDS_MAX && strides_px[i]; ++i)
        count += cells(strides_px[i], width_px, height_px);
    return count;
}

static const int *find_grids(int64_t anchors, int width_px, int height_px)
{
    for (int i = 0; i < GRID_SETS; ++i) {
        if (count_anchors(grid_sets[i], width_px, height_px) == anchors)
            return grid_sets[i];
    }
    return NULL;
}

bool sp_anchor_count_is_known(int64_t anchors, int width_px, int height_px)
{
    return find_grids(anchors, width_px, height_px) != NULL;
}

/* Sums over all boxes, as if their unit were the one or the other. */
struct distance {
    double pixels, relative;
    int64_t count;
};

static struct distance measure(const struct sp_model *model, const float *data, int64_t anchors,
                               const int *strides_px, int width_px, int height_px)
{
    struct distance sum = {0};
    size_t value_step = model->rows_first ? 1 : (size_t)anchors;
    size_t anchor_step = model->rows_first ? 4 + (size_t)model->classes : 1;
    const float *box = data;
    for (int i = 0; i < GRIDS_MAX && strides_px[i]; ++i) {
        int columns = (width_px + strides_px[i] - 1) / strides_px[i];
        int64_t count = cells(strides_px[i], width_px, height_px);
        for (int64_t cell = 0; cell < count; ++cell, box += anchor_step) {
            double x = box[0], y = box[value_step];
            if (!isfinite(x) || !isfinite(y))
                continue;
            int64_t row = cell / columns, column = cell % columns;
            double grid_x = ((double)column + 0.5) * strides_px[i] / width_px;
            double grid_y = ((double)row + 0.5) * strides_px[i] / height_px;
            sum.pixels += fabs(x / width_px - grid_x) + fabs(y / height_px - grid_y);
            sum.relative += fabs(x - grid_x) + fabs(y - grid_y);
            ++sum.count;
        }
    }
    return sum;
}

static int verify_grid(struct sp_model *model, const float *data, const int64_t *dims, int width_px,
                       int height_px, struct sp_error *err)
{
    int64_t values = 4 + (int64_t)model->classes;
    int64_t anchors = dims[model->rows_first ? 0 : 1];
    if (dims[model->rows_first ? 1 : 0] != values)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: its output has %lld values a box, the file promised %lld",
                       model->path, (long long)dims[model->rows_first ? 1 : 0], (long long)values);
    bool all_zero = true;
    for (int64_t i = 0; i < anchors * values && all_zero; ++i)
        all_zero = data[i] == 0;
    if (all_zero)
        return SP_OK;
    const int *strides_px = find_grids(anchors, width_px, height_px);
    if (!strides_px)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: %lld boxes at %dx%d px, where a YOLOv8 or YOLO11 head has %lld; "
                       "see docs/MODELS.md",
                       model->path, (long long)anchors, width_px, height_px,
                       (long long)count_anchors(grid_sets[0], width_px, height_px));
    struct distance sum = measure(model, data, anchors, strides_px, width_px, height_px);
    double each = sum.count > 0 ? 0.5 / (double)sum.count : INFINITY;
    bool in_pixels = sum.pixels * each < FAR, in_relative = sum.relative * each < FAR;
    if (!in_pixels && !in_relative)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: its boxes do not lie on the grid of a YOLOv8 or YOLO11 head, in "
                       "pixels or relative; see docs/MODELS.md",
                       model->path);
    model->relative_boxes = in_relative;
    return SP_OK;
}

/* The best 300 boxes of any picture are spread over it, so one of them ends beyond pixel 2. A
 * class that is no whole number belongs to another kind of head. */
static int verify_end_to_end(struct sp_model *model, const float *data, const int64_t *dims,
                             struct sp_error *err)
{
    if (dims[1] != 6)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: its output has %lld values a box, the file promised 6",
                       model->path, (long long)dims[1]);
    double largest = 0;
    for (int64_t i = 0; i < dims[0]; ++i) {
        for (int k = 0; k < 4; ++k) {
            double value = fabs((double)data[i * 6 + k]);
            largest = isfinite(value) && value > largest ? value : largest;
        }
        double class_id = data[i * 6 + 5];
        if (isfinite(class_id) && fabs(class_id - rint(class_id)) > 1e-3)
            return sp_fail(err, SP_ERR_UNSUPPORTED,
                           "model %s: its output is no list of x1 y1 x2 y2 score class: a class is "
                           "%g; see docs/MODELS.md",
                           model->path, class_id);
    }
    if (largest > 0)
        model->relative_boxes = largest <= 2;
    return SP_OK;
}

int sp_model_verify(struct sp_model *model, const float *data, const int64_t *dims, int rank,
                    int width_px, int height_px, struct sp_error *err)
{
    if (rank != 2)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: its output has %d dimensions, 3 expected", model->path, rank + 1);
    if (model->family == SP_FAMILY_END_TO_END)
        return verify_end_to_end(model, data, dims, err);
    return verify_grid(model, data, dims, width_px, height_px, err);
}
