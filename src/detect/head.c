#include "detect/head.h"
#include "detect/nms.h"

#include <math.h>

enum { CANDIDATES_MAX = 4096, BLOCK = 256, CLASSES_MAX = 1024 };

/* The head's numbers, however they lie: value v of anchor i is data[v * value_step + i *
 * anchor_step]
 */
struct head {
    const float *data;
    size_t value_step, anchor_step;
    int64_t anchors;
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

/* Adds the box if it is one: finite and not empty. */
static void add_box(struct sp_candidate_heap *heap, struct sp_candidate box)
{
    if (isfinite(box.x1) && isfinite(box.y1) && isfinite(box.x2) && isfinite(box.y2) &&
        isfinite(box.score) && box.x2 > box.x1 && box.y2 > box.y1) {
        box.score = fminf(box.score, 1.0f);
        sp_candidate_add(heap, &box);
    }
}

static void add_center_box(struct sp_candidate_heap *heap, const struct head *head, int64_t anchor,
                           float score, int class_id, const float unit[2])
{
    const float *at = head->data + (size_t)anchor * head->anchor_step;
    float x = at[0] * unit[0], y = at[head->value_step] * unit[1];
    float half_width = at[2 * head->value_step] * unit[0] / 2;
    float half_height = at[3 * head->value_step] * unit[1] / 2;
    add_box(heap, (struct sp_candidate){
                      .x1 = x - half_width,
                      .y1 = y - half_height,
                      .x2 = x + half_width,
                      .y2 = y + half_height,
                      .score = score,
                      .class_id = class_id,
                      .anchor = (int32_t)anchor,
                  });
}

/* Nearly all anchors are under the threshold, so a block's scores are only compared at first, in
 * loops that vectorise; comparisons with NaN are false, so NaN never passes. */
static void scan_columns(const struct head *head, const int *wanted, size_t wanted_count,
                         float threshold, const float unit[2], struct sp_candidate_heap *heap)
{
    float best[BLOCK];
    int best_class[BLOCK];
    for (int64_t start = 0; start < head->anchors; start += BLOCK) {
        int count = head->anchors - start < BLOCK ? (int)(head->anchors - start) : BLOCK;
        int passed = 0;
        for (size_t w = 0; w < wanted_count; ++w) {
            const float *scores = head->data + (size_t)(4 + wanted[w]) * head->value_step + start;
            for (int i = 0; i < count; ++i)
                passed |= scores[i] >= threshold;
        }
        if (!passed)
            continue;
        for (int i = 0; i < count; ++i) {
            best[i] = -1;
            best_class[i] = 0;
        }
        for (size_t w = 0; w < wanted_count; ++w) {
            const float *scores = head->data + (size_t)(4 + wanted[w]) * head->value_step + start;
            for (int i = 0; i < count; ++i) {
                bool better = scores[i] > best[i];
                best[i] = better ? scores[i] : best[i];
                best_class[i] = better ? wanted[w] : best_class[i];
            }
        }
        for (int i = 0; i < count; ++i) {
            if (best[i] >= threshold)
                add_center_box(heap, head, start + i, best[i], best_class[i], unit);
        }
    }
}

static void scan_rows(const struct head *head, const int *wanted, size_t wanted_count,
                      float threshold, const float unit[2], struct sp_candidate_heap *heap)
{
    for (int64_t i = 0; i < head->anchors; ++i) {
        const float *scores = head->data + (size_t)i * head->anchor_step + 4;
        float best = -1;
        int best_class = 0;
        for (size_t w = 0; w < wanted_count; ++w) {
            if (scores[wanted[w]] > best) {
                best = scores[wanted[w]];
                best_class = wanted[w];
            }
        }
        if (best >= threshold)
            add_center_box(heap, head, i, best, best_class, unit);
    }
}

static void scan_end_to_end(const struct sp_model *model, const float *data, int64_t count,
                            const struct sp_head_options *options, float threshold,
                            const float unit[2], struct sp_candidate_heap *heap)
{
    for (int64_t i = 0; i < count; ++i) {
        const float *row = data + i * 6;
        if (!(row[4] >= threshold) || !(row[5] > -0.5f) || !(row[5] < (float)model->classes - 0.5f))
            continue;
        int class_id = (int)lrintf(row[5]);
        if (is_wanted(options, class_id))
            add_box(heap, (struct sp_candidate){
                              .x1 = row[0] * unit[0],
                              .y1 = row[1] * unit[1],
                              .x2 = row[2] * unit[0],
                              .y2 = row[3] * unit[1],
                              .score = row[4],
                              .class_id = class_id,
                              .anchor = (int32_t)i,
                          });
    }
}

/* Boxes that lie in the bars alone are empty once clipped, and go. */
static size_t write_detections(const struct sp_candidate *candidates, size_t count,
                               const struct sp_letterbox_geometry *geometry,
                               struct sp_detection detections[SP_DETECTIONS_MAX])
{
    size_t written = 0;
    for (size_t i = 0; i < count && written < SP_DETECTIONS_MAX; ++i) {
        double box[4] = {candidates[i].x1, candidates[i].y1, candidates[i].x2, candidates[i].y2};
        sp_letterbox_to_source(geometry, box);
        if (box[2] <= box[0] || box[3] <= box[1])
            continue;
        detections[written++] = (struct sp_detection){
            .x1_px = box[0],
            .y1_px = box[1],
            .x2_px = box[2],
            .y2_px = box[3],
            .score = candidates[i].score,
            .class_id = candidates[i].class_id,
        };
    }
    return written;
}

size_t sp_head_decode(const struct sp_model *model, const float *data, const int64_t *dims,
                      int rank, const struct sp_head_options *options,
                      const struct sp_letterbox_geometry *geometry,
                      struct sp_detection detections[SP_DETECTIONS_MAX])
{
    bool end_to_end = model->family == SP_FAMILY_END_TO_END;
    int64_t values = end_to_end ? 6 : 4 + (int64_t)model->classes;
    bool rows_first = end_to_end || model->rows_first;
    if (rank != 2 || dims[rows_first ? 1 : 0] != values)
        return 0;

    struct sp_candidate candidates[CANDIDATES_MAX];
    struct sp_candidate_heap heap = {candidates, CANDIDATES_MAX, 0};
    const float unit[2] = {model->relative_boxes ? (float)geometry->input_width_px : 1.0f,
                           model->relative_boxes ? (float)geometry->input_height_px : 1.0f};
    /* The smallest float that is not below the threshold, so that "score >= threshold" holds in
     * double as well. */
    float threshold = (float)options->score_threshold;
    if ((double)threshold < options->score_threshold)
        threshold = nextafterf(threshold, 2.0f);
    struct head head = {
        .data = data,
        .anchors = dims[rows_first ? 0 : 1],
        .value_step = rows_first ? 1 : (size_t)dims[1],
        .anchor_step = rows_first ? (size_t)values : 1,
    };
    int wanted[CLASSES_MAX];
    if (end_to_end) {
        scan_end_to_end(model, data, head.anchors, options, threshold, unit, &heap);
    } else {
        size_t wanted_count = list_wanted(model, options, wanted);
        if (rows_first)
            scan_rows(&head, wanted, wanted_count, threshold, unit, &heap);
        else
            scan_columns(&head, wanted, wanted_count, threshold, unit, &heap);
    }
    sp_candidate_sort(&heap);
    size_t kept = heap.count;
    if (!end_to_end)
        kept = sp_nms(candidates, heap.count, options->nms_iou, SP_DETECTIONS_MAX);
    return write_detections(candidates, kept, geometry, detections);
}
