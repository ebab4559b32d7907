#include "track/tracker.h"

#include "unit.h"

#include <math.h>

static struct sp_detection person_at(double x)
{
    return (struct sp_detection){
        .x1_px = x, .y1_px = 100, .x2_px = x + 40, .y2_px = 200, .confidence = 0.8};
}

/* A person walks 5 px a frame at 10 frames a second, stops being detected, and is lost. */
static void test_states_follow_the_updates(void **state)
{
    (void)state;
    static const enum sp_tracker_name names[] = {SP_TRACKER_BYTETRACK, SP_TRACKER_SPOTON};
    static struct sp_track tracks[SP_TRACKS_MAX];
    static struct sp_track_state states[SP_TRACKS_MAX];
    for (int i = 0; i < 2; i++) {
        struct sp_tracker_params params;
        struct sp_tracker *tracker;
        sp_tracker_params_default(&params);
        params.tracker = names[i];
        assert_int_equal(sp_tracker_open(&tracker, &params, NULL), SP_OK);
        sp_tracker_set_frame_rate(tracker, 10);
        assert_int_equal(sp_tracker_states(tracker, states), 0);
        sp_tracker_update(tracker, NULL, 0, 1, tracks); /* so that the person is new */
        struct sp_detection d = person_at(0);
        sp_tracker_update(tracker, &d, 1, 1, tracks);
        assert_int_equal(sp_tracker_states(tracker, states), 1);
        assert_false(states[0].confirmed);
        assert_int_equal(states[0].hits, 1);
        double residual_s = states[0].residual_s;
        for (int n = 1; n <= 20; n++) {
            d = person_at(5 * n);
            sp_tracker_update(tracker, &d, 1, 1, tracks);
        }
        assert_int_equal(sp_tracker_states(tracker, states), 1);
        assert_true(states[0].x1_px == 100 && states[0].y1_px == 100);
        assert_true(states[0].x2_px == 140 && states[0].y2_px == 200);
        assert_true(fabs(states[0].vx_px_s - 50) < 5 && fabs(states[0].vy_px_s) < 1);
        assert_true(states[0].confirmed && !states[0].lost && states[0].unseen_s == 0);
        assert_true(states[0].confidence == 0.8);
        assert_int_equal(states[0].hits, 21);
        assert_true(states[0].residual_s < residual_s / 5);
        d = person_at(115); /* 10 px beside the prediction, a tenth of the height */
        sp_tracker_update(tracker, &d, 1, 1, tracks);
        double before_s = states[0].residual_s;
        sp_tracker_states(tracker, states);
        assert_true(states[0].residual_s > before_s + 0.3);
        sp_tracker_update(tracker, NULL, 0, 3, tracks);
        assert_int_equal(sp_tracker_states(tracker, states), 1);
        assert_true(states[0].lost && states[0].confirmed);
        assert_true(fabs(states[0].unseen_s - 0.3) < 1e-9);
        assert_true(states[0].x1_px == 115);
        sp_tracker_update(tracker, NULL, 0, SP_TRACKER_GAP_MAX_FRAMES + 1, tracks);
        assert_int_equal(sp_tracker_states(tracker, states), 0);
        sp_tracker_close(tracker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_follow_the_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
