#include "eval/boxes.h"

#include <assert.h>

static double area(const struct sp_detection *box)
{
    return (box->x2_px - box->x1_px) * (box->y2_px - box->y1_px);
}

double sp_detection_iou(const struct sp_detection *a, const struct sp_detection *b)
{
    double left = a->x1_px > b->x1_px ? a->x1_px : b->x1_px;
    double right = a->x2_px < b->x2_px ? a->x2_px : b->x2_px;
    double top = a->y1_px > b->y1_px ? a->y1_px : b->y1_px;
    double bottom = a->y2_px < b->y2_px ? a->y2_px : b->y2_px;
    if (!(left < right) || !(top < bottom))
        return 0;
    double both = (right - left) * (bottom - top);
    return both / (area(a) + area(b) - both);
}

/* The label of the box's class and of this kind with the largest IoU, if `iou` or more; -1: none.
 */
static ptrdiff_t find_label(const struct sp_detection *box, const struct sp_box_label *labels,
                            size_t label_count, const bool *taken, bool doubtful, double iou)
{
    ptrdiff_t best = -1;
    double most = iou;
    for (size_t i = 0; i < label_count; ++i) {
        if (taken[i] || labels[i].doubtful != doubtful || labels[i].box.class_id != box->class_id)
            continue;
        double overlap = sp_detection_iou(box, &labels[i].box);
        if (overlap > most || (best < 0 && overlap >= most)) {
            most = overlap;
            best = (ptrdiff_t)i;
        }
    }
    return best;
}

size_t sp_boxes_match(const struct sp_detection *boxes, size_t box_count,
                      const struct sp_box_label *labels, size_t label_count, double iou,
                      enum sp_box_verdict *verdicts, bool *taken)
{
    size_t right = 0;
    for (size_t i = 0; i < label_count; ++i)
        taken[i] = false;
    for (size_t i = 0; i < box_count; ++i) {
        ptrdiff_t label = find_label(&boxes[i], labels, label_count, taken, false, iou);
        verdicts[i] = SP_BOX_WRONG;
        if (label >= 0) {
            taken[label] = true;
            verdicts[i] = SP_BOX_RIGHT;
            ++right;
        } else if (find_label(&boxes[i], labels, label_count, taken, true, iou) >= 0) {
            verdicts[i] = SP_BOX_IGNORED;
        }
    }
    return right;
}

static size_t count_above(const struct sp_detection *boxes, size_t count, double confidence)
{
    size_t above = 0;
    count = count < SP_DETECTIONS_MAX ? count : SP_DETECTIONS_MAX;
    while (above < count && boxes[above].confidence >= confidence)
        ++above;
    return above;
}

/* How many of `wanted` are matched in `found`. */
static size_t count_found(const struct sp_detection *wanted, size_t wanted_count,
                          const struct sp_detection *found, size_t found_count, double iou)
{
    struct sp_box_label labels[SP_DETECTIONS_MAX];
    enum sp_box_verdict verdicts[SP_DETECTIONS_MAX];
    bool taken[SP_DETECTIONS_MAX];
    for (size_t i = 0; i < found_count; ++i)
        labels[i] = (struct sp_box_label){.box = found[i]};
    return sp_boxes_match(wanted, wanted_count, labels, found_count, iou, verdicts, taken);
}

void sp_agreement_add(struct sp_agreement *sum, const struct sp_detection *reference,
                      size_t reference_count, const struct sp_detection *tested,
                      size_t tested_count, double iou, double confidence, double margin)
{
    assert(margin >= 0);
    size_t reference_wanted = count_above(reference, reference_count, confidence);
    size_t tested_wanted = count_above(tested, tested_count, confidence);
    size_t reference_all = count_above(reference, reference_count, confidence - margin);
    size_t tested_all = count_above(tested, tested_count, confidence - margin);
    ++sum->frames;
    sum->reference += reference_wanted;
    sum->tested += tested_wanted;
    sum->reference_found += count_found(reference, reference_wanted, tested, tested_all, iou);
    sum->tested_found += count_found(tested, tested_wanted, reference, reference_all, iou);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 1;
}

double sp_agreement_recall(const struct sp_agreement *sum)
{
    return share(sum->reference_found, sum->reference);
}

double sp_agreement_precision(const struct sp_agreement *sum)
{
    return share(sum->tested_found, sum->tested);
}
