/* Greedy non-maximum suppression (Neubeck & Van Gool 2006, section 2): of boxes of one class that
 * overlap, the one with the highest confidence stays. Pure functions, no allocation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A box the head proposes, in input pixels. */
struct sp_candidate {
    float x1, y1, x2, y2;
    float confidence;
    int class_id;
    int32_t
        anchor; /* its place in the output: decides ties, so that results are the same anywhere */
};

/* Keeps the best `capacity` of all that are added; candidates[0] is then the worst of them. */
struct sp_candidate_heap {
    struct sp_candidate *candidates;
    size_t capacity, count;
};

void sp_candidate_add(struct sp_candidate_heap *heap, const struct sp_candidate *candidate);

/* By falling confidence. The heap is a plain sorted array afterwards. */
void sp_candidate_sort(struct sp_candidate_heap *heap);

/* Keeps at most `capacity` of the sorted candidates at the front of the array; returns how many. */
size_t sp_nms(struct sp_candidate *candidates, size_t count, double iou_threshold, size_t capacity);
