#include "eval/average_precision.h"

#include "unit.h"

#include <math.h>

static struct sp_detection person(double x, double height, double confidence)
{
    return (struct sp_detection){x, 0, x + height / 2, height, confidence, 0};
}

static struct sp_box_label label(double x, double height)
{
    return (struct sp_box_label){.box = person(x, height, 0)};
}

static struct sp_ap *open_ap(double threshold)
{
    struct sp_ap *ap = NULL;
    assert_int_equal(sp_ap_open(&ap, threshold, NULL), SP_OK);
    return ap;
}

static void add(struct sp_ap *ap, const struct sp_detection *boxes, size_t box_count,
                const struct sp_box_label *labels, size_t label_count)
{
    assert_int_equal(sp_ap_add(ap, boxes, box_count, labels, label_count, NULL), SP_OK);
}

static void test_all_right_is_one(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    const struct sp_detection boxes[] = {person(0, 60, 0.9), person(200, 60, 0.6)};
    const struct sp_box_label labels[] = {label(0, 60), label(200, 60)};
    add(ap, boxes, 2, labels, 2);
    sp_ap_compute(ap, 0, &result);
    assert_true(result.ap50 == 1 && result.ap50_95 == 1);
    assert_true(result.precision == 1 && result.recall == 1);
    assert_int_equal(result.labels, 2);
    sp_ap_close(ap);
}

static void test_nothing_to_say(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    sp_ap_compute(ap, 0, &result);
    assert_true(isnan(result.ap50) && isnan(result.precision) && isnan(result.recall));
    const struct sp_box_label labels[] = {label(0, 60)};
    add(ap, NULL, 0, labels, 1);
    sp_ap_compute(ap, 0, &result);
    assert_true(result.ap50 == 0 && result.recall == 0 && isnan(result.precision));
    assert_int_equal(result.missed, 1);
    sp_ap_close(ap);
    sp_ap_close(NULL);
}

/* Confidences over two images: right, wrong, right; two of three people found. Precision is 1 up to
 * recall 1/3 (points 0..33) and 2/3 up to recall 2/3 (points 34..66); the rest is 0. */
static void test_the_curve_of_a_case_done_by_hand(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.75);
    struct sp_ap_result result;
    const struct sp_detection first[] = {person(0, 60, 0.9), person(400, 60, 0.8)};
    const struct sp_detection second[] = {person(0, 60, 0.7)};
    const struct sp_box_label both[] = {label(0, 60), label(100, 60)}, one[] = {label(0, 60)};
    add(ap, first, 2, both, 2);
    add(ap, second, 1, one, 1);
    sp_ap_compute(ap, 0, &result);
    assert_float_equal(result.ap50, (34 + 33 * 2.0 / 3) / 101, 1e-12);
    assert_float_equal(result.ap50_95, result.ap50, 1e-12);
    assert_int_equal(result.images, 2);
    assert_int_equal(result.right, 1);
    assert_int_equal(result.wrong, 1);
    assert_int_equal(result.missed, 2);
    assert_float_equal(result.precision, 0.5, 1e-12);
    assert_float_equal(result.recall, 1.0 / 3, 1e-12);
    sp_ap_close(ap);
}

/* IoU 0.72: a hit at 0.5 .. 0.7, not at 0.75 .. 0.95. */
static void test_looser_boxes_count_at_the_lower_overlaps_only(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    const struct sp_detection boxes[] = {{0, 0, 100, 72, 0.9, 0}};
    const struct sp_box_label labels[] = {{.box = {0, 0, 100, 100, 0, 0}}};
    add(ap, boxes, 1, labels, 1);
    sp_ap_compute(ap, 0, &result);
    assert_true(result.ap50 == 1);
    assert_float_equal(result.ap50_95, 0.5, 1e-12);
    assert_true(result.ap[4] == 1 && result.ap[5] == 0);
    sp_ap_close(ap);
}

static void test_doubtful_people_count_neither_way(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    const struct sp_detection boxes[] = {person(200, 60, 0.95), person(0, 60, 0.9)};
    const struct sp_box_label labels[] = {label(0, 60),
                                          {.box = person(200, 60, 0), .doubtful = true}};
    add(ap, boxes, 2, labels, 2);
    sp_ap_compute(ap, 0, &result);
    assert_true(result.ap50 == 1);
    assert_int_equal(result.labels, 1);
    assert_int_equal(result.doubtful, 1);
    assert_int_equal(result.right, 1);
    assert_int_equal(result.wrong, 0);
    sp_ap_close(ap);
}

static void test_ranges_of_height_are_kept_apart(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    /* Small: found. Middle: missed. Large: found, and a large false positive. */
    const struct sp_detection boxes[] = {person(300, 250, 0.95), person(0, 30, 0.9),
                                         person(600, 220, 0.8)};
    const struct sp_box_label labels[] = {label(0, 30), label(100, 80), label(600, 220)};
    add(ap, boxes, 3, labels, 3);
    sp_ap_compute(ap, 1, &result);
    assert_true(result.ap50 == 1 && result.precision == 1);
    assert_int_equal(result.labels, 1);
    sp_ap_compute(ap, 2, &result);
    assert_true(result.ap50 == 0 && result.recall == 0);
    assert_true(isnan(result.precision));
    sp_ap_compute(ap, 3, &result);
    assert_true(isnan(result.ap50));
    sp_ap_compute(ap, 4, &result);
    assert_float_equal(result.ap50, 0.5, 1e-12);
    assert_int_equal(result.wrong, 1);
    sp_ap_compute(ap, 0, &result);
    assert_int_equal(result.labels, 3);
    assert_int_equal(result.right, 2);
    assert_int_equal(result.wrong, 1);
    sp_ap_close(ap);
}

/* Many more boxes than the first allocation holds; every second one is right. */
static void test_grows(void **state)
{
    (void)state;
    struct sp_ap *ap = open_ap(0.5);
    struct sp_ap_result result;
    const struct sp_box_label labels[] = {label(0, 60)};
    for (int i = 0; i < 1000; ++i) {
        const struct sp_detection boxes[] = {person(0, 60, 0.9), person(300, 60, 0.2)};
        add(ap, boxes, 2, labels, 1);
    }
    sp_ap_compute(ap, 0, &result);
    assert_true(result.ap50 == 1);
    assert_int_equal(result.right, 1000);
    assert_int_equal(result.wrong, 0);
    sp_ap_close(ap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_right_is_one),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_the_curve_of_a_case_done_by_hand),
        cmocka_unit_test(test_looser_boxes_count_at_the_lower_overlaps_only),
        cmocka_unit_test(test_doubtful_people_count_neither_way),
        cmocka_unit_test(test_ranges_of_height_are_kept_apart),
        cmocka_unit_test(test_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
