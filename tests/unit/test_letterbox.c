#include "detect/letterbox.h"

#include <libyuv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static int half_even(double value)
{
    double floor_value = floor(value), rest = value - floor_value;
    if (rest == 0.5)
        return (int)floor_value + ((long)floor_value % 2 != 0);
    return (int)floor(value + 0.5);
}

/* The formula of Ultralytics' LetterBox, in its own order of steps. */
static void test_geometry_is_that_of_the_reference(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < 20000; ++round) {
        int w = 1 + rand() % (round % 2 ? 5000 : 300), h = 1 + rand() % (round % 2 ? 3000 : 300);
        int input_w = 32 * (1 + rand() % 40), input_h = 32 * (1 + rand() % 40);
        double r = fmin((double)input_h / h, (double)input_w / w);
        int unpad_w = half_even(w * r), unpad_h = half_even(h * r);
        if (unpad_w < 1 || unpad_h < 1)
            continue;
        double dw = (input_w - unpad_w) / 2.0, dh = (input_h - unpad_h) / 2.0;
        struct sp_letterbox_geometry g;
        sp_letterbox_geometry(&g, w, h, input_w, input_h);
        assert_int_equal(g.width_px, unpad_w);
        assert_int_equal(g.height_px, unpad_h);
        assert_int_equal(g.left_px, half_even(dw - 0.1));
        assert_int_equal(g.top_px, half_even(dh - 0.1));
        assert_true(g.gain_x == r);
        assert_true(g.width_px + g.left_px <= input_w && g.height_px + g.top_px <= input_h);
    }
}

static void test_input_shapes(void **state)
{
    (void)state;
    static const int cases[][5] = {
        /* source, size, input */
        {1920, 1080, 640, 640, 384}, {768, 576, 640, 640, 480},   {1080, 1920, 640, 384, 640},
        {640, 640, 640, 640, 640},   {4096, 1, 640, 640, 32},     {1, 4096, 640, 32, 640},
        {1280, 720, 416, 416, 256},  {1920, 1080, 600, 608, 352}, {640, 360, 640, 640, 384},
        {1, 1, 320, 320, 320},       {2560, 1080, 640, 640, 288}, {720, 480, 640, 640, 448},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        int w, h;
        sp_letterbox_input_shape(cases[i][0], cases[i][1], cases[i][2], 32, &w, &h);
        assert_int_equal(w, cases[i][3]);
        assert_int_equal(h, cases[i][4]);
    }
}

static void test_a_box_goes_there_and_back(void **state)
{
    (void)state;
    srand(4);
    for (int round = 0; round < 1000; ++round) {
        struct sp_letterbox_geometry g;
        int w = 16 + rand() % 4000, h = 16 + rand() % 3000;
        sp_letterbox_geometry(&g, w, h, 640, 480);
        double source[4] = {w * 0.25, h * 0.125, w * 0.75, h * 0.875}, box[4];
        for (int k = 0; k < 4; ++k)
            box[k] = source[k] * g.gain_x + (k % 2 ? g.top_px : g.left_px);
        sp_letterbox_to_source(&g, box);
        for (int k = 0; k < 4; ++k)
            assert_true(fabs(box[k] - source[k]) < 1e-9 * 5000);
        double outside[4] = {-1000, -1000, 5000, 5000};
        sp_letterbox_to_source(&g, outside);
        assert_true(outside[0] == 0 && outside[1] == 0 && outside[2] == w && outside[3] == h);
    }
}

/* An image with its planes; stride wider than the image, so that a wrong stride shows. */
struct image {
    struct sp_frame frame;
    uint8_t *planes[3];
};

static void open_image(struct image *p, int w, int h, enum sp_pixel_format format)
{
    *p = (struct image){.frame = {.width_px = w, .height_px = h, .format = format}};
    int cw = (w + 1) / 2, ch = (h + 1) / 2;
    int strides[3] = {w + 13, cw + 7, cw + 7};
    if (format == SP_PIXEL_NV12) {
        strides[1] = 2 * cw + 9;
        strides[2] = 0;
    }
    for (int i = 0; i < 3; ++i) {
        p->planes[i] = calloc((size_t)strides[i] * (size_t)(i ? ch : h) + 1, 1);
        p->frame.plane[i] = p->planes[i];
        p->frame.stride_bytes[i] = strides[i];
    }
}

static void close_image(struct image *p)
{
    for (int i = 0; i < 3; ++i)
        free(p->planes[i]);
}

static void paint(struct image *p, int y, int u, int v)
{
    int cw = (p->frame.width_px + 1) / 2, ch = (p->frame.height_px + 1) / 2;
    memset(p->planes[0], y, (size_t)p->frame.stride_bytes[0] * (size_t)p->frame.height_px);
    for (int row = 0; row < ch; ++row) {
        for (int x = 0; x < cw; ++x) {
            if (p->frame.format == SP_PIXEL_I420) {
                p->planes[1][row * p->frame.stride_bytes[1] + x] = (uint8_t)u;
                p->planes[2][row * p->frame.stride_bytes[2] + x] = (uint8_t)v;
            } else {
                p->planes[1][row * p->frame.stride_bytes[1] + 2 * x] = (uint8_t)u;
                p->planes[1][row * p->frame.stride_bytes[1] + 2 * x + 1] = (uint8_t)v;
            }
        }
    }
}

/* ITU-R BT.601, 709, 2020: Kr and Kb define the matrix. */
static void reference_rgb(const struct sp_frame *frame, int y, int u, int v, int rgb[3])
{
    static const double kr_kb[][2] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}};
    double kr = kr_kb[frame->matrix][0], kb = kr_kb[frame->matrix][1], kg = 1 - kr - kb;
    double luma = frame->full_range ? y : (y - 16) * 255.0 / 219;
    double scale = frame->full_range ? 1 : 255.0 / 224;
    double pb = (u - 128) * scale, pr = (v - 128) * scale;
    double value[3] = {luma + 2 * (1 - kr) * pr,
                       luma - 2 * (1 - kb) * kb / kg * pb - 2 * (1 - kr) * kr / kg * pr,
                       luma + 2 * (1 - kb) * pb};
    for (int i = 0; i < 3; ++i)
        rgb[i] = (int)lrint(fmin(fmax(value[i], 0), 255));
}

static void test_colours_by_matrix_and_range(void **state)
{
    (void)state;
    static const int colours[][3] = {{81, 90, 240},   {145, 54, 34},   {41, 240, 110},
                                     {128, 128, 128}, {235, 128, 128}, {16, 128, 128},
                                     {100, 110, 150}};
    struct sp_letterbox *letterbox;
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    uint8_t *input = malloc(64 * 64 * 3);
    for (int format = 0; format < 2; ++format) {
        struct image p;
        open_image(&p, 80, 64, format ? SP_PIXEL_NV12 : SP_PIXEL_I420);
        for (int matrix = 0; matrix < 3; ++matrix) {
            for (int full = 0; full < 2; ++full) {
                for (size_t c = 0; c < sizeof colours / sizeof *colours; ++c) {
                    struct sp_letterbox_geometry last = {0};
                    int rgb[3];
                    p.frame.matrix = (enum sp_color_matrix)matrix;
                    p.frame.full_range = full;
                    paint(&p, colours[c][0], colours[c][1], colours[c][2]);
                    assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, input,
                                                       SPOTON_LAYOUT_NHWC, 64, 64, &last, NULL),
                                     SP_OK);
                    reference_rgb(&p.frame, colours[c][0], colours[c][1], colours[c][2], rgb);
                    for (int k = 0; k < 3; ++k)
                        assert_true(abs(input[(32 * 64 + 32) * 3 + k] - rgb[k]) <= 3);
                }
            }
        }
        close_image(&p);
    }
    free(input);
    sp_letterbox_close(letterbox);
}

/* Bars are 114, the image is not, and nothing around the input is touched. */
static void check_bars(struct sp_letterbox *letterbox, int w, int h, int input_w, int input_h,
                       enum sp_pixel_format format)
{
    enum { GUARD = 64 };
    size_t bytes = (size_t)input_w * (size_t)input_h * 3;
    uint8_t *memory = malloc(bytes + 2 * GUARD), *input = memory + GUARD;
    struct sp_letterbox_geometry last = {0};
    struct image p;
    memset(memory, 0xA5, bytes + 2 * GUARD);
    open_image(&p, w, h, format);
    paint(&p, 235, 128, 128);
    for (int again = 0; again < 2; ++again) {
        assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, input, SPOTON_LAYOUT_NHWC, input_w,
                                           input_h, &last, NULL),
                         SP_OK);
        for (int y = 0; y < input_h; ++y) {
            for (int x = 0; x < input_w; ++x) {
                bool inside = x >= last.left_px && x < last.left_px + last.width_px &&
                              y >= last.top_px && y < last.top_px + last.height_px;
                const uint8_t *at = input + ((size_t)y * (size_t)input_w + (size_t)x) * 3;
                if (inside)
                    assert_true(at[0] >= 250 && at[1] >= 250 && at[2] >= 250);
                else
                    assert_true(at[0] == 114 && at[1] == 114 && at[2] == 114);
            }
        }
    }
    for (int i = 0; i < GUARD; ++i)
        assert_true(memory[i] == 0xA5 && input[bytes + (size_t)i] == 0xA5);
    close_image(&p);
    free(memory);
}

static void test_bars_and_odd_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1},     {2, 1},      {1, 2},     {3, 3},    {5, 7},
                                   {31, 17},   {4096, 1},   {1, 4096},  {4096, 3}, {641, 361},
                                   {640, 360}, {1281, 719}, {767, 575}, {97, 640}, {640, 480}};
    struct sp_letterbox *letterbox;
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        check_bars(letterbox, sizes[i][0], sizes[i][1], 640, 384, SP_PIXEL_I420);
        check_bars(letterbox, sizes[i][0], sizes[i][1], 640, 384, SP_PIXEL_NV12);
        check_bars(letterbox, sizes[i][0], sizes[i][1], 96, 160, SP_PIXEL_I420);
    }
    sp_letterbox_close(letterbox);
}

static void test_bars_are_painted_anew_when_the_camera_changes(void **state)
{
    (void)state;
    struct sp_letterbox *letterbox;
    struct sp_letterbox_geometry last = {0};
    uint8_t *input = malloc(160 * 96 * 3);
    struct image wide, tall;
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    open_image(&wide, 320, 64, SP_PIXEL_I420);
    open_image(&tall, 64, 320, SP_PIXEL_I420);
    paint(&wide, 235, 128, 128);
    paint(&tall, 235, 128, 128);
    sp_letterbox_fill(letterbox, &wide.frame, input, SPOTON_LAYOUT_NHWC, 160, 96, &last, NULL);
    assert_true(input[(48 * 160 + 2) * 3] > 250 && input[80 * 3] == 114);
    sp_letterbox_fill(letterbox, &tall.frame, input, SPOTON_LAYOUT_NHWC, 160, 96, &last, NULL);
    assert_true(input[(48 * 160 + 2) * 3] == 114 && input[80 * 3] > 250);
    assert_int_equal(last.source_width_px, 64);
    close_image(&wide);
    close_image(&tall);
    free(input);
    sp_letterbox_close(letterbox);
}

static void test_an_empty_image_is_refused(void **state)
{
    (void)state;
    struct sp_letterbox *letterbox;
    struct sp_letterbox_geometry last = {0};
    struct sp_frame frame = {.width_px = 0, .height_px = 10};
    struct sp_error err;
    uint8_t input[32 * 32 * 3];
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    assert_int_equal(
        sp_letterbox_fill(letterbox, &frame, input, SPOTON_LAYOUT_NHWC, 32, 32, &last, &err),
        SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "0x10"));
    sp_letterbox_close(letterbox);
}

/* Smooth waves with some texture: what scalers agree on if their sampling positions agree. */
static void draw_waves(struct image *p)
{
    int w = p->frame.width_px, h = p->frame.height_px, cw = (w + 1) / 2;
    for (int y = 0; y < h; ++y) {
        for (int x = 0; x < w; ++x)
            p->planes[0][y * p->frame.stride_bytes[0] + x] =
                (uint8_t)(125 + 60 * sin(x * 0.11) + 40 * cos(y * 0.07 + x * 0.02));
    }
    for (int y = 0; y < (h + 1) / 2; ++y) {
        for (int x = 0; x < cw; ++x) {
            int u = (int)(128 + 50 * sin(x * 0.03)), v = (int)(128 + 50 * cos(y * 0.05));
            if (p->frame.format == SP_PIXEL_I420) {
                p->planes[1][y * p->frame.stride_bytes[1] + x] = (uint8_t)u;
                p->planes[2][y * p->frame.stride_bytes[2] + x] = (uint8_t)v;
            } else {
                p->planes[1][y * p->frame.stride_bytes[1] + 2 * x] = (uint8_t)u;
                p->planes[1][y * p->frame.stride_bytes[1] + 2 * x + 1] = (uint8_t)v;
            }
        }
    }
}

static double sample(const uint8_t *plane, int stride, int w, int h, double x, double y)
{
    x = fmin(fmax(x, 0), w - 1);
    y = fmin(fmax(y, 0), h - 1);
    int x0 = (int)x, y0 = (int)y, x1 = x0 + 1 < w ? x0 + 1 : x0, y1 = y0 + 1 < h ? y0 + 1 : y0;
    double fx = x - x0, fy = y - y0;
    return (plane[y0 * stride + x0] * (1 - fx) + plane[y0 * stride + x1] * fx) * (1 - fy) +
           (plane[y1 * stride + x0] * (1 - fx) + plane[y1 * stride + x1] * fx) * fy;
}

/* Bilinear with pixel centres at .5, the convention of OpenCV that models are trained with. */
static double difference_to_bilinear(int w, int h, int input_w, int input_h)
{
    struct sp_letterbox *letterbox;
    struct sp_letterbox_geometry g = {0};
    struct image p;
    uint8_t *input = malloc((size_t)input_w * (size_t)input_h * 3);
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    open_image(&p, w, h, SP_PIXEL_I420);
    draw_waves(&p);
    assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, input, SPOTON_LAYOUT_NHWC, input_w,
                                       input_h, &g, NULL),
                     SP_OK);
    double sum = 0;
    for (int y = 0; y < g.height_px; ++y) {
        for (int x = 0; x < g.width_px; ++x) {
            double sx = (x + 0.5) * w / g.width_px, sy = (y + 0.5) * h / g.height_px;
            int rgb[3];
            reference_rgb(
                &p.frame,
                (int)lrint(sample(p.planes[0], p.frame.stride_bytes[0], w, h, sx - 0.5, sy - 0.5)),
                (int)lrint(sample(p.planes[1], p.frame.stride_bytes[1], (w + 1) / 2, (h + 1) / 2,
                                  sx / 2 - 0.5, sy / 2 - 0.5)),
                (int)lrint(sample(p.planes[2], p.frame.stride_bytes[2], (w + 1) / 2, (h + 1) / 2,
                                  sx / 2 - 0.5, sy / 2 - 0.5)),
                rgb);
            const uint8_t *at =
                input + ((size_t)(y + g.top_px) * (size_t)input_w + (size_t)(x + g.left_px)) * 3;
            for (int k = 0; k < 3; ++k)
                sum += abs(at[k] - rgb[k]);
        }
    }
    double mean = sum / (3.0 * g.width_px * g.height_px);
    close_image(&p);
    free(input);
    sp_letterbox_close(letterbox);
    return mean;
}

static void test_the_scaled_image_is_where_it_should_be(void **state)
{
    (void)state;
    static const int cases[][4] = {{768, 576, 640, 480},   {1280, 720, 640, 384},
                                   {1920, 1080, 640, 384}, {640, 360, 640, 384},
                                   {352, 288, 640, 544},   {1920, 1080, 640, 640}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        double mean = difference_to_bilinear(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
        print_message("%dx%d to %dx%d: mean difference %.2f\n", cases[i][0], cases[i][1],
                      cases[i][2], cases[i][3], mean);
        assert_true(mean < 2.0);
    }
}

static void test_nv12_gives_the_very_image_of_i420(void **state)
{
    (void)state;
    static const int sizes[][2] = {{640, 360}, {1920, 1080}, {767, 575}, {33, 55}, {320, 240}};
    struct sp_letterbox *letterbox;
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    uint8_t *a = malloc(640 * 384 * 3), *b = malloc(640 * 384 * 3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        struct sp_letterbox_geometry last_a = {0}, last_b = {0};
        struct image planar, interleaved;
        open_image(&planar, sizes[i][0], sizes[i][1], SP_PIXEL_I420);
        open_image(&interleaved, sizes[i][0], sizes[i][1], SP_PIXEL_NV12);
        draw_waves(&planar);
        draw_waves(&interleaved);
        sp_letterbox_fill(letterbox, &planar.frame, a, SPOTON_LAYOUT_NHWC, 640, 384, &last_a, NULL);
        sp_letterbox_fill(letterbox, &interleaved.frame, b, SPOTON_LAYOUT_NHWC, 640, 384, &last_b,
                          NULL);
        assert_memory_equal(a, b, 640 * 384 * 3);
        close_image(&planar);
        close_image(&interleaved);
    }
    free(a);
    free(b);
    sp_letterbox_close(letterbox);
}

static void test_planar_and_interleaved_memory_hold_the_same_image(void **state)
{
    (void)state;
    static const int sizes[][2] = {{640, 360}, {1920, 1080}, {767, 575}, {33, 55}, {640, 384}};
    enum { WIDTH = 640, HEIGHT = 384, PIXELS = WIDTH * HEIGHT };
    struct sp_letterbox *letterbox;
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    uint8_t *interleaved = malloc(PIXELS * 3), *planar = malloc(PIXELS * 3);
    struct sp_letterbox_geometry last[2] = {0}; /* kept: bars of the image before must go */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        struct image p;
        open_image(&p, sizes[i][0], sizes[i][1], SP_PIXEL_I420);
        draw_waves(&p);
        assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, interleaved, SPOTON_LAYOUT_NHWC,
                                           WIDTH, HEIGHT, &last[0], NULL),
                         SP_OK);
        assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, planar, SPOTON_LAYOUT_NCHW, WIDTH,
                                           HEIGHT, &last[1], NULL),
                         SP_OK);
        for (size_t at = 0; at < PIXELS; ++at)
            for (size_t color = 0; color < 3; ++color)
                assert_int_equal(interleaved[at * 3 + color], planar[color * PIXELS + at]);
        close_image(&p);
    }
    free(interleaved);
    free(planar);
    sp_letterbox_close(letterbox);
}

/* Row by row, in strips, must be what the whole planes give. */
static void check_against_whole_planes(int w, int h, int input_w, int input_h)
{
    struct sp_letterbox *letterbox;
    struct sp_letterbox_geometry g = {0};
    struct image p;
    size_t bytes = (size_t)input_w * (size_t)input_h * 3;
    /* A difference of the planes, in RGB; libyuv's own scaling differs more with NEON. */
#ifdef __aarch64__
    const int limit = 7;
#else
    const int limit = 3;
#endif
    uint8_t *input = malloc(bytes), *whole = malloc(bytes), *scaled[3];
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    open_image(&p, w, h, SP_PIXEL_I420);
    draw_waves(&p);
    for (int i = 0; i < w; i += 3) /* edges, too */
        p.planes[0][(size_t)(i % h) * (size_t)p.frame.stride_bytes[0] + (size_t)i] = 255;
    assert_int_equal(sp_letterbox_fill(letterbox, &p.frame, input, SPOTON_LAYOUT_NHWC, input_w,
                                       input_h, &g, NULL),
                     SP_OK);
    int cw = (g.width_px + 1) / 2, ch = (g.height_px + 1) / 2;
    for (int i = 0; i < 3; ++i)
        scaled[i] = malloc(i ? (size_t)cw * (size_t)ch : (size_t)g.width_px * (size_t)g.height_px);
    assert_int_equal(I420Scale(p.planes[0], p.frame.stride_bytes[0], p.planes[1],
                               p.frame.stride_bytes[1], p.planes[2], p.frame.stride_bytes[2], w, h,
                               scaled[0], g.width_px, scaled[1], cw, scaled[2], cw, g.width_px,
                               g.height_px, kFilterBilinear),
                     0);
    I420ToRGB24Matrix(scaled[0], g.width_px, scaled[2], cw, scaled[1], cw, whole, g.width_px * 3,
                      &kYvuI601Constants, g.width_px, g.height_px);
    for (int y = 0; y < g.height_px; ++y) {
        const uint8_t *row =
            input + ((size_t)(y + g.top_px) * (size_t)input_w + (size_t)g.left_px) * 3;
        for (int x = 0; x < g.width_px * 3; ++x)
            assert_true(abs(row[x] - whole[(size_t)y * (size_t)g.width_px * 3 + (size_t)x]) <=
                        limit);
    }
    for (int i = 0; i < 3; ++i)
        free(scaled[i]);
    close_image(&p);
    free(input);
    free(whole);
    sp_letterbox_close(letterbox);
}

static void test_strips_are_the_whole_image(void **state)
{
    (void)state;
    static const int cases[][4] = {{768, 576, 640, 480}, {960, 540, 640, 384}, {854, 480, 640, 384},
                                   {704, 576, 640, 544}, {641, 363, 640, 384}, {650, 360, 640, 384},
                                   {801, 601, 640, 480}, {101, 133, 96, 96}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        check_against_whole_planes(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry_is_that_of_the_reference),
        cmocka_unit_test(test_input_shapes),
        cmocka_unit_test(test_a_box_goes_there_and_back),
        cmocka_unit_test(test_colours_by_matrix_and_range),
        cmocka_unit_test(test_bars_and_odd_sizes),
        cmocka_unit_test(test_bars_are_painted_anew_when_the_camera_changes),
        cmocka_unit_test(test_an_empty_image_is_refused),
        cmocka_unit_test(test_the_scaled_image_is_where_it_should_be),
        cmocka_unit_test(test_strips_are_the_whole_image),
        cmocka_unit_test(test_nv12_gives_the_very_image_of_i420),
        cmocka_unit_test(test_planar_and_interleaved_memory_hold_the_same_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
