#include "detect/nms.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct sp_candidate box(float x1, float y1, float x2, float y2, float confidence,
                               int class_id, int anchor)
{
    return (struct sp_candidate){x1, y1, x2, y2, confidence, class_id, anchor};
}

static void test_the_weaker_of_two_that_overlap_goes(void **state)
{
    (void)state;
    /* IoU of the first two: 80 / 120. */
    struct sp_candidate boxes[] = {
        box(0, 0, 10, 10, 0.9f, 0, 0),
        box(2, 0, 12, 10, 0.8f, 0, 1),
        box(50, 50, 60, 60, 0.7f, 0, 2),
    };
    assert_int_equal(sp_nms(boxes, 3, 0.66, 10), 2);
    assert_int_equal(boxes[0].anchor, 0);
    assert_int_equal(boxes[1].anchor, 2);
}

static void test_an_overlap_up_to_the_threshold_stays(void **state)
{
    (void)state;
    struct sp_candidate boxes[] = {
        box(0, 0, 10, 10, 0.9f, 0, 0), box(0, 0, 10, 5, 0.8f, 0, 1), /* IoU exactly 0.5 */
    };
    assert_int_equal(sp_nms(boxes, 2, 0.5, 10), 2);
    assert_int_equal(sp_nms(boxes, 2, 0.4999, 10), 1);
}

static void test_classes_do_not_suppress_each_other(void **state)
{
    (void)state;
    struct sp_candidate boxes[] = {
        box(0, 0, 10, 10, 0.9f, 0, 0),
        box(0, 0, 10, 10, 0.8f, 1, 1),
        box(0, 0, 10, 10, 0.7f, 0, 2),
    };
    assert_int_equal(sp_nms(boxes, 3, 0.5, 10), 2);
    assert_int_equal(boxes[1].class_id, 1);
}

static void test_a_suppressed_box_suppresses_nothing(void **state)
{
    (void)state;
    /* A chain: each overlaps the next, the ends do not overlap. */
    struct sp_candidate boxes[] = {
        box(0, 0, 10, 10, 0.9f, 0, 0),
        box(4, 0, 14, 10, 0.8f, 0, 1),
        box(8, 0, 18, 10, 0.7f, 0, 2),
    };
    assert_int_equal(sp_nms(boxes, 3, 0.3, 10), 2);
    assert_int_equal(boxes[1].anchor, 2);
}

static void test_nothing_in_nothing_out_and_the_capacity_holds(void **state)
{
    (void)state;
    struct sp_candidate boxes[20];
    assert_int_equal(sp_nms(boxes, 0, 0.5, 10), 0);
    for (int i = 0; i < 20; ++i)
        boxes[i] = box((float)i * 20, 0, (float)i * 20 + 10, 10, 1.0f - (float)i * 0.01f, 0, i);
    assert_int_equal(sp_nms(boxes, 20, 0.5, 7), 7);
    assert_int_equal(boxes[6].anchor, 6);
}

static int compare(const void *a, const void *b)
{
    const struct sp_candidate *left = a, *right = b;
    if (left->confidence != right->confidence)
        return left->confidence > right->confidence ? -1 : 1;
    return left->anchor < right->anchor ? -1 : 1;
}

static void test_the_heap_keeps_the_best_in_order(void **state)
{
    (void)state;
    enum { ALL = 5000, KEPT = 300 };
    struct sp_candidate *all = calloc(ALL, sizeof *all), *kept = calloc(KEPT, sizeof *kept);
    srand(11);
    for (int round = 0; round < 20; ++round) {
        size_t count = round == 0 ? 0 : (round == 1 ? 1 : (size_t)(rand() % ALL));
        struct sp_candidate_heap heap = {kept, KEPT, 0};
        for (size_t i = 0; i < count; ++i) {
            /* Few different confidences: ties are common. */
            all[i] = box(0, 0, 1, 1, (float)(rand() % 40) / 40.0f, 0, (int)i);
            sp_candidate_add(&heap, &all[i]);
        }
        sp_candidate_sort(&heap);
        qsort(all, count, sizeof *all, compare);
        assert_int_equal(heap.count, count < KEPT ? count : KEPT);
        for (size_t i = 0; i < heap.count; ++i)
            assert_int_equal(kept[i].anchor, all[i].anchor);
    }
    free(all);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_weaker_of_two_that_overlap_goes),
        cmocka_unit_test(test_an_overlap_up_to_the_threshold_stays),
        cmocka_unit_test(test_classes_do_not_suppress_each_other),
        cmocka_unit_test(test_a_suppressed_box_suppresses_nothing),
        cmocka_unit_test(test_nothing_in_nothing_out_and_the_capacity_holds),
        cmocka_unit_test(test_the_heap_keeps_the_best_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
