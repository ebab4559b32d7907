/* Measures over several sequences. */
#include "eval/summary.h"

#include "unit.h"

#include <math.h>

static struct sp_tracks_sums sequence(double people, double found, double switches)
{
    struct sp_tracks_sums sums = {
        .ground_truth = people,
        .tracked = found,
        .matches = found,
        .switches = switches,
        .id_true = found,
        .ids = 2,
        .life_s = 3,
    };
    for (int a = 0; a < SP_TRACKS_ALPHAS; a++) {
        sums.hota_true[a] = found;
        sums.hota_association[a] = found / 2;
    }
    return sums;
}

static void test_counts_are_added_before_ratios(void **state)
{
    (void)state;
    struct sp_tracks_sums all = sequence(100, 100, 0), half = sequence(300, 150, 10);
    double value[SP_TRACKS_MEASURES];
    sp_tracks_sums_add(&all, &half);
    sp_tracks_measure(&all, value);
    assert_float_equal(value[SP_TRACKS_MOTA], 1 - 160.0 / 400, 1e-12);
    assert_float_equal(value[SP_TRACKS_IDF1], 2 * 250.0 / 650, 1e-12);
    assert_float_equal(value[SP_TRACKS_DETA], 250.0 / 400, 1e-12);
    assert_float_equal(value[SP_TRACKS_ASSA], 0.5, 1e-12);
    assert_float_equal(value[SP_TRACKS_HOTA], sqrt(0.5 * 250 / 400), 1e-12);
    assert_float_equal(value[SP_TRACKS_LIFE_S], 1.5, 1e-12);
    assert_float_equal(value[SP_TRACKS_IDS], 4, 1e-12);
}

static void test_nothing_has_no_ratio(void **state)
{
    (void)state;
    const struct sp_tracks_sums nothing = {0};
    double value[SP_TRACKS_MEASURES];
    sp_tracks_measure(&nothing, value);
    assert_true(isnan(value[SP_TRACKS_MOTA]) && isnan(value[SP_TRACKS_LIFE_S]));
    assert_true(value[SP_TRACKS_HOTA] == 0 && value[SP_TRACKS_SWITCHES] == 0);
}

static void test_lives_and_short_ids(void **state)
{
    (void)state;
    struct sp_mot_row row[] = {{.frame = 1, .id = 0},  {.frame = 3, .id = 1}, {.frame = 5, .id = 1},
                               {.frame = 11, .id = 0}, {.frame = 6, .id = 2}, {.frame = 7, .id = 3},
                               {.frame = 12, .id = 3}};
    const struct sp_mot_rows tracks = {.rows = row, .count = 7, .ids = 4};
    const struct sp_tracks_result result = {.tracked_ids = 4};
    struct sp_tracks_sums sums;
    assert_int_equal(sp_tracks_sums_of(&sums, &result, &tracks, 10, NULL), SP_OK);
    assert_float_equal(sums.life_s, 1 + 0.2 + 0 + 0.5, 1e-9);
    assert_float_equal(sums.short_ids, 2, 0); /* 0.5 s is not under 0.5 s */
}

static void test_intervals_of_one_two_and_many(void **state)
{
    (void)state;
    struct sp_tracks_sums s[64];
    struct sp_tracks_interval interval[SP_TRACKS_MEASURES];
    for (int i = 0; i < 64; i++)
        s[i] = sequence(100, i % 2 ? 60 : 80, 0);
    assert_int_equal(sp_tracks_bootstrap(s, NULL, 1, interval, NULL), SP_OK);
    assert_float_equal(interval[SP_TRACKS_MOTA].low, 0.8, 1e-9);
    assert_float_equal(interval[SP_TRACKS_MOTA].high, 0.8, 1e-9);
    assert_int_equal(sp_tracks_bootstrap(s, NULL, 2, interval, NULL), SP_OK);
    assert_float_equal(interval[SP_TRACKS_MOTA].low, 0.6, 1e-9);
    assert_float_equal(interval[SP_TRACKS_MOTA].high, 0.8, 1e-9);
    /* A mean of 64 draws of 0.6 or 0.8: 0.7 +- 1.96 * 0.1 / 8. */
    assert_int_equal(sp_tracks_bootstrap(s, NULL, 64, interval, NULL), SP_OK);
    assert_float_equal(interval[SP_TRACKS_MOTA].low, 0.6755, 0.006);
    assert_float_equal(interval[SP_TRACKS_MOTA].high, 0.7245, 0.006);
}

static void test_a_difference_is_of_the_same_sequences(void **state)
{
    (void)state;
    struct sp_tracks_sums one[16], other[16];
    struct sp_tracks_interval interval[SP_TRACKS_MEASURES];
    for (int i = 0; i < 16; i++) {
        one[i] = sequence(100, 20 + 4 * i, 0);
        other[i] = sequence(100, 30 + 4 * i, 0);
    }
    assert_int_equal(sp_tracks_bootstrap(other, one, 16, interval, NULL), SP_OK);
    assert_float_equal(interval[SP_TRACKS_MOTA].low, 0.1, 1e-9);
    assert_float_equal(interval[SP_TRACKS_MOTA].high, 0.1, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_added_before_ratios),
        cmocka_unit_test(test_nothing_has_no_ratio),
        cmocka_unit_test(test_lives_and_short_ids),
        cmocka_unit_test(test_intervals_of_one_two_and_many),
        cmocka_unit_test(test_a_difference_is_of_the_same_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
