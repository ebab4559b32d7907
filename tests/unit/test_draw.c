#include "render/color.h"
#include "render/draw.h"
#include "render/text.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GREY = 120, NEUTRAL = 128 };

static uint32_t random_state = 1;

static uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* A grey frame in memory of exactly its size, so that ASan reports any access beyond it. */
struct image {
    struct sp_frame frame;
    uint8_t *memory[3];
};

static struct image make_image(int width, int height, enum sp_pixel_format format)
{
    struct image p = {.frame = {.width_px = width, .height_px = height, .format = format}};
    int cw = (width + 1) / 2, ch = (height + 1) / 2;
    size_t bytes[3] = {(size_t)width * (size_t)height, (size_t)cw * (size_t)ch,
                       (size_t)cw * (size_t)ch};
    bool nv12 = format == SP_PIXEL_NV12;
    for (int i = 0; i < (nv12 ? 2 : 3); i++) {
        size_t n = nv12 && i ? 2 * bytes[i] : bytes[i];
        p.memory[i] = malloc(n);
        memset(p.memory[i], i ? NEUTRAL : GREY, n);
        p.frame.plane[i] = p.memory[i];
        p.frame.stride_bytes[i] = i == 0 ? width : nv12 ? 2 * cw : cw;
    }
    return p;
}

static void free_image(struct image *p)
{
    for (int i = 0; i < 3; i++)
        free(p->memory[i]);
}

static struct sp_canvas grey_canvas(int width, int height)
{
    struct image p = make_image(width, height, SP_PIXEL_I420);
    struct sp_canvas canvas = {0};
    assert_int_equal(sp_canvas_load(&canvas, &p.frame, SP_CANVAS_AS_FRAME, NULL), SP_OK);
    free_image(&p);
    return canvas;
}

static struct sp_yuv pixel(const struct sp_canvas *c, int x, int y)
{
    return (struct sp_yuv){
        c->plane[0][y * c->stride_bytes[0] + x],
        c->plane[1][y / 2 * c->stride_bytes[1] + x / 2],
        c->plane[2][y / 2 * c->stride_bytes[2] + x / 2],
    };
}

static bool same(struct sp_yuv a, struct sp_yuv b)
{
    return a.y == b.y && a.u == b.u && a.v == b.v;
}

static const struct sp_yuv grey = {GREY, NEUTRAL, NEUTRAL};

static struct sp_yuv color_of(const struct sp_canvas *canvas, uint32_t id)
{
    uint8_t rgb[3];
    sp_draw_color(id, rgb);
    return sp_color_from_rgb(rgb, canvas->matrix, canvas->full_range);
}

static void test_load_copies_both_layouts(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 48}, {65, 49}, {1, 1}, {2, 3}, {1920, 8}, {7, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int width = sizes[i][0], height = sizes[i][1], cw = (width + 1) / 2, ch = (height + 1) / 2;
        struct image planar = make_image(width, height, SP_PIXEL_I420);
        struct image packed = make_image(width, height, SP_PIXEL_NV12);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                planar.memory[0][y * width + x] = packed.memory[0][y * width + x] =
                    (uint8_t)random_u32();
        for (int k = 0; k < cw * ch; k++) {
            planar.memory[1][k] = packed.memory[1][2 * k] = (uint8_t)random_u32();
            planar.memory[2][k] = packed.memory[1][2 * k + 1] = (uint8_t)random_u32();
        }
        for (int color = SP_CANVAS_AS_FRAME; color <= SP_CANVAS_JPEG; color++) {
            struct sp_canvas a = {0}, b = {0};
            assert_int_equal(sp_canvas_load(&a, &planar.frame, color, NULL), SP_OK);
            assert_int_equal(sp_canvas_load(&b, &packed.frame, color, NULL), SP_OK);
            assert_int_equal(a.stride_bytes[0] % 64, 0);
            assert_int_equal(a.stride_bytes[1] % 64, 0);
            assert_int_equal(a.full_range, color == SP_CANVAS_JPEG);
            for (int y = 0; y < 2 * ch; y++)
                for (int x = 0; x < 2 * cw; x++) {
                    int sx = x < width ? x : width - 1, sy = y < height ? y : height - 1;
                    assert_true(same(pixel(&a, x, y), pixel(&b, x, y)));
                    assert_int_equal(pixel(&a, x, y).y, pixel(&a, sx, sy).y);
                    if (color == SP_CANVAS_AS_FRAME) {
                        assert_int_equal(pixel(&a, x, y).y, planar.memory[0][sy * width + sx]);
                        assert_int_equal(pixel(&a, x, y).v, planar.memory[2][y / 2 * cw + x / 2]);
                    }
                }
            sp_canvas_release(&a);
            sp_canvas_release(&b);
        }
        free_image(&planar);
        free_image(&packed);
    }
}

static void test_load_allocates_only_to_grow(void **state)
{
    (void)state;
    struct sp_canvas canvas = grey_canvas(640, 480);
    uint8_t *memory = canvas.memory;
    struct image small = make_image(320, 240, SP_PIXEL_I420);
    assert_int_equal(sp_canvas_load(&canvas, &small.frame, SP_CANVAS_AS_FRAME, NULL), SP_OK);
    assert_ptr_equal(canvas.memory, memory);
    assert_int_equal(canvas.width_px, 320);
    small.frame.width_px = 0;
    struct sp_error err = {0};
    assert_int_equal(sp_canvas_load(&canvas, &small.frame, SP_CANVAS_AS_FRAME, &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "0x240"));
    free_image(&small);
    sp_canvas_release(&canvas);
}

static void test_a_box_has_its_color_on_the_line_and_nothing_inside(void **state)
{
    (void)state;
    struct sp_canvas canvas = grey_canvas(200, 160);
    struct sp_track track = {.id = 7, .x1_px = 40, .y1_px = 30, .x2_px = 100, .y2_px = 120};
    sp_draw_tracks(&canvas, NULL, &track, 1, &(struct sp_draw_style){0});
    struct sp_yuv color = color_of(&canvas, 7);
    for (int x = 40; x < 100; x++)
        assert_true(same(pixel(&canvas, x, 30), color) && same(pixel(&canvas, x, 31), color) &&
                    same(pixel(&canvas, x, 118), color) && same(pixel(&canvas, x, 119), color));
    for (int y = 30; y < 120; y++)
        assert_true(same(pixel(&canvas, 40, y), color) && same(pixel(&canvas, 41, y), color) &&
                    same(pixel(&canvas, 98, y), color) && same(pixel(&canvas, 99, y), color));
    for (int y = 0; y < 160; y++)
        for (int x = 0; x < 200; x++) {
            bool near = x >= 38 && x < 102 && y >= 28 && y < 122;
            bool inside = x >= 44 && x < 96 && y >= 34 && y < 116;
            if (!near || inside)
                assert_true(same(pixel(&canvas, x, y), grey));
        }
    assert_true(pixel(&canvas, 39, 60).y < GREY); /* the dark outline */
    assert_true(pixel(&canvas, 42, 60).y < GREY);
    sp_canvas_release(&canvas);
}

static void test_predicted_boxes_have_gaps(void **state)
{
    (void)state;
    struct sp_canvas canvas = grey_canvas(400, 300);
    struct sp_track track = {.id = 3, .x1_px = 40, .y1_px = 40, .x2_px = 340, .y2_px = 240};
    sp_draw_tracks(&canvas, NULL, &track, 1, &(struct sp_draw_style){.predicted = true});
    struct sp_yuv color = color_of(&canvas, 3);
    int colored = 0, untouched = 0;
    for (int x = 40; x < 340; x++) {
        colored += same(pixel(&canvas, x, 40), color);
        untouched += same(pixel(&canvas, x, 40), grey);
    }
    assert_true(same(pixel(&canvas, 40, 40), color)); /* a dash starts at the corner */
    assert_in_range(colored, 150, 200);
    assert_in_range(untouched, 50, 130);
    sp_canvas_release(&canvas);
}

static size_t changed_pixels(const struct sp_canvas *canvas)
{
    size_t changed = 0;
    for (int y = 0; y < canvas->height_px; y++)
        for (int x = 0; x < canvas->width_px; x++)
            changed += !same(pixel(canvas, x, y), grey);
    return changed;
}

static void test_boxes_that_are_none_draw_nothing(void **state)
{
    (void)state;
    struct sp_canvas canvas = grey_canvas(200, 160);
    struct sp_text *text = NULL;
    (void)sp_text_open(&text, NULL, NULL);
    const struct sp_track tracks[] = {
        {.id = 1, .x1_px = NAN, .y1_px = 1, .x2_px = 50, .y2_px = 50},
        {.id = 2, .x1_px = 1, .y1_px = 1, .x2_px = 50, .y2_px = NAN},
        {.id = 3, .x1_px = 50, .y1_px = 1, .x2_px = 1, .y2_px = 50}, /* left and right swapped */
        {.id = 4, .x1_px = -90, .y1_px = 10, .x2_px = -10, .y2_px = 50},
        {.id = 5, .x1_px = 210, .y1_px = 10, .x2_px = 310, .y2_px = 50},
        {.id = 6, .x1_px = 10, .y1_px = 1e300, .x2_px = 50, .y2_px = INFINITY},
    };
    sp_draw_tracks(&canvas, text, tracks, sizeof tracks / sizeof tracks[0],
                   &(struct sp_draw_style){.ids = true, .confidences = true});
    assert_int_equal(changed_pixels(&canvas), 0);
    sp_text_close(text);
    sp_canvas_release(&canvas);
}

static void test_a_box_over_the_edge_stays_open_there(void **state)
{
    (void)state;
    struct sp_canvas canvas = grey_canvas(200, 160);
    struct sp_track track = {.id = 9, .x1_px = -INFINITY, .y1_px = 50, .x2_px = 60, .y2_px = 1e18};
    sp_draw_tracks(&canvas, NULL, &track, 1, &(struct sp_draw_style){0});
    struct sp_yuv color = color_of(&canvas, 9);
    assert_true(same(pixel(&canvas, 0, 50), color)); /* the top line continues to the left edge */
    assert_true(same(pixel(&canvas, 59, 159), color));
    assert_true(same(pixel(&canvas, 0, 100), grey));
    assert_true(same(pixel(&canvas, 30, 159), grey));
    sp_canvas_release(&canvas);
}

static double extreme(void)
{
    static const double values[] = {NAN,  INFINITY, -INFINITY, 1e308, -1e308,       2147483647.0,
                                    -0.0, 1048576,  -1048577,  0.5,   -2147483649.0};
    uint32_t r = random_u32();
    return r % 4 == 0 ? values[r / 4 % (sizeof values / sizeof values[0])]
                      : (double)(random_u32() % 600) - 200 + (double)(r % 100) / 100;
}

/* ASan and UBSan check this: the canvas's memory ends with its last plane. */
static void test_random_boxes_stay_inside_the_planes(void **state)
{
    (void)state;
    struct sp_text *text = NULL;
    (void)sp_text_open(&text, NULL, NULL);
    for (int round = 0; round < 300; round++) {
        int width = 1 + (int)(random_u32() % 200), height = 1 + (int)(random_u32() % 200);
        struct sp_canvas canvas = grey_canvas(width, height);
        struct sp_track tracks[40];
        for (size_t i = 0; i < 40; i++)
            tracks[i] = (struct sp_track){random_u32(), extreme(), extreme(), extreme(),
                                          extreme(),    extreme(), 0};
        const struct sp_draw_style style = {
            .ids = round & 1,
            .confidences = round & 2,
            .predicted = round & 4,
            .title = round & 8 ? "a camera with quite a long name \xFF" : NULL,
            .clock = round & 16 ? "2026-01-31 12:00:00" : NULL,
        };
        sp_draw_tracks(&canvas, text, tracks, 40, &style);
        assert_int_equal(canvas.width_px, width);
        sp_canvas_release(&canvas);
    }
    sp_draw_tracks(&(struct sp_canvas){0}, text, NULL, 0, &(struct sp_draw_style){0});
    sp_text_close(text);
}

static struct sp_text *open_text(void)
{
    struct sp_text *text;
    if (sp_text_open(&text, NULL, NULL)) {
        print_message("no font installed\n");
        skip();
    }
    return text;
}

static size_t count_color(const struct sp_canvas *canvas, struct sp_yuv color, int y0, int y1)
{
    size_t n = 0;
    for (int y = y0; y < y1; y++)
        for (int x = 0; x < canvas->width_px; x++)
            n += same(pixel(canvas, x, y), color);
    return n;
}

static void test_the_label_sits_on_the_box_or_inside_it(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    const struct sp_draw_style style = {.ids = true, .confidences = true};
    struct sp_canvas canvas = grey_canvas(320, 240);
    struct sp_track track = {
        .id = 12, .x1_px = 100, .y1_px = 100, .x2_px = 180, .y2_px = 200, .confidence = 0.87};
    sp_draw_tracks(&canvas, text, &track, 1, &style);
    struct sp_yuv color = color_of(&canvas, 12);
    assert_true(count_color(&canvas, color, 88, 100) > 200);
    assert_true(count_color(&canvas, color, 102, 116) < 14 * 4 + 1);
    sp_canvas_release(&canvas);

    canvas = grey_canvas(320, 240);
    track.y1_px = -30; /* no room above: the label moves to the frame's top */
    sp_draw_tracks(&canvas, text, &track, 1, &style);
    assert_true(count_color(&canvas, color, 0, 12) > 200);
    sp_canvas_release(&canvas);
    sp_text_close(text);
}

static void test_the_label_names_the_class(void **state)
{
    (void)state;
    static struct sp_class_names names;
    struct sp_text *text = open_text();
    assert_true(sp_class_names_set(&names, 1, "forklift", 8));
    size_t above[3];
    for (int i = 0; i < 3; i++) { /* without a name, a class that has none, and one that has */
        struct sp_canvas canvas = grey_canvas(320, 240);
        struct sp_track track = {.id = 12,
                                 .x1_px = 100,
                                 .y1_px = 100,
                                 .x2_px = 180,
                                 .y2_px = 200,
                                 .class_id = i < 2 ? 300 : 1};
        struct sp_draw_style style = {.ids = true, .names = i > 0 ? &names : NULL};
        sp_draw_tracks(&canvas, text, &track, 1, &style);
        above[i] = count_color(&canvas, color_of(&canvas, 12), 88, 99);
        sp_canvas_release(&canvas);
    }
    assert_true(above[1] > above[0] + 20); /* "12 300" */
    assert_true(above[2] > above[1] + 20); /* "12 forklift" */
    sp_text_close(text);
}

static void test_labels_of_equal_boxes_do_not_cover_each_other(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    struct sp_canvas canvas = grey_canvas(320, 240);
    struct sp_track tracks[3];
    for (uint32_t i = 0; i < 3; i++)
        tracks[i] =
            (struct sp_track){.id = i + 1, .x1_px = 100, .y1_px = 80, .x2_px = 200, .y2_px = 180};
    sp_draw_tracks(&canvas, text, tracks, 3, &(struct sp_draw_style){.ids = true});
    for (uint32_t i = 0; i < 3; i++)
        assert_true(count_color(&canvas, color_of(&canvas, i + 1), 0, 240) > 100);
    sp_canvas_release(&canvas);
    sp_text_close(text);
}

static void test_the_title_darkens_the_top_left_only(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    struct sp_canvas canvas = grey_canvas(320, 240);
    sp_draw_tracks(&canvas, text, NULL, 0, &(struct sp_draw_style){.title = "gate"});
    assert_true(pixel(&canvas, 0, 0).y < GREY / 2 + 10);
    uint8_t brightest = 0;
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 60; x++)
            if (pixel(&canvas, x, y).y > brightest)
                brightest = pixel(&canvas, x, y).y;
    assert_true(brightest > 200);
    assert_true(same(pixel(&canvas, 200, 5), grey) && same(pixel(&canvas, 5, 40), grey));
    sp_canvas_release(&canvas);
    sp_text_close(text);
}

static void test_colors_of_neighbours_are_far_apart(void **state)
{
    (void)state;
    for (uint32_t id = 1; id < 2000; id++) {
        uint8_t a[3], again[3];
        sp_draw_color(id, a);
        sp_draw_color(id, again);
        assert_memory_equal(a, again, 3);
        int luma = (299 * a[0] + 587 * a[1] + 114 * a[2]) / 1000;
        assert_in_range(luma, 90, 235);
        for (uint32_t other = id + 1; other <= id + 4; other++) {
            uint8_t b[3];
            sp_draw_color(other, b);
            int distance = abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]);
            assert_true(distance > (other == id + 1 ? 180 : 45));
        }
    }
    uint8_t rgb[3];
    sp_draw_color(UINT32_MAX, rgb);
}

static void test_rgb_becomes_the_standards_numbers(void **state)
{
    (void)state;
    static const struct {
        uint8_t rgb[3];
        enum sp_color_matrix matrix;
        bool full_range;
        struct sp_yuv yuv;
    } cases[] = {
        /* 75 % bars of SMPTE RP 219 and the corners of BT.601 */
        {{255, 255, 255}, SP_MATRIX_BT601, false, {235, 128, 128}},
        {{0, 0, 0}, SP_MATRIX_BT601, false, {16, 128, 128}},
        {{255, 0, 0}, SP_MATRIX_BT601, false, {81, 90, 240}},
        {{0, 0, 255}, SP_MATRIX_BT601, false, {41, 240, 110}},
        {{191, 191, 0}, SP_MATRIX_BT709, false, {168, 44, 136}},
        {{0, 191, 0}, SP_MATRIX_BT709, false, {133, 63, 52}},
        {{255, 0, 0}, SP_MATRIX_BT601, true, {76, 85, 255}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sp_yuv yuv = sp_color_from_rgb(cases[i].rgb, cases[i].matrix, cases[i].full_range);
        assert_true(same(yuv, cases[i].yuv));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_copies_both_layouts),
        cmocka_unit_test(test_load_allocates_only_to_grow),
        cmocka_unit_test(test_a_box_has_its_color_on_the_line_and_nothing_inside),
        cmocka_unit_test(test_predicted_boxes_have_gaps),
        cmocka_unit_test(test_boxes_that_are_none_draw_nothing),
        cmocka_unit_test(test_a_box_over_the_edge_stays_open_there),
        cmocka_unit_test(test_random_boxes_stay_inside_the_planes),
        cmocka_unit_test(test_the_label_sits_on_the_box_or_inside_it),
        cmocka_unit_test(test_the_label_names_the_class),
        cmocka_unit_test(test_labels_of_equal_boxes_do_not_cover_each_other),
        cmocka_unit_test(test_the_title_darkens_the_top_left_only),
        cmocka_unit_test(test_colors_of_neighbours_are_far_apart),
        cmocka_unit_test(test_rgb_becomes_the_standards_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
