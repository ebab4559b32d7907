#include "capture/order.h"

#include "unit.h"

static void test_numbers_follow_the_display(void **state)
{
    (void)state;
    struct sp_order o;
    sp_order_init(&o, false);
    /* I P B B P; keys are the display order. */
    static const int64_t keys[] = {0, 30, 10, 20, 40};
    int64_t id[5];
    for (int i = 0; i < 5; i++)
        id[i] = sp_order_add(&o, keys[i]);
    assert_true(sp_order_has_key(&o, 20));
    assert_false(sp_order_has_key(&o, 21));
    assert_int_equal(sp_order_rank(&o, id[1]), 3);
    assert_int_equal(sp_order_frame(&o, id[0]), 0);
    assert_int_equal(sp_order_frame(&o, id[2]), 1);
    assert_int_equal(sp_order_rank(&o, id[4]), 4);
    assert_int_equal(sp_order_frame(&o, id[3]), 2);
    assert_int_equal(sp_order_frame(&o, id[1]), 3);
    assert_int_equal(sp_order_frame(&o, id[4]), 4);
    sp_order_finish(&o);
    assert_int_equal(o.lost + o.skipped, 0);
}

static void test_skipped_and_lost_use_up_numbers(void **state)
{
    (void)state;
    struct sp_order o;
    sp_order_init(&o, false);
    int64_t lead = sp_order_add(&o, -5);
    int64_t a = sp_order_add(&o, 0), d = sp_order_add(&o, 3), b = sp_order_add(&o, 1);
    sp_order_add(&o, 2);
    int64_t e = sp_order_add(&o, 4);
    assert_int_equal(sp_order_frame(&o, a), 0); /* leading packets without a frame have no number */
    assert_int_equal(o.lost, 0);
    sp_order_skip(&o, b);
    assert_int_equal(sp_order_frame(&o, d), 3);
    assert_int_equal(o.skipped, 1);
    assert_int_equal(o.lost, 1);
    sp_order_skip(&o, e);
    sp_order_finish(&o);
    assert_int_equal(o.skipped, 2);
    assert_int_equal(o.next_sequence, 5);
    /* A frame counted as lost is output after all: from now on frames are counted. */
    assert_int_equal(sp_order_frame(&o, lead), 5);
    assert_true(sp_order_stopped(&o));
    assert_int_equal(o.lost, 0);
}

static void test_after_a_stop_images_are_counted(void **state)
{
    (void)state;
    struct sp_order o;
    sp_order_init(&o, true);
    int64_t a = sp_order_add(&o, 0), b = sp_order_add(&o, 1);
    sp_order_stop(&o);
    int64_t c = sp_order_add(&o, 0), d = sp_order_add(&o, 0);
    sp_order_skip(&o, b);
    assert_int_equal(sp_order_frame(&o, a), 0);
    assert_int_equal(sp_order_frame(&o, c), 2);
    assert_int_equal(o.skipped, 1);
    assert_int_equal(sp_order_frame(&o, d), 3);

    sp_order_init(&o, true);
    a = sp_order_add(&o, 0);
    sp_order_add(&o, 1); /* the second field of a */
    c = sp_order_add(&o, 2);
    sp_order_distrust(&o);
    assert_int_equal(sp_order_frame(&o, a), 0);
    assert_int_equal(sp_order_frame(&o, c), 1);
    assert_int_equal(o.lost, 0);
}

static void test_a_dead_decoder_needs_no_memory(void **state)
{
    (void)state;
    struct sp_order o;
    sp_order_init(&o, true);
    for (int i = 0; i < 10000; i++)
        sp_order_add(&o, i);
    assert_int_equal(o.count, SP_ORDER_PENDING_MAX);
    assert_int_equal(o.lost, 10000 - SP_ORDER_PENDING_MAX);
    assert_int_equal(sp_order_frame(&o, 9999), 9999);
    assert_int_equal(o.lost, 9999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_follow_the_display),
        cmocka_unit_test(test_skipped_and_lost_use_up_numbers),
        cmocka_unit_test(test_after_a_stop_images_are_counted),
        cmocka_unit_test(test_a_dead_decoder_needs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
