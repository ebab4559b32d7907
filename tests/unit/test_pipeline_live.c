/* The live pipeline with the fake engine and made cameras, good ones and bad ones. */
#include "live.h"

#include <pthread.h>

static void test_runs_without_cameras(void **state)
{
    (void)state;
    struct live *live = live_open("");
    assert_int_equal(sp_pipeline_camera_capacity(live->pipeline), SP_CAMERAS_MAX);
    assert_false(live_report(live, 0).used);
    assert_false(sp_pipeline_wait(live->pipeline, 50000));
    live_close(live);
}

static void test_tracks_a_good_camera(void **state)
{
    (void)state;
    struct live *live = live_open("");
    int camera = live_add(live, "good", "sim://walk?fps=50&people=3");
    live_await(&live->camera[camera].results, 50);
    live_await_state(live, camera, SP_CAMERA_LIVE);
    struct sp_camera_report report = live_report(live, camera);
    assert_true(report.used);
    assert_string_equal(report.name, "good");
    assert_int_equal(report.active_tracks, 3);
    live_check_ids(live, camera, 3);
    assert_int_equal(report.reconnects, 0);
    assert_int_equal(report.info.width_px, 640);
    assert_int_equal(report.error.code, SP_OK);
    assert_int_equal(report.file_position, -1);
    assert_true(report.latency_p95_us > 0 && report.latency_p50_us <= report.latency_p95_us);
    assert_true(report.camera_fps > 0 && report.inferred_fps > 0); /* how many: test_backoff */
    struct sp_histogram track = {0};
    assert_int_equal(sp_pipeline_stage_histogram(live->pipeline, camera, SP_STAGE_TRACK, &track),
                     SP_OK);
    assert_true(track.count >= 50);
    live_close(live);
}

static void test_refuses_wrong_requests(void **state)
{
    (void)state;
    struct live *live = live_open("");
    struct sp_camera_setting setting = {.name = "a/b", .url = "sim://walk"};
    struct sp_error err = {0};
    int index;
    assert_int_equal(sp_pipeline_add_camera(live->pipeline, &setting, &index, &err),
                     SP_ERR_INVALID);
    int first = live_add(live, "a", "sim://offline");
    snprintf(setting.name, sizeof setting.name, "a");
    assert_int_equal(sp_pipeline_add_camera(live->pipeline, &setting, &index, &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(sp_pipeline_remove_camera(live->pipeline, first + 1, &err), SP_ERR_NOT_FOUND);
    assert_int_equal(sp_pipeline_pause_camera(live->pipeline, -1, true, &err), SP_ERR_NOT_FOUND);
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, SP_CAMERAS_MAX, 0, &err),
                     SP_ERR_NOT_FOUND);
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, first, 0, &err), SP_ERR_INVALID);
    for (int i = 1; i < SP_CAMERAS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        live_add(live, name, "sim://offline");
    }
    snprintf(setting.name, sizeof setting.name, "one-more");
    assert_int_equal(sp_pipeline_add_camera(live->pipeline, &setting, &index, &err),
                     SP_ERR_NO_SPACE);
    live_await_state(live, first, SP_CAMERA_OFFLINE);
    assert_non_null(strstr(live_report(live, first).error.text, "cannot be opened"));
    live_close(live);
}

/* Each fault is told by its state, and is over when it is over. They come again and again: a busy
 * machine may sleep through one of them. */
static void test_states_follow_connection_and_frames(void **state)
{
    (void)state;
    struct live *live = live_prepare("");
    live->settings.stall_timeout_ms = 1500;
    snprintf(live->settings.camera[0].name, SP_CAMERA_NAME_BYTES, "black");
    snprintf(live->settings.camera[0].url, SP_URL_BYTES, "sim://walk?black=0.5:2:4");
    live->settings.camera_count = 1;
    live_start(live, false);
    int frozen = live_add(live, "frozen", "sim://walk?frozen=0.5:3.5:5&gpu=1");
    int stalled = live_add(live, "stalled", "sim://walk?stall=0.5:2:4");
    int still = live_add(live, "still", "sim://still");
    int ended = live_add(live, "ended", "sim://walk?paced=0&fps=100&frames=50");
    live_await_state(live, stalled, SP_CAMERA_STALLED);
    live_await_state(live, stalled, SP_CAMERA_LIVE);
    assert_int_equal(live_report(live, stalled).reconnects, 0); /* shorter than two timeouts */
    live_await_state(live, frozen, SP_CAMERA_FROZEN);
    live_await_state(live, 0, SP_CAMERA_BLACK);
    live_await_state(live, 0, SP_CAMERA_LIVE);
    live_await_state(live, frozen, SP_CAMERA_LIVE);
    live_await_state(live, ended, SP_CAMERA_ENDED);
    assert_int_equal(live->camera[ended].results +
                         live_report(live, ended).ledger.settled[SP_OUTCOME_DROPPED],
                     50);
    live_await_state(live, still, SP_CAMERA_LIVE);
    live_close(live);
}

static void test_connects_again(void **state)
{
    (void)state;
    struct live *live = live_open("");
    int flapping = live_add(live, "flapping", "sim://walk?flap=0.4");
    int silent = live_add(live, "silent", "sim://walk?stall=0.3:1000000");
    live_await(&live->camera[flapping].results, 30); /* more than three connections' */
    assert_true(live_report(live, flapping).reconnects >= 2);
    live_await_state(live, silent, SP_CAMERA_OFFLINE);
    uint64_t before = atomic_load(&live->camera[silent].results);
    live_await(&live->camera[silent].results, before + 2);
    assert_int_equal(live->camera[flapping].begins, 1);
    assert_int_equal(live->camera[flapping].ends, 0);
    live_close(live);
}

/* Tracks do not cross to the other size, and their numbers are not used again. A size lasts long
 * enough for a busy machine to look at it. */
static void test_size_may_change(void **state)
{
    (void)state;
    struct live *live = live_open("");
    int camera = live_add(live, "resized", "sim://walk?fps=50&people=2&resize=2:2");
    live_await(&live->camera[camera].results, 8);
    live_check_ids(live, camera, 2);
    while (atomic_load(&live->camera[camera].width_px) == 640)
        usleep(1000);
    live_await(&live->camera[camera].results, atomic_load(&live->camera[camera].results) + 4);
    assert_int_equal(live->camera[camera].tracks, 2);
    live_check_ids(live, camera, 4);
    assert_int_equal(live_report(live, camera).info.width_px, 320);
    while (atomic_load(&live->camera[camera].width_px) == 320)
        usleep(1000);
    live_await(&live->camera[camera].results, atomic_load(&live->camera[camera].results) + 4);
    live_check_ids(live, camera, 6);
    live_close(live);
}

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct live *live = live_open("");
    int camera = live_add(live, "camera", "sim://walk?fps=50");
    int file = live_add(live, "file", "sim://walk?fps=50&paced=0&frames=100000");
    const int both[] = {camera, file};
    live_await(&live->camera[camera].results, 10);
    live_await(&live->camera[file].results, 10);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sp_pipeline_pause_camera(live->pipeline, both[i], true, NULL), SP_OK);
    for (int i = 0; i < 2; i++)
        live_await_state(live, both[i], SP_CAMERA_PAUSED);
    usleep(200000); /* what was on its way arrives */
    uint64_t seen[2], position = (uint64_t)live_report(live, file).file_position;
    for (int i = 0; i < 2; i++)
        seen[i] = atomic_load(&live->camera[both[i]].results);
    usleep(400000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(atomic_load(&live->camera[both[i]].results), seen[i]);
        assert_int_equal(sp_pipeline_pause_camera(live->pipeline, both[i], false, NULL), SP_OK);
    }
    live_await(&live->camera[file].results, seen[1] + 5);
    /* It goes on where it was, and does not hurry to make up for the pause. */
    uint64_t after = (uint64_t)live_report(live, file).file_position;
    assert_true(after > position && after < position + 50);
    for (int i = 0; i < 2; i++) {
        live_await(&live->camera[both[i]].results, seen[i] + 10);
        live_await_state(live, both[i], SP_CAMERA_LIVE);
        assert_int_equal(live_report(live, both[i]).reconnects, 0);
    }
    live_close(live);
}

/* How many frames of the camera were on their way at most while so many more were dropped; with
 * what is on its way bounded, so is the latency, however busy the machine is. */
static uint64_t most_on_their_way(struct live *live, int camera, uint64_t dropped)
{
    struct sp_camera_report report = live_report(live, camera);
    uint64_t most = 0, until = report.ledger.settled[SP_OUTCOME_DROPPED] + dropped;
    int64_t limit_us = sp_clock_us() + 120000000;
    while (report.ledger.settled[SP_OUTCOME_DROPPED] < until) {
        assert_true(sp_clock_us() < limit_us);
        usleep(1000);
        report = live_report(live, camera);
        most = report.ledger.in_flight > most ? report.ledger.in_flight : most;
    }
    return most;
}

/* An engine four times slower than the camera: the newest frame is taken, late, and no queue
 * grows: one in the mailbox, one in the scheduler's hands, one in the engine's stream, one behind
 * it, and one that is being finished. */
static void test_latency_does_not_grow(void **state)
{
    (void)state;
    struct live *live = live_prepare("delay_us=60000");
    live->settings.streams = 1;
    live_start(live, false);
    int camera = live_add(live, "fast", "sim://walk?fps=60");
    live_await(&live->camera[camera].results, 5);
    uint64_t most = most_on_their_way(live, camera, 90);
    assert_in_range(most, 2, 5);
    live_close(live);
}

/* Whatever is slow behind the engine: so many frames are on their way, and no more. */
static void test_a_slow_sink_bounds_latency(void **state)
{
    (void)state;
    struct live *live = live_open("");
    atomic_store(&live->sink_delay_us, 50000);
    int camera = live_add(live, "fast", "sim://walk?fps=60");
    uint64_t most = most_on_their_way(live, camera, 60);
    assert_in_range(most, 3, 6);
    atomic_store(&live->sink_delay_us, 0);
    live_close(live);
}

/* Frames between the inferred ones come too, with predicted boxes. */
static void test_frame_skip(void **state)
{
    (void)state;
    struct live *live = live_prepare("");
    live->settings.frame_skip = 3;
    live_start(live, false);
    int camera = live_add(live, "skipped", "sim://walk?fps=30");
    live_await(&live->camera[camera].results, 60);
    uint64_t results = atomic_load(&live->camera[camera].results);
    uint64_t inferred = atomic_load(&live->camera[camera].inferred);
    assert_true(inferred >= results / 3);
    assert_int_equal(live->camera[camera].shortest_step, 3); /* also where frames were dropped */
    assert_int_equal(live->camera[camera].tracks, 3);
    live_close(live);
}

static void test_engine_failures_are_counted(void **state)
{
    (void)state;
    struct live *live = live_open("fail_every=4");
    int camera = live_add(live, "camera", "sim://walk?fps=100");
    sp_log_set_level(SP_LOG_ERROR);
    live_await(&live->camera[camera].results, 60);
    assert_true(live->camera[camera].failed >= 10);
    live_close(live);
}

struct sampler {
    struct live *live;
    atomic_bool stop;
    uint64_t samples, unbalanced;
};

static void *sample(void *argument)
{
    struct sampler *s = argument;
    while (!atomic_load(&s->stop)) {
        for (int i = 0; i < SP_CAMERAS_MAX; i++) {
            struct sp_camera_report report = live_report(s->live, i);
            s->unbalanced += !sp_ledger_balances(&report.ledger);
            s->samples++;
        }
        usleep(1000);
    }
    return NULL;
}

/* Cameras come and go beside one that stays; every ledger balances whenever it is looked at. */
static void test_come_and_go(void **state)
{
    (void)state;
    enum { ROUNDS = 40 };
    static const char *const urls[] = {
        "sim://walk?fps=200&garbage=0.01:0.02:0.04",
        "sim://offline",
        "sim://walk?latency_ms=5000",
        "sim://walk?fps=100&flap=0.03",
        "sim://walk?stall=0:1000",
        "sim://walk?paced=0&frames=3",
        "sim://walk?width=200&height=400",
    };
    enum { URLS = sizeof urls / sizeof urls[0] };
    struct live *live = live_open("delay_us=2000");
    int stays = live_add(live, "stays", "sim://walk?fps=50");
    struct sampler sampler = {.live = live};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sample, &sampler), 0);
    live_await(&live->camera[stays].results, 1);
    for (int round = 0; round < ROUNDS; round++) {
        int added[3];
        for (int i = 0; i < 3; i++) {
            char name[16];
            snprintf(name, sizeof name, "guest%d", i); /* the same names again and again */
            added[i] = live_add(live, name, urls[(round + i) % URLS]);
        }
        usleep(20000 + round % 5 * 10000);
        for (int i = 0; i < 3; i++) {
            if (round % 3 == i)
                sp_pipeline_pause_camera(live->pipeline, added[i], true, NULL);
            assert_int_equal(sp_pipeline_remove_camera(live->pipeline, added[i], NULL), SP_OK);
            assert_false(live_report(live, added[i]).used);
        }
    }
    atomic_store(&sampler.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(sampler.unbalanced, 0);
    assert_true(sampler.samples > 1000);
    assert_int_equal(live_report(live, stays).reconnects, 0);
    live_check_ids(live, stays, 3); /* no track changed its id */
    assert_int_equal(live->camera[stays].ends, 0);
    uint64_t ends = 0;
    int64_t deadline_us = sp_clock_us() + 120000000;
    while (ends < 3 * ROUNDS && sp_clock_us() < deadline_us) {
        ends = 0;
        for (int i = 0; i < SP_CAMERAS_MAX; i++)
            ends += atomic_load(&live->camera[i].ends);
        usleep(2000);
    }
    assert_int_equal(ends, 3 * ROUNDS);
    live_close(live);
}

/* A camera index's next camera counts its people from 1 again. */
static void test_a_camera_index_begins_anew(void **state)
{
    (void)state;
    struct live *live = live_open("");
    int first = live_add(live, "first", "sim://walk?people=6&fps=50");
    live_await(&live->camera[first].results, 20);
    assert_int_equal(sp_pipeline_remove_camera(live->pipeline, first, NULL), SP_OK);
    live_await(&live->camera[first].ends, 1);
    uint64_t seen = atomic_load(&live->camera[first].results);
    atomic_store(&live->camera[first].highest_id, 0);
    int second = first;
    do { /* the camera index is free just after the end was told */
        if (second != first)
            sp_pipeline_remove_camera(live->pipeline, second, NULL);
        usleep(1000);
        second = live_add(live, "first", "sim://walk?people=2&fps=50");
    } while (second != first);
    live_await(&live->camera[first].results, seen + 20);
    live_check_ids(live, first, 2);
    struct sp_camera_report report = live_report(live, first);
    assert_true(report.ledger.received < seen + 20 + 10 && report.ledger.received >= 20);
    live_close(live);
}

static void *stop_soon(void *argument)
{
    usleep(30000);
    sp_pipeline_stop(((struct live *)argument)->pipeline);
    return NULL;
}

static void test_adding_while_stopping(void **state)
{
    (void)state;
    struct live *live = live_open("");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, live), 0);
    struct sp_camera_setting setting = {.url = "sim://walk?fps=100"};
    int result = SP_OK, index;
    for (int i = 0; i < SP_CAMERAS_MAX && result == SP_OK; i++) {
        snprintf(setting.name, sizeof setting.name, "n%d", i);
        result = sp_pipeline_add_camera(live->pipeline, &setting, &index, NULL);
        usleep(1000);
    }
    pthread_join(thread, NULL);
    assert_int_equal(result, SP_ERR_CLOSED);
    live_close(live);
}

/* What the engine did so far: the mean size of its batches. */
static double mean_batch(struct live *live)
{
    struct sp_device_report devices[SP_DEVICES_MAX];
    assert_int_equal(sp_pipeline_devices(live->pipeline, devices), 1);
    return devices[0].batches ? (double)devices[0].images / (double)devices[0].batches : 0;
}

/* On an engine that gains by batches, frames of one camera gather while it works, as many as are
 * set and no more; on another one the newest is all that waits, and nothing changes. */
static void test_frames_gather_for_a_batch(void **state)
{
    (void)state;
    for (int gains = 0; gains < 2; gains++) {
        struct live *live = live_prepare("delay_us=100000");
        live->settings.streams = 1;
        live->settings.batch_accumulation = 3;
        live->settings.camera_count = 1;
        snprintf(live->settings.camera[0].name, SP_CAMERA_NAME_BYTES, "a");
        snprintf(live->settings.camera[0].url, SP_URL_BYTES, "sim://walk?fps=100");
        if (gains)
            setenv("SPOTON_FAKE_BATCH", "16", 1);
        live_start(live, false);
        unsetenv("SPOTON_FAKE_BATCH");
        live_await(&live->camera[0].inferred, 30);
        uint64_t most = most_on_their_way(live, 0, 30);
        struct sp_detector_report detector[SP_DETECTORS_MAX];
        assert_int_equal(sp_pipeline_detectors(live->pipeline, detector), 1);
        assert_int_equal(detector[0].batch, gains ? 3 : 1);
        double mean = mean_batch(live);
        print_message("batch %d: %.2f frames in one on average, at most %llu on their way\n",
                      detector[0].batch, mean, (unsigned long long)most);
        /* Ten frames come in a run: all batches but the first ones are full. */
        assert_true(gains ? mean > 2 && mean <= 3 : mean == 1);
        assert_true(most <= (gains ? 6 + 3 + 1 : 5));
        live_close(live);
    }
}

/* An ended one too: its calibration is not the next camera's. */
static void test_a_removed_camera_leaves_the_map(void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        static const struct sp_point corners[] = {{0, 40}, {640, 40}, {640, 360}, {0, 360}};
        struct live *live = live_prepare("");
        live->settings.spatial_match = true;
        live_start(live, false);
        struct sp_map *map = sp_pipeline_map(live->pipeline);
        struct sp_map_points points = {.camera = "a",
                                       .image = corners,
                                       .map = corners,
                                       .count = 4,
                                       .width_px = 640,
                                       .height_px = 360};
        struct sp_error err = {0};
        if (sp_map_calibrate(map, &points, NULL, &err) < 0)
            fail_msg("%s", err.text);
        int camera = live_add(live, "a", ended ? "sim://walk?paced=0&frames=5" : "sim://walk");
        live_await(&live->camera[camera].results, 1);
        if (ended)
            live_await_state(live, camera, SP_CAMERA_ENDED);
        struct sp_frame frame = {.camera = camera, .width_px = 640, .height_px = 360};
        if (ended)
            assert_true(sp_map_positions(map, &frame, false, true, NULL, 0, NULL, NULL));
        assert_int_equal(sp_pipeline_remove_camera(live->pipeline, camera, NULL), SP_OK);
        live_await(&live->camera[camera].ends, 1);
        int64_t limit_us = sp_clock_us() + 60000000; /* its place is free just after that */
        while (sp_map_positions(map, &frame, false, true, NULL, 0, NULL, NULL)) {
            assert_true(sp_clock_us() < limit_us && !ended);
            usleep(1000);
        }
        live_close(live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_without_cameras),
        cmocka_unit_test(test_tracks_a_good_camera),
        cmocka_unit_test(test_refuses_wrong_requests),
        cmocka_unit_test(test_states_follow_connection_and_frames),
        cmocka_unit_test(test_connects_again),
        cmocka_unit_test(test_size_may_change),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_latency_does_not_grow),
        cmocka_unit_test(test_a_slow_sink_bounds_latency),
        cmocka_unit_test(test_frame_skip),
        cmocka_unit_test(test_engine_failures_are_counted),
        cmocka_unit_test(test_come_and_go),
        cmocka_unit_test(test_a_camera_index_begins_anew),
        cmocka_unit_test(test_adding_while_stopping),
        cmocka_unit_test(test_a_removed_camera_leaves_the_map),
        cmocka_unit_test(test_frames_gather_for_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
