/* Lines and zones: geometry, hysteresis, gaps, ID switches, several cameras, occupancy. */
#include "analytics/analytics.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { WIDTH = 640, HEIGHT = 480, EVENTS_MAX = 4096 };

struct scene {
    struct sp_counting *analytics;
    struct sp_counting_config config;
    int events;
    struct sp_counting_event event[EVENTS_MAX];
    uint64_t dice;
};

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct scene *s = user;
    if (s->events < EVENTS_MAX)
        s->event[s->events] = *event;
    s->events++;
}

static const char *const CAMERAS[] = {"a", "b"};

static struct scene *new_scene(void)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->dice = 1;
    return s;
}

static void open_scene(struct scene *s, double units_per_m, bool y_up)
{
    struct sp_error err = {0};
    struct sp_counting_options options = {.config = &s->config,
                                          .cameras = CAMERAS,
                                          .camera_count = 2,
                                          .units_per_m = units_per_m,
                                          .y_up = y_up,
                                          .event = take_event,
                                          .user = s};
    assert_int_equal(sp_counting_open(&s->analytics, &options, &err), SP_OK);
}

static void close_scene(struct scene *s)
{
    sp_counting_close(s->analytics);
    free(s);
}

/* A line of camera `camera` in fractions of the frame; -1: on the map, in metres. */
static void add_line(struct scene *s, int camera, const char *name, double x1, double y1, double x2,
                     double y2)
{
    struct sp_scope_config *scope = camera < 0 ? &s->config.map : &s->config.cameras[camera];
    if (camera >= 0) {
        snprintf(scope->name, sizeof scope->name, "%s", CAMERAS[camera]);
        if (s->config.camera_count <= camera)
            s->config.camera_count = camera + 1;
    }
    struct sp_line_config *line = &scope->lines[scope->line_count++];
    *line = (struct sp_line_config){.unit = camera < 0 ? SP_UNIT_METRE : SP_UNIT_FRACTION,
                                    .in = "in",
                                    .out = "out",
                                    .points = {{x1, y1}, {x2, y2}}};
    snprintf(line->name, sizeof line->name, "%s", name);
}

static struct sp_zone_config *add_zone(struct scene *s, int camera, const char *name, double x1,
                                       double y1, double x2, double y2)
{
    struct sp_scope_config *scope = &s->config.cameras[camera];
    snprintf(scope->name, sizeof scope->name, "%s", CAMERAS[camera]);
    if (s->config.camera_count <= camera)
        s->config.camera_count = camera + 1;
    struct sp_zone_config *zone = &scope->zones[scope->zone_count++];
    *zone = (struct sp_zone_config){
        .unit = SP_UNIT_FRACTION, .count = 4, .corners = {{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}}};
    snprintf(zone->name, sizeof zone->name, "%s", name);
    return zone;
}

static double chance(struct scene *s)
{
    s->dice = s->dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(s->dice >> 11) / 9007199254740992.0;
}

static double gauss(struct scene *s)
{
    return sqrt(-2 * log(chance(s) + 1e-12)) * cos(2 * M_PI * chance(s));
}

/* A person of 100 px whose foot is at (x, y). */
static struct sp_track track_at(uint32_t id, double x, double y)
{
    return (struct sp_track){.id = id,
                             .x1_px = x - 20,
                             .x2_px = x + 20,
                             .y1_px = y - 100,
                             .y2_px = y,
                             .confidence = 0.9};
}

static void give(struct scene *s, int camera, double time_s, const struct sp_track *tracks,
                 const struct sp_world_position *positions, size_t count)
{
    struct sp_counting_frame frame = {.camera = camera,
                                      .time_us = llround(time_s * 1e6),
                                      .width_px = WIDTH,
                                      .height_px = HEIGHT,
                                      .inferred = true,
                                      .tracks = tracks,
                                      .positions = positions,
                                      .count = count};
    sp_counting_frame(s->analytics, &frame);
}

/* One person walks in a straight line, seen `rate` times a second; then the frames are empty or
 * stop. */
static void walk(struct scene *s, uint32_t id, double begin_s, double end_s, double rate, double x1,
                 double y1, double x2, double y2)
{
    int frames = (int)lround((end_s - begin_s) * rate);
    for (int i = 0; i <= frames; i++) {
        double part = (double)i / frames;
        struct sp_track track = track_at(id, x1 + part * (x2 - x1), y1 + part * (y2 - y1));
        give(s, 0, begin_s + part * (end_s - begin_s), &track, NULL, 1);
    }
}

static struct sp_line_count count_of(struct scene *s, const char *name)
{
    struct sp_line_count line;
    for (int i = 0; sp_counting_line(s->analytics, i, &line); i++)
        if (strcmp(line.name, name) == 0)
            return line;
    fail_msg("no line %s", name);
    return line;
}

static void check_line(struct scene *s, const char *name, uint64_t in, uint64_t out)
{
    struct sp_line_count line = count_of(s, name);
    if (line.in != in || line.out != out)
        fail_msg("line %s: in %llu, out %llu; expected %llu, %llu", name,
                 (unsigned long long)line.in, (unsigned long long)line.out, (unsigned long long)in,
                 (unsigned long long)out);
}

/* ---- geometry ---- */

static void test_sides(void **state)
{
    (void)state;
    struct sp_planar a = {0, 0}, b = {10, 0};
    double share;
    /* y points down: right of a line that points to the right is below it. */
    assert_float_equal(sp_planar_side(a, b, (struct sp_planar){5, 3}), 3, 1e-12);
    assert_float_equal(sp_planar_side(a, b, (struct sp_planar){5, -3}), -3, 1e-12);
    assert_int_equal(
        sp_planar_crossing(a, b, (struct sp_planar){5, -1}, (struct sp_planar){5, 3}, &share), 1);
    assert_float_equal(share, 0.25, 1e-12);
    assert_int_equal(
        sp_planar_crossing(a, b, (struct sp_planar){5, 3}, (struct sp_planar){5, -1}, &share), -1);
    assert_int_equal(
        sp_planar_crossing(a, b, (struct sp_planar){12, -1}, (struct sp_planar){12, 3}, &share), 0);
    /* Onto the line and on: one crossing, not two and not none. */
    int sum =
        sp_planar_crossing(a, b, (struct sp_planar){5, -1}, (struct sp_planar){5, 0}, &share) +
        sp_planar_crossing(a, b, (struct sp_planar){5, 0}, (struct sp_planar){5, 1}, &share);
    assert_int_equal(sum, 1);
}

static void test_polygons(void **state)
{
    (void)state;
    int i, k;
    struct sp_planar nearest;
    const struct sp_planar square[] = {{0, 0}, {4, 0}, {4, 4}, {0, 4}};
    const struct sp_planar bow[] = {{0, 0}, {4, 4}, {4, 0}, {0, 4}};
    const struct sp_planar folded[] = {{0, 0}, {4, 0}, {2, 0}, {2, 4}};
    const struct sp_planar concave[] = {{0, 0}, {4, 0}, {4, 4}, {2, 1}, {0, 4}};
    assert_true(sp_polygon_contains(square, 4, (struct sp_planar){1, 2}));
    assert_false(sp_polygon_contains(square, 4, (struct sp_planar){5, 2}));
    assert_false(sp_polygon_contains(concave, 5, (struct sp_planar){2, 3}));
    assert_float_equal(sp_polygon_nearest(square, NULL, 4, (struct sp_planar){1, 2}, &nearest), 1,
                       1e-12);
    assert_float_equal(sp_polygon_area(square, 4), 16, 1e-12);
    assert_false(sp_polygon_crosses_itself(square, 4, &i, &k));
    assert_false(sp_polygon_crosses_itself(concave, 5, &i, &k));
    assert_true(sp_polygon_crosses_itself(bow, 4, &i, &k));
    assert_int_equal(i, 0);
    assert_int_equal(k, 2);
    assert_true(sp_polygon_crosses_itself(folded, 4, &i, &k));
}

/* What was printed and read back. */
static void test_rounding(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    for (int i = 0; i < 200000; i++) {
        double value = (chance(s) - 0.3) * 4000;
        if (i % 3 == 0)
            value = rint(value * 2000) / 2000; /* near a half of the last digit */
        if (i % 5 == 0)
            value = rint(value * 16) / 16; /* often exactly a half */
        for (int decimals = 2; decimals <= 3; decimals++) {
            char text[64];
            snprintf(text, sizeof text, "%.*f", decimals, value);
            assert_true(strtod(text, NULL) == sp_counting_rounded(value, decimals));
        }
    }
    free(s);
}

/* ---- lines ---- */

static void test_in_and_out(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0.1, 0.5, 0.9, 0.5);
    add_line(s, 0, "turned", 0.9, 0.5, 0.1, 0.5);
    add_line(s, 0, "elsewhere", 0.1, 0.9, 0.2, 0.9);
    open_scene(s, 0, false);
    walk(s, 1, 0, 4, 25, 320, 150, 320, 350); /* down: from left to right of `door` */
    walk(s, 2, 10, 14, 25, 320, 350, 320, 150);
    walk(s, 3, 20, 24, 25, 300, 150, 340, 350);
    sp_counting_finish(s->analytics);
    check_line(s, "door", 2, 1);
    check_line(s, "turned", 1, 2);
    check_line(s, "elsewhere", 0, 0);
    assert_int_equal(s->events, 6);
    const struct sp_counting_event *event = &s->event[0];
    assert_string_equal(event->name, "door");
    assert_string_equal(event->direction, "in");
    assert_string_equal(event->camera, "a");
    assert_int_equal(event->track, 1);
    assert_true(llabs(event->time_us - 1800000) < 60000); /* 90 of 200 px in 4 s */
    assert_float_equal(event->at.x, 320, 1);
    assert_float_equal(event->at.y, 240, 1e-6);
    assert_true(event->confidence > 0.99 && event->confidence <= 1);
    close_scene(s);
}

/* Each rate tests the segments between frames, not the frames. */
static void test_few_frames_lose_none(void **state)
{
    (void)state;
    static const double rates[] = {25, 25 / 3.0, 5, 2, 1};
    for (size_t k = 0; k < sizeof rates / sizeof rates[0]; k++) {
        struct scene *s = new_scene();
        add_line(s, 0, "door", 0, 0.5, 1, 0.5);
        open_scene(s, 0, false);
        for (uint32_t i = 0; i < 10; i++)
            walk(s, i + 1, 10 * i, 10 * i + 4, rates[k], 100 + 40 * i, 140, 100 + 40 * i, 400);
        sp_counting_finish(s->analytics);
        check_line(s, "door", 10, 0);
        close_scene(s);
    }
}

static void test_standing_on_the_line(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0, 0.5, 1, 0.5);
    open_scene(s, 0, false);
    walk(s, 1, 0, 2, 25, 320, 150, 320, 240);
    for (int i = 0; i < 15000;
         i++) { /* 10 minutes: noise of the box, and a slow sway of the body */
        double sway = 4 * sin(i / 25.0) + 2 * sin(i / 7.0);
        struct sp_track t = track_at(1, 320 + 3 * gauss(s), 240 + sway + 3 * gauss(s));
        give(s, 0, 2 + i / 25.0, &t, NULL, 1);
    }
    check_line(s, "door", 0, 0);
    walk(s, 1, 602, 604, 25, 320, 240, 320, 350);
    sp_counting_finish(s->analytics);
    check_line(s, "door", 1, 0);
    close_scene(s);
}

static void test_around_the_end(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0.25, 0.5, 0.5, 0.5); /* 160 to 320 px */
    open_scene(s, 0, false);
    walk(s, 1, 0, 3, 25, 240, 150, 240, 350);
    walk(s, 1, 3, 6, 25, 240, 350, 500, 350);
    walk(s, 1, 6, 9, 25, 500, 350, 500, 150); /* back beside it: not out */
    walk(s, 1, 9, 12, 25, 500, 150, 240, 150);
    sp_counting_finish(s->analytics);
    check_line(s, "door", 1, 0);
    close_scene(s);
}

/* The track ends before the line, and a new one begins behind it; and two people exchange ids. */
static void test_id_switches_at_the_line(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0, 0.5, 1, 0.5);
    open_scene(s, 0, false);
    walk(s, 1, 0, 1.8, 25, 320, 150, 320, 238);
    give(s, 0, 1.84, NULL, NULL, 0);
    walk(s, 2, 2.0, 4, 25, 320, 247, 320, 350);
    walk(s, 2, 4, 4.5, 25, 320, 350, 320, 360);
    for (int i = 0; i < 100; i++)
        give(s, 0, 5 + i / 25.0, NULL, NULL, 0);
    check_line(s, "door", 1, 0);
    for (int i = 0; i <= 100; i++) { /* at the line, 3 becomes 4 and 4 becomes 3 */
        double down = 140 + 2.0 * i, up = 340 - 2.0 * i;
        bool before = i < 50;
        struct sp_track tracks[2] = {track_at(before ? 3 : 4, 300, down),
                                     track_at(before ? 4 : 3, 300, up)};
        give(s, 0, 20 + i / 25.0, tracks, NULL, 2);
    }
    sp_counting_finish(s->analytics);
    struct sp_line_count line = count_of(s, "door");
    assert_int_equal((int64_t)line.in - (int64_t)line.out, 1);
    close_scene(s);
}

static void test_a_track_that_ends_behind_the_line(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0, 0.5, 1, 0.5);
    open_scene(s, 0, false);
    walk(s, 1, 0, 2, 25, 320, 150, 320, 250); /* ends 10 px behind the line, through a door */
    sp_counting_finish(s->analytics);
    check_line(s, "door", 1, 0);
    assert_true(s->event[0].confidence > 0.8 && s->event[0].confidence < 0.999);
    close_scene(s);
}

static void test_anchors(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "feet", 0, 0.5, 1, 0.5);
    add_line(s, 0, "middle", 0, 0.5, 1, 0.5);
    s->config.cameras[0].lines[1].anchor = SP_ANCHOR_CENTRE;
    open_scene(s, 0, false);
    walk(s, 1, 0, 2, 25, 320, 180, 320, 270); /* the centre, 50 px above, stays above the line */
    sp_counting_finish(s->analytics);
    check_line(s, "feet", 1, 0);
    check_line(s, "middle", 0, 0);
    close_scene(s);
}

/* ---- several cameras ---- */

static void two_cameras(bool ids, uint64_t in)
{
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0, 0.5, 1, 0.5);
    add_line(s, 1, "door", 0, 0.5, 1, 0.5);
    open_scene(s, ids ? 100 : 0, false);
    for (int i = 0; i <= 300; i++) { /* two people side by side, then empty frames */
        double y = 140 + 2.0 * i;
        struct sp_track tracks[2] = {track_at(1, 200, y), track_at(2, 400, y)};
        struct sp_world_position known[2] = {{.person = i > 80 ? 5 : 0},
                                             {.person = i > 80 ? 6 : 0}};
        size_t count = i <= 125 ? 2 : 0;
        give(s, 0, i / 25.0, tracks, ids ? known : NULL, count);
        give(s, 1, i / 25.0 + 0.01, tracks, ids ? known : NULL, count);
    }
    sp_counting_finish(s->analytics);
    check_line(s, "door", in, 0);
    assert_int_equal(s->events, (int)in);
    if (ids)
        assert_int_equal(s->event[0].person + s->event[1].person, 11);
    close_scene(s);
}

static void test_two_cameras_on_one_door(void **state)
{
    (void)state;
    two_cameras(true, 2);
    two_cameras(false, 2);
}

/* One person on the map, seen by two cameras in turn, each with its own error. */
static void test_map_lines(void **state)
{
    (void)state;
    for (int y_up = 0; y_up <= 1; y_up++) {
        struct scene *s = new_scene();
        add_line(s, -1, "gate", 0, 5, 10, 5);
        open_scene(s, 100, y_up != 0);
        for (int i = 0; i <= 200; i++) {
            double y = 2 + i * 0.04; /* m, 1 m/s */
            struct sp_track t = track_at(i > 50 ? 7 : 8, 100, 100);
            for (int c = 0; c < 2; c++) {
                double error = c ? 10 : -10;
                struct sp_world_position p = {.person = 3,
                                              .on_map = true,
                                              .x = 500 + error,
                                              .y = 100 * y + error + 5 * gauss(s)};
                if (c == 0 ? i < 120 : i > 40)
                    give(s, c, i / 25.0, &t, &p, 1);
            }
        }
        sp_counting_finish(s->analytics);
        check_line(s, "gate", !y_up, y_up);
        assert_int_equal(s->event[0].person, 3);
        assert_null(s->event[0].camera);
        assert_float_equal(s->event[0].at.x, 5, 0.3);
        close_scene(s);
    }
}

/* ---- zones ---- */

static void test_visits(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    struct sp_zone_config *zone = add_zone(s, 0, "hall", 0.25, 0.5, 0.75, 1);
    zone->loitering_s = 5;
    zone->crowded = 1;
    add_zone(s, 0, "everywhere", 0, 0, 1, 1);
    open_scene(s, 0, false);
    walk(s, 1, 0, 4, 25, 320, 150, 320, 350);
    walk(s, 1, 4, 10, 25, 320, 350, 320, 350);
    walk(s, 1, 10, 14, 25, 320, 350, 320, 150);
    for (int i = 0; i < 75; i++)
        give(s, 0, 14.04 + i / 25.0, NULL, NULL, 0);
    sp_counting_finish(s->analytics);
    int seen[6] = {0};
    for (int i = 0; i < s->events; i++) {
        const struct sp_counting_event *event = &s->event[i];
        if (strcmp(event->name, "hall") != 0)
            continue;
        seen[event->kind]++;
        if (event->kind == SP_EVENT_ZONE_ENTERED)
            assert_true(llabs(event->time_us - 1800000) < 150000);
        if (event->kind == SP_EVENT_ZONE_LEFT) /* 1.8 s to 12.2 s */
            assert_float_equal(event->dwell_s, 10.4, 0.3);
    }
    assert_int_equal(seen[SP_EVENT_ZONE_ENTERED], 1);
    assert_int_equal(seen[SP_EVENT_ZONE_LEFT], 1);
    assert_int_equal(seen[SP_EVENT_ZONE_LOITERING], 1);
    assert_int_equal(seen[SP_EVENT_ZONE_CROWDED], 1);
    assert_true(seen[SP_EVENT_ZONE_OCCUPANCY] >= 1);
    struct sp_zone_count counts;
    assert_true(sp_counting_zone(s->analytics, 1, &counts));
    assert_string_equal(counts.name, "everywhere");
    assert_int_equal(counts.visits, 1);
    struct sp_json json = {0};
    sp_counting_counts_json(&json, s->analytics);
    assert_non_null(strstr(json.text, "\"hall\":{\"visits\":1,\"dwell_s\":{\"p50\":10."));
    sp_json_release(&json);
    close_scene(s);
}

static void test_one_visit_over_two_cameras(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_zone(s, 0, "hall", 0, 0, 1, 1);
    add_zone(s, 1, "hall", 0, 0, 1, 1);
    open_scene(s, 100, false);
    for (int i = 0; i <= 500; i++) { /* the second camera sees the person from 4 s to the end */
        struct sp_track t = track_at(1, 100 + 0.5 * i, 300);
        struct sp_world_position p = {.person = i > 20 ? 9 : 0};
        give(s, 0, i / 25.0, &t, &p, i < 250);
        give(s, 1, i / 25.0, &t, &p, i > 100);
    }
    sp_counting_finish(s->analytics);
    struct sp_zone_count counts;
    assert_true(sp_counting_zone(s->analytics, 0, &counts));
    assert_int_equal(counts.visits, 1);
    int left = 0;
    for (int i = 0; i < s->events; i++)
        if (s->event[i].kind == SP_EVENT_ZONE_LEFT) {
            left++;
            assert_float_equal(s->event[i].dwell_s, 20, 0.1);
        }
    assert_int_equal(left, 1);
    close_scene(s);
}

/* ---- occupancy ---- */

/* People come and go; some entries and exits are missed, and not all people are seen. */
static void test_occupancy_interval(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    int held = 0, runs = 200;
    struct sp_occupancy *o = calloc(1, sizeof *o);
    assert_non_null(o);
    for (int run = 0; run < runs; run++) {
        int people = 0;
        bool visible[SP_OCCUPANCY_MAX] = {false};
        sp_occupancy_start(o, 0);
        for (int second = 0; second < 240; second++) {
            if (chance(s) < 0.05 && people < 60) {
                visible[people++] = chance(s) < 0.85;
                if (chance(s) > 0.03)
                    sp_occupancy_enter(o, 0.99);
            }
            if (chance(s) < 0.004 * people) {
                visible[(int)(chance(s) * people)] = visible[people - 1];
                people--;
                if (chance(s) > 0.03)
                    sp_occupancy_leave(o, 0.99);
            }
            int seen = 0;
            for (int i = 0; i < people; i++) {
                if (chance(s) < 0.1) /* hidden or visible for about ten seconds */
                    visible[i] = chance(s) < 0.85;
                seen += visible[i];
            }
            sp_occupancy_observe(o, seen);
        }
        struct sp_occupancy_estimate e = sp_occupancy_estimate(o, 0, 0);
        held += e.low <= people && people <= e.high;
    }
    if (held < 0.85 * runs || held > 0.95 * runs)
        fail_msg("the 90 %% interval holds the number in %d of %d runs", held, runs);
    free(o);
    free(s);
}

static void test_bounds(void **state)
{
    (void)state;
    struct scene *s = new_scene();
    add_line(s, 0, "door", 0, 0.5, 1, 0.5);
    add_zone(s, 0, "hall", 0, 0.5, 1, 1);
    open_scene(s, 0, false);
    struct sp_track *tracks = calloc(SP_TRACKS_MAX, sizeof *tracks);
    assert_non_null(tracks);
    for (int frame = 0; frame < 20; frame++) { /* other ids in every frame, and unusable boxes */
        for (uint32_t i = 0; i < SP_TRACKS_MAX; i++) {
            tracks[i] =
                track_at((uint32_t)frame * 1000 + i + 1, WIDTH * chance(s), 700 * chance(s));
            if (i % 7 == 0)
                tracks[i].y2_px = NAN;
            if (i % 11 == 0)
                tracks[i].x1_px = -INFINITY;
        }
        give(s, 0, frame % 5 == 4 ? 0 : frame, tracks, NULL, SP_TRACKS_MAX);
    }
    sp_counting_finish(s->analytics);
    free(tracks);
    close_scene(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_polygons),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_in_and_out),
        cmocka_unit_test(test_few_frames_lose_none),
        cmocka_unit_test(test_standing_on_the_line),
        cmocka_unit_test(test_around_the_end),
        cmocka_unit_test(test_id_switches_at_the_line),
        cmocka_unit_test(test_a_track_that_ends_behind_the_line),
        cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_two_cameras_on_one_door),
        cmocka_unit_test(test_map_lines),
        cmocka_unit_test(test_visits),
        cmocka_unit_test(test_one_visit_over_two_cameras),
        cmocka_unit_test(test_occupancy_interval),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
