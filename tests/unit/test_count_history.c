/* Counts by minute and dwells by time. */
#include "pipeline/count_history.h"

#include "unit.h"

static const int64_t MINUTE_US = 60000000;

static void cross(struct sp_count_history *history, int64_t wall_us, bool inward)
{
    struct sp_counting_event event = {
        .kind = SP_EVENT_LINE_CROSSED, .name = "door", .inward = inward};
    sp_count_history_add(history, &event, wall_us);
}

static void leave(struct sp_count_history *history, int64_t wall_us, double dwell_s)
{
    struct sp_counting_event event = {
        .kind = SP_EVENT_ZONE_ENTERED, .name = "hall", .dwell_s = dwell_s};
    sp_count_history_add(history, &event, wall_us - (int64_t)(dwell_s * 1e6));
    event.kind = SP_EVENT_ZONE_LEFT;
    sp_count_history_add(history, &event, wall_us);
}

static void test_sums_since_a_minute(void **state)
{
    (void)state;
    struct sp_count_history *history;
    assert_int_equal(sp_count_history_open(&history, NULL), SP_OK);
    int64_t noon_us = 1000000 * MINUTE_US;
    cross(history, noon_us, true);
    cross(history, noon_us + 59999999, false);
    cross(history, noon_us + MINUTE_US, true);
    cross(history, noon_us + 30000000, true); /* decided late */
    struct sp_line_sums sums = sp_count_history_line(history, "door", noon_us + 20000000);
    assert_int_equal(sums.in, 3);
    assert_int_equal(sums.out, 1);
    sums = sp_count_history_line(history, "door", noon_us + MINUTE_US);
    assert_int_equal(sums.in, 1);
    assert_int_equal(sums.out, 0);
    assert_int_equal(sp_count_history_line(history, "gate", 0).in, 0);

    /* After two days the ring has none of them, and late ones do not land in today. */
    cross(history, noon_us + (SP_COUNT_MINUTES + 5) * MINUTE_US, false);
    cross(history, noon_us, true);
    sums = sp_count_history_line(history, "door", 0);
    assert_int_equal(sums.in, 0);
    assert_int_equal(sums.out, 1);
    sp_count_history_close(history);
}

static void test_percentiles_of_dwells(void **state)
{
    (void)state;
    struct sp_count_history *history;
    assert_int_equal(sp_count_history_open(&history, NULL), SP_OK);
    for (int i = 1; i <= 10; i++)
        leave(history, 1000 * MINUTE_US + i * MINUTE_US, 11 - i);
    struct sp_zone_sums sums = sp_count_history_zone(history, "hall", 0);
    assert_int_equal(sums.visits, 10);
    assert_int_equal(sums.dwells, 10);
    assert_true(sums.p50_s == 5 && sums.p90_s == 9 && sums.max_s == 10 && sums.mean_s == 5.5);
    /* The last four: 4, 3, 2, 1. They began in the minute before they ended. */
    sums = sp_count_history_zone(history, "hall", 1007 * MINUTE_US);
    assert_int_equal(sums.dwells, 4);
    assert_int_equal(sums.visits, 3);
    assert_true(sums.p50_s == 2 && sums.max_s == 4);
    /* Only the newest are kept. */
    for (int i = 0; i < SP_COUNT_DWELLS; i++)
        leave(history, 2000 * MINUTE_US + i, 0.5);
    sums = sp_count_history_zone(history, "hall", 0);
    assert_int_equal(sums.dwells, SP_COUNT_DWELLS);
    assert_true(sums.max_s == 0.5);
    assert_int_equal(sums.visits, 10 + SP_COUNT_DWELLS);
    sp_count_history_close(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_since_a_minute),
        cmocka_unit_test(test_percentiles_of_dwells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
