/* Cameras over several devices of one engine: who goes where, and what happens when one fails. */
#include "live.h"
#include "pipeline/placement.h"

#include <stdlib.h>

/* ---- the choice alone ---- */

static void test_the_one_with_most_room(void **state)
{
    (void)state;
    struct sp_device_capacity rooms[3] = {{.usable = true}, {.usable = true}, {.usable = true}};
    int cameras[3] = {0};
    for (int i = 0; i < 9; i++) {
        int at = sp_placement_choose(rooms, 3, 10);
        assert_int_equal(at, i % 3);
        rooms[at].load += 10;
        cameras[at]++;
    }
    assert_true(cameras[0] == 3 && cameras[1] == 3 && cameras[2] == 3);
    rooms[1].load -= 10; /* one of its cameras leaves */
    assert_int_equal(sp_placement_choose(rooms, 3, 10), 1);
}

/* A heavy camera weighs as much as it costs. */
static void test_weights_count(void **state)
{
    (void)state;
    struct sp_device_capacity rooms[2] = {{.usable = true}, {.usable = true}};
    double weights[] = {60, 20, 20, 20, 10};
    int wanted[] = {0, 1, 1, 1, 0};
    for (int i = 0; i < 5; i++) {
        int at = sp_placement_choose(rooms, 2, weights[i]);
        assert_int_equal(at, wanted[i]);
        rooms[at].load += weights[i];
    }
}

static void test_power_counts(void **state)
{
    (void)state;
    struct sp_device_capacity rooms[2] = {{.usable = true, .power = 1},
                                          {.usable = true, .power = 3}};
    int cameras[2] = {0};
    for (int i = 0; i < 8; i++) {
        int at = sp_placement_choose(rooms, 2, 1);
        rooms[at].load += 1;
        cameras[at]++;
    }
    assert_int_equal(cameras[0], 2);
    assert_int_equal(cameras[1], 6);
}

static void test_unusable_ones_get_nothing(void **state)
{
    (void)state;
    struct sp_device_capacity rooms[3] = {
        {.usable = false}, {.usable = true, .load = 100}, {.usable = false}};
    assert_int_equal(sp_placement_choose(rooms, 3, 1), 1);
    rooms[1].usable = false;
    assert_int_equal(sp_placement_choose(rooms, 3, 1), -1);
    assert_int_equal(sp_placement_choose(rooms, 0, 1), -1);
}

/* ---- the pipeline ---- */

static int devices_of(struct live *live, struct sp_device_report reports[SP_DEVICES_MAX])
{
    return sp_pipeline_devices(live->pipeline, reports);
}

static void add_files(struct live *live, int cameras, const char *url)
{
    for (int i = 0; i < cameras; i++) {
        snprintf(live->settings.camera[i].name, SP_CAMERA_NAME_BYTES, "c%d", i);
        snprintf(live->settings.camera[i].url, SP_URL_BYTES, "%s", url);
    }
    live->settings.camera_count = cameras;
}

/* Offline, to its end. */
static void play(struct live *live)
{
    live_run(live, (struct sp_pipeline_options){0});
    assert_true(sp_pipeline_wait(live->pipeline, 60000000));
}

static void test_cameras_are_spread(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=3;delay_us=500");
    live->settings.engine_batch = 4;
    add_files(live, 6, "sim://walk?paced=0&frames=40");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    assert_int_equal(devices_of(live, devices), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(devices[i].number, i);
        assert_false(devices[i].lost);
        assert_int_equal(devices[i].images, 80); /* two cameras' */
        assert_int_equal(devices[i].cameras, 0); /* they have ended */
        assert_true(devices[i].busy_us > 0 && devices[i].flight_us >= devices[i].busy_us);
    }
    for (int i = 0; i < 6; i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_int_equal(report.ledger.settled[SP_OUTCOME_INFERRED], 40);
        assert_int_equal(live->camera[i].results, 40);
        assert_int_equal(live->camera[i].tracks, 3);
    }
    live_close(live);
}

/* The devices open their engines beside each other, also offline. */
static void test_opening_is_parallel(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=4;open_together=4"); /* else opening fails */
    add_files(live, 4, "sim://walk?paced=0&frames=5");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    assert_int_equal(devices_of(live, devices), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(live_report(live, i).ledger.settled[SP_OUTCOME_INFERRED], 5);
        assert_int_equal(devices[i].images, 5);
    }
    live_close(live);
}

static void test_only_those_that_are_named(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=4");
    snprintf(live->settings.devices, sizeof live->settings.devices, "3, 1");
    add_files(live, 2, "sim://walk?paced=0&frames=10");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    assert_int_equal(devices_of(live, devices), 2);
    assert_true(devices[0].number == 3 && devices[1].number == 1);
    assert_string_equal(devices[0].name, "fake 3");
    assert_true(devices[0].images == 10 && devices[1].images == 10);
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    assert_int_equal(sp_pipeline_detectors(live->pipeline, detectors), 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(detectors[i].description.device, devices[detectors[i].device].name);
    live_close(live);
}

/* Two engines beside each other on one device. */
static void test_a_device_may_be_named_twice(void **state)
{
    (void)state;
    struct live *live = live_prepare("delay_us=500");
    snprintf(live->settings.devices, sizeof live->settings.devices, "0,0");
    add_files(live, 4, "sim://walk?paced=0&frames=20");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    assert_int_equal(devices_of(live, devices), 2);
    assert_true(devices[0].images == 40 && devices[1].images == 40);
    live_close(live);
}

static void refused(const char *backend_options, const char *list, const char *words)
{
    struct live *live = live_prepare(backend_options);
    struct sp_error err = {0};
    struct sp_pipeline_options options = {.settings = &live->settings, .live = true};
    snprintf(live->settings.devices, sizeof live->settings.devices, "%s", list);
    assert_int_equal(sp_pipeline_open(&live->pipeline, &options, &err), SP_ERR_INVALID);
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, words));
    free(live);
}

static void test_devices_that_are_not_there(void **state)
{
    (void)state;
    refused("devices=2", "0,2", "device 2 does not exist; engine fake has 2");
    refused("", "1", "engine fake has 1");
    refused("", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0", "at most 16");
}

/* A slow device does not hold up the other one's cameras. */
static void test_a_slow_device_delays_no_other(void **state)
{
    (void)state;
    struct live *live = live_open("devices=2;delay_us=150000;only_device=0");
    int slow = live_add(live, "slow", "sim://walk?fps=200");
    live_await(&live->camera[slow].results, 2);
    int fast = live_add(live, "fast", "sim://walk?fps=200");
    live_await(&live->camera[fast].results, 2);
    assert_int_equal(live_report(live, slow).device, 0);
    assert_int_equal(live_report(live, fast).device, 1);
    uint64_t slow_from = live->camera[slow].results, fast_from = live->camera[fast].results;
    live_await(&live->camera[slow].results, slow_from + 8);
    uint64_t slow_done = live->camera[slow].results - slow_from;
    uint64_t fast_done = live->camera[fast].results - fast_from;
    print_message("%llu slow ones, %llu fast ones\n", (unsigned long long)slow_done,
                  (unsigned long long)fast_done);
    assert_true(fast_done > slow_done);
    live_close(live);
}

/* ---- failures ---- */

/* Its cameras move to the others, and so do the frames in flight on it: nothing fails, and every
 * frame has the place and the tracks that it has without any trouble. */
static void lose_offline(const char *options, int cameras, int batch, uint64_t frames)
{
    struct live *live = live_prepare(options);
    live->settings.engine_batch = batch;
    sp_log_set_level((enum sp_log_level) - 1);
    char url[80];
    snprintf(url, sizeof url, "sim://walk?paced=0&frames=%d", (int)frames);
    add_files(live, cameras, url);
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    devices_of(live, devices);
    assert_false(devices[0].lost);
    assert_true(devices[1].lost);
    assert_int_equal(devices[1].error.code, SP_ERR_DEVICE);
    assert_non_null(strstr(devices[1].error.text, "break_after"));
    for (int i = 0; i < cameras; i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_true(sp_ledger_balances(&report.ledger));
        assert_int_equal(report.ledger.received, frames);
        assert_int_equal(report.ledger.settled[SP_OUTCOME_INFERRED], frames);
        assert_int_equal(live->camera[i].results, frames);
        assert_int_equal(live->camera[i].failed, 0);
        assert_int_equal(live->camera[i].tracks, 3); /* it went on to the end */
        assert_int_equal(live->camera[i].disorder, 0);
        assert_int_equal(report.error.code, SP_OK);
    }
    live_close(live);
}

static void test_a_lost_device_offline(void **state)
{
    (void)state;
    lose_offline("devices=2;delay_us=500;break_after=12;only_device=1", 4, 2, 200);
    /* As the first that it gets to do after its first run, and full batches on both. */
    lose_offline("devices=2;break_after=2;only_device=1", 4, 1, 100);
    lose_offline("devices=2;break_after=9;only_device=1", 8, 8, 120);
}

/* The cameras' engine on the other device is opened in the background: no other camera waits. */
static void test_a_lost_device_live(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;break_after=30;only_device=0");
    sp_log_set_level((enum sp_log_level) - 1);
    live_start(live, false);
    int moved = live_add(live, "reassigned", "sim://walk?fps=50&width=640&height=480");
    live_await(&live->camera[moved].results, 1);
    assert_int_equal(live_report(live, moved).device, 0);
    int stays = live_add(live, "stays", "sim://walk?fps=50");
    live_await(&live->camera[stays].results, 1);
    assert_int_equal(live_report(live, stays).device, 1);
    live_await(&live->camera[moved].failed, 1);
    uint64_t seen = live->camera[moved].inferred;
    live_await(&live->camera[moved].inferred, seen + 30);
    struct sp_device_report devices[SP_DEVICES_MAX];
    devices_of(live, devices);
    assert_true(devices[0].lost && !devices[1].lost);
    assert_true(devices[0].cameras == 0 && devices[1].cameras == 2);
    assert_int_equal(live_report(live, moved).device, 1);
    assert_int_equal(live->camera[stays].failed, 0);
    /* A new camera does not go to the lost one, though it has the most room. */
    int later = live_add(live, "later", "sim://walk?fps=50");
    live_await(&live->camera[later].inferred, 10);
    assert_int_equal(live_report(live, later).device, 1);
    assert_int_equal(live->camera[later].failed, 0);
    struct sp_error err;
    sp_pipeline_error(live->pipeline, &err);
    assert_int_equal(err.code, SP_OK);
    live_close(live);
}

/* An engine that only ever fails, without saying that the device is gone: three in a row tell. */
static void test_failures_in_a_row(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;fail_after=10;only_device=0");
    sp_log_set_level((enum sp_log_level) - 1);
    add_files(live, 2, "sim://walk?paced=0&frames=60");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    devices_of(live, devices);
    assert_true(devices[0].lost && !devices[1].lost);
    assert_int_equal(devices[0].error.code, SP_ERR_ENGINE);
    /* Which camera was on it depends on whose turn it was; more than three were on their way. */
    uint64_t failed = 0, inferred = 0;
    for (int i = 0; i < 2; i++) {
        struct sp_camera_report report = live_report(live, i);
        failed += report.ledger.settled[SP_OUTCOME_FAILED];
        inferred += report.ledger.settled[SP_OUTCOME_INFERRED];
    }
    print_message("%d failed\n", (int)failed);
    assert_true(failed >= 3 && failed <= 16);
    assert_int_equal(inferred, 120 - failed);
    live_close(live);
}

/* A device whose engine does not even open gets no camera. */
static void test_a_device_that_does_not_open(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;fail_every=1;only_device=0");
    sp_log_set_level((enum sp_log_level) - 1);
    add_files(live, 2, "sim://walk?paced=0&frames=30");
    play(live);
    for (int i = 0; i < 2; i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_int_equal(report.ledger.settled[SP_OUTCOME_INFERRED], 30);
    }
    live_close(live);
}

/* One batch in four fails: that is no device that is lost. */
static void test_single_failures_move_no_camera(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;fail_every=4;only_device=0");
    sp_log_set_level((enum sp_log_level) - 1);
    add_files(live, 2, "sim://walk?paced=0&frames=80");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    devices_of(live, devices);
    assert_true(!devices[0].lost && !devices[1].lost);
    assert_int_equal(live_report(live, 0).ledger.settled[SP_OUTCOME_FAILED] +
                         live_report(live, 1).ledger.settled[SP_OUTCOME_FAILED],
                     20);
    live_close(live);
}

/* The last device is never given up: frames fail one by one, and the run comes to its end. */
static void test_all_devices_are_lost(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;break_after=10");
    sp_log_set_level((enum sp_log_level) - 1);
    add_files(live, 4, "sim://walk?paced=0&frames=60");
    play(live);
    struct sp_device_report devices[SP_DEVICES_MAX];
    devices_of(live, devices);
    assert_int_equal(devices[0].lost + devices[1].lost, 1);
    for (int i = 0; i < 4; i++) {
        struct sp_camera_report report = live_report(live, i);
        assert_true(sp_ledger_balances(&report.ledger));
        assert_int_equal(report.ledger.received, 60);
        assert_true(report.ledger.settled[SP_OUTCOME_FAILED] > 0);
    }
    live_close(live);
}

/* Live there is no end to wait for: a server whose frames all fail is started again instead. */
static void test_the_last_device_ends_a_live_run(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;break_after=10");
    sp_log_set_level((enum sp_log_level) - 1);
    live_start(live, false);
    live_add(live, "a", "sim://walk?fps=50");
    live_add(live, "b", "sim://walk?fps=50");
    struct sp_error error = {0};
    for (int i = 0; i < 1000 && error.code == SP_OK; i++) {
        usleep(20000);
        sp_pipeline_error(live->pipeline, &error);
    }
    assert_int_equal(error.code, SP_ERR_DEVICE);
    assert_non_null(strstr(error.text, "restart spoton"));
    live_close(live);
}

/* A shape that one device cannot have goes to the other one. */
static void test_a_shape_that_one_device_refuses(void **state)
{
    (void)state;
    struct live *live = live_prepare("devices=2;refuse_height=192;only_device=0"); /* 16:9 at 320 */
    live_start(live, false);
    int first = live_add(live, "first", "sim://walk?fps=50");
    live_await(&live->camera[first].inferred, 10);
    assert_int_equal(live_report(live, first).device, 1);
    int narrow = live_add(live, "narrow", "sim://walk?fps=50&width=640&height=480");
    live_await(&live->camera[narrow].inferred, 10);
    assert_int_equal(live_report(live, narrow).device, 0);
    live_close(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_one_with_most_room),
        cmocka_unit_test(test_weights_count),
        cmocka_unit_test(test_power_counts),
        cmocka_unit_test(test_unusable_ones_get_nothing),
        cmocka_unit_test(test_cameras_are_spread),
        cmocka_unit_test(test_opening_is_parallel),
        cmocka_unit_test(test_only_those_that_are_named),
        cmocka_unit_test(test_a_device_may_be_named_twice),
        cmocka_unit_test(test_devices_that_are_not_there),
        cmocka_unit_test(test_a_slow_device_delays_no_other),
        cmocka_unit_test(test_a_lost_device_offline),
        cmocka_unit_test(test_a_lost_device_live),
        cmocka_unit_test(test_failures_in_a_row),
        cmocka_unit_test(test_a_device_that_does_not_open),
        cmocka_unit_test(test_single_failures_move_no_camera),
        cmocka_unit_test(test_all_devices_are_lost),
        cmocka_unit_test(test_the_last_device_ends_a_live_run),
        cmocka_unit_test(test_a_shape_that_one_device_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
