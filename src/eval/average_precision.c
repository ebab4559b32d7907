#include "eval/average_precision.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { RECALL_POINTS = 101 };

const struct sp_ap_range sp_ap_ranges[SP_AP_RANGES] = {
    {"all", 0, INFINITY},     {"under 40 px", 0, 40},         {"40-100 px", 40, 100},
    {"100-200 px", 100, 200}, {"from 200 px", 200, INFINITY},
};

struct entry {
    double confidence;
    uint64_t order;               /* input order, which breaks ties of confidence */
    uint16_t right[SP_AP_RANGES]; /* a bit an IoU */
    uint16_t ignored[SP_AP_RANGES];
};

struct sp_ap {
    double confidence_threshold;
    struct entry *entries;
    size_t count, capacity;
    uint64_t images, labels[SP_AP_RANGES], doubtful[SP_AP_RANGES];
    /* Scratch memory of one image. */
    struct sp_box_label *label;
    bool *taken;
    enum sp_box_verdict *verdicts;
    size_t label_capacity, verdict_capacity;
};

static double iou_at(int index)
{
    return (50 + 5 * index) / 100.0;
}

int sp_ap_open(struct sp_ap **out, double confidence_threshold, struct sp_error *err)
{
    struct sp_ap *ap = calloc(1, sizeof *ap);
    if (!ap)
        return sp_fail(err, SP_ERR_NO_MEMORY, "evaluation: out of memory");
    ap->confidence_threshold = confidence_threshold;
    *out = ap;
    return SP_OK;
}

void sp_ap_close(struct sp_ap *ap)
{
    if (!ap)
        return;
    free(ap->entries);
    free(ap->label);
    free(ap->taken);
    free(ap->verdicts);
    free(ap);
}

static bool grow(void **memory, size_t count, size_t element_bytes)
{
    void *grown = realloc(*memory, count * element_bytes);
    if (grown)
        *memory = grown;
    return grown != NULL;
}

static bool make_room(struct sp_ap *ap, size_t box_count, size_t label_count)
{
    if (ap->count + box_count > ap->capacity) {
        size_t capacity = 2 * ap->capacity + box_count;
        if (!grow((void **)&ap->entries, capacity, sizeof *ap->entries))
            return false;
        ap->capacity = capacity;
    }
    if (box_count > ap->verdict_capacity) {
        if (!grow((void **)&ap->verdicts, box_count, sizeof *ap->verdicts))
            return false;
        ap->verdict_capacity = box_count;
    }
    if (label_count > ap->label_capacity) {
        if (!grow((void **)&ap->label, label_count, sizeof *ap->label) ||
            !grow((void **)&ap->taken, label_count, sizeof *ap->taken))
            return false;
        ap->label_capacity = label_count;
    }
    return true;
}

static bool is_in(const struct sp_ap_range *range, const struct sp_detection *box)
{
    double height_px = box->y2_px - box->y1_px;
    return height_px >= range->low_px && height_px < range->high_px;
}

static void add_range(struct sp_ap *ap, int index, const struct sp_detection *boxes,
                      size_t box_count, const struct sp_box_label *labels, size_t label_count)
{
    const struct sp_ap_range *range = &sp_ap_ranges[index];
    for (size_t i = 0; i < label_count; ++i) {
        ap->label[i] = labels[i];
        ap->label[i].doubtful = labels[i].doubtful || !is_in(range, &labels[i].box);
        ap->labels[index] += !ap->label[i].doubtful;
        ap->doubtful[index] += labels[i].doubtful && is_in(range, &labels[i].box);
    }
    for (int k = 0; k < SP_AP_IOUS; ++k) {
        sp_boxes_match(boxes, box_count, ap->label, label_count, iou_at(k), ap->verdicts,
                       ap->taken);
        for (size_t i = 0; i < box_count; ++i) {
            struct entry *entry = &ap->entries[ap->count + i];
            bool outside = ap->verdicts[i] == SP_BOX_WRONG && !is_in(range, &boxes[i]);
            if (ap->verdicts[i] == SP_BOX_RIGHT)
                entry->right[index] |= (uint16_t)(1U << k);
            if (ap->verdicts[i] == SP_BOX_IGNORED || outside)
                entry->ignored[index] |= (uint16_t)(1U << k);
        }
    }
}

int sp_ap_add(struct sp_ap *ap, const struct sp_detection *boxes, size_t box_count,
              const struct sp_box_label *labels, size_t label_count, struct sp_error *err)
{
    if (!make_room(ap, box_count, label_count))
        return sp_fail(err, SP_ERR_NO_MEMORY, "evaluation: out of memory");
    for (size_t i = 0; i < box_count; ++i)
        ap->entries[ap->count + i] =
            (struct entry){.confidence = boxes[i].confidence, .order = ap->count + i};
    for (int range = 0; range < SP_AP_RANGES; ++range)
        add_range(ap, range, boxes, box_count, labels, label_count);
    ap->count += box_count;
    ++ap->images;
    return SP_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->confidence != y->confidence)
        return x->confidence < y->confidence ? 1 : -1;
    return x->order < y->order ? -1 : 1;
}

/* At each recall point counts the best precision at that recall or a higher one. Walking back from
 * the lowest confidence, `best` is that precision; all points between two recalls share it. */
static double average(const struct sp_ap *ap, int range, int iou)
{
    uint64_t labels = ap->labels[range], right = 0, counted = 0;
    uint16_t bit = (uint16_t)(1U << iou);
    if (labels == 0)
        return NAN;
    for (size_t i = 0; i < ap->count; ++i) {
        bool ignored = ap->entries[i].ignored[range] & bit;
        counted += !ignored;
        right += !ignored && (ap->entries[i].right[range] & bit);
    }
    double sum = 0, best = 0;
    int point = RECALL_POINTS - 1;
    for (size_t i = ap->count; i-- > 0;) {
        if (ap->entries[i].ignored[range] & bit)
            continue;
        double recall = (double)right / (double)labels;
        while (point >= 0 && point * 0.01 > recall) {
            sum += best;
            --point;
        }
        double precision = (double)right / (double)counted;
        best = precision > best ? precision : best;
        --counted;
        right -= (ap->entries[i].right[range] & bit) != 0;
    }
    return (sum + best * (point + 1)) / RECALL_POINTS;
}

void sp_ap_compute(struct sp_ap *ap, int range, struct sp_ap_result *result)
{
    assert(range >= 0 && range < SP_AP_RANGES);
    if (ap->count > 0)
        qsort(ap->entries, ap->count, sizeof *ap->entries, compare_entries);
    *result = (struct sp_ap_result){
        .images = ap->images,
        .labels = ap->labels[range],
        .doubtful = ap->doubtful[range],
    };
    double sum = 0;
    for (int i = 0; i < SP_AP_IOUS; ++i) {
        result->ap[i] = average(ap, range, i);
        sum += result->ap[i];
    }
    result->ap50 = result->ap[0];
    result->ap50_95 = sum / SP_AP_IOUS;
    for (size_t i = 0; i < ap->count && ap->entries[i].confidence >= ap->confidence_threshold;
         ++i) {
        if (ap->entries[i].ignored[range] & 1)
            continue;
        bool right = ap->entries[i].right[range] & 1;
        result->right += right;
        result->wrong += !right;
    }
    uint64_t found = result->right + result->wrong;
    result->missed = result->labels - result->right;
    result->precision = found ? (double)result->right / (double)found : NAN;
    result->recall = result->labels ? (double)result->right / (double)result->labels : NAN;
}
