/* Which boxes may overlap: against all pairs. */
#include "track/nearby.h"

#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>

static struct sp_nearby nearby;
static struct sp_box boxes[SP_DETECTIONS_MAX];

static double random_px(double most)
{
    return most * ((double)rand() / RAND_MAX);
}

static struct sp_box random_box(void)
{
    double x = random_px(1000), y = random_px(600);
    struct sp_box box = {x, y, x + random_px(rand() % 9 ? 60 : 400), y + random_px(150), 0};
    sp_box_close(&box);
    return box;
}

static double gap(double low_a, double high_a, double low_b, double high_b)
{
    double gap = low_a > low_b ? low_a - high_b : low_b - high_a;
    return gap > 0 ? gap : 0;
}

static bool is_within(const struct sp_box *a, const struct sp_box *b, double reach_px)
{
    return gap(a->x1_px, a->x2_px, b->x1_px, b->x2_px) <= reach_px &&
           gap(a->y1_px, a->y2_px, b->y1_px, b->y2_px) <= reach_px;
}

static void test_finds_what_a_search_of_all_finds(void **state)
{
    (void)state;
    srand(3);
    int found = 0;
    for (int round = 0; round < 300; round++) {
        int count = round % 3 ? rand() % (SP_DETECTIONS_MAX + 1) : rand() % 8;
        for (int i = 0; i < count; i++)
            boxes[i] = random_box();
        sp_nearby_set(&nearby, boxes, count);
        for (int k = 0; k < 20; k++) {
            struct sp_box box = random_box();
            double reach_px = k % 2 ? 0 : random_px(100);
            bool near[SP_DETECTIONS_MAX] = {false};
            int near_count = sp_nearby_find(&nearby, &box, reach_px);
            for (int i = 0; i < near_count; i++) {
                assert_true(i == 0 || nearby.found[i] > nearby.found[i - 1]);
                assert_true(is_within(&boxes[nearby.found[i]], &box, reach_px + 1));
                near[nearby.found[i]] = true;
            }
            for (int i = 0; i < count; i++)
                assert_true(near[i] || !is_within(&boxes[i], &box, reach_px));
            found += near_count;
        }
    }
    assert_true(found > 1000);
}

static void test_equal_edges_and_boxes_without_width(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        boxes[i] = (struct sp_box){50, 10.0 * i, 50, 10.0 * i + 5, 0};
    sp_nearby_set(&nearby, boxes, 100);
    const struct sp_box box = {50, 500, 50, 525, 0};
    assert_int_equal(sp_nearby_find(&nearby, &box, 0), 3);
    assert_int_equal(nearby.found[0], 50);
    assert_int_equal(nearby.found[2], 52);
    sp_nearby_set(&nearby, boxes, 0);
    assert_int_equal(sp_nearby_find(&nearby, &box, 1e6), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_a_search_of_all_finds),
        cmocka_unit_test(test_equal_edges_and_boxes_without_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
