#include "capture/camera_health.h"

#include <string.h>

#include "unit.h"

enum { WIDTH = 321, HEIGHT = 203 };

static uint8_t luma[WIDTH * HEIGHT];
static struct sp_health_watch watch;

static int set_up(void **state)
{
    (void)state;
    watch = (struct sp_health_watch){
        .black_after_us = 1000000, .frozen_after_us = 5000000, .black_since_us = -1};
    memset(luma, 80, sizeof luma);
    return 0;
}

static enum sp_camera_health look(int64_t at_us)
{
    struct sp_frame frame = {.plane = {luma},
                             .stride_bytes = {WIDTH},
                             .width_px = WIDTH,
                             .height_px = HEIGHT,
                             .received_us = at_us};
    return sp_health_observe(&watch, &frame);
}

static void test_frozen_after_its_time(void **state)
{
    (void)state;
    assert_int_equal(look(100), SP_HEALTH_LIVE);
    assert_int_equal(look(4999999), SP_HEALTH_LIVE);
    assert_int_equal(look(5000100), SP_HEALTH_FROZEN);
    luma[WIDTH - 1] ^= 1; /* one pixel of one row */
    assert_int_equal(look(5040000), SP_HEALTH_LIVE);
    assert_int_equal(look(10040000), SP_HEALTH_FROZEN);
    sp_health_restart(&watch);
    assert_int_equal(look(10080000), SP_HEALTH_LIVE);
}

/* Every frame differs a little, as with sensor noise. */
static void test_noise_is_alive(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        luma[(i * 7 % 64) * (HEIGHT / 64) * WIDTH + i % WIDTH]++;
        assert_int_equal(look(i * 40000LL), SP_HEALTH_LIVE);
    }
}

static void test_black_after_its_time(void **state)
{
    (void)state;
    assert_int_equal(look(0), SP_HEALTH_LIVE);
    for (int i = 0; i < 26; i++) {
        memset(luma, 16 + i % 4, sizeof luma); /* not frozen: black depends on luma alone */
        assert_int_equal(look(40000 + i * 40000LL), i < 25 ? SP_HEALTH_LIVE : SP_HEALTH_BLACK);
    }
    memset(luma, 80, sizeof luma);
    assert_int_equal(look(2000000), SP_HEALTH_LIVE);
}

static void test_black_comes_before_frozen(void **state)
{
    (void)state;
    memset(luma, 16, sizeof luma);
    assert_int_equal(look(0), SP_HEALTH_LIVE);
    assert_int_equal(look(9000000), SP_HEALTH_BLACK);
}

static void test_a_dark_scene_is_not_black(void **state)
{
    (void)state;
    memset(luma, 20, sizeof luma);
    for (int y = 0; y < HEIGHT; y++) /* a lamp, two hundredths of the frame */
        memset(luma + y * WIDTH, 90, 7);
    assert_int_equal(look(0), SP_HEALTH_LIVE);
    assert_int_equal(look(2000000), SP_HEALTH_LIVE);
}

static void test_sizes_differ(void **state)
{
    (void)state;
    struct sp_frame frame = {
        .plane = {luma}, .stride_bytes = {WIDTH}, .width_px = 1, .height_px = 8};
    uint64_t narrow = sp_luma_hash(&frame);
    frame.width_px = 8;
    frame.height_px = 1;
    assert_true(sp_luma_hash(&frame) != narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_frozen_after_its_time, set_up),
        cmocka_unit_test_setup(test_noise_is_alive, set_up),
        cmocka_unit_test_setup(test_black_after_its_time, set_up),
        cmocka_unit_test_setup(test_black_comes_before_frozen, set_up),
        cmocka_unit_test_setup(test_a_dark_scene_is_not_black, set_up),
        cmocka_unit_test_setup(test_sizes_differ, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
