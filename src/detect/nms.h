/* Greedy non-maximum suppression (Neubeck & Van Gool 2006, section 2): of overlapping boxes of one
 * class, keeps the one with the highest confidence. Pure functions, no allocation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A candidate box, in input pixels. */
struct sp_candidate {
    float x1, y1, x2, y2;
    float confidence;
    int class_id;
    int32_t anchor; /* index in the output; breaks ties, so that results are reproducible */
};

/* Keeps the best `capacity` candidates; when full, candidates[0] is the worst. */
struct sp_candidate_heap {
    struct sp_candidate *candidates;
    size_t capacity, count;
};

void sp_candidate_add(struct sp_candidate_heap *heap, const struct sp_candidate *candidate);

/* Sorts by descending confidence; the array is no heap afterwards. */
void sp_candidate_sort(struct sp_candidate_heap *heap);

/* Moves at most `capacity` of the sorted candidates to the front of the array; returns the count.
 */
size_t sp_nms(struct sp_candidate *candidates, size_t count, double iou_threshold, size_t capacity);
