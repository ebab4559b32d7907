/* Cross-camera association: synthetic people on straight lines, seen by cameras whose image is the
 * map (a homography of scale 10, boxes of 40 x 100 px). */
#include "space/space.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1920, HEIGHT = 1080 };

static const double PX_PER_M = 50;

static struct sp_space *open_space(int cameras, int numbers)
{
    struct sp_space *space;
    struct sp_space_options options = {.cameras = cameras, .embedding_numbers = numbers};
    struct sp_ground ground = {
        .width_px = WIDTH, .height_px = HEIGHT, .units_per_m = 100, .floor_m = 0.03};
    const double m[9] = {2, 0, 0, 0, 2, 0, 0, 0, 1}; /* 2 units of 1 cm a pixel */
    assert_int_equal(sp_homography_set(&ground.homography, m, (struct sp_point){960, 1080}, NULL),
                     0);
    assert_int_equal(sp_space_open(&space, &options, NULL), 0);
    for (int c = 0; c < cameras; c++)
        sp_space_set_camera(space, c, &ground);
    return space;
}

static struct sp_track track_at(uint32_t id, double x_m, double y_m)
{
    double x = x_m * PX_PER_M, y = y_m * PX_PER_M;
    return (struct sp_track){.id = id,
                             .x1_px = x - 20,
                             .y1_px = y - 100,
                             .x2_px = x + 20,
                             .y2_px = y,
                             .confidence = 0.9};
}

/* The position of walker `index`: lines 3 m apart. */
static double walk_x(double t)
{
    return 3 + 1.2 * t;
}

static void update(struct sp_space *space, int camera, double t, const struct sp_track *tracks,
                   size_t count, struct sp_world_position *places)
{
    struct sp_space_frame image = {.time_us = (int64_t)(t * 1e6) + 1000000,
                                   .width_px = WIDTH,
                                   .height_px = HEIGHT,
                                   .tracks = tracks,
                                   .count = count};
    sp_space_update(space, camera, &image, places);
}

static void test_one_person_in_two_cameras(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 0);
    struct sp_world_position places[2][2];
    for (int i = 0; i < 120; i++) {
        double t = i / 20.0;
        for (int c = 0; c < 2; c++) {
            struct sp_track tracks[2] = {track_at(1 + (uint32_t)c, walk_x(t), 5),
                                         track_at(8, walk_x(t), 9)};
            update(space, c, t, tracks, 2, places[c]);
        }
    }
    for (int k = 0; k < 2; k++) {
        assert_int_not_equal(places[0][k].person, 0);
        assert_int_equal(places[0][k].person, places[1][k].person);
        assert_true(places[0][k].on_map);
        assert_true(fabs(places[0][k].x - 100 * walk_x(119 / 20.0)) < 15);
        assert_true(fabs(places[0][k].y - (k ? 900 : 500)) < 15);
    }
    assert_int_not_equal(places[0][0].person, places[0][1].person);

    struct sp_person people[8];
    struct sp_trail_point trail[3];
    assert_int_equal(sp_space_people(space, people, 8), 2);
    assert_true(people[0].visible && people[0].observation_count == 2);
    assert_true(fabs(people[0].speed_x - 1.2) < 0.15 && fabs(people[0].speed_y) < 0.15);
    assert_int_equal(sp_space_trail(space, people[0].person, trail, 3), 3);
    assert_true(trail[0].time_us < trail[2].time_us && trail[0].x < trail[2].x);
    struct sp_space_event events[32];
    int count = sp_space_events(space, 0, events, 32), merged = 0;
    for (int i = 0; i < count; i++) {
        assert_int_equal(events[i].serial, i + 1);
        merged += events[i].kind == SP_SPACE_MERGED && events[i].distance_m < 0.3 &&
                  events[i].time_s > 0.2;
    }
    assert_int_equal(merged, 2);
    sp_space_close(space);
}

/* They walk 0.6 m apart for 6 s in one camera: never merged, whatever the map says. */
static void test_two_of_one_camera_are_never_one(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 0);
    struct sp_world_position places[2], other[1];
    for (int i = 0; i < 200; i++) {
        double t = i / 20.0;
        struct sp_track two[2] = {track_at(1, walk_x(t), 5), track_at(2, walk_x(t), 5.1)};
        struct sp_track one = track_at(3, walk_x(t), 5.05);
        update(space, 0, t, two, 2, places);
        update(space, 1, t, &one, 1, other);
        if (places[0].person)
            assert_int_not_equal(places[0].person, places[1].person);
    }
    assert_true(other[0].person == places[0].person || other[0].person == places[1].person);
    sp_space_close(space);
}

/* Together for 3 s, then one camera's track turns off: split into two people. */
static void test_a_wrong_join_is_undone(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 0);
    struct sp_world_position a, b;
    bool were_one = false;
    for (int i = 0; i < 200; i++) {
        double t = i / 20.0, off = t < 3 ? 0 : 0.9 * (t - 3);
        struct sp_track one = track_at(1, walk_x(t), 5), two = track_at(1, walk_x(t), 5 + off);
        update(space, 0, t, &one, 1, &a);
        update(space, 1, t, &two, 1, &b);
        were_one = were_one || (t < 3 && a.person && a.person == b.person);
    }
    assert_true(were_one);
    assert_true(a.person && b.person && a.person != b.person);
    struct sp_space_counts counts;
    sp_space_count(space, &counts);
    assert_int_equal(counts.split, 1);
    sp_space_close(space);
}

/* An ID switch in one of three cameras, between two people 3 m apart. */
static void test_other_cameras_correct_an_id_switch(void **state)
{
    (void)state;
    struct sp_space *space = open_space(3, 0);
    struct sp_world_position places[3][2];
    uint32_t before[2] = {0};
    for (int i = 0; i < 160; i++) {
        double t = i / 20.0;
        if (i == 80)
            for (int k = 0; k < 2; k++)
                before[k] = places[0][k].person;
        for (int c = 0; c < 3; c++) {
            bool exchanged = c == 1 && i >= 80;
            struct sp_track tracks[2] = {track_at(exchanged ? 2 : 1, walk_x(t), 5),
                                         track_at(exchanged ? 1 : 2, walk_x(t), 6.2)};
            update(space, c, t, tracks, 2, places[c]);
        }
    }
    for (int c = 0; c < 3; c++)
        for (int k = 0; k < 2; k++)
            assert_int_equal(places[c][k].person, before[k]);
    sp_space_close(space);
}

/* They approach to 0.5 m and turn off, and the trackers of all cameras switch their IDs there: only
 * the boxes reveal it. */
static void test_an_id_switch_in_all_cameras_at_once(void **state)
{
    (void)state;
    struct sp_space *space = open_space(3, 0);
    struct sp_world_position places[2];
    uint32_t before[2] = {0};
    for (int i = 0; i < 240; i++) {
        double t = i / 20.0, apart = 0.25 + 0.4 * fabs(t - 6);
        uint32_t first = i < 122 ? 1 : 2;
        for (int c = 0; c < 3; c++) {
            struct sp_track tracks[2] = {track_at(first, walk_x(t), 8 - apart),
                                         track_at(3 - first, walk_x(t), 8 + apart)};
            update(space, c, t, tracks, 2, places);
            for (int k = 0; k < 2 && i == 100; k++)
                before[k] = places[k].person;
        }
    }
    assert_true(before[0] && before[1] && before[0] != before[1]);
    for (int k = 0; k < 2; k++)
        assert_int_equal(places[k].person, before[k]);
    sp_space_close(space);
}

/* A track's box lags; the detection it refers to is measured. */
static void test_detections_are_measured(void **state)
{
    (void)state;
    struct sp_space *space = open_space(1, 0);
    struct sp_world_position place = {0};
    for (int i = 0; i < 60; i++) {
        struct sp_track at = track_at(1, walk_x(i / 20.0), 6), track = track_at(1, 2, 6);
        struct sp_detection detections[2] = {{0, 0, 40, 100, 0.9, 0},
                                             {at.x1_px, at.y1_px, at.x2_px, at.y2_px, 0.9, 0}};
        struct sp_space_frame image = {.time_us = 1000000 + i * 50000,
                                       .width_px = WIDTH,
                                       .height_px = HEIGHT,
                                       .tracks = &track,
                                       .count = 1,
                                       .detections = detections};
        track.detection = 2;
        assert_true(sp_space_update(space, 0, &image, &place));
    }
    assert_true(place.person && fabs(place.x - 100 * walk_x(59 / 20.0)) < 10);
    sp_space_close(space);
}

/* Clocks 150 ms apart: estimated from people who walk in several directions. */
static void test_clock_offsets_are_estimated(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 0);
    struct sp_world_position places[2];
    struct sp_offset_pair pair;
    for (int i = 0; i < 1200; i++)
        for (int c = 0; c < 2; c++) {
            double t = i / 20.0, angle = 0.5 * t;
            struct sp_track tracks[2] = {track_at(1, 8 + 3 * cos(angle), 10 + 3 * sin(angle)),
                                         track_at(2, 25 + 3 * sin(angle), 10 + 3 * cos(angle))};
            update(space, c, t + (c ? 0.15 : 0), tracks, 2, places);
        }
    assert_true(sp_space_pair(space, 0, 1, &pair));
    assert_true(fabs(pair.offset_s - 0.15) < 0.03 && pair.deviation_s < 0.05);
    assert_true(llabs(sp_space_offset_us(space, 1) - 150000) < 30000);
    assert_int_equal(sp_space_offset_us(space, 0), 0);
    sp_space_close(space);
}

static void embed(struct sp_space *space, int camera, uint32_t track, int person)
{
    float embedding[4] = {1, 1, 1, 1};
    embedding[person] = 4;
    sp_space_embed(space, camera, track, embedding);
}

/* Both leave and return 10 s later, crosswise, in another camera: appearance alone decides. */
static void test_people_return_by_appearance(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 4);
    struct sp_world_position first[2], later[2];
    for (int i = 0; i < 60; i++) {
        double t = i / 20.0;
        struct sp_track tracks[2] = {track_at(1, walk_x(t), 5), track_at(2, walk_x(t), 9)};
        update(space, 0, t, tracks, 2, first);
        if (i == 30) {
            assert_true(sp_space_embedding_wanted(space, 0, 1) >= 2);
            embed(space, 0, 1, 0);
            embed(space, 0, 2, 1);
            assert_int_equal(sp_space_embedding_wanted(space, 0, 1), 0);
        }
    }
    assert_int_equal(sp_space_embedding_wanted(space, 0, 99), 0);
    for (int i = 0; i < 80; i++) {
        double t = 13 + i / 20.0;
        struct sp_track tracks[2] = {track_at(5, 12 + walk_x(t - 13), 9),
                                     track_at(6, 12 + walk_x(t - 13), 5)};
        update(space, 1, t, tracks, 2, later);
        if (i == 10) {
            assert_int_equal(sp_space_embedding_wanted(space, 1, 5), 3);
            embed(space, 1, 5, 0);
            embed(space, 1, 6, 1);
        }
    }
    assert_int_equal(later[0].person, first[0].person);
    assert_int_equal(later[1].person, first[1].person);
    sp_space_close(space);
}

/* Embeddings expire after a minute, and so do people; global ids are not reused. */
static void test_embeddings_and_people_expire(void **state)
{
    (void)state;
    struct sp_space *space = open_space(1, 4);
    struct sp_space_counts counts;
    struct sp_world_position place;
    for (int i = 0; i < 60; i++) {
        struct sp_track track = track_at(1, walk_x(i / 20.0), 5);
        update(space, 0, i / 20.0, &track, 1, &place);
        if (i == 30)
            embed(space, 0, 1, 0);
    }
    uint32_t first = place.person;
    for (int i = 0; i < 30; i++)
        update(space, 0, 4 + i, NULL, 0, NULL);
    sp_space_count(space, &counts);
    assert_true(counts.people == 1 && counts.visible == 0 && counts.embeddings == 1);
    for (int i = 0; i < 40; i++)
        update(space, 0, 34 + i, NULL, 0, NULL);
    sp_space_count(space, &counts);
    assert_true(counts.people == 0 && counts.embeddings == 0 && counts.tracks == 0);
    for (int i = 0; i < 60; i++) {
        struct sp_track track = track_at(2, walk_x(i / 20.0), 5);
        update(space, 0, 80 + i / 20.0, &track, 1, &place);
    }
    assert_true(place.person > first);
    sp_space_close(space);
}

/* A camera without a map has no positions; a clock jump resets one camera and no other. */
static void test_cameras_without_a_map_and_with_a_jumping_clock(void **state)
{
    (void)state;
    struct sp_space *space = open_space(2, 0);
    struct sp_world_position a = {0}, b = {0};
    sp_space_set_camera(space, 1, NULL);
    for (int i = 0; i < 60; i++) {
        struct sp_track track = track_at(1, walk_x(i / 20.0), 5);
        update(space, 0, i / 20.0, &track, 1, &a);
        update(space, 1, i / 20.0, &track, 1, &b);
    }
    assert_true(a.person && a.on_map);
    assert_true(b.person == 0 && !b.on_map);
    struct sp_track far = {.id = 9, .x1_px = NAN, .x2_px = INFINITY, .y1_px = 0, .y2_px = 100};
    update(space, 0, 3, &far, 1, &a);
    assert_false(a.on_map);
    sp_space_close(space);
}

/* More tracks than the capacity: no person, no crash. */
static void test_more_tracks_than_the_capacity(void **state)
{
    (void)state;
    enum { CAMERAS = 12, CROWD = SP_TRACKS_MAX };
    struct sp_space *space = open_space(CAMERAS, 0);
    struct sp_track *tracks = calloc(CROWD, sizeof *tracks);
    struct sp_world_position *places = calloc(CROWD, sizeof *places);
    struct sp_space_counts counts;
    for (int i = 0; i < 30; i++)
        for (int c = 0; c < CAMERAS; c++) {
            for (int k = 0; k < CROWD; k++) {
                int row = k / 32;
                tracks[k] = track_at((uint32_t)(k + 1), 1 + (k % 32) * 1.1, 3 + row * 1.1);
            }
            update(space, c, i / 20.0, tracks, CROWD, places);
        }
    sp_space_count(space, &counts);
    assert_true(counts.full > 0 && counts.people <= SP_SPACE_PEOPLE_MAX);
    free(tracks);
    free(places);
    sp_space_close(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_person_in_two_cameras),
        cmocka_unit_test(test_two_of_one_camera_are_never_one),
        cmocka_unit_test(test_a_wrong_join_is_undone),
        cmocka_unit_test(test_other_cameras_correct_an_id_switch),
        cmocka_unit_test(test_an_id_switch_in_all_cameras_at_once),
        cmocka_unit_test(test_detections_are_measured),
        cmocka_unit_test(test_clock_offsets_are_estimated),
        cmocka_unit_test(test_people_return_by_appearance),
        cmocka_unit_test(test_embeddings_and_people_expire),
        cmocka_unit_test(test_cameras_without_a_map_and_with_a_jumping_clock),
        cmocka_unit_test(test_more_tracks_than_the_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
