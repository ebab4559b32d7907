/* Times of streams whose clock jumps, stops or jitters. */
#include "capture/times.h"

#include "unit.h"

enum { FRAMES = 60 };

static const int64_t PERIOD_US = 100000;

struct stream {
    struct sp_times times;
    int64_t out_us[FRAMES];
};

/* Frame i has the timestamp i * 100 ms plus odd_us[i % n], and arrives when it was taken. */
static void play(struct stream *s, bool live, const int64_t *odd_us, int n)
{
    *s = (struct stream){.times = {.live = live, .period_us = PERIOD_US}};
    sp_times_restart(&s->times, -1);
    for (int i = 0; i < FRAMES; i++) {
        s->out_us[i] = sp_times_next(&s->times, i * PERIOD_US + odd_us[i % n], i * PERIOD_US);
        assert_true(i == 0 || s->out_us[i] > s->out_us[i - 1]);
    }
}

static void expect_near(const struct stream *s, int64_t within_us)
{
    for (int i = 0; i < FRAMES; i++)
        assert_in_range(s->out_us[i] + within_us - i * PERIOD_US, 0, 2 * within_us);
}

static void test_one_frame_off_moves_nothing(void **state)
{
    (void)state;
    static const int64_t off_us[] = {-9800000000, -2000000,    -250000, 250000,
                                     800000,      36000000000, -100000};
    struct stream s;
    for (size_t i = 0; i < sizeof off_us / sizeof off_us[0]; i++)
        for (int live = 0; live <= 1; live++) {
            int64_t odd_us[10] = {[9] = off_us[i]};
            if (!live && off_us[i] > 0)
                continue; /* a file's time may jump forward */
            play(&s, live, odd_us, 10);
            /* A time less than a second ahead is accepted until the next frame. */
            expect_near(&s, off_us[i] > 0 && off_us[i] < 1000000 ? off_us[i] + 20 : 20);
            assert_in_range(s.out_us[FRAMES - 2] + 20 - (FRAMES - 2) * PERIOD_US, 0, 40);
        }
}

static void test_a_wavering_clock_is_kept(void **state)
{
    (void)state;
    static const int64_t odd_us[] = {0, 18000, -15000, 9000, -18000};
    struct stream s;
    play(&s, true, odd_us, 5);
    for (int i = 1; i < FRAMES; i++)
        assert_int_equal(s.out_us[i], i * PERIOD_US + odd_us[i % 5]);
}

static void test_a_clock_that_is_set_anew_keeps_distances(void **state)
{
    (void)state;
    for (int live = 0; live <= 1; live++)
        for (int back = 0; back <= 1; back++) {
            struct sp_times times = {.live = live, .period_us = PERIOD_US};
            sp_times_restart(&times, -1);
            for (int i = 0; i < FRAMES; i++) {
                int64_t jump_us = i >= 30 ? (back ? -3600000000 : 3600000000) : 0;
                int64_t out_us = sp_times_next(&times, i * PERIOD_US + jump_us, i * PERIOD_US);
                if (live || back)
                    assert_int_equal(out_us, i * PERIOD_US);
            }
        }
}

static void test_a_clock_that_stands(void **state)
{
    (void)state;
    struct sp_times times = {.live = true, .period_us = 20000}; /* nominal, and wrong */
    sp_times_restart(&times, -1);
    for (int i = 0; i < FRAMES; i++)
        assert_int_equal(sp_times_next(&times, 7, i * PERIOD_US),
                         i ? (i - 1) * PERIOD_US + 20007 : 7);
    /* The clock runs again, and the output continues from its last time. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(sp_times_next(&times, 7 + (i + 1) * PERIOD_US, (FRAMES + i) * PERIOD_US),
                         (FRAMES - 1 + i) * PERIOD_US + 20007);
}

static void test_no_clock_is_the_time_of_arrival(void **state)
{
    (void)state;
    struct sp_times live = {.live = true, .period_us = 40000}, file = {.period_us = 40000};
    sp_times_restart(&live, -1);
    sp_times_restart(&file, -1);
    for (int i = 0; i < FRAMES; i++) {
        assert_int_equal(sp_times_next(&live, INT64_MIN, i * PERIOD_US), i * PERIOD_US);
        assert_int_equal(sp_times_next(&file, INT64_MIN, 0), i * 40000);
    }
}

/* A network that stalls for five seconds and then delivers what it buffered. */
static void test_a_burst_is_no_jump(void **state)
{
    (void)state;
    struct sp_times times = {.live = true, .period_us = PERIOD_US};
    sp_times_restart(&times, -1);
    for (int i = 0; i < 100; i++) {
        int64_t at_us = i < 20 ? i * PERIOD_US : i < 70 ? 7000000 + i : i * PERIOD_US;
        assert_int_equal(sp_times_next(&times, i * PERIOD_US, at_us), i * PERIOD_US);
    }
}

static void test_rate(void **state)
{
    (void)state;
    static const struct {
        double period_us, nominal, rate;
        int64_t odd_us[6];
    } cases[] = {
        {100000, 50, 10, {0}},
        {100000, 50, 10, {0, 18000, -15000, 9000, -18000, 3000}}, /* jitter */
        {100000, 50, 10, {0, 0, -2000000, 0, 0, 0}},              /* an outlier */
        {100000, 50, 10, {0, 0, 36000000000, 0, 0, 0}},
        {40000, 25, 25, {0}},
        {41000, 25, 25, {0}}, /* near the nominal rate, which is the result */
        {33367, 0, 30, {0}},
        {33367, 29.97, 29.97, {0}},
        {80000, 25, 12.5, {0}},
        {135000, 25, 1e6 / 135000, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t stream_us[12];
        for (int k = 0; k < 12; k++)
            stream_us[k] = (int64_t)(k * cases[i].period_us) + cases[i].odd_us[k % 6];
        double rate = sp_times_rate(stream_us, 12, cases[i].nominal);
        assert_true(rate > cases[i].rate - 1e-6 && rate < cases[i].rate + 1e-6);
    }
    int64_t few[] = {0, 40000, 80000}, same[] = {5, 5, 5, 5, 5, 5};
    assert_true(sp_times_rate(few, 3, 50) == 0.0);
    assert_true(sp_times_rate(same, 6, 50) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_frame_off_moves_nothing),
        cmocka_unit_test(test_a_wavering_clock_is_kept),
        cmocka_unit_test(test_a_clock_that_is_set_anew_keeps_distances),
        cmocka_unit_test(test_a_clock_that_stands),
        cmocka_unit_test(test_no_clock_is_the_time_of_arrival),
        cmocka_unit_test(test_a_burst_is_no_jump),
        cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
