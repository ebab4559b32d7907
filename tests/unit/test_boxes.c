#include "eval/boxes.h"

#include "unit.h"

#include <string.h>

static struct sp_detection box(double x, double y, double side, double confidence)
{
    return (struct sp_detection){x, y, x + side, y + side, confidence, 0};
}

static void test_iou(void **state)
{
    (void)state;
    struct sp_detection a = box(0, 0, 10, 1), half = {0, 0, 10, 5, 1, 0};
    struct sp_detection beside = box(10, 0, 10, 1), shifted = box(5, 5, 10, 1);
    struct sp_detection empty = {3, 3, 3, 9, 1, 0};
    assert_true(sp_detection_iou(&a, &a) == 1);
    assert_true(sp_detection_iou(&a, &half) == 0.5);
    assert_true(sp_detection_iou(&a, &beside) == 0);
    assert_true(sp_detection_iou(&a, &empty) == 0);
    assert_true(sp_detection_iou(&empty, &empty) == 0);
    assert_float_equal(sp_detection_iou(&shifted, &a), 25.0 / 175, 1e-12);
}

static void test_each_label_is_found_once_and_by_the_surest(void **state)
{
    (void)state;
    const struct sp_detection boxes[] = {box(1, 0, 10, 0.9), box(0, 0, 10, 0.8),
                                         box(100, 0, 10, 0.7)};
    const struct sp_box_label labels[] = {{.box = box(0, 0, 10, 0)}, {.box = box(200, 0, 10, 0)}};
    enum sp_box_verdict verdicts[3];
    bool taken[2];
    assert_int_equal(sp_boxes_match(boxes, 3, labels, 2, 0.5, verdicts, taken), 1);
    assert_int_equal(verdicts[0], SP_BOX_RIGHT);
    assert_int_equal(verdicts[1], SP_BOX_WRONG);
    assert_int_equal(verdicts[2], SP_BOX_WRONG);
    assert_true(taken[0]);
    assert_false(taken[1]);
}

static void test_the_label_with_the_largest_overlap_is_taken(void **state)
{
    (void)state;
    const struct sp_detection boxes[] = {box(0, 0, 10, 0.9), box(2, 0, 10, 0.8)};
    const struct sp_box_label labels[] = {{.box = box(2, 0, 10, 0)}, {.box = box(0, 0, 10, 0)}};
    enum sp_box_verdict verdicts[2];
    bool taken[2];
    assert_int_equal(sp_boxes_match(boxes, 2, labels, 2, 0.6, verdicts, taken), 2);
}

static void test_the_threshold_itself_counts(void **state)
{
    (void)state;
    const struct sp_detection boxes[] = {{0, 0, 10, 5, 0.9, 0}};
    const struct sp_box_label labels[] = {{.box = box(0, 0, 10, 0)}};
    enum sp_box_verdict verdict;
    bool taken;
    assert_int_equal(sp_boxes_match(boxes, 1, labels, 1, 0.5, &verdict, &taken), 1);
    assert_int_equal(sp_boxes_match(boxes, 1, labels, 1, 0.5001, &verdict, &taken), 0);
}

static void test_doubtful_labels_excuse_any_number_of_boxes(void **state)
{
    (void)state;
    const struct sp_detection boxes[] = {box(0, 0, 10, 0.9), box(0, 0, 10, 0.8), box(1, 0, 10, 0.7),
                                         box(50, 0, 10, 0.6)};
    const struct sp_box_label labels[] = {{.box = box(0, 0, 10, 0), .doubtful = true},
                                          {.box = box(1, 0, 10, 0)}};
    enum sp_box_verdict verdicts[4];
    bool taken[2];
    assert_int_equal(sp_boxes_match(boxes, 4, labels, 2, 0.5, verdicts, taken), 1);
    assert_int_equal(verdicts[0], SP_BOX_RIGHT); /* a certain label before a doubtful one */
    assert_int_equal(verdicts[1], SP_BOX_IGNORED);
    assert_int_equal(verdicts[2], SP_BOX_IGNORED);
    assert_int_equal(verdicts[3], SP_BOX_WRONG);
    assert_false(taken[0]);
}

static void test_classes_are_kept_apart(void **state)
{
    (void)state;
    struct sp_detection boxes[] = {box(0, 0, 10, 0.9)};
    const struct sp_box_label labels[] = {{.box = box(0, 0, 10, 0)}};
    enum sp_box_verdict verdict;
    bool taken;
    boxes[0].class_id = 3;
    assert_int_equal(sp_boxes_match(boxes, 1, labels, 1, 0.5, &verdict, &taken), 0);
}

static void test_agreement_is_counted_both_ways(void **state)
{
    (void)state;
    const struct sp_detection one[] = {box(0, 0, 10, 0.9), box(50, 0, 10, 0.8),
                                       box(100, 0, 10, 0.7), box(150, 0, 10, 0.2)};
    const struct sp_detection other[] = {box(0, 1, 10, 0.95), box(50, 8, 10, 0.6)};
    struct sp_agreement sum = {0};
    assert_true(sp_agreement_recall(&sum) == 1);
    assert_true(sp_agreement_precision(&sum) == 1);
    sp_agreement_add(&sum, one, 4, other, 2, 0.5, 0.5, 0);
    assert_int_equal(sum.reference, 3);
    assert_int_equal(sum.tested, 2);
    assert_float_equal(sp_agreement_recall(&sum), 1.0 / 3, 1e-12);
    assert_float_equal(sp_agreement_precision(&sum), 0.5, 1e-12);
    sp_agreement_add(&sum, one, 3, one, 3, 0.5, 0.5, 0);
    assert_int_equal(sum.frames, 2);
    assert_float_equal(sp_agreement_recall(&sum), 4.0 / 6, 1e-12);
    assert_float_equal(sp_agreement_precision(&sum), 4.0 / 5, 1e-12);
}

static void test_a_confidence_that_moves_over_the_threshold_is_no_disagreement(void **state)
{
    (void)state;
    const struct sp_detection one[] = {box(0, 0, 10, 0.51)}, other[] = {box(0, 0, 10, 0.48)};
    struct sp_agreement strict = {0}, mild = {0};
    sp_agreement_add(&strict, one, 1, other, 1, 0.5, 0.5, 0);
    sp_agreement_add(&mild, one, 1, other, 1, 0.5, 0.5, 0.05);
    assert_true(sp_agreement_recall(&strict) == 0);
    assert_true(sp_agreement_recall(&mild) == 1);
    assert_int_equal(mild.tested, 0); /* it may be matched, but is not searched for itself */
    sp_agreement_add(&mild, other, 1, one, 1, 0.5, 0.5, 0.05);
    assert_true(sp_agreement_precision(&mild) == 1);
    assert_int_equal(mild.tested, 1);
}

static void test_more_boxes_than_an_image_can_have(void **state)
{
    (void)state;
    static struct sp_detection many[SP_DETECTIONS_MAX + 50];
    struct sp_agreement sum = {0};
    for (int i = 0; i < SP_DETECTIONS_MAX + 50; ++i)
        many[i] = box(20.0 * i, 0, 10, 0.9);
    sp_agreement_add(&sum, many, SP_DETECTIONS_MAX + 50, many, SP_DETECTIONS_MAX + 50, 0.5, 0.5,
                     0.1);
    assert_int_equal(sum.reference, SP_DETECTIONS_MAX);
    assert_true(sp_agreement_recall(&sum) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iou),
        cmocka_unit_test(test_each_label_is_found_once_and_by_the_surest),
        cmocka_unit_test(test_the_label_with_the_largest_overlap_is_taken),
        cmocka_unit_test(test_the_threshold_itself_counts),
        cmocka_unit_test(test_doubtful_labels_excuse_any_number_of_boxes),
        cmocka_unit_test(test_classes_are_kept_apart),
        cmocka_unit_test(test_agreement_is_counted_both_ways),
        cmocka_unit_test(test_a_confidence_that_moves_over_the_threshold_is_no_disagreement),
        cmocka_unit_test(test_more_boxes_than_an_image_can_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
