/* Tracker settings chosen by ground truth, and the contents of the folder afterwards. */
#include "command/tune_tracker.h"

#include "command/identity.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES = 30 };

static char folder[] = "/tmp/spoton-test-tune-XXXXXX";
static char results_log[64], tracks[64], ground_truth[64];

/* A standing person with confidences of at most 0.45. */
static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(results_log, sizeof results_log, "%s/a.jsonl", folder);
    snprintf(tracks, sizeof tracks, "%s/a.txt", folder);
    snprintf(ground_truth, sizeof ground_truth, "%s/gt.txt", folder);
    FILE *seen = fopen(results_log, "we"), *right = fopen(ground_truth, "we");
    for (int i = 0; seen && right && i < FRAMES; i++) {
        fprintf(seen,
                "{\"sequence\":%d,\"pts_us\":%d,\"frame_rate\":10,\"inferred\":true,"
                "\"detections\":[[100,100,150,200,0.45,0]],\"tracks\":[]}\n",
                i, i * 100000);
        fprintf(right, "%d,1,100,100,50,100,1,-1,-1,-1\n", i + 1);
    }
    return seen && right && fclose(seen) == 0 && fclose(right) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(results_log);
    unlink(tracks);
    unlink(ground_truth);
    return rmdir(folder);
}

static int judge(void *user, double *idf1, struct sp_error *err)
{
    ++*(int *)user;
    return sp_identity_f1(ground_truth, tracks, 0, idf1, err);
}

static int stop(void *user, double *idf1, struct sp_error *err)
{
    (void)user;
    *idf1 = 0;
    return sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
}

static void run(double new_thresh, struct sp_tune_tracker *out)
{
    static struct sp_settings settings;
    const char *const name[] = {"a"};
    struct sp_error err = {0};
    int judged = 0;
    sp_settings_default(&settings);
    settings.track_new_thresh = new_thresh;
    assert_int_equal(
        sp_tune_tracker(&(struct sp_tune_tracker){0}, &settings, folder, name, 1, stop, NULL, &err),
        SP_ERR_INTERRUPTED);
    assert_int_equal(sp_tune_tracker(out, &settings, folder, name, 1, judge, &judged, &err), 0);
    assert_int_equal(judged, SP_TUNE_MATCHES * SP_TUNE_HIGHS);
}

static void test_the_pair_among_good_ones_is_chosen(void **state)
{
    (void)state;
    struct sp_tune_tracker out = {0};
    double idf1 = 0;
    int judged = 0;
    run(0.4, &out);
    /* At 0.5 and above there are no tracks, so 0.4 has a bad neighbour and 0.3 has none. */
    assert_string_equal(sp_tune_tracker_high(out.high), "0.3");
    assert_string_equal(sp_tune_tracker_match(out.match), "0.8");
    assert_true(out.idf1[0][0] == 1 && out.idf1[0][1] == 1);
    assert_true(out.idf1[0][2] == 0 && out.idf1[3][3] == 0);
    assert_true(out.around[0][0] == 1 && out.around[0][1] < 1);
    /* The folder contains the tracks of the chosen pair, not of the last one. */
    assert_int_equal(judge(&judged, &idf1, NULL), 0);
    assert_true(idf1 == 1);
}

static void test_the_defaults_stay_where_nothing_is_better(void **state)
{
    (void)state;
    struct sp_tune_tracker out = {0};
    run(0.6, &out); /* no tracks at all */
    assert_string_equal(sp_tune_tracker_match(out.match), "0.8");
    assert_string_equal(sp_tune_tracker_high(out.high), "0.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_pair_among_good_ones_is_chosen),
        cmocka_unit_test(test_the_defaults_stay_where_nothing_is_better),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
