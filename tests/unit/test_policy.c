#include "schedule/policy.h"

#include "track/tracker.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A camera of 640x360 whose people are bright rectangles; an exact detector; the real tracker. */
enum { WIDTH = 640, HEIGHT = 360, BLOCK = 4, ACROSS = WIDTH / BLOCK, DOWN = HEIGHT / BLOCK };

struct person {
    double x, y, height; /* of the middle and the top, at time 0 */
    double vx, vy;       /* px/s */
    double from_s, until_s;
    int grey;    /* 0: 200 */
    bool unseen; /* by the detector: a thing */
};

struct scene {
    struct person people[8];
    int count;
    double rate;
    int light; /* added to all of the frame from light_s on */
    double light_s;
    int noise; /* grey levels, at most */
};

struct play {
    struct scene scene;
    struct sp_policy *policy;
    struct sp_tracker *tracker;
    enum sp_inference_reason reason; /* of the last frame */
    int frames, inferred;
    int64_t last_us, gap_max_us; /* between inferences, since they were last cleared */
    double last_s;
    size_t track_count;
    struct sp_track tracks[SP_TRACKS_MAX];
    uint32_t decisions; /* a checksum */
    int64_t now_us;
    bool fails; /* the engine */
};

static void open_play(struct play *play, const struct scene *scene)
{
    struct sp_tracker_params params;
    *play = (struct play){.scene = *scene};
    sp_tracker_params_default(&params);
    assert_int_equal(sp_policy_open(&play->policy, params.new_track_thresh, NULL), SP_OK);
    assert_int_equal(sp_tracker_open(&play->tracker, &params, NULL), SP_OK);
    sp_tracker_set_frame_rate(play->tracker, scene->rate);
}

static void close_play(struct play *play)
{
    sp_policy_close(play->policy);
    sp_tracker_close(play->tracker);
}

static bool box_at(const struct person *person, double s, struct sp_detection *box)
{
    if (s < person->from_s || (person->until_s > 0 && s >= person->until_s))
        return false;
    double x = person->x + person->vx * (s - person->from_s);
    double y = person->y + person->vy * (s - person->from_s), wide = person->height * 0.4;
    *box = (struct sp_detection){.x1_px = fmax(x - wide / 2, 0),
                                 .y1_px = fmax(y, 0),
                                 .x2_px = fmin(x + wide / 2, WIDTH),
                                 .y2_px = fmin(y + person->height, HEIGHT),
                                 .confidence = 0.9};
    return box->x2_px - box->x1_px > wide / 2 && box->y2_px - box->y1_px > person->height / 2;
}

static void draw(const struct scene *scene, double s, int frame, int16_t *means)
{
    for (int y = 0; y < DOWN; y++)
        for (int x = 0; x < ACROSS; x++) {
            uint32_t hash = ((uint32_t)(x * 7919 + y * 104729 + frame * 1299721)) * 2654435761U;
            int level = 60 + (x / 8 + y / 8) % 40;
            if (scene->noise)
                level += (int)(hash >> 16) % (2 * scene->noise + 1) - scene->noise;
            if (scene->light && s >= scene->light_s)
                level += scene->light;
            for (int i = 0; i < scene->count; i++) {
                const struct person *p = &scene->people[i];
                if (s < p->from_s || (p->until_s > 0 && s >= p->until_s))
                    continue;
                double wide = p->height * 0.4, px = p->x + p->vx * (s - p->from_s);
                double py = p->y + p->vy * (s - p->from_s);
                if (fabs(x * BLOCK + 2 - px) < wide / 2 && y * BLOCK + 2 > py &&
                    y * BLOCK + 2 < py + p->height)
                    level = p->grey ? p->grey : 200;
            }
            means[y * ACROSS + x] = (int16_t)(level * SP_GATE_LEVEL);
        }
}

static void infer(struct play *play, double s)
{
    struct sp_detection detections[8];
    static struct sp_track_state states[SP_TRACKS_MAX];
    size_t count = 0;
    for (int i = 0; i < play->scene.count; i++)
        if (!play->scene.people[i].unseen && box_at(&play->scene.people[i], s, &detections[count]))
            count++;
    play->track_count =
        sp_tracker_update(play->tracker, detections, count,
                          round((s - play->last_s) * play->scene.rate), play->tracks);
    size_t known = sp_tracker_states(play->tracker, states);
    sp_policy_learn(play->policy, &(struct sp_policy_result){detections, count, states, known});
    play->inferred++;
    play->last_s = s;
    if (play->now_us - play->last_us > play->gap_max_us)
        play->gap_max_us = play->now_us - play->last_us;
    play->last_us = play->now_us;
}

static void step(struct play *play)
{
    static int16_t means[ACROSS * DOWN];
    double s = play->frames / play->scene.rate;
    play->now_us = (int64_t)llround(s * 1e6);
    draw(&play->scene, s, play->frames, means);
    play->reason = sp_policy_decide(play->policy, &(struct sp_policy_frame){.pts_us = play->now_us,
                                                                            .width_px = WIDTH,
                                                                            .height_px = HEIGHT,
                                                                            .means = means});
    play->decisions = (play->decisions ^ (uint32_t)play->reason) * 16777619U;
    play->frames++;
    if (play->reason != SP_REASON_NONE && !play->fails)
        infer(play, s);
}

static void run_until(struct play *play, double s)
{
    while (play->frames / play->scene.rate < s - 1e-9)
        step(play);
}

static struct sp_policy_report report(const struct play *play)
{
    struct sp_policy_report report;
    sp_policy_read(play->policy, &report);
    return report;
}

static void test_a_still_scene_is_audited_only(void **state)
{
    (void)state;
    static struct play play;
    for (int noise = 0; noise <= 2; noise += 2)
        for (int rate = 5; rate <= 25; rate += 10) {
            open_play(&play, &(struct scene){.rate = rate, .noise = noise});
            run_until(&play, 30);
            struct sp_policy_report r = report(&play);
            assert_int_equal(r.reasons[SP_REASON_START], 1);
            assert_int_equal(r.reasons[SP_REASON_AUDIT], 14);
            assert_int_equal(play.inferred, 15);
            assert_int_equal(r.reasons[SP_REASON_NONE] + 15, play.frames);
            assert_int_equal(r.audit.audits, 14);
            assert_int_equal(r.audit.sightings, 0);
            close_play(&play);
        }
}

/* From the first frame in which a person is detectable to the first with a track. */
static void check_first_detection(double rate, double height, double speed, bool from_left)
{
    static struct play play;
    struct person person = {.y = HEIGHT - height - 10, .height = height, .from_s = 3.07};
    person.x = from_left ? -height * 0.2 : WIDTH + height * 0.2;
    person.vx = from_left ? speed : -speed;
    open_play(&play, &(struct scene){.people = {person}, .count = 1, .rate = rate, .noise = 1});
    double seen_s = -1;
    struct sp_detection box;
    while (play.track_count == 0 && play.frames < 20 * rate) {
        double s = play.frames / rate;
        if (seen_s < 0 && box_at(&person, s, &box))
            seen_s = s;
        step(&play);
    }
    double delay_s = (play.frames - 1) / rate - seen_s;
    if (delay_s > 0.3001)
        fail_msg("%g frames/s, %g px tall, %g px/s: seen after %.3f s", rate, height, speed,
                 delay_s);
    close_play(&play);
}

static void test_new_people_are_seen_in_time(void **state)
{
    (void)state;
    static const double rates[] = {10, 15, 30}, heights[] = {40, 110, 310};
    static const double speeds[] = {0.25, 0.5, 1, 2}; /* heights a second */
    for (int i = 0; i < 3; i++)
        for (int h = 0; h < 3; h++)
            for (int k = 0; k < 4; k++) {
                check_first_detection(rates[i], heights[h], speeds[k] * heights[h], true);
                check_first_detection(rates[i], heights[h], speeds[k] * heights[h], false);
            }
}

static void test_tracks_are_renewed_before_they_are_wrong(void **state)
{
    (void)state;
    static struct play play;
    struct scene scene = {.people = {{.x = 40, .y = 200, .height = 100, .vx = 40}},
                          .count = 1,
                          .rate = 25,
                          .noise = 1};
    open_play(&play, &scene);
    run_until(&play, 3);
    play.gap_max_us = 0;
    run_until(&play, 12);
    assert_in_range(play.gap_max_us, 200000, 320000);
    assert_int_equal(play.track_count, 1);
    assert_int_equal(play.tracks[0].id, 1);
    close_play(&play);

    /* Two who walk together overlap: they are detected at least every second frame of 25. */
    scene.people[1] = (struct person){.x = 70, .y = 205, .height = 100, .vx = 40};
    scene.count = 2;
    open_play(&play, &scene);
    run_until(&play, 3);
    play.gap_max_us = 0;
    run_until(&play, 12);
    assert_true(play.gap_max_us <= 80000);
    assert_int_equal(play.track_count, 2);
    close_play(&play);
}

static void test_a_person_who_stands_still_costs_audits_only(void **state)
{
    (void)state;
    static struct play play;
    struct scene scene = {.people = {{.x = 300, .y = 100, .height = 150}}, .count = 1, .rate = 10};
    open_play(&play, &scene);
    run_until(&play, 5);
    play.inferred = 0;
    run_until(&play, 65);
    assert_in_range(play.inferred, 29, 31);
    assert_int_equal(play.track_count, 1);
    assert_int_equal(play.tracks[0].id, 1);
    struct sp_policy_report r = report(&play);
    assert_int_equal(r.audit.missed, 0);
    assert_in_range(r.audit.sightings, 28, 32);
    close_play(&play);
}

/* Where tracks require inference, audits take place with it; every 2 s all the same. */
static void test_audits_cost_nothing_while_people_move(void **state)
{
    (void)state;
    static struct play play;
    for (int rate = 10; rate <= 30; rate += 10) {
        struct person person = {.x = 20, .y = 150, .height = 120, .vx = 20};
        open_play(&play, &(struct scene){.people = {person}, .count = 1, .rate = rate});
        for (int n = 1; n <= 6; n++) {
            run_until(&play, 2 * n + 0.35);
            assert_int_equal(report(&play).audit.audits, n);
            assert_int_equal(report(&play).audit.sightings, n);
        }
        assert_int_equal(report(&play).reasons[SP_REASON_AUDIT], 0);
        assert_int_equal(report(&play).audit.missed, 0);
        close_play(&play);
    }
}

/* While something moves where it may be: else it is still hidden, or has left the frame. */
static void test_a_lost_track_is_searched_for_a_second(void **state)
{
    (void)state;
    static struct play play;
    for (int covered = 0; covered <= 1; covered++) {
        struct scene scene = {.count = 1 + covered, .rate = 20};
        scene.people[0] =
            (struct person){.x = 100, .y = 100, .height = 120, .vx = 50, .until_s = 4.05};
        /* What passes in front of it. */
        scene.people[1] = (struct person){.x = 240,
                                          .y = 90,
                                          .height = 140,
                                          .vx = 60,
                                          .from_s = 4.05,
                                          .unseen = true,
                                          .grey = 130};
        open_play(&play, &scene);
        run_until(&play, 4.5);
        play.inferred = 0;
        run_until(&play, 5);
        if (covered)
            assert_in_range(play.inferred, 2, 3); /* every 0.2 s */
        else
            assert_int_equal(report(&play).reasons[SP_REASON_LOST], 0);
        run_until(&play, 9.5); /* it has passed and is out of the frame */
        assert_int_equal(report(&play).reasons[SP_REASON_LOST] > 0, covered);
        close_play(&play);
    }
}

/* Something moves for ever and is no person: bounded cost, and a person beside it is still seen. */
static void test_back_off(void **state)
{
    (void)state;
    static struct play play;
    struct scene scene = {.count = 3, .rate = 30, .noise = 1};
    scene.people[0] =
        (struct person){.x = 500, .y = 40, .height = 100, .vx = 3, .unseen = true, .grey = 180};
    scene.people[1] = (struct person){.x = -20, .y = 200, .height = 100, .vx = 60, .from_s = 20.01};
    scene.people[2] =
        (struct person){.x = 560, .y = 200, .height = 40, .vy = 2, .unseen = true, .grey = 150};
    /* Flicker: the thing is there in every second frame. */
    open_play(&play, &scene);
    double seen_s = -1, tracked_s = -1;
    while (play.frames < 24 * 30) {
        double s = play.frames / 30.0;
        struct sp_detection box;
        play.scene.people[0].from_s = play.frames % 2 ? 1e9 : s;
        if (seen_s < 0 && box_at(&play.scene.people[1], s, &box))
            seen_s = s;
        if (play.frames == 10 * 30)
            play.inferred = 0;
        if (play.frames == 20 * 30)
            assert_in_range(play.inferred, 10, 10 * 6);
        step(&play);
        if (tracked_s < 0 && play.track_count)
            tracked_s = s;
    }
    assert_true(tracked_s >= 0 && tracked_s - seen_s <= 0.3001);
    close_play(&play);
}

static void test_light_and_cuts(void **state)
{
    (void)state;
    static struct play play;
    open_play(&play, &(struct scene){.rate = 10, .light = 40, .light_s = 5, .noise = 1});
    run_until(&play, 20);
    /* Light that all of the frame has in common is no motion. */
    assert_int_equal(report(&play).reasons[SP_REASON_MOTION], 0);
    assert_int_equal(report(&play).reasons[SP_REASON_SCENE], 0);
    close_play(&play);

    /* A camera that turns: one inference for the new scene, then audits. */
    static int16_t means[ACROSS * DOWN];
    open_play(&play, &(struct scene){.rate = 10});
    for (int n = 0; n < 200; n++) {
        for (int i = 0; i < ACROSS * DOWN; i++)
            means[i] = (int16_t)(SP_GATE_LEVEL * (n < 100 ? (i * 7) % 90 : (i * 31) % 120));
        const struct sp_policy_frame frame = {
            .pts_us = n * 100000LL, .width_px = WIDTH, .height_px = HEIGHT, .means = means};
        enum sp_inference_reason reason = sp_policy_decide(play.policy, &frame);
        assert_int_equal(reason == SP_REASON_SCENE, n == 100);
        if (reason != SP_REASON_NONE)
            sp_policy_learn(play.policy, &(struct sp_policy_result){0});
    }
    assert_true(report(&play).reasons[SP_REASON_NONE] > 185);
    close_play(&play);
}

static void test_a_new_epoch_begins_again(void **state)
{
    (void)state;
    static int16_t means[ACROSS * DOWN];
    static struct play play;
    open_play(&play, &(struct scene){.rate = 10});
    for (int n = 0; n < 20; n++) {
        const struct sp_policy_frame frame = {.pts_us = n * 100000LL,
                                              .epoch = n / 10,
                                              .width_px = WIDTH,
                                              .height_px = HEIGHT,
                                              .means = means};
        enum sp_inference_reason reason = sp_policy_decide(play.policy, &frame);
        assert_int_equal(reason, n % 10 ? SP_REASON_NONE : SP_REASON_START);
        if (reason != SP_REASON_NONE)
            sp_policy_learn(play.policy, &(struct sp_policy_result){0});
    }
    /* A frame of which nothing is known is inferred. */
    const struct sp_policy_frame unknown = {
        .pts_us = 3000000, .width_px = WIDTH, .height_px = HEIGHT};
    assert_int_equal(sp_policy_decide(play.policy, &unknown), SP_REASON_EVERY);
    close_play(&play);
}

static void test_a_failed_inference_is_repeated(void **state)
{
    (void)state;
    static struct play play;
    struct person person = {.x = 100, .y = 100, .height = 120, .vx = 60, .from_s = 1};
    open_play(&play, &(struct scene){.people = {person}, .count = 1, .rate = 10});
    play.fails = true;
    for (int n = 0; n < 5; n++) {
        step(&play);
        assert_int_equal(play.reason, SP_REASON_START);
    }
    play.fails = false;
    run_until(&play, 1.05);
    play.fails = true;
    for (int n = 0; n < 4; n++) {
        step(&play);
        assert_int_not_equal(play.reason, SP_REASON_NONE);
    }
    play.fails = false;
    run_until(&play, 2);
    assert_int_equal(play.track_count, 1);
    close_play(&play);
}

/* The gate is blinded on purpose: the audits notice, and the rule becomes stricter. */
static void test_audits_find_what_the_rule_misses(void **state)
{
    (void)state;
    static struct play play;
    struct scene scene = {.count = 8, .rate = 10, .noise = 1};
    for (int blind = 0; blind <= 1; blind++) {
        open_play(&play, &scene);
        sp_policy_blind(play.policy, blind ? 40 : 0);
        int level = 0;
        for (int round = 0; round < 6 && level == 0; round++) {
            for (int i = 0; i < 8; i++) /* through the frame, one after the other */
                play.scene.people[i] = (struct person){.x = i % 2 ? -20 : WIDTH + 20,
                                                       .y = 60 + 30 * (i % 4),
                                                       .height = 100,
                                                       .vx = i % 2 ? 300 : -300,
                                                       .from_s = round * 20 + i * 2.5 + 0.03,
                                                       .until_s = round * 20 + i * 2.5 + 2.3};
            run_until(&play, (round + 1) * 20);
            level = report(&play).audit.level;
        }
        struct sp_policy_report r = report(&play);
        assert_true(r.audit.sightings > 0);
        double share = (double)r.audit.missed / (double)r.audit.sightings;
        if (blind) {
            assert_true(share > 0.2);
            assert_true(level > 0);
        } else {
            assert_int_equal(r.audit.missed, 0);
            assert_int_equal(level, 0);
        }
        close_play(&play);
    }
}

static void test_bounds_and_levels(void **state)
{
    (void)state;
    /* Of the Poisson distribution: 1 - exp(-3.00) = 0.95; tables for the others. */
    assert_true(fabs(sp_audit_bound(0, 300) - 0.01) < 1e-4);
    assert_true(fabs(sp_audit_bound(1, 1000) - 0.00474) < 1e-5);
    assert_true(fabs(sp_audit_bound(10, 1000) - 0.01696) < 5e-5);
    assert_true(fabs(sp_audit_bound(100, 10000) - 0.01182) < 5e-5);
    assert_true(sp_audit_bound(0, 0) == 1 && sp_audit_bound(5, 5) == 1);

    struct sp_audit a;
    sp_audit_begin(&a, 0);
    for (int i = 0; i < 3; i++)
        sp_audit_add(&a, 10, 1, 1000);
    assert_int_equal(a.level, 0); /* too few sightings to tell */
    sp_audit_add(&a, 10, 1, 1000);
    assert_int_equal(a.level, 1); /* more than 1 % of 300 */
    sp_audit_add(&a, 299, 0, 2000);
    assert_int_equal(a.level, 1);
    sp_audit_add(&a, 1, 0, 2000); /* 300 without a miss: the bound is 1 % */
    assert_int_equal(a.level, 1);
    sp_audit_add(&a, 1, 1, 3000);
    assert_int_equal(a.level, 2);
    sp_audit_add(&a, 1000, 1, 4000); /* 0.5 % */
    assert_int_equal(a.level, 2);
    sp_audit_add(&a, 1, 0, 3500000000);
    assert_int_equal(a.level, 2);
    sp_audit_add(&a, 1, 0, 3700000000); /* an hour later */
    assert_int_equal(a.level, 1);
    for (int i = 0; i < 10; i++)
        sp_audit_add(&a, 10, 10, 3800000000);
    assert_int_equal(a.level, SP_AUDIT_LEVELS);
    assert_int_equal(a.audits, 20);
    assert_int_equal(a.missed, 106);
}

static void test_decisions_are_repeatable(void **state)
{
    (void)state;
    static struct play play;
    uint32_t decisions[2];
    for (int i = 0; i < 2; i++) {
        struct scene scene = {.count = 2, .rate = 25, .noise = 2};
        scene.people[0] = (struct person){.x = 10, .y = 100, .height = 120, .vx = 70, .from_s = 2};
        scene.people[1] =
            (struct person){.x = 600, .y = 120, .height = 110, .vx = -50, .from_s = 4};
        open_play(&play, &scene);
        run_until(&play, 15);
        decisions[i] = play.decisions;
        assert_true(play.inferred < play.frames / 2);
        close_play(&play);
    }
    assert_int_equal(decisions[0], decisions[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_still_scene_is_audited_only),
        cmocka_unit_test(test_new_people_are_seen_in_time),
        cmocka_unit_test(test_tracks_are_renewed_before_they_are_wrong),
        cmocka_unit_test(test_a_person_who_stands_still_costs_audits_only),
        cmocka_unit_test(test_audits_cost_nothing_while_people_move),
        cmocka_unit_test(test_a_lost_track_is_searched_for_a_second),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_light_and_cuts),
        cmocka_unit_test(test_a_new_epoch_begins_again),
        cmocka_unit_test(test_a_failed_inference_is_repeated),
        cmocka_unit_test(test_audits_find_what_the_rule_misses),
        cmocka_unit_test(test_bounds_and_levels),
        cmocka_unit_test(test_decisions_are_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
