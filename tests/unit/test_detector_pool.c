/* Cameras of different shapes beside each other, while the engine for one of them is opened. */
#include "live.h"

static uint64_t dropped(const struct sp_camera_report *report)
{
    return report->ledger.settled[SP_OUTCOME_DROPPED];
}

static uint64_t inferred(const struct sp_camera_report *report)
{
    return report->ledger.settled[SP_OUTCOME_INFERRED];
}

static int detectors(struct live *live)
{
    struct sp_detector_report reports[SP_DETECTORS_MAX];
    return sp_pipeline_detectors(live->pipeline, reports);
}

/* The fake engine opens while this file is there. */
static char opening[64];

static void allow_opening(bool allowed)
{
    snprintf(opening, sizeof opening, "/tmp/spoton-test-instances-%d", (int)getpid());
    if (!allowed) {
        assert_int_equal(unlink(opening), 0);
        return;
    }
    FILE *file = fopen(opening, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

/* Whose first opening is let through. */
static struct live *open_slow(void)
{
    char backend_options[96];
    allow_opening(true);
    snprintf(backend_options, sizeof backend_options, "open_file=%s", opening);
    return live_open(backend_options);
}

static void test_opening_disturbs_no_other(void **state)
{
    (void)state;
    struct live *live = open_slow();
    int wide = live_add(live, "wide", "sim://walk?width=640&height=360&fps=50");
    live_await(&live->camera[wide].results, 10);
    assert_int_equal(detectors(live), 1);

    allow_opening(false);
    int narrow = live_add(live, "narrow", "sim://walk?width=640&height=480&fps=50");
    live_await(&live->camera[wide].inferred, live->camera[wide].inferred + 20);
    struct sp_camera_report late;
    do {
        usleep(2000);
        late = live_report(live, narrow);
    } while (dropped(&late) < 10);
    assert_int_equal(detectors(live), 1);
    assert_int_equal(inferred(&late), 0);
    live_await(&live->camera[wide].inferred, live->camera[wide].inferred + 5);
    allow_opening(true);
    live_await(&live->camera[narrow].results, 1);
    late = live_report(live, narrow);
    assert_int_equal(detectors(live), 2);
    assert_int_equal(late.ledger.settled[SP_OUTCOME_FAILED], 0);
    live_await(&live->camera[narrow].results, 20);
    assert_int_equal(live->camera[narrow].tracks, 3);
    live_close(live);
}

/* Wide at its full size, nearly 4:3 at half of it. */
#define CHANGES "sim://walk?width=27&height=16&people=0"

/* The old size goes on as soon as it comes back: only images that need the new one wait. */
static void test_the_old_size_may_come_back_meanwhile(void **state)
{
    (void)state;
    struct live *live = open_slow();
    int camera = live_add(live, "changes", CHANGES "&fps=50&resize=1.2:0.5");
    live_await(&live->camera[camera].results, 1);
    allow_opening(false);
    uint64_t seen;
    while (live_report(live, camera).info.width_px == 27)
        usleep(2000);
    while (live_report(live, camera).info.width_px == 13)
        usleep(2000);
    seen = live->camera[camera].results;
    live_await(&live->camera[camera].results, seen + 5);
    assert_int_equal(detectors(live), 1);
    assert_int_equal(live->camera[camera].width_px, 27);
    allow_opening(true);
    live_close(live);
}

static void test_who_leaves_meanwhile_need_not_wait(void **state)
{
    (void)state;
    struct live *live = open_slow();
    int wide = live_add(live, "wide", "sim://walk?fps=50");
    live_await(&live->camera[wide].results, 1);
    allow_opening(false);
    int narrow = live_add(live, "narrow", "sim://walk?width=640&height=480&fps=50");
    uint64_t came;
    do
        came = live_report(live, narrow).ledger.received;
    while (came < 5);
    assert_int_equal(sp_pipeline_remove_camera(live->pipeline, narrow, NULL), SP_OK);
    live_await(&live->camera[narrow].ends, 1);
    assert_int_equal(detectors(live), 1);
    assert_int_equal(live->camera[narrow].results, 0);
    /* Again, and the pipeline is stopped while it waits: live_close checks that nothing is left. */
    live_await(&live->camera[wide].results, live->camera[wide].results + 5);
    narrow = live_add(live, "narrow", "sim://walk?width=640&height=480&fps=50");
    do
        came = live_report(live, narrow).ledger.received;
    while (came < 5);
    sp_pipeline_stop(live->pipeline);
    allow_opening(true); /* an opening that is under way is waited for */
    live_close(live);
}

/* There is a shape that works: the others' cameras use it. */
static void test_a_refused_shape_uses_another(void **state)
{
    (void)state;
    struct live *live = live_open("refuse_height=256"); /* 4:3 at 320 */
    int wide = live_add(live, "wide", "sim://walk?fps=50");
    live_await(&live->camera[wide].results, 5);
    int narrow = live_add(live, "narrow", "sim://walk?width=640&height=480&fps=50");
    live_await(&live->camera[narrow].results, 20);
    struct sp_error err;
    sp_pipeline_error(live->pipeline, &err);
    assert_int_equal(err.code, SP_OK);
    assert_int_equal(detectors(live), 1);
    assert_int_equal(live->camera[narrow].failed, 0);
    assert_int_equal(live->camera[narrow].tracks, 3);
    live_close(live);
}

static void test_no_shape_at_all_is_the_end(void **state)
{
    (void)state;
    struct live *live = live_open("refuse_height=192"); /* 16:9 at 320 */
    live_add(live, "wide", "sim://walk?fps=50");
    assert_true(sp_pipeline_wait(live->pipeline, 10000000));
    struct sp_error err;
    sp_pipeline_error(live->pipeline, &err);
    assert_int_equal(err.code, SP_ERR_ENGINE);
    assert_non_null(strstr(err.text, "refuse_height"));
    live_close(live);
}

/* Images of two shapes in turn, several of them in one camera index: none overtakes another (the
 * sink reads them). */
static void test_order_is_kept_across_shapes(void **state)
{
    (void)state;
    struct live *live = live_prepare("");
    live->settings.engine_batch = 4;
    live_start(live, false);
    int first = live_add(live, "first", CHANGES "&fps=1000&resize=0:0.005:0.01");
    int second = live_add(live, "second", CHANGES "&fps=1000&resize=0.005:0.006:0.013");
    live_await(&live->camera[first].results, 1000);
    live_await(&live->camera[second].results, 1000);
    assert_int_equal(detectors(live), 2);
    live_close(live);
}

/* Offline all wait, and nothing is lost. */
static void test_offline_loses_nothing(void **state)
{
    (void)state;
    struct live *live = live_prepare("open_ms=200");
    static const char *const urls[] = {"sim://walk?paced=0&frames=30",
                                       "sim://walk?paced=0&frames=30&width=640&height=480"};
    for (int i = 0; i < 2; i++) {
        snprintf(live->settings.camera[i].name, SP_CAMERA_NAME_BYTES, "c%d", i);
        snprintf(live->settings.camera[i].url, SP_URL_BYTES, "%s", urls[i]);
    }
    live->settings.camera_count = 2;
    struct sp_error err = {0};
    struct sp_pipeline_options options = {
        .settings = &live->settings,
        .sink = {.user = live, .begin = live_begin, .result = live_result, .end = live_end},
    };
    assert_int_equal(sp_pipeline_open(&live->pipeline, &options, &err), SP_OK);
    assert_int_equal(sp_pipeline_start(live->pipeline, &err), SP_OK);
    assert_true(sp_pipeline_wait(live->pipeline, 20000000));
    for (int i = 0; i < 2; i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_int_equal(inferred(&report), 30);
    }
    assert_int_equal(detectors(live), 2);
    live_close(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening_disturbs_no_other),
        cmocka_unit_test(test_the_old_size_may_come_back_meanwhile),
        cmocka_unit_test(test_who_leaves_meanwhile_need_not_wait),
        cmocka_unit_test(test_a_refused_shape_uses_another),
        cmocka_unit_test(test_no_shape_at_all_is_the_end),
        cmocka_unit_test(test_order_is_kept_across_shapes),
        cmocka_unit_test(test_offline_loses_nothing),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(opening);
    return result;
}
