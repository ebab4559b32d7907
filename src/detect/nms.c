#include "detect/nms.h"

#include <stdbool.h>

static bool is_better(const struct sp_candidate *a, const struct sp_candidate *b)
{
    return a->confidence != b->confidence ? a->confidence > b->confidence : a->anchor < b->anchor;
}

/* The worst candidate is at the root. */
static void sift_down(struct sp_candidate *heap, size_t count, size_t at)
{
    struct sp_candidate moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && is_better(&heap[child], &heap[child + 1]))
            ++child;
        if (!is_better(&moving, &heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void make_heap(struct sp_candidate_heap *heap)
{
    for (size_t i = heap->count / 2; i-- > 0;)
        sift_down(heap->candidates, heap->count, i);
}

void sp_candidate_add(struct sp_candidate_heap *heap, const struct sp_candidate *candidate)
{
    if (heap->count < heap->capacity) {
        heap->candidates[heap->count++] = *candidate;
        if (heap->count == heap->capacity)
            make_heap(heap);
    } else if (heap->capacity > 0 && is_better(candidate, &heap->candidates[0])) {
        heap->candidates[0] = *candidate;
        sift_down(heap->candidates, heap->count, 0);
    }
}

/* Heapsort: qsort() may allocate. Taking the worst out first leaves the best in front. */
void sp_candidate_sort(struct sp_candidate_heap *heap)
{
    make_heap(heap);
    for (size_t left = heap->count; left > 1; --left) {
        struct sp_candidate worst = heap->candidates[0];
        heap->candidates[0] = heap->candidates[left - 1];
        heap->candidates[left - 1] = worst;
        sift_down(heap->candidates, left - 1, 0);
    }
}

static double area(const struct sp_candidate *box)
{
    return ((double)box->x2 - box->x1) * ((double)box->y2 - box->y1);
}

static double iou(const struct sp_candidate *a, const struct sp_candidate *b)
{
    double left = a->x1 > b->x1 ? a->x1 : b->x1, right = a->x2 < b->x2 ? a->x2 : b->x2;
    double top = a->y1 > b->y1 ? a->y1 : b->y1, bottom = a->y2 < b->y2 ? a->y2 : b->y2;
    if (left >= right || top >= bottom)
        return 0;
    double both = (right - left) * (bottom - top);
    return both / (area(a) + area(b) - both);
}

size_t sp_nms(struct sp_candidate *candidates, size_t count, double iou_threshold, size_t capacity)
{
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < capacity; ++i) {
        bool stays = true;
        for (size_t k = 0; k < kept && stays; ++k)
            stays = candidates[k].class_id != candidates[i].class_id ||
                    iou(&candidates[k], &candidates[i]) <= iou_threshold;
        if (stays)
            candidates[kept++] = candidates[i];
    }
    return kept;
}
