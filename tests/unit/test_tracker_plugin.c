#include "frame.h"
#include "track/plugin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

/* A tracker that returns what a test has put here, and keeps what it was given. */
static struct {
    struct spoton_tracker_output tracks[SP_TRACKS_MAX + 1];
    int count;
    struct spoton_tracker_input input;
    struct spoton_tracker_frame frame;
    struct spoton_tracker_params params;
    char options[64];
    double ahead_frames, ahead_s;
    int opened, updates;
} seen;

static int open_it(struct spoton_tracker_state **out, const struct spoton_tracker_params *params,
                   char *error, size_t error_bytes)
{
    seen.params = *params;
    snprintf(seen.options, sizeof seen.options, "%s", params->options);
    if (strcmp(params->options, "fail") == 0) {
        snprintf(error, error_bytes, "not today");
        return -1;
    }
    seen.opened++;
    *out = (struct spoton_tracker_state *)&seen;
    return 0;
}

static void close_it(struct spoton_tracker_state *tracker)
{
    assert_ptr_equal(tracker, &seen);
    seen.opened--;
}

static int update_it(struct spoton_tracker_state *tracker, const struct spoton_tracker_input *input,
                     struct spoton_tracker_output *tracks, int capacity, char *error,
                     size_t error_bytes)
{
    assert_ptr_equal(tracker, &seen);
    assert_int_equal(capacity, SP_TRACKS_MAX);
    seen.input = *input;
    seen.updates++;
    if (input->frame)
        seen.frame = *input->frame;
    if (seen.count < 0)
        snprintf(error, error_bytes, "no memory");
    else
        memcpy(tracks, seen.tracks,
               (size_t)(seen.count < capacity ? seen.count : capacity) * sizeof *tracks);
    return seen.count;
}

static int predict_it(const struct spoton_tracker_state *tracker, double dt_frames, double dt_s,
                      struct spoton_tracker_output *tracks, int capacity)
{
    (void)capacity;
    assert_ptr_equal(tracker, &seen);
    seen.ahead_frames = dt_frames;
    seen.ahead_s = dt_s;
    tracks[0] = seen.tracks[0];
    return 1;
}

static struct spoton_tracker_api api = {.abi = SPOTON_TRACKER_ABI,
                                        .struct_bytes = sizeof api,
                                        .name = "test",
                                        .open = open_it,
                                        .close = close_it,
                                        .update = update_it,
                                        .predict = predict_it};

static struct sp_tracker *open_tracker(const char *options, bool has_frames, int wanted)
{
    struct sp_tracker_params params;
    struct sp_tracker *tracker = NULL;
    struct sp_error err = {0};
    memset(&seen, 0, sizeof seen);
    sp_tracker_params_default(&params);
    params.plugin = &api;
    params.options = options;
    params.has_frames = has_frames;
    assert_int_equal(sp_tracker_open(&tracker, &params, &err), wanted);
    if (wanted < 0)
        print_message("%s\n", err.text);
    return tracker;
}

static const struct spoton_tracker_output good = {
    .id = 7, .class_id = 2, .detection = 1, .x1 = 1, .y1 = 2, .x2 = 3, .y2 = 4, .confidence = 0.5};

static void test_passes_everything_on(void **state)
{
    (void)state;
    struct sp_tracker *tracker = open_tracker("a=1", false, SP_OK);
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_detection detections[] = {
        {.x1_px = 1, .y1_px = 2, .x2_px = 3, .y2_px = 4, .confidence = 0.9, .class_id = 2},
        {.x1_px = NAN, .confidence = 0.9, .class_id = 1}};
    assert_string_equal(seen.options, "a=1");
    assert_true(seen.params.high_threshold == 0.5 && seen.params.buffer_frames == 30);
    seen.tracks[0] = good;
    seen.count = 1;
    sp_tracker_set_frame_rate(tracker, 10);
    assert_int_equal(sp_tracker_update(tracker, detections, 2, 3, tracks), 1);
    assert_int_equal(seen.input.detection_count, 2);
    assert_true(seen.input.detections[0].x2 == 3 && seen.input.detections[0].class_id == 2);
    assert_true(seen.input.detections[1].confidence == 0); /* not a finite box */
    assert_true(seen.input.dt_frames == 3 && fabs(seen.input.dt_s - 0.3) < 1e-9);
    assert_null(seen.input.frame);
    assert_true(tracks[0].id == 7 && tracks[0].class_id == 2 && tracks[0].detection == 1 &&
                tracks[0].x2_px == 3 && tracks[0].confidence == 0.5);
    seen.tracks[0].detection = 0;
    assert_int_equal(sp_tracker_predict(tracker, 2, tracks), 1);
    assert_true(seen.ahead_frames == 2 && fabs(seen.ahead_s - 0.2) < 1e-9);
    sp_tracker_close(tracker);
    assert_int_equal(seen.opened, 0);
}

static void test_drops_invalid_tracks(void **state)
{
    (void)state;
    struct sp_tracker *tracker = open_tracker(NULL, false, SP_OK);
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_detection one = {.x2_px = 1, .y2_px = 1, .confidence = 0.9};
    for (int i = 0; i < 6; i++)
        seen.tracks[i] = good;
    seen.tracks[0].id = 0;
    seen.tracks[1].x1 = NAN;
    seen.tracks[2].detection = 2; /* of one */
    seen.tracks[3].detection = -1;
    seen.tracks[4].class_id = -1;
    seen.count = 6;
    assert_int_equal(sp_tracker_update(tracker, &one, 1, 1, tracks), 1);
    seen.count = -1; /* an error */
    assert_int_equal(sp_tracker_update(tracker, &one, 1, 1, tracks), 0);
    for (int i = 0; i <= SP_TRACKS_MAX; i++)
        seen.tracks[i] = good;
    seen.count = SP_TRACKS_MAX + 1; /* more than it was asked for */
    assert_int_equal(sp_tracker_update(tracker, &one, 1, 1, tracks), SP_TRACKS_MAX);
    sp_tracker_close(tracker);
}

static void test_frames_only_where_required(void **state)
{
    (void)state;
    static uint8_t planes[6];
    struct sp_frame frame = {.plane = {planes, planes + 4},
                             .stride_bytes = {2, 2},
                             .width_px = 2,
                             .height_px = 2,
                             .format = SP_PIXEL_NV12};
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_tracker *tracker = open_tracker(NULL, true, SP_OK);
    assert_false(sp_tracker_needs_frame(tracker));
    sp_tracker_close(tracker);
    api.needs = SPOTON_TRACKER_NEEDS_FRAME;
    open_tracker(NULL, false, SP_ERR_UNSUPPORTED);
    tracker = open_tracker(NULL, true, SP_OK);
    assert_true(sp_tracker_needs_frame(tracker));
    sp_tracker_set_frame(tracker, &frame);
    sp_tracker_update(tracker, NULL, 0, 1, tracks);
    assert_ptr_equal(seen.frame.plane[1], planes + 4);
    assert_true(seen.frame.interleaved_chroma && seen.frame.width == 2 && seen.updates == 1);
    sp_tracker_set_frame(tracker, NULL); /* could not be read */
    assert_int_equal(sp_tracker_update(tracker, NULL, 0, 1, tracks), 0);
    assert_int_equal(seen.updates, 1);
    sp_tracker_close(tracker);
    api.needs = 0;
}

static void test_refuses(void **state)
{
    (void)state;
    struct sp_tracker_params params;
    struct sp_error err = {0};
    open_tracker("fail", false, SP_ERR_INVALID);
    sp_tracker_params_default(&params);
    assert_int_equal(sp_tracker_choose(&params, "spoton", &err), SP_OK);
    assert_true(params.tracker == SP_TRACKER_SPOTON && !params.plugin);
    assert_int_equal(sp_tracker_choose(&params, "bytetrack", &err), SP_OK);
    assert_true(params.tracker == SP_TRACKER_BYTETRACK && !params.plugin);
    assert_int_equal(sp_tracker_choose(&params, "bytetracks", &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "did you mean bytetrack?"));
    assert_int_equal(sp_tracker_choose(&params, "/nowhere.so?a=1", &err), SP_ERR_NOT_FOUND);
    assert_string_equal(err.text, "TRACKER=/nowhere.so: no such file");
    assert_int_equal(sp_tracker_choose(&params, "/proc/self/exe", &err), SP_ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_everything_on),
        cmocka_unit_test(test_drops_invalid_tracks),
        cmocka_unit_test(test_frames_only_where_required),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
