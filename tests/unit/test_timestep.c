#include "track/timestep.h"

#include "unit.h"

#include <math.h>

static void assert_frames(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-9))
        fail_msg("step of %.12g instead of %.12g", found, wanted);
}

static void test_frames_mode_always_steps_by_one(void **state)
{
    (void)state;
    struct sp_timestep step = {.frame_rate = 25, .frame_skip = 3};
    assert_frames(sp_timestep_next(&step, 0, 0), 1);
    assert_frames(sp_timestep_ahead(&step, 1, 40000), 1 / 3.0);
    assert_frames(sp_timestep_next(&step, 3, 120000), 1);
    assert_frames(sp_timestep_next(&step, 9, 360000), 1);
}

static void test_timestamps_give_the_time_in_frames(void **state)
{
    (void)state;
    struct sp_timestep step = {.timestamps = true, .frame_rate = 25, .frame_skip = 1};
    assert_frames(sp_timestep_next(&step, 5, 1000000), 1);
    assert_frames(sp_timestep_ahead(&step, 6, 1040000), 1);
    assert_frames(sp_timestep_ahead(&step, 7, 1060000), 1.5);
    assert_frames(sp_timestep_next(&step, 8, 1120000), 3);
    assert_frames(sp_timestep_next(&step, 9, 1140000), 0.5);
}

/* Matroska at 29.97 frames/s: 33 and 34 ms alternately. */
static void test_rounded_timestamps_are_whole_steps(void **state)
{
    (void)state;
    struct sp_timestep step = {.timestamps = true, .frame_rate = 30000 / 1001.0, .frame_skip = 1};
    for (int i = 0; i < 1000; i++) {
        int64_t pts_us = llround(i * 1001.0 / 30) * 1000;
        assert_true(sp_timestep_next(&step, (uint64_t)i, pts_us) == 1);
    }
}

static void test_time_that_stands_still_is_counted_in_images(void **state)
{
    (void)state;
    struct sp_timestep step = {.timestamps = true, .frame_rate = 25, .frame_skip = 1};
    sp_timestep_next(&step, 0, 1000);
    assert_frames(sp_timestep_next(&step, 2, 1000), 2);
    assert_frames(sp_timestep_next(&step, 3, 500), 1);
    struct sp_timestep unknown_rate = {.timestamps = true, .frame_skip = 1};
    sp_timestep_next(&unknown_rate, 0, 0);
    assert_frames(sp_timestep_next(&unknown_rate, 4, 160000), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_mode_always_steps_by_one),
        cmocka_unit_test(test_timestamps_give_the_time_in_frames),
        cmocka_unit_test(test_rounded_timestamps_are_whole_steps),
        cmocka_unit_test(test_time_that_stands_still_is_counted_in_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
