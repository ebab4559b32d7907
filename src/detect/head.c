#include "detect/head.h"
#include "detect/grid.h"
#include "detect/nms.h"

#include <math.h>

enum { CANDIDATES_MAX = 4096, BLOCK = 256, CLASSES_MAX = 1024 };

/* The head's values in either memory layout: value v of box i is
 * boxes[v * value_step + i * box_step], its confidence for class c
 * confidences[c * value_step + i * confidence_step]. */
struct head {
    const struct sp_model *model;
    const struct sp_letterbox_geometry *geometry;
    const float *boxes, *confidences;
    size_t value_step, box_step, confidence_step;
    int64_t count;
    bool objectness;       /* value 4 is a factor of all confidences */
    float unit[2];         /* pixels per unit of a box's values, x and y */
    const int *strides_px; /* of YOLOX's raw cells, else NULL */
    float threshold;
};

static bool is_wanted(const struct sp_head_options *options, int class_id)
{
    return !options->class_wanted || options->class_wanted[class_id];
}

static size_t list_wanted(const struct sp_model *model, const struct sp_head_options *options,
                          int wanted[CLASSES_MAX])
{
    size_t count = 0;
    for (int i = 0; i < model->classes && i < CLASSES_MAX; ++i) {
        if (is_wanted(options, i))
            wanted[count++] = i;
    }
    return count;
}

/* Adds a box that is finite and not empty. */
static void add_box(struct sp_candidate_heap *heap, struct sp_candidate box)
{
    if (isfinite(box.x1) && isfinite(box.y1) && isfinite(box.x2) && isfinite(box.y2) &&
        isfinite(box.confidence) && box.x2 > box.x1 && box.y2 > box.y1) {
        box.confidence = fminf(box.confidence, 1.0f);
        sp_candidate_add(heap, &box);
    }
}

/* A raw box of YOLOX is an offset from its cell's corner, in cells, and the logarithm of its sides,
 * in cells (Ge et al., "YOLOX", 2021, section 2.1, and its decode_outputs). */
static void place_in_cell(const struct head *head, int64_t box, float center[2], float size[2])
{
    struct sp_grid_cell cell = sp_grid_locate(head->strides_px, box, head->geometry->input_width_px,
                                              head->geometry->input_height_px);
    float stride = (float)cell.stride_px;
    center[0] = (center[0] + (float)cell.column) * stride;
    center[1] = (center[1] + (float)cell.row) * stride;
    size[0] = expf(size[0]) * stride;
    size[1] = expf(size[1]) * stride;
}

static void add_center_box(struct sp_candidate_heap *heap, const struct head *head, int64_t box,
                           float confidence, int class_id)
{
    const float *at = head->boxes + (size_t)box * head->box_step;
    float center[2] = {at[0], at[head->value_step]};
    float size[2] = {at[2 * head->value_step], at[3 * head->value_step]};
    if (head->strides_px)
        place_in_cell(head, box, center, size);
    float x = center[0] * head->unit[0], y = center[1] * head->unit[1];
    float half_width = size[0] * head->unit[0] / 2, half_height = size[1] * head->unit[1] / 2;
    add_box(heap, (struct sp_candidate){
                      .x1 = x - half_width,
                      .y1 = y - half_height,
                      .x2 = x + half_width,
                      .y2 = y + half_height,
                      .confidence = confidence,
                      .class_id = class_id,
                      .anchor = (int32_t)box,
                  });
}

/* Nearly all boxes are below the threshold, so a first pass only compares a block's confidences, in
 * loops that the compiler vectorizes. Comparisons with NaN are false, so NaN never passes. */
static void scan_columns(const struct head *head, const int *wanted, size_t wanted_count,
                         struct sp_candidate_heap *heap)
{
    float best[BLOCK];
    int best_class[BLOCK];
    for (int64_t start = 0; start < head->count; start += BLOCK) {
        int count = head->count - start < BLOCK ? (int)(head->count - start) : BLOCK;
        int passed = 0;
        for (size_t w = 0; w < wanted_count; ++w) {
            const float *confidences =
                head->confidences + (size_t)wanted[w] * head->value_step + start;
            for (int i = 0; i < count; ++i)
                passed |= confidences[i] >= head->threshold;
        }
        if (!passed)
            continue;
        for (int i = 0; i < count; ++i) {
            best[i] = -1;
            best_class[i] = 0;
        }
        for (size_t w = 0; w < wanted_count; ++w) {
            const float *confidences =
                head->confidences + (size_t)wanted[w] * head->value_step + start;
            for (int i = 0; i < count; ++i) {
                bool better = confidences[i] > best[i];
                best[i] = better ? confidences[i] : best[i];
                best_class[i] = better ? wanted[w] : best_class[i];
            }
        }
        for (int i = 0; i < count; ++i) {
            if (best[i] >= head->threshold)
                add_center_box(heap, head, start + i, best[i], best_class[i]);
        }
    }
}

static void scan_rows(const struct head *head, const int *wanted, size_t wanted_count,
                      struct sp_candidate_heap *heap)
{
    for (int64_t i = 0; i < head->count; ++i) {
        const float *confidences = head->confidences + (size_t)i * head->confidence_step;
        float factor = head->objectness ? head->boxes[(size_t)i * head->box_step + 4] : 1;
        if (!(factor >= head->threshold)) /* class confidences are at most 1 */
            continue;
        float best = -INFINITY;
        int best_class = 0;
        for (size_t w = 0; w < wanted_count; ++w) {
            if (confidences[wanted[w]] > best) {
                best = confidences[wanted[w]];
                best_class = wanted[w];
            }
        }
        if (head->model->logits)
            best = 1 / (1 + expf(-best));
        best *= factor;
        if (best >= head->threshold)
            add_center_box(heap, head, i, best, best_class);
    }
}

static void scan_end_to_end(const struct head *head, const struct sp_head_options *options,
                            struct sp_candidate_heap *heap)
{
    for (int64_t i = 0; i < head->count; ++i) {
        const float *row = head->boxes + i * 6;
        if (!(row[4] >= head->threshold) || !(row[5] > -0.5f) ||
            !(row[5] < (float)head->model->classes - 0.5f))
            continue;
        int class_id = (int)lrintf(row[5]);
        if (!is_wanted(options, class_id))
            continue;
        if (head->model->center_boxes)
            add_center_box(heap, head, i, row[4], class_id);
        else
            add_box(heap, (struct sp_candidate){
                              .x1 = row[0] * head->unit[0],
                              .y1 = row[1] * head->unit[1],
                              .x2 = row[2] * head->unit[0],
                              .y2 = row[3] * head->unit[1],
                              .confidence = row[4],
                              .class_id = class_id,
                              .anchor = (int32_t)i,
                          });
    }
}

/* Drops boxes that cover only the bars: they are empty after clipping. */
static size_t write_detections(const struct sp_candidate *candidates, size_t count,
                               const struct sp_letterbox_geometry *geometry,
                               struct sp_detection detections[SP_DETECTIONS_MAX])
{
    size_t written = 0;
    for (size_t i = 0; i < count && written < SP_DETECTIONS_MAX; ++i) {
        const double box[4] = {candidates[i].x1, candidates[i].y1, candidates[i].x2,
                               candidates[i].y2};
        written += sp_letterbox_detection(geometry, box, candidates[i].confidence,
                                          candidates[i].class_id, &detections[written]);
    }
    return written;
}

/* False: the dimensions are not those of the recognized head type. */
static bool find_values(struct head *head, const struct sp_model_output *outputs)
{
    const struct sp_model *model = head->model;
    const struct sp_model_output *boxes = &outputs[model->boxes_output];
    const struct sp_model_output *confidences = &outputs[model->confidences_output];
    bool end_to_end = model->head_type == SP_HEAD_END_TO_END, pair = boxes != confidences;
    bool rows = model->rows_first || end_to_end;
    head->objectness = model->head_type == SP_HEAD_YOLOV5 || model->head_type == SP_HEAD_YOLOX ||
                       model->head_type == SP_HEAD_YOLOV6;
    int confidence_from = head->objectness ? 5 : 4;
    int64_t values =
        pair || end_to_end ? (pair ? 4 : 6) : confidence_from + (int64_t)model->classes;
    if (boxes->rank != 2 || boxes->dims[rows ? 1 : 0] != values)
        return false;
    head->count = boxes->dims[rows ? 0 : 1];
    head->boxes = boxes->data;
    head->value_step = rows ? 1 : (size_t)head->count;
    head->box_step = head->confidence_step = rows ? (size_t)values : 1;
    head->confidences = boxes->data + (size_t)confidence_from * head->value_step;
    if (pair) {
        if (confidences->rank != 2 || confidences->dims[0] != head->count ||
            confidences->dims[1] != model->confidence_columns ||
            model->confidence_columns < model->classes)
            return false;
        head->confidences = confidences->data;
        head->confidence_step = (size_t)model->confidence_columns;
    }
    if (model->raw_cells)
        head->strides_px = sp_grid_find(head->count, head->geometry->input_width_px,
                                        head->geometry->input_height_px);
    return !model->raw_cells || head->strides_px;
}

size_t sp_head_decode(const struct sp_model *model, const struct sp_model_output *outputs,
                      const struct sp_head_options *options,
                      const struct sp_letterbox_geometry *geometry,
                      struct sp_detection detections[SP_DETECTIONS_MAX])
{
    struct head head = {
        .model = model,
        .geometry = geometry,
        .unit = {model->relative_boxes ? (float)geometry->input_width_px : 1.0f,
                 model->relative_boxes ? (float)geometry->input_height_px : 1.0f},
        .threshold = (float)options->confidence_threshold,
    };
    /* Rounded up to the next float, so that "confidence >= threshold" also holds in double. */
    if ((double)head.threshold < options->confidence_threshold)
        head.threshold = nextafterf(head.threshold, 2.0f);
    if (!find_values(&head, outputs))
        return 0;

    struct sp_candidate candidates[CANDIDATES_MAX];
    struct sp_candidate_heap heap = {candidates, CANDIDATES_MAX, 0};
    int wanted[CLASSES_MAX];
    size_t wanted_count = list_wanted(model, options, wanted);
    if (wanted_count == 0)
        return 0;
    if (model->head_type == SP_HEAD_END_TO_END)
        scan_end_to_end(&head, options, &heap);
    else if (head.value_step == 1 && head.box_step > 1)
        scan_rows(&head, wanted, wanted_count, &heap);
    else
        scan_columns(&head, wanted, wanted_count, &heap);
    sp_candidate_sort(&heap);
    size_t kept = heap.count;
    bool done = (model->head_type == SP_HEAD_END_TO_END && !model->rows_overlap) ||
                model->head_type == SP_HEAD_RTDETR;
    if (!done)
        kept = sp_nms(candidates, heap.count, options->nms_iou, SP_DETECTIONS_MAX);
    return write_detections(candidates, kept, geometry, detections);
}

size_t sp_head_select(const struct sp_head_options *options, struct sp_detection *detections,
                      size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; options && i < count; i++)
        if (detections[i].confidence >= options->confidence_threshold &&
            (!options->class_wanted || options->class_wanted[detections[i].class_id]))
            detections[kept++] = detections[i];
    return options ? kept : count;
}
