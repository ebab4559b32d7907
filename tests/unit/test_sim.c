#include "base/clock.h"
#include "capture/camera_health.h"
#include "capture/sim/sim.h"
#include "capture/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct sp_frame_pool *pool;

static int set_up(void **state)
{
    (void)state;
    return sp_frame_pool_open(&pool, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    sp_frame_pool_close(pool);
    return 0;
}

static struct sp_source *open_sim(const char *url)
{
    struct sp_source *source = NULL;
    struct sp_error err = {0};
    struct sp_source_options options = {.url = url, .camera = 3, .pool = pool, .frame_skip = 1};
    if (sp_source_open(&source, &options, &err) < 0)
        print_message("%s\n", err.text);
    assert_non_null(source);
    return source;
}

static struct sp_frame *next(struct sp_source *source)
{
    struct sp_frame *frame = NULL;
    assert_int_equal(sp_source_read(source, &frame, NULL), SP_OK);
    return frame;
}

static void test_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"sim://run", "'run'"},
        {"sim://", "''"},
        {"sim://walk?fps", "'fps'"},
        {"sim://walk?fps=0", "'0'"},
        {"sim://walk?fps=nan", "'nan'"},
        {"sim://walk?fps=25x", "'25x'"},
        {"sim://walk?width=12.5", "'12.5'"},
        {"sim://walk?width=100000", "'100000'"},
        {"sim://walk?colour=red", "'colour'"},
        {"sim://walk?stall=3", "'3'"},
        {"sim://walk?stall=3:0", "'3:0'"},
        {"sim://walk?stall=3:2:1", "'3:2:1'"},
        {"sim://walk?stall=3:2:4:5", "'3:2:4:5'"},
        {"sim://walk?black=-1:2", "'-1:2'"},
        {"sim://walk?flap=0", "'0'"},
        {"sim://walk?tiles=2", "'2'"},
        {"sim://walk?rain=1", "'1'"},
        {"sim://world?shake=1:2", "'world'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sp_sim_plan plan;
        struct sp_error err = {0};
        assert_int_equal(sp_sim_parse(&plan, bad[i][0], &err), SP_ERR_INVALID);
        assert_non_null(strstr(err.text, bad[i][1]));
    }
}

static void test_reads_the_address(void **state)
{
    (void)state;
    struct sp_sim_plan plan;
    assert_int_equal(sp_sim_parse(&plan,
                                  "sim://still?width=320&height=200&fps=12.5&people=5&seed=9&"
                                  "frames=10&paced=0&latency_ms=2&flap=3&stall=1:2&black=4:1:10",
                                  NULL),
                     SP_OK);
    assert_int_equal(plan.pattern, SP_SIM_STILL);
    assert_int_equal(plan.width_px, 320);
    assert_int_equal(plan.height_px, 200);
    assert_true(plan.fps == 12.5 && plan.people == 5 && plan.seed == 9 && plan.frames == 10);
    assert_true(!plan.paced && plan.latency_us == 2000 && plan.flap_s == 3);
    double left_s;
    assert_false(sp_sim_is_on(&plan, SP_SIM_STALL, 0.9, NULL));
    assert_true(sp_sim_is_on(&plan, SP_SIM_STALL, 1.5, &left_s));
    assert_true(fabs(left_s - 1.5) < 1e-6);
    assert_false(sp_sim_is_on(&plan, SP_SIM_STALL, 3, NULL));
    assert_true(sp_sim_is_on(&plan, SP_SIM_BLACK, 34.5, NULL));
    assert_false(sp_sim_is_on(&plan, SP_SIM_BLACK, 33.5, NULL));
    assert_false(sp_sim_is_on(&plan, SP_SIM_BURST, 1.5, NULL));
}

/* The same address gives the same bytes, numbers and times; people are where the plan puts them. */
static void test_is_deterministic(void **state)
{
    (void)state;
    static const char url[] = "sim://walk?paced=0&people=4&frames=60&seed=5&garbage=1:0.4";
    struct sp_source *a = open_sim(url), *b = open_sim(url);
    struct sp_sim_plan plan;
    assert_int_equal(sp_sim_parse(&plan, url, NULL), SP_OK);
    uint64_t last = 0;
    for (;;) {
        struct sp_frame *x = NULL, *y = NULL;
        int result = sp_source_read(a, &x, NULL);
        assert_int_equal(sp_source_read(b, &y, NULL), result);
        if (result == SP_ERR_END)
            break;
        assert_int_equal(result, SP_OK);
        assert_int_equal(x->sequence, y->sequence);
        assert_int_equal(x->pts_us, (int64_t)x->sequence * 40000);
        assert_int_equal(x->pts_us, y->pts_us);
        assert_int_equal(x->camera, 3);
        assert_memory_equal(x->plane[0], y->plane[0], 640 * 360);
        if (x->sequence < 25)
            for (int i = 0; i < 4; i++) {
                struct sp_sim_box box = sp_sim_person(&plan, i, x->sequence, 640, 360);
                const uint8_t *corner = x->plane[0] + box.y_px * 640 + box.x_px;
                assert_int_equal(corner[0], 235);
                assert_in_range(corner[box.width_px], 60, 62);
                assert_int_equal(corner[(box.height_px - 1) * 640 + box.width_px - 1], 235);
            }
        last = x->sequence;
        sp_frame_unref(x);
        sp_frame_unref(y);
    }
    assert_int_equal(last, 59);
    assert_int_equal(sp_source_failed(a), 5); /* every other one of ten */
    sp_source_close(a);
    sp_source_close(b);
}

/* No person ever leaves the frame, whatever the sizes. */
static void test_people_stay_inside(void **state)
{
    (void)state;
    static const int sizes[][2] = {{640, 360}, {16, 16}, {1920, 1080}, {200, 4000}, {8192, 20}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int people = 1; people <= SP_SIM_PEOPLE_MAX; people++)
            for (uint64_t number = 0; number < 3000; number += 37) {
                struct sp_sim_plan plan = {.people = people, .fps = 25, .seed = (uint32_t)people};
                int w = sizes[i][0], h = sizes[i][1], k = (int)(number % (unsigned)people);
                struct sp_sim_box box = sp_sim_person(&plan, k, number, w, h);
                assert_true(box.x_px >= 0 && box.y_px >= 0);
                assert_true(box.x_px + box.width_px <= w && box.y_px + box.height_px <= h);
            }
}

static void test_images_show_their_fault(void **state)
{
    (void)state;
    struct sp_source *source = open_sim(
        "sim://walk?paced=0&black=1:1&frozen=3:1&resize=5:1&jump=7:1&stall=9:1&frames=300");
    uint64_t frozen = 0;
    for (;;) {
        struct sp_frame *frame;
        if (sp_source_read(source, &frame, NULL) != SP_OK)
            break;
        double at_s = (double)(frame->pts_us % 3600000000) / 1e6 + 0.001;
        assert_int_equal(sp_luma_is_black(frame), at_s >= 1 && at_s < 2);
        assert_int_equal(frame->width_px, at_s >= 5 && at_s < 6 ? 320 : 640);
        assert_int_equal(frame->height_px, at_s >= 5 && at_s < 6 ? 180 : 360);
        assert_int_equal(frame->pts_us >= 3600000000, at_s >= 7 && at_s < 8);
        assert_false(at_s >= 9 && at_s < 10);
        if (at_s >= 2.95 && at_s < 3)
            frozen = sp_luma_hash(frame);
        if (at_s >= 3 && at_s < 4)
            assert_true(sp_luma_hash(frame) == frozen);
        if (at_s >= 4 && at_s < 4.1)
            assert_true(sp_luma_hash(frame) != frozen);
        sp_frame_unref(frame);
    }
    sp_source_close(source);
}

static void copy_luma(uint8_t *luma, const char *url, uint64_t number)
{
    struct sp_source *source = open_sim(url);
    for (uint64_t i = 0;; i++) {
        struct sp_frame *frame = next(source);
        if (i == number)
            memcpy(luma, frame->plane[0], 640 * 360);
        sp_frame_unref(frame);
        if (i == number)
            break;
    }
    sp_source_close(source);
}

/* The share of the pixels in columns [from, to) that differ by more than `levels`. */
static double differing(const uint8_t *a, const uint8_t *b, int from, int to, int levels)
{
    int count = 0;
    for (int y = 0; y < 360; y++)
        for (int x = from; x < to; x++)
            count += abs(a[y * 640 + x] - b[y * 640 + x]) > levels;
    return count / (360.0 * (to - from));
}

static void test_faults_that_change_pixels(void **state)
{
    (void)state;
    static uint8_t a[640 * 360], b[640 * 360], c[640 * 360];
    static const char floor[] = "sim://empty?paced=0&fps=3&tiles=1&";
    char url[200];
    copy_luma(a, floor, 3);
    copy_luma(b, floor, 6);
    assert_memory_equal(a, b, sizeof a);

    snprintf(url, sizeof url, "%srain=1:2", floor);
    copy_luma(b, url, 3);
    copy_luma(c, url, 5);
    double rain = differing(a, b, 0, 640, 5);
    assert_true(rain > 0.005 && rain < 0.02);
    assert_true(differing(b, c, 0, 640, 5) > 1.5 * rain); /* elsewhere in each frame */
    for (size_t i = 0; i < sizeof b; i++)
        assert_true(b[i] < 200); /* no person to the fake engine */

    snprintf(url, sizeof url, "%sflicker=1:3", floor);
    copy_luma(b, url, 3);
    copy_luma(c, url, 6);
    assert_true(differing(a, b, 0, 320, 14) == 1 && differing(a, b, 320, 640, 0) == 0);
    assert_memory_equal(a, c, sizeof a);

    snprintf(url, sizeof url, "%sinfrared=1:1", floor);
    copy_luma(b, url, 3);
    assert_true(differing(a, b, 0, 640, 5) > 0.6);
    copy_luma(b, url, 6);
    assert_memory_equal(a, b, sizeof a);

    /* After a quarter of the time the view has moved by a quarter second's turn of 160 px/s. */
    snprintf(url, sizeof url, "%span=1:4", floor);
    copy_luma(b, url, 6);
    for (int y = 0; y < 360; y++)
        assert_memory_equal(&b[y * 640], &a[y * 640 + 160], 480);
    copy_luma(b, url, 15);
    assert_memory_equal(a, b, sizeof a);

    snprintf(url, sizeof url, "%sshake=1:4", floor);
    bool moved = false, found = false;
    copy_luma(b, url, 6);
    for (int dy = -4; dy <= 4 && !found; dy++)
        for (int dx = -4; dx <= 4 && !found; dx++) {
            found = true;
            for (int y = 4; y < 356 && found; y++)
                found = memcmp(&b[y * 640 + 4], &a[(y + dy) * 640 + 4 + dx], 632) == 0;
            moved = found && (dx || dy);
        }
    assert_true(found && moved);
}

/* They cross the frame one after the other, and the camera's view moves them. */
static void test_visitors(void **state)
{
    (void)state;
    static uint8_t luma[640 * 360];
    struct sp_sim_plan plan;
    static const char url[] = "sim://visit?paced=0&fps=10&people=2&pan=14:4";
    assert_int_equal(sp_sim_parse(&plan, url, NULL), SP_OK);
    int last_px = -1000;
    for (uint64_t number = 0; number < 130; number++) {
        struct sp_sim_box first = sp_sim_person(&plan, 0, number, 640, 360);
        struct sp_sim_box second = sp_sim_person(&plan, 1, number, 640, 360);
        assert_int_equal(first.width_px > 0, number >= 30 && number < 110);
        assert_int_equal(second.width_px, 0);
        if (first.width_px > 0) {
            assert_in_range(first.x_px - last_px, last_px < -500 ? 0 : 8,
                            last_px < -500 ? 1000 : 10);
            last_px = first.x_px;
        }
    }
    assert_true(last_px > 620);
    copy_luma(luma, url, 150);
    struct sp_sim_box box = sp_sim_person(&plan, 1, 150, 640, 360);
    int left_px = box.x_px - 160; /* turned for a second */
    const uint8_t *row = &luma[box.y_px * 640];
    assert_int_equal(row[left_px + box.width_px - 1], 235);
    assert_true(row[left_px + box.width_px] < 100 && luma[0] < 100);
}

static void test_sparse_leaves_out(void **state)
{
    (void)state;
    struct sp_source *source;
    struct sp_source_options options = {
        .url = "sim://walk?paced=0&frames=11", .pool = pool, .frame_skip = 3, .sparse = true};
    assert_int_equal(sp_source_open(&source, &options, NULL), SP_OK);
    for (uint64_t i = 0; i < 12; i += 3) {
        struct sp_frame *frame = next(source);
        assert_int_equal(frame->sequence, i);
        assert_int_equal(frame->undecoded, i ? 2 : 0);
        sp_frame_unref(frame);
    }
    struct sp_frame *none;
    assert_int_equal(sp_source_read(source, &none, NULL), SP_ERR_END);
    assert_int_equal(sp_source_tail_undecoded(source), 1);
    sp_source_close(source);
}

static void test_paced_by_the_clock(void **state)
{
    (void)state;
    struct sp_source *source = open_sim("sim://walk?fps=50&burst=0.2:0.2");
    int64_t begin_us = sp_clock_us();
    for (int i = 0; i < 30; i++) {
        struct sp_frame *frame = next(source);
        int64_t at_us = sp_clock_us() - begin_us;
        int64_t due_us = i >= 10 && i < 20 ? 400000 : i * 20000;
        assert_true(at_us > due_us - 20000); /* never early; a busy machine may be late */
        sp_frame_unref(frame);
    }
    sp_source_close(source);
}

static void test_waits_no_longer_than_asked(void **state)
{
    (void)state;
    struct sp_source *source;
    struct sp_frame *frame;
    struct sp_source_options options = {
        .url = "sim://walk?stall=0:1000000000", .pool = pool, .read_timeout_us = 50000};
    assert_int_equal(sp_source_open(&source, &options, NULL), SP_OK);
    assert_int_equal(sp_source_read(source, &frame, NULL), SP_ERR_TIMEOUT);
    sp_source_interrupt(source);
    assert_int_equal(sp_source_read(source, &frame, NULL), SP_ERR_INTERRUPTED);
    sp_source_close(source);

    options.url = "sim://walk?latency_ms=60000";
    options.open_timeout_us = 30000;
    assert_int_equal(sp_source_open(&source, &options, NULL), SP_ERR_TIMEOUT);
    atomic_bool interrupted = true;
    options.open_timeout_us = 0;
    options.interrupted = &interrupted;
    assert_int_equal(sp_source_open(&source, &options, NULL), SP_ERR_INTERRUPTED);
    options.url = "sim://offline";
    assert_int_equal(sp_source_open(&source, &options, NULL), SP_ERR_IO);
}

static void test_loses_the_connection(void **state)
{
    (void)state;
    struct sp_source *source = open_sim("sim://walk?paced=0&flap=0.2");
    struct sp_frame *kept = NULL, *frame;
    for (int i = 0; i < 5; i++) {
        sp_frame_unref(kept);
        kept = next(source);
    }
    assert_int_equal(sp_source_read(source, &frame, NULL), SP_ERR_IO);
    sp_source_close(source);
    assert_int_equal(kept->plane[1][0], 128); /* a frame outlives its source */
    sp_frame_unref(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_what_it_does_not_know),
        cmocka_unit_test(test_reads_the_address),
        cmocka_unit_test(test_is_deterministic),
        cmocka_unit_test(test_people_stay_inside),
        cmocka_unit_test(test_images_show_their_fault),
        cmocka_unit_test(test_faults_that_change_pixels),
        cmocka_unit_test(test_visitors),
        cmocka_unit_test(test_sparse_leaves_out),
        cmocka_unit_test(test_paced_by_the_clock),
        cmocka_unit_test(test_waits_no_longer_than_asked),
        cmocka_unit_test(test_loses_the_connection),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
