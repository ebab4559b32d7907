/* TRACKER=spoton: confirmation, ids, coasting, re-joining, classes, bounds and
 * time. */
#include "track/coasting.h"
#include "track/tracker.h"

#include "unit.h"

#include <math.h>
#include <string.h>

static struct sp_tracker *tracker;
static struct sp_track out[SP_TRACKS_MAX];

static int open_tracker(void **state)
{
    (void)state;
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    params.tracker = SP_TRACKER_SPOTON;
    return sp_tracker_open(&tracker, &params, NULL);
}

static int close_tracker(void **state)
{
    (void)state;
    sp_tracker_close(tracker);
    tracker = NULL;
    return 0;
}

static struct sp_detection person(double x_px, double confidence)
{
    return (struct sp_detection){x_px, 100, x_px + 40, 200, confidence, 0};
}

static size_t see(const struct sp_detection *detections, size_t count, double dt_frames)
{
    return sp_tracker_update(tracker, detections, count, dt_frames, out);
}

static void test_one_box_alone_uses_no_id(void **state)
{
    (void)state;
    struct sp_detection both[2] = {person(100, 0.9), person(500, 0.9)};
    assert_int_equal(see(both, 1, 1), 1); /* the first frame confirms at once */
    assert_int_equal(out[0].id, 1);
    assert_int_equal(see(both, 2, 1), 1);
    for (int i = 0; i < 6; i++)
        assert_int_equal(see(both, 1, 1), 1);
    assert_int_equal(see(both, 2, 1), 1);
    assert_int_equal(see(both, 2, 1), 2); /* its second box: 0.9 + 0.9 >= 1.75 */
    assert_int_equal(out[1].id, 2);
    assert_int_equal(out[1].detection, 2);
}

static void test_a_short_gap_coasts_and_is_marked(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct sp_detection d = person(100 + 3 * i, 0.9);
        assert_int_equal(see(&d, 1, 1), 1);
        assert_int_equal(out[0].detection, 1);
    }
    assert_int_equal(see(NULL, 0, 1), 1);
    assert_int_equal(out[0].id, 1);
    assert_int_equal(out[0].detection, 0);
    assert_float_equal(out[0].x1_px, 130, 1.5);
    for (int i = 0; i < 14; i++)
        see(NULL, 0, 1);
    assert_int_equal(see(NULL, 0, 1), 0); /* half a second: too uncertain */
    struct sp_detection back = person(140, 0.9);
    assert_int_equal(see(&back, 1, 1), 1);
    assert_int_equal(out[0].id, 1);
}

static void test_time_is_in_seconds(void **state)
{
    (void)state;
    struct sp_detection d = person(100, 0.9);
    sp_tracker_set_frame_rate(tracker, 10);
    for (int i = 0; i < 6; i++)
        see(&d, 1, 1);
    for (int i = 0; i < 31; i++)
        see(NULL, 0, 1);
    see(&d, 1, 1); /* 3.2 s later: forgotten at 10 frames/s */
    assert_int_equal(see(&d, 1, 1), 1);
    assert_int_equal(out[0].id, 2);
}

/* The id of a person who stands still, is away for lost_s, and is then shift_px
 * to the right. */
static uint32_t id_after(double lost_s, double shift_px, double confidence)
{
    sp_tracker_set_frame_rate(tracker, 10);
    see(NULL, 0, INFINITY);
    struct sp_detection d = person(100, confidence);
    for (int i = 0; i < 8; i++)
        see(&d, 1, 1);
    uint32_t before = out[0].id;
    for (int i = 1; i < (int)lrint(10 * lost_s); i++)
        see(NULL, 0, 1);
    d = person(100 + shift_px, confidence);
    see(&d, 1, 1);
    size_t count = see(&d, 1, 1);
    assert_int_equal(count, 1);
    return out[0].id - before;
}

static void test_a_return_after_long_only_where_it_was(void **state)
{
    (void)state;
    assert_int_equal(id_after(2, 0, 0.9), 0);
    assert_int_equal(id_after(2, 10, 0.9), 0);
    assert_int_equal(id_after(2, 30, 0.9), 1);   /* IoU 0.14 */
    assert_int_equal(id_after(0.6, 30, 0.9), 0); /* lost for less: within its uncertainty */
    assert_int_equal(id_after(3.3, 0, 0.9), 1);
}

/* After how many boxes the second of two people has an id, 0.6 of its boxes'
 * overlap lost. */
static int boxes_until_id(struct sp_detection second, double step_px)
{
    struct sp_detection both[2] = {person(100, 0.9), second};
    see(NULL, 0, INFINITY);
    for (int i = 0; i < 5; i++)
        see(both, 1, 1);
    for (int boxes = 1; boxes < 10; boxes++) {
        if (see(both, 2, 1) == 2)
            return boxes;
        both[1].x1_px += step_px;
        both[1].x2_px += step_px;
    }
    return 10;
}

static void test_confirmation_by_evidence(void **state)
{
    (void)state;
    assert_int_equal(boxes_until_id(person(500, 0.9), 0), 2);
    assert_int_equal(boxes_until_id(person(500, 0.88), 0), 2); /* 0.88 + 0.88 */
    assert_int_equal(boxes_until_id(person(500, 0.87), 0), 3);
    /* The second box overlaps the first by 1/3 only. */
    assert_int_equal(boxes_until_id(person(500, 0.9), 20) > 2, 1);
    /* Half of it is behind a person in view: 0.9 + 0.9 * 0.75. */
    assert_int_equal(boxes_until_id(person(120, 0.9), 0), 3);
}

static void test_boxes_from_before_the_id(void **state)
{
    (void)state;
    static struct sp_track_earlier rows[SP_TRACK_EARLIER_MAX];
    struct sp_detection both[2] = {person(100, 0.9), person(500, 0.7)};
    sp_tracker_set_sequence(tracker, 7);
    see(both, 1, 1);
    assert_int_equal(sp_tracker_earlier(tracker, true, rows), 0);
    for (uint64_t sequence = 10; sequence <= 12; sequence += 2) {
        sp_tracker_set_sequence(tracker, sequence);
        assert_int_equal(see(both, 2, 2), 1);
        assert_int_equal(sp_tracker_earlier(tracker, true, rows), 0); /* it has no id yet */
        both[1].x1_px += 4;
        both[1].x2_px += 4;
    }
    sp_tracker_set_sequence(tracker, 14);
    assert_int_equal(see(both, 2, 2), 2);
    assert_int_equal(out[1].id, 2);
    assert_int_equal(sp_tracker_earlier(tracker, false, rows), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rows[i].sequence, 10 + 2 * i);
        assert_int_equal(rows[i].track.id, 2);
        assert_int_equal(rows[i].track.detection, 0);
        assert_float_equal(rows[i].track.confidence, 0.7, 1e-6);
        assert_float_equal(rows[i].track.x1_px, 500 + 4 * i, 3);
        assert_float_equal(rows[i].track.y2_px, 200, 1);
    }
    double first_px = rows[0].track.x1_px, second_px = rows[1].track.x1_px;
    assert_int_equal(sp_tracker_earlier(tracker, true, rows), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rows[i].sequence, 10 + i);
    assert_float_equal(rows[1].track.x1_px, (first_px + second_px) / 2, 1e-3);
    assert_float_equal(rows[3].track.x1_px, (second_px + out[1].x1_px) / 2, 1e-3);
    see(both, 2, 2);
    assert_int_equal(sp_tracker_earlier(tracker, true, rows), 0);
}

/* A track that is confirmed late keeps its newest boxes. */
static void test_boxes_from_before_the_id_are_bounded(void **state)
{
    (void)state;
    static struct sp_track_earlier rows[SP_TRACK_EARLIER_MAX];
    struct sp_detection both[2] = {person(100, 0.9), person(100, 0.6)};
    see(both, 1, 1);
    size_t count = 1;
    int boxes = 0; /* all but hidden: each adds half of its confidence, and little overlap */
    for (; count == 1 && boxes < 100; boxes++) {
        both[1] = person(boxes % 2 ? 118 : 132, 0.6);
        both[0].x2_px = 180;
        count = see(both, 2, 1);
    }
    assert_int_equal(count, 2);
    size_t found = sp_tracker_earlier(tracker, false, rows);
    assert_true(found > 0 && found <= 12);
    assert_int_equal(rows[found - 1].sequence, boxes - 1);
}

static void test_no_birth_on_a_seen_track_but_a_class_apart(void **state)
{
    (void)state;
    struct sp_detection d[2] = {person(100, 0.9), person(108, 0.9)};
    for (int i = 0; i < 5; i++)
        assert_int_equal(see(d, i == 0 ? 1 : 2, 1), 1);
    d[1].class_id = 1;
    see(d, 2, 1);
    assert_int_equal(see(d, 2, 1), 2);
    assert_int_equal(out[1].class_id, 1);
}

static void test_a_long_gap_and_bad_input(void **state)
{
    (void)state;
    struct sp_detection d[3] = {person(100, 0.9), person(NAN, 0.9), person(300, 0.9)};
    d[2].y2_px = d[2].y1_px;
    assert_int_equal(see(d, 3, 1), 1);
    assert_int_equal(see(d, 3, 1), 1);
    see(d, 1, INFINITY);
    assert_int_equal(see(d, 1, NAN), 1);
    assert_int_equal(out[0].id, 2);
    assert_true(isfinite(out[0].x1_px));
    struct sp_track ahead[SP_TRACKS_MAX];
    assert_int_equal(sp_tracker_predict(tracker, 2, ahead), 1);
    assert_int_equal(ahead[0].detection, 0);
}

/* A person is seen, but for one frame with low confidence, and again, where it was or far off. */
static void show_low(int times, double back_px)
{
    for (int round = 0; round < times; round++) {
        struct sp_detection d = person(100, 0.9), low = person(100, 0.3);
        see(NULL, 0, INFINITY);
        for (int i = 0; i < 6; i++)
            see(&d, 1, 1);
        see(&low, 1, 1);
        d = person(100 + back_px, 0.9);
        for (int i = 0; i < 100; i++) /* longer than a lost track is kept */
            see(&d, 1, 1);
    }
}

/* A track is lost for 0.3 s, then there is a low-confidence box where it is. */
static bool takes_low_when_lost(void)
{
    struct sp_detection d = person(100, 0.9), low = person(100, 0.3);
    see(NULL, 0, INFINITY);
    for (int i = 0; i < 6; i++)
        see(&d, 1, 1);
    for (int i = 0; i < 8; i++)
        see(NULL, 0, 1);
    size_t count = see(&low, 1, 1);
    return count == 1 && out[0].detection == 1;
}

static void test_low_confidences_where_the_camera_shows_them_right(void **state)
{
    (void)state;
    assert_false(takes_low_when_lost());
    show_low(12, 0);
    assert_true(takes_low_when_lost());
    show_low(12, 300); /* each is forgotten without a high-confidence box */
    assert_false(takes_low_when_lost());
}

static struct sp_track_explanation event[32];
static struct sp_track_candidate candidate[32][SP_TRACK_CANDIDATES];
static int event_count;

static void record(void *user, const struct sp_track_explanation *explanation)
{
    assert_ptr_equal(user, &event_count);
    assert_true(event_count < 32);
    event[event_count] = *explanation;
    for (int i = 0; i < explanation->candidate_count; i++)
        candidate[event_count][i] = explanation->candidate[i];
    event_count++;
}

static void test_events_are_explained(void **state)
{
    (void)state;
    event_count = 0;
    assert_int_equal(sp_tracker_explain(tracker, record, &event_count, NULL), SP_OK);
    struct sp_detection d[3] = {person(100, 0.9), person(130, 0.9), person(110, 0.3)};
    d[2].y2_px = 145; /* overlap 0.28, height 0.45: too unlike */
    for (int i = 0; i < 6; i++)
        see(d, 1, 1);
    assert_int_equal(event_count, 1);
    assert_int_equal(event[0].event, SP_TRACK_CREATED);
    assert_int_equal(event[0].candidate_count, 0);
    see(&d[1], 2, 1);
    assert_int_equal(event_count, 2);
    assert_int_equal(event[1].event, SP_TRACK_LOST);
    assert_int_equal(event[1].boxes, 6);
    assert_int_equal(event[1].candidate_count, 2);
    const struct sp_track_candidate *beside = &candidate[1][0], *low = &candidate[1][1];
    if (beside->low) {
        beside = low;
        low = &candidate[1][0];
    }
    /* IoU 10 / 70 of equal heights; beyond the uncertainty, so the bonus is nearly its least. */
    assert_int_equal(beside->detection, 1);
    assert_float_equal(beside->overlap, 1.0 / 7, 1e-3);
    assert_float_equal(beside->height_ratio, 1, 1e-3);
    assert_true(beside->bonus >= -0.1 && beside->bonus < -0.08);
    assert_float_equal(beside->value, (beside->overlap + beside->bonus) * 0.9, 1e-3);
    assert_float_equal(beside->limit, 0.2, 1e-9);
    assert_true(low->low && low->detection == 2);
    assert_float_equal(low->height_ratio, 0.45, 1e-3);
    assert_float_equal(low->limit, 0.6, 1e-9);
    see(&d[1], 1, 1); /* the neighbour's second box: an id, and the lost track is its rival */
    assert_int_equal(event_count, 3);
    assert_int_equal(event[2].event, SP_TRACK_CREATED);
    assert_int_equal(event[2].id, 2);
    assert_float_equal(event[2].evidence, 1.8, 0.02);
    assert_int_equal(event[2].candidate_count, 1);
    assert_int_equal(candidate[2][0].id, 1);
    assert_float_equal(candidate[2][0].lost_s, 1.0 / 30, 1e-6);
    see(d, 2, 1);
    assert_int_equal(event[3].event, SP_TRACK_FOUND);
    assert_int_equal(event[3].by, SP_TRACK_BY_OVERLAP);
    assert_float_equal(event[3].gap_s, 0.1, 1e-6);
    for (int i = 0; i < 100; i++)
        see(d, 1, 1);
    assert_int_equal(event_count, 6); /* the second is lost, then ended */
    assert_int_equal(event[5].event, SP_TRACK_ENDED);
    assert_int_equal(event[5].id, 2);
    assert_true(event[5].gap_s > 3 && event[5].gap_s < 3.1);
}

static void test_bytetrack_explains_nothing(void **state)
{
    (void)state;
    struct sp_tracker_params params;
    struct sp_error err;
    struct sp_tracker *other;
    sp_tracker_params_default(&params);
    assert_int_equal(sp_tracker_open(&other, &params, NULL), SP_OK);
    assert_int_equal(sp_tracker_explain(other, record, NULL, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "TRACKER=bytetrack: cannot explain"));
    sp_tracker_close(other);
}

static void test_more_boxes_than_room(void **state)
{
    (void)state;
    static struct sp_detection many[SP_DETECTIONS_MAX];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < SP_DETECTIONS_MAX; i++) {
            many[i] = person(60.0 * i, 0.9);
            many[i].y1_px += 300 * round;
            many[i].y2_px += 300 * round;
        }
        see(many, SP_DETECTIONS_MAX, 1);
        assert_int_equal(see(many, SP_DETECTIONS_MAX, 1) >= SP_DETECTIONS_MAX, 1);
    }
}

static void test_coasting_learns_from_gaps(void **state)
{
    (void)state;
    struct sp_coasting coasting;
    sp_coasting_init(&coasting);
    assert_float_equal(sp_coasting_share(&coasting, 1, 0.03), 0.6, 1e-12);
    unsigned gaps = sp_coasting_bit(0.03);
    sp_coasting_end(&coasting, 1, gaps, false);
    assert_float_equal(sp_coasting_share(&coasting, 1, 0.03), 2.4 / 5, 1e-12);
    assert_float_equal(sp_coasting_share(&coasting, 1, 0.2), 0.45, 1e-12);
    assert_float_equal(sp_coasting_share(&coasting, 0, 0.03), 0.42, 1e-12);
    for (int i = 0; i < 1000; i++)
        sp_coasting_end(&coasting, 1, gaps, true);
    assert_true(coasting.ended[1][0] <= 60);
    assert_true(sp_coasting_share(&coasting, 1, 0.03) > 0.99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_box_alone_uses_no_id, open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_a_short_gap_coasts_and_is_marked, open_tracker,
                                        close_tracker),
        cmocka_unit_test_setup_teardown(test_time_is_in_seconds, open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_a_return_after_long_only_where_it_was, open_tracker,
                                        close_tracker),
        cmocka_unit_test_setup_teardown(test_boxes_from_before_the_id, open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_boxes_from_before_the_id_are_bounded, open_tracker,
                                        close_tracker),
        cmocka_unit_test_setup_teardown(test_confirmation_by_evidence, open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_no_birth_on_a_seen_track_but_a_class_apart,
                                        open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_a_long_gap_and_bad_input, open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_low_confidences_where_the_camera_shows_them_right,
                                        open_tracker, close_tracker),
        cmocka_unit_test_setup_teardown(test_events_are_explained, open_tracker, close_tracker),
        cmocka_unit_test(test_bytetrack_explains_nothing),
        cmocka_unit_test_setup_teardown(test_more_boxes_than_room, open_tracker, close_tracker),
        cmocka_unit_test(test_coasting_learns_from_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
