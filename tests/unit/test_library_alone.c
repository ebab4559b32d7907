#include "library.h"

static void test_detector_alone(void **state)
{
    (void)state;
    struct spoton_settings *settings = fake_settings("1");
    struct spoton_detector_options options = {.struct_bytes = sizeof options, .settings = settings};
    struct spoton_detector *detector = NULL;
    struct spoton_detection found[SPOTON_DETECTIONS_MAX];
    struct spoton_error err = {0};
    assert_int_equal(spoton_detector_open(&detector, &options, &err), SPOTON_OK);
    for (int format = SPOTON_FORMAT_I420; format <= SPOTON_FORMAT_BGR; format++) {
        uint8_t *data = draw(format, 40);
        struct spoton_planes image = describe(format, data);
        size_t count = 0;
        assert_int_equal(
            spoton_detector_run(detector, &image, found, SPOTON_DETECTIONS_MAX, &count, &err),
            SPOTON_OK);
        assert_int_equal(count, 1);
        assert_true(is_box_of(found[0].x1, found[0].y1, found[0].x2, found[0].y2, 40));
        assert_string_equal(found[0].class_name, "person");
        assert_int_equal(spoton_detector_run(detector, &image, found, 0, &count, &err), SPOTON_OK);
        assert_int_equal(count, 0);
        image.width = 90; /* a portrait: another shape is compiled */
        assert_int_equal(
            spoton_detector_run(detector, &image, found, SPOTON_DETECTIONS_MAX, &count, &err),
            SPOTON_OK);
        image.width = 0;
        assert_int_equal(spoton_detector_run(detector, &image, found, 1, &count, &err),
                         SPOTON_ERR_INVALID);
        free(data);
    }
    spoton_detector_close(detector);
    assert_int_equal(spoton_settings_set(settings, "ENGINE", "none", &err), SPOTON_OK);
    assert_int_equal(spoton_detector_open(&detector, &options, &err), SPOTON_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "engine none"));
    spoton_settings_close(settings);
}

static void test_tracker_alone(void **state)
{
    (void)state;
    struct spoton_tracker_options options = {.struct_bytes = sizeof options, .frame_rate = 10};
    struct spoton_tracker *tracker = NULL;
    struct spoton_track tracks[SPOTON_TRACKS_MAX];
    struct spoton_error err = {0};
    size_t count = 0;
    assert_int_equal(spoton_tracker_open(&tracker, &options, &err), SPOTON_OK);
    for (int i = 0; i < 20; i++) { /* two people who walk apart */
        struct spoton_detection boxes[] = {
            {.x1 = 300 + 4 * i, .y1 = 50, .x2 = 340 + 4 * i, .y2 = 150, .confidence = 0.9},
            {.x1 = 200 - 4 * i, .y1 = 50, .x2 = 240 - 4 * i, .y2 = 150, .confidence = 0.8},
        };
        int64_t time_us = i % 2 ? SPOTON_NO_TIME : 100000 * (int64_t)i;
        assert_int_equal(spoton_tracker_update(tracker, boxes, 2, time_us, tracks,
                                               SPOTON_TRACKS_MAX, &count, &err),
                         SPOTON_OK);
        assert_int_equal(count, 2);
        for (size_t k = 0; k < count; k++) { /* the order of tracks is the tracker's */
            int detection = tracks[k].detection - 1;
            assert_in_range(detection, 0, 1);
            assert_int_equal(tracks[k].id, detection + 1);
            assert_true(fabs(tracks[k].x1 - boxes[detection].x1) < 3);
        }
    }
    struct spoton_detection box = {.x1 = NAN, .x2 = 1, .y2 = 1, .confidence = 0.9};
    assert_int_equal(spoton_tracker_update(tracker, &box, 1, 5000000, tracks, 1, &count, &err),
                     SPOTON_ERR_INVALID);
    box = (struct spoton_detection){.x1 = 376, .y1 = 50, .x2 = 416, .y2 = 150, .confidence = 0.9};
    assert_int_equal(spoton_tracker_update(tracker, &box, 1, 1900000, tracks, 1, &count, &err),
                     SPOTON_ERR_INVALID); /* the time of the last frame */
    spoton_tracker_reset(tracker);
    assert_int_equal(spoton_tracker_update(tracker, &box, 1, 2000000, tracks, 1, &count, &err),
                     SPOTON_OK);
    assert_int_equal(spoton_tracker_update(tracker, &box, 1, 2100000, tracks, 1, &count, &err),
                     SPOTON_OK);
    assert_int_equal(count, 1);
    assert_int_equal(tracks[0].id, 3); /* in the place of the first, whose id is not used again */
    spoton_tracker_close(tracker);
    options.frame_rate = NAN;
    assert_int_equal(spoton_tracker_open(&tracker, &options, &err), SPOTON_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detector_alone),
        cmocka_unit_test(test_tracker_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
