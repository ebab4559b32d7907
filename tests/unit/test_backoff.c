#include "pipeline/backoff.h"
#include "pipeline/rate_window.h"

#include "unit.h"

static void test_doubles_up_to_the_limit(void **state)
{
    (void)state;
    static const int64_t full_us[] = {500, 1000, 2000, 4000, 8000, 10000, 10000, 10000};
    struct sp_backoff backoff = {.first_us = 500, .limit_us = 10000, .random = 7};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            int64_t delay_us = sp_backoff_next(&backoff);
            assert_true(delay_us >= full_us[i] / 2);
            assert_true(delay_us <= full_us[i]);
        }
        sp_backoff_succeed(&backoff);
    }
}

static void test_never_overflows(void **state)
{
    (void)state;
    struct sp_backoff backoff = {.first_us = 1, .limit_us = 3600000000LL, .random = 1};
    for (int i = 0; i < 100000; i++) {
        int64_t delay_us = sp_backoff_next(&backoff);
        assert_true(delay_us >= 0 && delay_us <= backoff.limit_us);
        assert_true(i < 40 || delay_us >= backoff.limit_us / 2);
    }
}

/* Cameras that were lost together spread over at least half of the time. */
static void test_chance_spreads(void **state)
{
    (void)state;
    int64_t lowest_us = INT64_MAX, highest_us = 0, last_us = -1;
    int same = 0;
    for (uint64_t camera = 1; camera <= 64; camera++) {
        struct sp_backoff backoff = {
            .first_us = 1000000, .limit_us = 1000000, .random = 123456789ULL * 64 + camera};
        for (int i = 0; i < 3; i++)
            sp_backoff_next(&backoff);
        int64_t delay_us = sp_backoff_next(&backoff);
        lowest_us = delay_us < lowest_us ? delay_us : lowest_us;
        highest_us = delay_us > highest_us ? delay_us : highest_us;
        same += delay_us == last_us;
        last_us = delay_us;
    }
    assert_true(highest_us - lowest_us > 250000);
    assert_int_equal(same, 0);
}

static void test_rate_follows_what_is_now(void **state)
{
    (void)state;
    struct sp_rate rate = {0};
    int64_t now_us = 1000;
    assert_true(sp_rate_read(&rate, now_us) == 0);
    for (int i = 0; i < 500; i++, now_us += 40000)
        sp_rate_add(&rate, now_us);
    double fast = sp_rate_read(&rate, now_us);
    assert_true(fast > 24.5 && fast < 25.5);
    for (int i = 0; i < 50; i++, now_us += 200000)
        sp_rate_add(&rate, now_us);
    double slow = sp_rate_read(&rate, now_us);
    assert_true(slow > 4.7 && slow < 5.3);
    assert_true(sp_rate_read(&rate, now_us + 2500000) < slow);
    assert_true(sp_rate_read(&rate, now_us + 6000000) == 0);
    assert_true(sp_rate_read(&rate, now_us + 86400000000LL) == 0);
}

static void test_window_forgets(void **state)
{
    (void)state;
    static struct sp_rate_window window;
    int64_t now_us = 1;
    for (int i = 0; i < 100; i++, now_us += 100000)
        sp_rate_window_add(&window, 90000, now_us);
    for (int i = 0; i < 250; i++, now_us += 100000)
        sp_rate_window_add(&window, 10000, now_us);
    static struct sp_histogram sum;
    sp_rate_window_read(&window, &sum);
    assert_true(sum.count >= 100 && sum.count <= 200);
    assert_true(sp_histogram_percentile(&sum, 1.0) < 11000);
    sp_rate_window_clear(&window);
    static struct sp_histogram none;
    sp_rate_window_read(&window, &none);
    assert_int_equal(none.count, 0);
    assert_int_equal(none.max_us, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_up_to_the_limit),
        cmocka_unit_test(test_never_overflows),
        cmocka_unit_test(test_chance_spreads),
        cmocka_unit_test(test_rate_follows_what_is_now),
        cmocka_unit_test(test_window_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
