/* The lifecycle of tracks, the reference's special cases, long steps, and the bounds.
 * Whole sequences: test_track_parity.c. */
#include "track/tracker.h"

#include "track/shift.h"
#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static struct sp_tracker *tracker;
static struct sp_track out[SP_TRACKS_MAX];

static int set_up(void **state)
{
    (void)state;
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    return sp_tracker_open(&tracker, &params, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    sp_tracker_close(tracker);
    return 0;
}

static struct sp_detection box_at(double x_px, double y_px, double confidence)
{
    return (struct sp_detection){.x1_px = x_px,
                                 .y1_px = y_px,
                                 .x2_px = x_px + 50,
                                 .y2_px = y_px + 100,
                                 .confidence = confidence};
}

static void assert_same_track(struct sp_track a, struct sp_track b)
{
    assert_int_equal(a.id, b.id);
    assert_int_equal(a.class_id, b.class_id);
    assert_true(a.x1_px == b.x1_px && a.y1_px == b.y1_px && a.x2_px == b.x2_px &&
                a.y2_px == b.y2_px && a.confidence == b.confidence);
}

static size_t feed(const struct sp_detection *detections, size_t count, double dt_frames)
{
    return sp_tracker_update(tracker, detections, count, dt_frames, out);
}

static size_t feed_one(double x_px, double confidence)
{
    struct sp_detection d = box_at(x_px, 100, confidence);
    return feed(&d, 1, 1);
}

static void feed_nothing(int frames)
{
    for (int i = 0; i < frames; i++)
        assert_int_equal(feed(NULL, 0, 1), 0);
}

static void test_the_first_frame_activates_at_once(void **state)
{
    (void)state;
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 1);
    assert_true(out[0].x1_px == 100 && out[0].x2_px == 150);
    assert_true(out[0].y1_px == 100 && out[0].y2_px == 200);
    assert_true(out[0].confidence == 0.9);
}

static void test_tracks_name_their_detections(void **state)
{
    (void)state;
    /* The first has a confidence below all thresholds. */
    struct sp_detection d[3] = {box_at(900, 100, 0.05), box_at(100, 100, 0.9),
                                box_at(500, 100, 0.9)};
    assert_int_equal(feed(d, 3, 1), 2);
    assert_int_equal(out[0].detection, 2);
    assert_int_equal(out[1].detection, 3);
    d[1].confidence = 0.3;
    assert_int_equal(feed(d, 3, 1), 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(out[i].detection, out[i].x1_px < 300 ? 2 : 3);
    assert_int_equal(sp_tracker_predict(tracker, 1, out), 2);
    assert_int_equal(out[0].detection, 0);
}

static void test_later_tracks_wait_for_a_second_match(void **state)
{
    (void)state;
    feed_nothing(1); /* empty frames count */
    assert_int_equal(feed_one(100, 0.9), 0);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 1);
}

static void
test_an_unconfirmed_track_is_dropped_after_one_miss_and_its_id_is_not_reused(void **state)
{
    (void)state;
    feed_nothing(1);
    feed_one(100, 0.9);
    feed_nothing(1);
    assert_int_equal(feed_one(100, 0.9), 0);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 2);
}

static void test_confidence_bands_are_open(void **state)
{
    (void)state;
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(feed_one(100, 0.5), 0); /* neither high nor low */
    assert_int_equal(feed_one(100, 0.51), 1);
    assert_int_equal(feed_one(100, 0.49), 1); /* a low one keeps a tracked one */
    assert_true(out[0].confidence == 0.49);
    assert_int_equal(feed_one(100, 0.1), 0);
    assert_int_equal(feed_one(100, 0.11), 0); /* a low one does not recover a lost one */
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 1);
}

static void test_a_track_starts_from_the_threshold_on(void **state)
{
    (void)state;
    struct sp_detection d[] = {box_at(100, 100, 0.5999), box_at(400, 100, 0.6)};
    assert_int_equal(feed(d, 2, 1), 1);
    assert_true(out[0].x1_px == 400);
}

/* Unmatched for 31 frames: recovered; for 32: a new track. */
static void test_expiry_is_one_frame_late(void **state)
{
    (void)state;
    assert_int_equal(feed_one(100, 0.9), 1);
    feed_nothing(31);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 1);
    /* It expired once, so the next miss ends it. */
    feed_nothing(1);
    assert_int_equal(feed_one(100, 0.9), 0);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 2);
}

static void test_expiry(void **state)
{
    (void)state;
    assert_int_equal(feed_one(100, 0.9), 1);
    feed_nothing(32);
    assert_int_equal(feed_one(100, 0.9), 0);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 2);
}

static void test_a_refound_track_may_get_lost_again(void **state)
{
    (void)state;
    feed_one(100, 0.9);
    for (int i = 0; i < 3; i++) {
        feed_nothing(30);
        assert_int_equal(feed_one(100, 0.9), 1);
        assert_int_equal(out[0].id, 1);
    }
}

/* Starts 30 px beside x = 100 and approaches by 3 px a frame, with a confidence too low to match
 * the track lost there. The box of each frame also matches its own track best. */
static size_t walk_onto_the_lost_one(void)
{
    size_t count = 0;
    for (int i = 0; i < 12 && !(i > 1 && count == 0); i++)
        count = feed_one(130 - 3 * i, 0.61);
    return count;
}

static void test_a_new_track_on_an_older_lost_one_goes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        feed_one(100, 0.9);
    feed_nothing(1);
    assert_int_equal(walk_onto_the_lost_one(), 0);
    assert_int_equal(feed_one(100, 0.9), 1);
    assert_int_equal(out[0].id, 1);
}

static void test_a_lost_track_under_an_older_one_goes(void **state)
{
    (void)state;
    feed_one(100, 0.9); /* a history of 0 frames */
    feed_nothing(1);
    assert_int_equal(walk_onto_the_lost_one(), 1);
    assert_int_equal(out[0].id, 2);
    /* Two boxes there would match two tracks if the lost one were still kept. */
    struct sp_detection d[] = {box_at(98, 100, 0.9), box_at(99, 100, 0.9)};
    assert_int_equal(feed(d, 2, 1), 1);
    assert_int_equal(out[0].id, 2);
}

static void test_boxes_of_no_width_are_tracked(void **state)
{
    (void)state;
    struct sp_detection d = box_at(100, 100, 0.9);
    d.x2_px = d.x1_px;
    assert_int_equal(feed(&d, 1, 1), 1);
    assert_int_equal(feed(&d, 1, 1), 1);
    assert_int_equal(out[0].id, 1);
}

static void test_unusable_boxes_are_left_out(void **state)
{
    (void)state;
    struct sp_detection d[8];
    for (int i = 0; i < 8; i++)
        d[i] = box_at(100.0 * i, 100, 0.9);
    d[0].y2_px = d[0].y1_px;
    d[1].y2_px = d[1].y1_px - 10;
    d[2].x1_px = NAN;
    d[3].y2_px = INFINITY;
    d[4].confidence = NAN;
    d[5].x2_px = 1e30;
    d[6].x1_px = -INFINITY;
    for (int frame = 0; frame < 5; frame++) {
        assert_int_equal(feed(d, 8, 1), 1);
        assert_true(out[0].x1_px == 700);
    }
}

static void test_classes_do_not_mix(void **state)
{
    (void)state;
    struct sp_detection person = box_at(100, 100, 0.9), dog = person;
    dog.class_id = 16;
    feed(&person, 1, 1);
    assert_int_equal(feed(&dog, 1, 1), 0); /* a new track, unconfirmed */
    assert_int_equal(feed(&dog, 1, 1), 1);
    assert_int_equal(out[0].id, 2);
    assert_int_equal(out[0].class_id, 16);
    assert_int_equal(feed(&person, 1, 1), 1); /* the lost person, unaffected by the dog */
    assert_int_equal(out[0].id, 1);
    assert_int_equal(out[0].class_id, 0);
}

/* ---- long steps ---- */

/* Walks at 6 px a frame and is detected every `every` frames, `times` times; returns the number of
 * ids. */
static unsigned count_ids_of_a_walker(int every, int times, double dt_frames)
{
    unsigned ids = 0;
    uint32_t last = 0;
    for (int i = 0; i < times; i++) {
        struct sp_detection d = box_at(100 + 6.0 * every * i, 100, 0.9);
        if (feed(&d, 1, dt_frames) == 1 && out[0].id != last) {
            last = out[0].id;
            ids++;
        }
    }
    return ids;
}

static void test_velocity_is_counted_in_frames(void **state)
{
    (void)state;
    assert_int_equal(count_ids_of_a_walker(3, 20, 3), 1);
    /* The next detection is 9 frames later, half a box's width beyond any overlap. */
    struct sp_detection d = box_at(100 + 6.0 * 3 * 19 + 6.0 * 9, 100, 0.9);
    assert_int_equal(feed(&d, 1, 9), 1);
    assert_int_equal(out[0].id, 1);
}

static void test_time_and_not_updates_makes_tracks_expire(void **state)
{
    (void)state;
    feed_one(100, 0.9);
    for (int i = 0; i < 10; i++)
        feed(NULL, 0, 3);
    struct sp_detection d = box_at(100, 100, 0.9);
    assert_int_equal(feed(&d, 1, 3), 0); /* 33 frames after the last match */
    feed(&d, 1, 1);
    assert_int_equal(out[0].id, 2);
}

static void test_a_lost_track_comes_back_on_a_low_box_after_a_long_step(void **state)
{
    (void)state;
    feed_one(100, 0.9);
    feed(NULL, 0, 3);
    struct sp_detection d = box_at(100, 100, 0.3);
    assert_int_equal(feed(&d, 1, 3), 1);
    assert_int_equal(out[0].id, 1);
}

/* All boxes jump by half a box: too far for their IoU, but together. */
static void test_a_camera_that_jerks_keeps_the_ids(void **state)
{
    (void)state;
    struct sp_detection d[5];
    for (int frame = 0; frame < 4; frame++) {
        for (int i = 0; i < 5; i++)
            d[i] = box_at(200.0 * i, 100 + 10 * i, 0.9);
        assert_int_equal(feed(d, 5, 3), 5);
    }
    for (int i = 0; i < 5; i++) {
        d[i].x1_px += 38;
        d[i].x2_px += 38;
    }
    assert_int_equal(feed(d, 5, 3), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(out[i].id, i + 1);
}

static void test_after_a_very_long_step_nothing_is_kept(void **state)
{
    (void)state;
    feed_one(100, 0.9);
    struct sp_detection d = box_at(100, 100, 0.9);
    assert_int_equal(feed(&d, 1, SP_TRACKER_GAP_MAX_FRAMES + 1), 0);
    assert_int_equal(feed(&d, 1, 1), 1);
    assert_int_equal(out[0].id, 2);
}

static void test_steps_that_are_none_count_as_one(void **state)
{
    (void)state;
    feed_one(100, 0.9);
    struct sp_detection d = box_at(101, 100, 0.9);
    assert_int_equal(feed(&d, 1, NAN), 1);
    struct sp_track after_nan = out[0];
    assert_int_equal(feed(&d, 1, 0), 1); /* a step of 0 is allowed */
    assert_int_equal(feed(NULL, 0, 0), 0);

    struct sp_tracker *other;
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    assert_int_equal(sp_tracker_open(&other, &params, NULL), SP_OK);
    struct sp_detection first = box_at(100, 100, 0.9);
    sp_tracker_update(other, &first, 1, 77, out);
    sp_tracker_update(other, &d, 1, -5, out);
    assert_same_track(out[0], after_nan);
    sp_tracker_close(other);
}

static void test_predict_extrapolates_and_changes_nothing(void **state)
{
    (void)state;
    count_ids_of_a_walker(1, 40, 1);
    struct sp_track now = out[0], ahead[SP_TRACKS_MAX];
    assert_int_equal(sp_tracker_predict(tracker, 0, ahead), 1);
    assert_same_track(now, ahead[0]);
    assert_int_equal(sp_tracker_predict(tracker, 2, ahead), 1);
    assert_int_equal(ahead[0].id, now.id);
    assert_true(fabs(ahead[0].x1_px - now.x1_px - 12) < 0.5);
    assert_int_equal(sp_tracker_predict(tracker, 0, ahead), 1);
    assert_same_track(now, ahead[0]);
}

static void test_predicted_boxes_are_as_large_as_the_seen_one(void **state)
{
    (void)state;
    count_ids_of_a_walker(1, 40, 1);
    double x_px = out[0].x1_px + 6;
    struct sp_detection d = box_at(x_px, 100, 0.9);
    d.y2_px += 12;
    struct sp_track ahead[SP_TRACKS_MAX];
    assert_int_equal(feed(&d, 1, 1), 1);
    assert_int_equal(sp_tracker_predict(tracker, 1, ahead), 1);
    assert_true(fabs(ahead[0].y2_px - ahead[0].y1_px - 112) < 1e-9);
    assert_true(fabs(ahead[0].x1_px - x_px - 6) < 0.5);
}

/* A box of low confidence that overlaps by 0.47. */
static size_t half_hidden_after(double dt_frames)
{
    struct sp_detection d = box_at(100, 100, 0.9);
    for (int i = 0; i < 5; i++)
        feed(&d, 1, 1);
    d = box_at(118, 100, 0.3);
    return feed(&d, 1, dt_frames);
}

static void test_low_boxes_may_lie_farther_off_after_a_long_step(void **state)
{
    assert_int_equal(half_hidden_after(1), 0);
    tear_down(state);
    set_up(state);
    assert_int_equal(half_hidden_after(2), 1);
}

static void test_scatter_is_no_shift(void **state)
{
    (void)state;
    double scattered[] = {3, 5, 1}, together[] = {10, 10.2, 9.9}, still[] = {0, 0, 0};
    double many[] = {3, 5, 1, 3, 5, 1, 3, 5, 1, 3, 4, 2, 3, 4, 2, 3, 4, 2};
    assert_true(sp_shift_estimate(scattered, 3) == 0);
    assert_true(sp_shift_estimate(still, 3) == 0);
    assert_true(fabs(sp_shift_estimate(together, 3) - 10) < 0.1);
    assert_true(sp_shift_estimate(many, 18) > 2);
}

/* ---- bounds ---- */

static struct sp_detection crowd[2 * SP_DETECTIONS_MAX];

static void place_crowd(size_t count, double y_px, double confidence)
{
    for (size_t i = 0; i < count; i++)
        crowd[i] = box_at(200.0 * (double)i, y_px, confidence);
}

/* A full frame twice, then another full frame elsewhere, repeatedly: each leaves as many lost
 * tracks. The track lost for longest is dropped. */
static void test_the_longest_lost_make_room(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        place_crowd(SP_DETECTIONS_MAX, 500.0 * i, 0.9);
        feed(crowd, SP_DETECTIONS_MAX, 1);
        assert_int_equal(feed(crowd, SP_DETECTIONS_MAX, 1), SP_DETECTIONS_MAX);
        assert_int_equal(out[0].id, SP_DETECTIONS_MAX * i + 1);
    }
    /* 512 - 300 of the previous frame are still kept, those of the frame before that are not. */
    place_crowd(SP_DETECTIONS_MAX, 500.0 * 4, 0.9);
    assert_int_equal(feed(crowd, SP_DETECTIONS_MAX, 1), SP_TRACKS_MAX - SP_DETECTIONS_MAX);
    for (size_t i = 0; i < SP_TRACKS_MAX - SP_DETECTIONS_MAX; i++)
        assert_in_range(out[i].id, SP_DETECTIONS_MAX * 4 + 1, SP_DETECTIONS_MAX * 5);
}

static void test_of_too_many_detections_the_best_count(void **state)
{
    (void)state;
    place_crowd(2 * SP_DETECTIONS_MAX, 100, 0.7);
    for (size_t i = 0; i < 2 * SP_DETECTIONS_MAX; i += 3)
        crowd[i].confidence = 0.8;
    assert_int_equal(feed(crowd, 2 * SP_DETECTIONS_MAX, 1), SP_DETECTIONS_MAX);
    size_t better = 0;
    for (size_t i = 0; i < SP_DETECTIONS_MAX; i++)
        better += out[i].confidence == 0.8;
    assert_int_equal(better, 2 * SP_DETECTIONS_MAX / 3);
    for (size_t i = 1; i < SP_DETECTIONS_MAX; i++)
        assert_true(out[i].x1_px > out[i - 1].x1_px); /* in the order in which they came */
}

static void test_senseless_parameters_are_refused(void **state)
{
    (void)state;
    struct sp_tracker *other;
    struct sp_tracker_params params;
    struct sp_error err;
    sp_tracker_params_default(&params);
    params.match_thresh = NAN;
    assert_int_equal(sp_tracker_open(&other, &params, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "match_thresh"));
}

#define WITH_TRACKER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TRACKER(test_the_first_frame_activates_at_once),
        WITH_TRACKER(test_tracks_name_their_detections),
        WITH_TRACKER(test_later_tracks_wait_for_a_second_match),
        WITH_TRACKER(test_an_unconfirmed_track_is_dropped_after_one_miss_and_its_id_is_not_reused),
        WITH_TRACKER(test_confidence_bands_are_open),
        WITH_TRACKER(test_a_track_starts_from_the_threshold_on),
        WITH_TRACKER(test_expiry_is_one_frame_late),
        WITH_TRACKER(test_expiry),
        WITH_TRACKER(test_a_refound_track_may_get_lost_again),
        WITH_TRACKER(test_a_new_track_on_an_older_lost_one_goes),
        WITH_TRACKER(test_a_lost_track_under_an_older_one_goes),
        WITH_TRACKER(test_boxes_of_no_width_are_tracked),
        WITH_TRACKER(test_unusable_boxes_are_left_out),
        WITH_TRACKER(test_classes_do_not_mix),
        WITH_TRACKER(test_velocity_is_counted_in_frames),
        WITH_TRACKER(test_time_and_not_updates_makes_tracks_expire),
        WITH_TRACKER(test_a_lost_track_comes_back_on_a_low_box_after_a_long_step),
        WITH_TRACKER(test_a_camera_that_jerks_keeps_the_ids),
        WITH_TRACKER(test_after_a_very_long_step_nothing_is_kept),
        WITH_TRACKER(test_steps_that_are_none_count_as_one),
        WITH_TRACKER(test_predict_extrapolates_and_changes_nothing),
        WITH_TRACKER(test_predicted_boxes_are_as_large_as_the_seen_one),
        WITH_TRACKER(test_low_boxes_may_lie_farther_off_after_a_long_step),
        WITH_TRACKER(test_scatter_is_no_shift),
        WITH_TRACKER(test_the_longest_lost_make_room),
        WITH_TRACKER(test_of_too_many_detections_the_best_count),
        cmocka_unit_test(test_senseless_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
