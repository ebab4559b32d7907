#include "detect/resample.h"

#include <libyuv.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { LENGTH_MAX = 2100, GUARD = 0xA5 };

/* Without SSSE3 libyuv has more bits of weight; with NEON its weights are rounded otherwise. */
#ifdef __aarch64__
enum { LIBYUV_DIFFERS = 2 };
#else
enum { LIBYUV_DIFFERS = 1 };
#endif

struct rows {
    uint8_t in[LENGTH_MAX + SP_RESAMPLE_READS_PAST];
    uint8_t out[LENGTH_MAX + 2 * SP_RESAMPLE_WRITES], plain[LENGTH_MAX + 2 * SP_RESAMPLE_WRITES];
};

/* Two taps as the definition says, on the row alone. */
static int expected(const uint8_t *in, int from, int to, int i)
{
    int64_t step = ((int64_t)from << 16) / to; /* a 65536th at a time */
    double at = (i + 0.5) * (double)step / 65536.0 - 0.5;
    int first = (int)at, weight = (int)((at - first) * 128);
    int second = first + 1 < from ? first + 1 : first;
    return (in[first] * (128 - weight) + in[second] * weight + 64) / 128;
}

static void check(struct sp_resampler *resampler, struct rows *rows, int from, int to)
{
    size_t written =
        (size_t)((to + SP_RESAMPLE_WRITES - 1) / SP_RESAMPLE_WRITES) * SP_RESAMPLE_WRITES;
    for (int i = 0; i < from + SP_RESAMPLE_READS_PAST; ++i)
        rows->in[i] = (uint8_t)(i % 5 == 0 ? 255 * (rand() & 1) : rand());
    memset(rows->out, GUARD, sizeof rows->out);
    memset(rows->plain, GUARD, sizeof rows->plain);
    assert_int_equal(sp_resampler_set(resampler, from, to, NULL), SP_OK);
    sp_resample_row(resampler, rows->out, rows->in);
    sp_resample_row_plain(resampler, rows->plain, rows->in);
    assert_memory_equal(rows->out, rows->plain, sizeof rows->out);
    for (int i = 0; i < to; ++i) {
        if (rows->out[i] != expected(rows->in, from, to, i))
            fail_msg("%d to %d: pixel %d is %d, not %d", from, to, i, rows->out[i],
                     expected(rows->in, from, to, i));
    }
    for (size_t i = written; i < sizeof rows->out; ++i)
        assert_int_equal(rows->out[i], GUARD);
}

static void test_a_row_is_what_the_definition_says(void **state)
{
    (void)state;
    struct sp_resampler resampler = {0};
    struct rows *rows = malloc(sizeof *rows);
    srand(11);
    for (int to = 1; to <= 80; ++to)
        for (int from = to; from <= 2 * to; ++from)
            check(&resampler, rows, from, to);
    for (int round = 0; round < 300; ++round) { /* up and down: memory is kept and grown */
        int to = 1 + rand() % (LENGTH_MAX / 2);
        check(&resampler, rows, to + rand() % (to + 1), to);
    }
    static const int cameras[][2] = {{768, 640}, {1279, 640}, {1280, 640}, {384, 320}, {960, 640}};
    for (size_t i = 0; i < sizeof cameras / sizeof *cameras; ++i)
        check(&resampler, rows, cameras[i][0], cameras[i][1]);
    sp_resampler_release(&resampler);
    free(rows);
}

/* A plane of one row: libyuv has nothing but the way along it to go. */
static void test_the_bytes_are_those_of_libyuv(void **state)
{
    (void)state;
    struct sp_resampler resampler = {0};
    struct rows *rows = malloc(sizeof *rows);
    static const int lengths[][2] = {{768, 640}, {384, 320},  {960, 640},
                                     {801, 640}, {1270, 640}, {727, 601}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) {
        int from = lengths[i][0], to = lengths[i][1];
        check(&resampler, rows, from, to);
        ScalePlane(rows->in, from, from, 1, rows->plain, to, to, 1, kFilterBilinear);
        for (int k = 0; k < to; ++k)
            assert_true(abs(rows->out[k] - rows->plain[k]) <= LIBYUV_DIFFERS);
    }
    sp_resampler_release(&resampler);
    free(rows);
}

static void test_the_same_length_is_a_copy(void **state)
{
    (void)state;
    struct sp_resampler resampler = {0};
    struct rows *rows = malloc(sizeof *rows);
    check(&resampler, rows, 333, 333);
    assert_memory_equal(rows->out, rows->in, 333);
    sp_resampler_release(&resampler);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_is_what_the_definition_says),
        cmocka_unit_test(test_the_bytes_are_those_of_libyuv),
        cmocka_unit_test(test_the_same_length_is_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
