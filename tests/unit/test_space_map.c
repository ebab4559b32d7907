/* Maps: homographies from points, foot points and their covariance, calibration files, the filter.
 */
#include "capture/sim/world.h"
#include "space/calibration.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A camera's floor: image = P (x, y, 1) by hand, so that points are known without the fit. */
static const double floor_to_image[9] = {12, -3, 400, 1, -2, 900, 0.001, 0.004, 1};

static struct sp_point seen(double x, double y)
{
    const double *m = floor_to_image;
    double w = m[6] * x + m[7] * y + m[8];
    return (struct sp_point){(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w};
}

static const struct sp_point marks[8] = {{0, 0},   {100, 0}, {100, 80}, {0, 80},
                                         {50, 40}, {20, 70}, {80, 15},  {60, 75}};

/* This floor is mirrored with y down, so its map's y axis points up. */
static const struct sp_fit_options up = {.y_up = true};

static void test_a_fit_goes_through_its_points(void **state)
{
    (void)state;
    struct sp_point image[8];
    struct sp_fit fit;
    for (int i = 0; i < 8; i++)
        image[i] = seen(marks[i].x, marks[i].y);
    for (int count = 4; count <= 8; count += 4) {
        assert_int_equal(sp_homography_fit(&fit, image, marks, count, &up, NULL), 0);
        assert_int_equal(fit.inliers, count);
        struct sp_point at, back;
        assert_true(sp_homography_to_map(&fit.homography, seen(33, 44), &at));
        assert_true(fabs(at.x - 33) < 1e-6 && fabs(at.y - 44) < 1e-6);
        assert_true(sp_homography_to_image(&fit.homography, at, &back));
        assert_true(hypot(back.x - seen(33, 44).x, back.y - seen(33, 44).y) < 1e-6);
    }
}

static void test_a_wrong_point_is_left_out(void **state)
{
    (void)state;
    struct sp_point image[8], at;
    struct sp_fit fit;
    for (int i = 0; i < 8; i++)
        image[i] = seen(marks[i].x, marks[i].y);
    image[4].x += 90;
    assert_int_equal(sp_homography_fit(&fit, image, marks, 8, &up, NULL), 0);
    assert_int_equal(fit.inliers, 7);
    assert_false(fit.inlier[4]);
    assert_true(fabs(fit.image_error_px[4] - 90) < 0.1);
    assert_true(sp_homography_to_map(&fit.homography, seen(33, 44), &at));
    assert_true(fabs(at.x - 33) < 1e-3 && fabs(at.y - 44) < 1e-3);
}

/* Marks a pixel or two off: refined over all points, the map is accurate to centimetres. */
static void test_many_points_make_it_better(void **state)
{
    (void)state;
    enum { N = 40 };
    struct sp_point image[N], map[N], at;
    struct sp_fit fit;
    uint32_t dice = 5;
    for (int i = 0; i < N; i++) {
        int row = i / 8;
        map[i] = (struct sp_point){(i % 8) * 14, row * 19};
        image[i] = seen(map[i].x, map[i].y);
        for (int k = 0; k < 2; k++) {
            dice = dice * 1664525 + 1013904223;
            *(k ? &image[i].x : &image[i].y) += (double)(dice >> 16) / 16384.0 - 2;
        }
    }
    assert_int_equal(sp_homography_fit(&fit, image, map, N, &up, NULL), 0);
    assert_int_equal(fit.inliers, N);
    assert_true(fit.rms_image_px > 0.5 && fit.rms_image_px < 2);
    assert_true(sp_homography_to_map(&fit.homography, seen(50, 40), &at));
    assert_true(hypot(at.x - 50, at.y - 40) < 0.2);
}

static void refused(const struct sp_point *image, const struct sp_point *map, int count,
                    const char *why)
{
    struct sp_fit fit;
    struct sp_error err = {0};
    assert_int_equal(sp_homography_fit(&fit, image, map, count, &up, &err), SP_ERR_INVALID);
    if (!strstr(err.text, why))
        fail_msg("'%s' does not contain '%s'", err.text, why);
}

static void test_what_is_no_floor_is_refused(void **state)
{
    (void)state;
    struct sp_point image[8], line[4], map[8];
    for (int i = 0; i < 8; i++)
        image[i] = seen(marks[i].x, marks[i].y);
    refused(image, marks, 3, "at least four");
    for (int i = 0; i < 4; i++)
        line[i] = (struct sp_point){100 * i, 50 * i};
    refused(image, line, 4, "on a line");
    refused(line, marks, 4, "on a line");
    for (int i = 0; i < 4; i++) /* three of the four */
        line[i] = i < 3 ? (struct sp_point){100 * i, 0} : (struct sp_point){50, 90};
    refused(image, line, 4, "on a line");
    for (int i = 0; i < 8; i++)
        map[i] = (struct sp_point){100 - marks[i].x, marks[i].y};
    refused(image, map, 8, "mirrored");
    for (int i = 0; i < 8; i++)
        map[i] = marks[(i * 5 + 3) % 8];
    refused(image, map, 8, "fit one plane");
    image[2].x = NAN;
    refused(image, marks, 8, "not finite");
}

static void test_a_matrix_as_it_is(void **state)
{
    (void)state;
    struct sp_homography h;
    struct sp_error err = {0};
    const double flat[9] = {1, 2, 3, 2, 4, 6, 0, 0, 1}, wrong[9] = {1, 0, 0, 0, NAN, 0, 0, 0, 1};
    const double minus[9] = {-0.5, 0, 0, 0, -2, 0, 0, 0, -1};
    struct sp_point at;
    assert_int_equal(sp_homography_set(&h, flat, (struct sp_point){960, 1080}, &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_homography_set(&h, wrong, (struct sp_point){960, 1080}, &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_homography_set(&h, minus, (struct sp_point){960, 1080}, &err), 0);
    assert_true(sp_homography_to_map(&h, (struct sp_point){10, 10}, &at));
    assert_true(fabs(at.x - 5) < 1e-9 && fabs(at.y - 20) < 1e-9);
}

static void test_the_jacobian_is_the_slope(void **state)
{
    (void)state;
    struct sp_point image[8], a, b, at = seen(40, 30);
    struct sp_fit fit;
    double j[4];
    for (int i = 0; i < 8; i++)
        image[i] = seen(marks[i].x, marks[i].y);
    assert_int_equal(sp_homography_fit(&fit, image, marks, 8, &up, NULL), 0);
    assert_true(sp_homography_jacobian(&fit.homography, at, j));
    sp_homography_to_map(&fit.homography, (struct sp_point){at.x - 0.01, at.y}, &a);
    sp_homography_to_map(&fit.homography, (struct sp_point){at.x + 0.01, at.y}, &b);
    assert_true(fabs(j[0] - (b.x - a.x) / 0.02) < 1e-6 && fabs(j[2] - (b.y - a.y) / 0.02) < 1e-6);
    sp_homography_to_map(&fit.homography, (struct sp_point){at.x, at.y - 0.01}, &a);
    sp_homography_to_map(&fit.homography, (struct sp_point){at.x, at.y + 0.01}, &b);
    assert_true(fabs(j[1] - (b.x - a.x) / 0.02) < 1e-6 && fabs(j[3] - (b.y - a.y) / 0.02) < 1e-6);
}

/* ---- feet ---- */

static void open_ground(struct sp_ground *ground, int camera)
{
    double map[4][2], image[4][2];
    struct sp_point from[4], to[4];
    struct sp_fit fit;
    sp_world_marks(camera, 1920, 1080, map, image);
    for (int i = 0; i < 4; i++) {
        from[i] = (struct sp_point){image[i][0], image[i][1]};
        to[i] = (struct sp_point){map[i][0], map[i][1]};
    }
    assert_int_equal(sp_homography_fit(&fit, from, to, 4, NULL, NULL), 0);
    *ground = (struct sp_ground){.homography = fit.homography,
                                 .width_px = 1920,
                                 .height_px = 1080,
                                 .units_per_m = SP_WORLD_UNITS_PER_M};
}

static double deviation(const struct sp_foot *foot)
{
    return sqrt(foot->spot.xx + foot->spot.yy);
}

static void test_feet_stand_where_people_are(void **state)
{
    (void)state;
    struct sp_world world;
    struct sp_world_options options = {.seed = 3, .people = 10, .hall = true};
    struct sp_ground ground;
    int checked = 0;
    sp_world_init(&world, &options);
    sp_world_go(&world, 5);
    for (int camera = 0; camera < 4; camera++) {
        struct sp_world_observation observations[SP_WORLD_PEOPLE_MAX];
        open_ground(&ground, camera);
        int seen_count = sp_world_see(&world, camera, 1920, 1080, observations);
        for (int i = 0; i < seen_count; i++) {
            const struct sp_world_observation *s = &observations[i];
            struct sp_track track = {
                .x1_px = s->x1_px, .y1_px = s->y1_px, .x2_px = s->x2_px, .y2_px = s->y2_px};
            struct sp_foot foot;
            if (s->visible < 0.99)
                continue;
            sp_ground_feet(&ground, &track, 1, 1920, 1080, 1, &foot);
            assert_true(foot.valid && foot.sure);
            const struct sp_world_person *p = &world.person[s->person];
            assert_true(hypot(foot.spot.x - p->x, foot.spot.y - p->y) < 0.25);
            checked++;
        }
    }
    assert_true(checked > 10);
}

static void test_far_hidden_and_cut_feet_count_for_less(void **state)
{
    (void)state;
    struct sp_ground ground;
    struct sp_foot feet[2], cut;
    open_ground(&ground, 0);
    /* The same box size near and far: the same noise in pixels, but not on the map. */
    struct sp_track tracks[2] = {{.x1_px = 900, .y1_px = 700, .x2_px = 980, .y2_px = 900},
                                 {.x1_px = 900, .y1_px = 150, .x2_px = 980, .y2_px = 350}};
    sp_ground_feet(&ground, tracks, 2, 1920, 1080, 1, feet);
    assert_true(feet[0].valid && feet[1].valid);
    assert_true(deviation(&feet[1]) > 2 * deviation(&feet[0]));
    double alone = deviation(&feet[1]);
    /* The viewing direction of this camera is (1, 0.8), and so is the ellipse's long axis. */
    assert_true(feet[1].spot.xy > 0);

    tracks[0] = (struct sp_track){.x1_px = 890, .y1_px = 250, .x2_px = 990, .y2_px = 500};
    sp_ground_feet(&ground, tracks, 2, 1920, 1080, 1, feet);
    assert_true(deviation(&feet[1]) > 1.5 * alone && !feet[1].sure && feet[0].sure);

    struct sp_track low = {.x1_px = 900, .y1_px = 880, .x2_px = 980, .y2_px = 1080};
    struct sp_track whole = {.x1_px = 900, .y1_px = 870, .x2_px = 980, .y2_px = 1070};
    sp_ground_feet(&ground, &low, 1, 1920, 1080, 1, &cut);
    sp_ground_feet(&ground, &whole, 1, 1920, 1080, 1, feet);
    assert_true(!cut.sure && feet[0].sure && deviation(&cut) > 2 * deviation(&feet[0]));

    struct sp_track sky = {.x1_px = 900, .y1_px = -400, .x2_px = 980, .y2_px = -200};
    sp_ground_feet(&ground, &sky, 1, 1920, 1080, 1, feet);
    assert_false(feet[0].valid);
    /* A frame of half the size gives the same position. */
    struct sp_track half = {.x1_px = 450, .y1_px = 435, .x2_px = 490, .y2_px = 535};
    sp_ground_feet(&ground, &whole, 1, 1920, 1080, 1, feet);
    sp_ground_feet(&ground, &half, 1, 960, 540, 1, &cut);
    assert_true(fabs(feet[0].spot.x - cut.spot.x) < 1e-9);
}

static void test_a_view_is_what_the_camera_sees(void **state)
{
    (void)state;
    struct sp_ground ground;
    struct sp_point corners[SP_VIEW_CORNERS];
    open_ground(&ground, 0);
    int count = sp_ground_view(&ground, 25, corners);
    assert_true(count >= 6);
    for (int i = 0; i < count; i++) {
        struct sp_point back;
        assert_true(sp_homography_to_image(&ground.homography, corners[i], &back));
        assert_true(back.x > -1 && back.x < 1921 && back.y > -1 && back.y < 1081);
    }
}

/* ---- the filter ---- */

static void test_the_filter_follows_uneven_steps(void **state)
{
    (void)state;
    struct sp_motion motion;
    struct sp_spot spot = {0, 0, 0.04, 0, 0.04};
    double at_s = 0;
    sp_motion_init(&motion, &spot);
    for (int i = 0; i < 60; i++) {
        double dt = i % 3 ? 0.04 : 0.3;
        at_s += dt;
        sp_motion_predict(&motion, dt);
        spot.x = 1.2 * at_s;
        spot.y = -0.5 * at_s;
        sp_motion_update(&motion, &spot);
    }
    assert_true(fabs(motion.x[2] - 1.2) < 0.05 && fabs(motion.x[3] + 0.5) < 0.05);
    struct sp_spot ahead = sp_motion_at(&motion, 2), now = sp_motion_at(&motion, 0);
    assert_true(fabs(ahead.x - 1.2 * (at_s + 2)) < 0.2);
    assert_true(ahead.xx > 4 * now.xx); /* with a larger covariance */
    sp_motion_predict(&motion, 2);
    assert_true(fabs(motion.x[0] - ahead.x) < 1e-9 && fabs(motion.p[0][0] - ahead.xx) < 1e-9);
}

/* ---- files ---- */

static void parse(struct sp_calibration *c, const char *text)
{
    struct sp_error err = {0};
    sp_calibration_init(c);
    if (sp_calibration_parse(c, text, strlen(text), "map.json", &err) < 0)
        fail_msg("%s", err.text);
}

static void test_the_replaced_systems_file(void **state)
{
    (void)state;
    struct sp_calibration *c = calloc(1, sizeof *c);
    parse(c, "{\"ground_plane\":{\"width\":2000,\"height\":1500,\"pixels_per_meter\":50},"
             "\"cameras\":[{\"id\":\"c01\",\"source_points\":[[0,0],[100,0],[100,100],[0,100]],"
             "\"destination_points\":[[0,0],[200,0],[200,200],[0,200]]},"
             "{\"id\":\"Cam 4\",\"frame_path\":\"/data/c05/frame.jpg\","
             "\"homography\":[[2,0,10],[0,2,20],[0,0,1]]},"
             "{\"id\":\"c09\",\"source_points\":[[0,0],[1,1],[2,2],[3,3]],"
             "\"destination_points\":[[0,0],[200,0],[200,200],[0,200]]}]}");
    assert_int_equal(c->count, 3);
    assert_true(c->units_per_m == 50 && c->width == 2000);
    struct sp_calibrated *one = sp_calibration_find(c, "c01"), *two = sp_calibration_find(c, "c05");
    struct sp_point at;
    assert_true(one && one->usable && two && two->usable);
    assert_true(sp_homography_to_map(&one->fit.homography, (struct sp_point){50, 25}, &at));
    assert_true(fabs(at.x - 100) < 1e-6 && fabs(at.y - 50) < 1e-6);
    assert_true(sp_homography_to_map(&two->fit.homography, (struct sp_point){5, 5}, &at));
    assert_true(fabs(at.x - 20) < 1e-6 && fabs(at.y - 30) < 1e-6);
    struct sp_calibrated *bad = sp_calibration_find(c, "c09");
    assert_true(bad && !bad->usable && strstr(bad->reason, "on a line"));
    free(c);
}

static void test_what_is_written_is_read_again(void **state)
{
    (void)state;
    char path[] = "/tmp/spoton-map-XXXXXX", part[64];
    struct sp_calibration *c = calloc(2, sizeof *c), *again = c + 1;
    struct sp_point image[8];
    struct sp_error err = {0};
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(part, sizeof part, "%s.part", path);
    sp_calibration_init(c);
    c->y_up = true;
    for (int i = 0; i < 8; i++)
        image[i] = seen(marks[i].x, marks[i].y);
    assert_int_equal(sp_calibration_set(c, "door-1", image, marks, 8, 1280, 720, &err), 0);
    assert_int_equal(sp_calibration_set(c, "door-2", image, marks, 3, 1280, 720, &err),
                     SP_ERR_INVALID);
    assert_int_equal(c->count, 1); /* the invalid one is not added */
    assert_int_equal(sp_calibration_write(c, path, &err), 0);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(sp_calibration_read(again, path, &err), 0);
    assert_int_equal(again->count, 1);
    assert_true(again->y_up && again->camera[0].usable && again->camera[0].width_px == 1280);
    assert_int_equal(again->camera[0].point_count, 8);
    for (int i = 0; i < 9; i++)
        assert_true(fabs(again->camera[0].fit.homography.m[i] - c->camera[0].fit.homography.m[i]) <
                    1e-12);
    assert_true(sp_calibration_remove(c, "door-1") && c->count == 0);
    assert_false(sp_calibration_remove(c, "door-1"));
    assert_int_equal(sp_calibration_write(c, "/tmp", &err), SP_ERR_UNSUPPORTED);
    assert_int_equal(sp_calibration_write(c, "/tmp/no-such-folder/map.json", &err),
                     SP_ERR_NOT_FOUND);
    unlink(path);
    free(c);
}

static void test_invalid_files_are_refused_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } files[] = {
        {"", "line"},
        {"{\"cameras\": 3}", "must be a list"},
        {"[]", "must be a list"},
        {"{\"cameras\":[{}]}", "cameras[0]"},
        {"{\"cameras\":[{\"id\":\"../x\"}]}", "cameras[0]"},
        {"{\"cameras\":[{\"id\":\"a\",\"source_points\":[[1,2]]}]}", "differ in number"},
        {"{\"cameras\":[{\"id\":\"a\",\"source_points\":[[1]]}]}", "not [x, y]"},
        {"{\"cameras\":[{\"id\":\"a\",\"homography\":[[1,2],[3]]}]}", "three rows"},
        {"{\"ground_plane\":{\"pixels_per_meter\":-1},\"cameras\":[]}", "above 0"},
        {"{\"ground_plane\":{\"y_axis\":\"left\"},\"cameras\":[]}", "must be \"up\" or \"down\""},
    };
    struct sp_calibration *c = calloc(1, sizeof *c);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct sp_error err = {0};
        sp_calibration_init(c);
        assert_int_equal(
            sp_calibration_parse(c, files[i].text, strlen(files[i].text), "map.json", &err),
            SP_ERR_FORMAT);
        if (!strstr(err.text, files[i].why) || !strstr(err.text, "map.json"))
            fail_msg("'%s' does not contain '%s'", err.text, files[i].why);
        assert_int_equal(c->count, 0);
    }
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fit_goes_through_its_points),
        cmocka_unit_test(test_a_wrong_point_is_left_out),
        cmocka_unit_test(test_many_points_make_it_better),
        cmocka_unit_test(test_what_is_no_floor_is_refused),
        cmocka_unit_test(test_a_matrix_as_it_is),
        cmocka_unit_test(test_the_jacobian_is_the_slope),
        cmocka_unit_test(test_feet_stand_where_people_are),
        cmocka_unit_test(test_far_hidden_and_cut_feet_count_for_less),
        cmocka_unit_test(test_a_view_is_what_the_camera_sees),
        cmocka_unit_test(test_the_filter_follows_uneven_steps),
        cmocka_unit_test(test_the_replaced_systems_file),
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_invalid_files_are_refused_with_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
