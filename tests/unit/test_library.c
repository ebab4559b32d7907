#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "library.h"

/* What the callbacks of one pipeline have seen. */
struct seen {
    _Atomic uint64_t results, inferred, disorder, wrong;
    _Atomic uint64_t ended, failed, added, states, removed;
    _Atomic uint64_t lines, errors, released;
    _Atomic uint64_t crossed, after_end;
    _Atomic int64_t last_time_us;
    _Atomic uint64_t last_sequence, ids;
    const char *camera; /* the only one; NULL: any */
    const char *other;  /* must not be in a log line */
    bool check_box;     /* the frame's number determines its box */
    bool analytics;     /* lines and zones are counted */
    struct spoton_frame *kept;
    char reason[512];
};

/* ---- callbacks ---- */

static void on_result(void *user, const struct spoton_result *result)
{
    struct seen *seen = user;
    uint64_t before = atomic_fetch_add(&seen->results, 1);
    if (before > 0 &&
        (result->sequence <= seen->last_sequence || result->time_us <= seen->last_time_us) &&
        seen->camera)
        atomic_fetch_add(&seen->disorder, 1);
    seen->last_sequence = result->sequence;
    seen->last_time_us = result->time_us;
    atomic_fetch_add(&seen->inferred, result->inferred != 0);
    bool right = result->struct_bytes == sizeof *result && result->epoch > 0 && result->frame &&
                 (!seen->camera || strcmp(result->camera, seen->camera) == 0);
    for (size_t i = 0; i < result->track_count; i++) {
        if (result->tracks[i].id > seen->ids)
            seen->ids = result->tracks[i].id;
        right = right && result->tracks[i].class_name &&
                strcmp(result->tracks[i].class_name, "person") == 0;
    }
    if (seen->check_box) {
        const struct spoton_detection *d = result->detections;
        right = right && result->width == WIDTH && result->height == HEIGHT &&
                result->time_us == 1000 + 40000 * (int64_t)result->sequence;
        if (result->inferred)
            right = right && result->detection_count == 1 &&
                    is_box_of(d->x1, d->y1, d->x2, d->y2, result->sequence);
        if (seen->kept == NULL)
            seen->kept = spoton_frame_ref(result->frame);
    }
    atomic_fetch_add(&seen->wrong, !right);
}

static void on_event(void *user, const struct spoton_event *event)
{
    struct seen *seen = user;
    if (strcmp(event->kind, "camera.ended") == 0) {
        const char *reason = strstr(event->payload, "\"reason\"");
        snprintf(seen->reason, sizeof seen->reason, "%s", reason ? reason : "");
        atomic_fetch_add(&seen->failed, reason != NULL);
        atomic_fetch_add(&seen->ended, 1);
    }
    if (strcmp(event->kind, "line.crossed") == 0) {
        atomic_fetch_add(&seen->crossed, strstr(event->payload, "\"door\"") != NULL &&
                                             strcmp(event->camera, "own") == 0 &&
                                             strncmp(event->id, "own/", 4) == 0);
        atomic_fetch_add(&seen->after_end, seen->ended > 0);
    }
    atomic_fetch_add(&seen->added, strcmp(event->kind, "camera.added") == 0);
    atomic_fetch_add(&seen->states, strcmp(event->kind, "camera.state") == 0);
    atomic_fetch_add(&seen->removed, strcmp(event->kind, "camera.removed") == 0);
}

static void on_log(void *user, int level, const char *text)
{
    struct seen *seen = user;
    atomic_fetch_add(&seen->lines, 1);
    atomic_fetch_add(&seen->errors, level == SPOTON_LOG_ERROR);
    if (seen->other && strstr(text, seen->other))
        atomic_fetch_add(&seen->wrong, 1);
}

static void on_release(void *owner)
{
    free(owner);
}

/* ---- opening ---- */

static struct spoton_pipeline *open_pipeline(struct seen *seen, bool live, const char *frame_skip)
{
    struct spoton_settings *settings = fake_settings(frame_skip);
    struct spoton_pipeline *pipeline = NULL;
    struct spoton_error err = {0};
    struct spoton_pipeline_options options = {.struct_bytes = sizeof options,
                                              .settings = settings,
                                              .live = live,
                                              .analytics = seen->analytics,
                                              .user = seen,
                                              .result = on_result,
                                              .event = on_event,
                                              .log = on_log};
    assert_int_equal(spoton_pipeline_open(&pipeline, &options, &err), SPOTON_OK);
    spoton_settings_close(settings); /* it is copied */
    return pipeline;
}

static struct spoton_camera *add(struct spoton_pipeline *pipeline, const char *name,
                                 const char *url)
{
    struct spoton_camera_options options = {
        .struct_bytes = sizeof options, .name = name, .url = url, .frame_rate = url ? 0 : 25};
    struct spoton_camera *camera = NULL;
    struct spoton_error err = {0};
    int result = spoton_camera_add(&camera, pipeline, &options, &err);
    if (result < 0)
        print_message("%s\n", err.text);
    assert_int_equal(result, SPOTON_OK);
    return camera;
}

static void start(struct spoton_pipeline *pipeline)
{
    struct spoton_error err = {0};
    int result = spoton_pipeline_start(pipeline, &err);
    if (result < 0)
        print_message("%s\n", err.text);
    assert_int_equal(result, SPOTON_OK);
}

static void await(_Atomic uint64_t *count, uint64_t wanted)
{
    int64_t deadline_us = sp_clock_us() + 120000000;
    while (atomic_load(count) < wanted && sp_clock_us() < deadline_us)
        usleep(2000);
    assert_true(atomic_load(count) >= wanted);
}

/* ---- pushed frames ---- */

struct pusher {
    struct spoton_camera *camera;
    int format;
    bool in_place;
    int result;
};

static void *push_all(void *argument)
{
    struct pusher *pusher = argument;
    struct spoton_error err = {0};
    for (uint64_t i = 0; i < FRAMES && pusher->result == SPOTON_OK; i++) {
        uint64_t sequence = UINT64_MAX;
        uint8_t *data = draw(pusher->format, i);
        struct spoton_planes planes = describe(pusher->format, data);
        if (pusher->in_place) {
            planes.release = on_release;
            planes.owner = data;
        }
        pusher->result = spoton_camera_push(pusher->camera, &planes, 1000 + 40000 * (int64_t)i, -1,
                                            &sequence, &err);
        if (pusher->result == SPOTON_OK && sequence != i)
            pusher->result = SPOTON_ERR_INVALID;
        if (!pusher->in_place)
            free(data);
    }
    spoton_camera_end(pusher->camera);
    return NULL;
}

static void check_kept(struct seen *seen, int format)
{
    struct spoton_planes planes = {.struct_bytes = sizeof planes};
    struct spoton_error err = {0};
    static uint8_t bgr[WIDTH * HEIGHT * 3];
    assert_int_equal(spoton_frame_planes(seen->kept, &planes, &err), SPOTON_OK);
    assert_int_equal(planes.format,
                     format == SPOTON_FORMAT_NV12 ? SPOTON_FORMAT_NV12 : SPOTON_FORMAT_I420);
    assert_int_equal(planes.width, WIDTH);
    int y = box_top(0) + 10, x = box_left(0) + 10;
    assert_in_range(planes.plane[0][y * planes.stride[0] + x], 233, 237);
    assert_int_equal(spoton_frame_bgr(seen->kept, bgr, 3 * WIDTH, &err), SPOTON_OK);
    for (int i = 0; i < 3; i++) { /* limited range: luma 235 is white */
        assert_in_range(bgr[(y * WIDTH + x) * 3 + i], format == SPOTON_FORMAT_BGR ? 233 : 253, 255);
        assert_in_range(bgr[i], 10, 32);
    }
    assert_int_equal(spoton_frame_bgr(seen->kept, bgr, 3 * WIDTH - 1, &err), SPOTON_ERR_INVALID);
    spoton_frame_unref(seen->kept);
}

static void push_format(int format, bool in_place, const char *frame_skip, uint64_t inferred)
{
    struct seen seen = {.camera = "own", .check_box = true};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, false, frame_skip);
    struct pusher pusher = {add(pipeline, "own", NULL), format, in_place, SPOTON_OK};
    pthread_t thread;
    start(pipeline);
    assert_int_equal(pthread_create(&thread, NULL, push_all, &pusher), 0);
    struct spoton_error err = {0};
    assert_int_equal(spoton_pipeline_wait(pipeline, -1, &err), SPOTON_OK);
    pthread_join(thread, NULL);
    assert_int_equal(pusher.result, SPOTON_OK);
    struct spoton_camera_status status = {.struct_bytes = sizeof status};
    spoton_camera_status(pusher.camera, &status);
    assert_int_equal(status.received, FRAMES);
    assert_int_equal(status.inferred, inferred);
    assert_int_equal(status.skipped, FRAMES - inferred);
    assert_int_equal(status.results, FRAMES);
    assert_int_equal(status.width, WIDTH);
    assert_true(status.ended && status.error.code == SPOTON_OK && status.in_flight == 0);
    spoton_pipeline_close(pipeline);
    assert_int_equal(seen.results, FRAMES);
    assert_int_equal(seen.inferred, inferred);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.disorder, 0);
    assert_int_equal(seen.ids, 1); /* one person, who walks */
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.failed, 0);
    check_kept(&seen, format); /* the frame outlives its pipeline */
}

static void test_pushed_frames_give_results(void **state)
{
    (void)state;
    push_format(SPOTON_FORMAT_I420, false, "1", FRAMES);
    push_format(SPOTON_FORMAT_NV12, false, "1", FRAMES);
    push_format(SPOTON_FORMAT_BGR, false, "1", FRAMES);
    push_format(SPOTON_FORMAT_I420, true, "3", FRAMES / 3);
    push_format(SPOTON_FORMAT_BGR, true, "1", FRAMES);
}

static void test_refused_frames_stay_the_callers(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, false, "1");
    struct spoton_camera *camera = add(pipeline, "own", NULL);
    struct spoton_camera *other = add(pipeline, "url", "sim://walk?frames=3&paced=0");
    struct spoton_error err = {0};
    uint8_t *data = draw(SPOTON_FORMAT_I420, 0);
    struct spoton_planes planes = describe(SPOTON_FORMAT_I420, data);
    /* Before the start a few frames wait. */
    int accepted = 0;
    while (spoton_camera_push(camera, &planes, accepted, 0, NULL, &err) == SPOTON_OK)
        accepted++;
    assert_int_equal(err.code, SPOTON_ERR_TIMEOUT);
    assert_in_range(accepted, 1, 16);
    assert_int_equal(spoton_camera_push(camera, &planes, 100, 20000, NULL, &err),
                     SPOTON_ERR_TIMEOUT);
    struct spoton_planes bad = planes;
    bad.stride[1] = 10;
    assert_int_equal(spoton_camera_push(camera, &bad, 100, 0, NULL, &err), SPOTON_ERR_INVALID);
    assert_string_equal(err.text, "planes: stride 10 of plane 1 is less than a row of 160 bytes");
    bad = planes;
    bad.plane[2] = NULL;
    assert_int_equal(spoton_camera_push(camera, &bad, 100, 0, NULL, &err), SPOTON_ERR_INVALID);
    bad = planes;
    bad.width = 100000;
    assert_int_equal(spoton_camera_push(camera, &bad, 100, 0, NULL, &err), SPOTON_ERR_INVALID);
    bad = planes;
    bad.format = 7;
    assert_int_equal(spoton_camera_push(camera, &bad, 100, 0, NULL, &err), SPOTON_ERR_INVALID);
    bad = planes;
    bad.struct_bytes = 0;
    assert_int_equal(spoton_camera_push(camera, &bad, 100, 0, NULL, &err), SPOTON_ERR_INVALID);
    assert_int_equal(spoton_camera_push(other, &planes, 100, 0, NULL, &err),
                     SPOTON_ERR_UNSUPPORTED);
    start(pipeline);
    assert_int_equal(spoton_camera_push(camera, &planes, 100, -1, NULL, &err), SPOTON_OK);
    planes.release = on_release;
    planes.owner = data;
    assert_int_equal(spoton_camera_push(camera, &planes, 100, -1, NULL, &err), SPOTON_ERR_INVALID);
    assert_non_null(strstr(err.text, "time 100 us is not after"));
    spoton_camera_end(camera);
    assert_int_equal(spoton_camera_push(camera, &planes, 101, -1, NULL, &err), SPOTON_ERR_CLOSED);
    assert_int_equal(spoton_pipeline_wait(pipeline, -1, &err), SPOTON_OK);
    spoton_pipeline_close(pipeline);
    free(data); /* a sanitizer reports it if `release` was called */
    assert_int_equal(seen.results, accepted + 1 + 3);
}

/* A caller that waits for room does not hang when the pipeline is stopped. */
static void test_stop_ends_a_waiting_push(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, false, "1");
    struct pusher pusher = {add(pipeline, "own", NULL), SPOTON_FORMAT_I420, false, SPOTON_OK};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, push_all, &pusher), 0); /* nothing reads */
    spoton_pipeline_stop(pipeline);
    pthread_join(thread, NULL);
    assert_int_equal(pusher.result, SPOTON_ERR_CLOSED);
    spoton_pipeline_close(pipeline);
}

/* ---- two pipelines ---- */

static void test_two_pipelines_share_nothing(void **state)
{
    (void)state;
    struct seen live = {.other = "recorded"}, offline = {.camera = "recorded", .other = "gate"};
    struct spoton_pipeline *a = open_pipeline(&live, true, "2");
    struct spoton_pipeline *b = open_pipeline(&offline, false, "1");
    add(a, "gate", "sim://walk");
    add(b, "recorded", "sim://walk?frames=40&paced=0");
    start(a);
    start(b);
    struct spoton_camera *pushed = add(a, "gate-2", NULL);
    struct spoton_error err = {0};
    for (uint64_t i = 0; i < 20; i++) {
        uint8_t *data = draw(SPOTON_FORMAT_NV12, i);
        struct spoton_planes planes = describe(SPOTON_FORMAT_NV12, data);
        assert_int_equal(spoton_camera_push(pushed, &planes, SPOTON_NO_TIME, -1, NULL, &err),
                         SPOTON_OK);
        free(data);
    }
    assert_int_equal(spoton_pipeline_wait(b, -1, &err), SPOTON_OK);
    assert_int_equal(spoton_pipeline_wait(a, 0, &err), SPOTON_ERR_TIMEOUT);
    assert_int_equal(offline.results, 40);
    assert_int_equal(offline.inferred, 40);
    assert_int_equal(offline.ids, 3);
    spoton_pipeline_close(b); /* does not disturb the other */
    uint64_t before = live.results;
    await(&live.results, before + 10);
    spoton_pipeline_close(a);
    assert_int_equal(live.wrong + offline.wrong + offline.disorder, 0);
    assert_true(live.lines > 0 && offline.lines > 0);
    assert_int_equal(live.errors + offline.errors, 0);
    assert_true(live.inferred < live.results);
    assert_int_equal(offline.ended, 1);
    assert_int_equal(live.ended, 2);
}

static void test_live_cameras_come_and_go(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, true, "1");
    struct spoton_error err = {0};
    start(pipeline);
    for (uint64_t round = 1; round <= 3; round++) {
        struct spoton_camera *camera = add(pipeline, "gate", round == 2 ? NULL : "sim://walk");
        assert_ptr_equal(spoton_camera_find(pipeline, "gate"), camera);
        uint8_t *data = draw(SPOTON_FORMAT_I420, 0);
        struct spoton_planes planes = describe(SPOTON_FORMAT_I420, data);
        uint64_t before = seen.results;
        if (round == 2)
            assert_int_equal(spoton_camera_push(camera, &planes, 5, -1, NULL, &err), SPOTON_OK);
        free(data);
        await(&seen.results, before + 1);
        await(&seen.added, round);
        assert_int_equal(spoton_camera_remove(camera, &err), SPOTON_OK);
        assert_null(spoton_camera_find(pipeline, "gate"));
        await(&seen.ended, round);
        await(&seen.removed, round);
    }
    struct spoton_camera *ended = add(pipeline, "pushed", NULL);
    spoton_camera_end(ended);
    await(&seen.ended, 4);
    struct spoton_camera_status status = {.struct_bytes = sizeof status};
    int64_t deadline_us = sp_clock_us() + 60000000;
    while (!status.ended && sp_clock_us() < deadline_us)
        spoton_camera_status(ended, &status);
    assert_string_equal(status.state, "ended");
    spoton_pipeline_stop(pipeline);
    assert_int_equal(spoton_pipeline_wait(pipeline, -1, &err), SPOTON_OK);
    spoton_pipeline_close(pipeline);
    assert_int_equal(seen.wrong, 0);
}

/* The box walks over a line in the middle, once. */
static void test_lines_are_counted(void **state)
{
    (void)state;
    static const char line[] =
        "{\"lines\": [{\"name\": \"door\", \"points\": [[0.4, 0], [0.4, 1]]}]}";
    struct seen seen = {.camera = "own", .analytics = true};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, true, "1");
    struct spoton_camera *camera = add(pipeline, "own", NULL);
    struct spoton_error err = {0};
    assert_int_equal(spoton_camera_set_analytics(camera, line, &err), SPOTON_OK);
    assert_int_equal(spoton_camera_set_analytics(camera, NULL, &err), SPOTON_OK);
    assert_int_equal(spoton_camera_set_analytics(camera, NULL, &err), SPOTON_OK);
    start(pipeline);
    assert_int_equal(spoton_camera_set_analytics(camera, line, &err), SPOTON_OK);
    assert_int_equal(spoton_camera_set_analytics(camera, "{\"lines\": [{}]}", &err),
                     SPOTON_ERR_INVALID);
    for (uint64_t i = 0; i < FRAMES; i++) {
        uint8_t *data = draw(SPOTON_FORMAT_I420, i);
        struct spoton_planes planes = describe(SPOTON_FORMAT_I420, data);
        assert_int_equal(spoton_camera_push(camera, &planes, 40000 * (int64_t)i, -1, NULL, &err),
                         SPOTON_OK);
        await(&seen.results, i + 1); /* late frames would be dropped */
        free(data);
    }
    assert_int_equal(spoton_camera_pause(camera, &err), SPOTON_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "its frames are pushed"));
    spoton_camera_end(camera);
    await(&seen.ended, 1);
    spoton_pipeline_close(pipeline);
    assert_int_equal(seen.results, FRAMES);
    assert_int_equal(seen.crossed, 1);
    assert_int_equal(seen.after_end, 0);
    assert_int_equal(seen.errors, 0);
}

static void await_state(const struct spoton_camera *camera, const char *wanted)
{
    struct spoton_camera_status status = {.struct_bytes = sizeof status};
    int64_t deadline_us = sp_clock_us() + 120000000;
    while (strcmp(status.state, wanted) != 0 && sp_clock_us() < deadline_us) {
        spoton_camera_status(camera, &status);
        usleep(2000);
    }
    assert_string_equal(status.state, wanted);
}

static void test_live_cameras_pause(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct spoton_pipeline *pipeline = open_pipeline(&seen, true, "1");
    struct spoton_camera *camera = add(pipeline, "gate", "sim://walk");
    struct spoton_error err = {0};
    assert_int_equal(spoton_camera_pause(camera, &err), SPOTON_ERR_UNSUPPORTED);
    assert_int_equal(spoton_camera_set_analytics(camera, "{}", &err), SPOTON_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "set `live` and `analytics`"));
    start(pipeline);
    await(&seen.results, 1);
    assert_int_equal(spoton_camera_pause(camera, &err), SPOTON_OK);
    await_state(camera, "paused");
    assert_int_equal(spoton_camera_pause(camera, &err), SPOTON_OK);
    assert_int_equal(spoton_camera_resume(camera, &err), SPOTON_OK);
    await_state(camera, "live");
    await(&seen.results, seen.results + 3);
    spoton_pipeline_close(pipeline);
    assert_int_equal(seen.errors, 0);
}

/* ---- wrong use ---- */

static void test_wrong_input_is_refused(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct spoton_error err = {0};
    struct spoton_settings *settings = fake_settings("1");
    assert_int_equal(spoton_settings_set(settings, "FRAME_SKIPS", "2", &err), SPOTON_ERR_INVALID);
    assert_non_null(strstr(err.text, "did you mean FRAME_SKIP?"));
    assert_int_equal(spoton_settings_set(settings, "FRAME_SKIP", "0", NULL), SPOTON_ERR_INVALID);
    assert_int_equal(spoton_settings_set(settings, "FRAME_SKIP", NULL, &err), SPOTON_ERR_INVALID);
    assert_int_equal(spoton_settings_read_yaml(settings, "/nowhere.yaml", &err),
                     SPOTON_ERR_NOT_FOUND);
    spoton_settings_close(settings);
    struct spoton_pipeline *pipeline = NULL;
    struct spoton_pipeline_options none = {0};
    assert_int_equal(spoton_pipeline_open(&pipeline, &none, &err), SPOTON_ERR_INVALID);
    assert_int_equal(spoton_pipeline_open(&pipeline, NULL, &err), SPOTON_ERR_INVALID);
    struct spoton_pipeline_options offline = {.struct_bytes = sizeof offline, .outputs = 1};
    assert_int_equal(spoton_pipeline_open(&pipeline, &offline, &err), SPOTON_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "set `live`"));
    assert_null(pipeline);

    pipeline = open_pipeline(&seen, false, "1");
    assert_int_equal(spoton_pipeline_start(pipeline, &err), SPOTON_ERR_INVALID);
    assert_non_null(strstr(err.text, "no camera"));
    assert_int_equal(spoton_pipeline_wait(pipeline, 0, &err), SPOTON_ERR_INVALID);
    static const char *const wrong[] = {"PORT", "1", NULL}, *const right[] = {"frame_skip", "3",
                                                                              NULL};
    struct spoton_camera_options camera = {
        .struct_bytes = sizeof camera, .name = "a b", .url = "sim://walk?frames=9&paced=0"};
    assert_int_equal(spoton_camera_add(NULL, pipeline, &camera, &err), SPOTON_ERR_INVALID);
    camera.name = "a";
    camera.settings = wrong;
    assert_int_equal(spoton_camera_add(NULL, pipeline, &camera, &err), SPOTON_ERR_INVALID);
    camera.settings = right;
    assert_int_equal(spoton_camera_add(NULL, pipeline, &camera, &err), SPOTON_OK);
    assert_int_equal(spoton_camera_add(NULL, pipeline, &camera, &err), SPOTON_ERR_INVALID);
    struct spoton_camera *missing = add(pipeline, "missing", "/nowhere/file.mp4");
    assert_int_equal(spoton_camera_remove(missing, &err), SPOTON_ERR_UNSUPPORTED);
    start(pipeline);
    assert_int_equal(spoton_pipeline_start(pipeline, &err), SPOTON_ERR_INVALID);
    assert_int_equal(spoton_pipeline_wait(pipeline, -1, &err), SPOTON_OK);
    struct spoton_camera_status status = {.struct_bytes = sizeof status};
    spoton_camera_status(missing, &status);
    assert_int_equal(status.error.code, SPOTON_ERR_NOT_FOUND);
    spoton_camera_status(spoton_camera_find(pipeline, "a"), &status);
    assert_int_equal(status.inferred, 3);
    camera.name = "late";
    assert_int_equal(spoton_camera_add(NULL, pipeline, &camera, &err), SPOTON_ERR_UNSUPPORTED);
    spoton_pipeline_close(pipeline);
    assert_int_equal(seen.ended, 2);
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.errors, 1); /* logged once, to the callback */
    spoton_pipeline_close(NULL);
    spoton_detector_close(NULL);
    spoton_tracker_close(NULL);
    spoton_settings_close(NULL);
    assert_int_equal(spoton_api_version(), SPOTON_API_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pushed_frames_give_results),
        cmocka_unit_test(test_refused_frames_stay_the_callers),
        cmocka_unit_test(test_stop_ends_a_waiting_push),
        cmocka_unit_test(test_two_pipelines_share_nothing),
        cmocka_unit_test(test_live_cameras_come_and_go),
        cmocka_unit_test(test_live_cameras_pause),
        cmocka_unit_test(test_lines_are_counted),
        cmocka_unit_test(test_wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
