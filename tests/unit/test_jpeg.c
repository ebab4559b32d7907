#include "render/jpeg.h"

#include "engines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libswscale/swscale.h>
#include <turbojpeg.h>

/* Smooth colours over the whole gamut that each matrix and range can hold. */
static struct sp_canvas color_canvas(int width, int height, enum sp_color_matrix matrix,
                                     bool full_range)
{
    int cw = (width + 1) / 2, ch = (height + 1) / 2;
    uint8_t *y = malloc((size_t)width * (size_t)height), *u = malloc((size_t)cw * (size_t)ch),
            *v = malloc((size_t)cw * (size_t)ch);
    for (int i = 0; i < ch; i++)
        for (int k = 0; k < cw; k++) {
            u[i * cw + k] = (uint8_t)lround(128 + 45 * sin(k * 0.05) * cos(i * 0.02));
            v[i * cw + k] = (uint8_t)lround(128 + 45 * cos(k * 0.03 + i * 0.06));
        }
    for (int i = 0; i < height; i++)
        for (int k = 0; k < width; k++)
            y[i * width + k] = (uint8_t)lround(126 + 50 * sin(i * 0.04 + k * 0.01));
    const struct sp_frame frame = {.plane = {y, u, v},
                                   .stride_bytes = {width, cw, cw},
                                   .width_px = width,
                                   .height_px = height,
                                   .matrix = matrix,
                                   .full_range = full_range};
    struct sp_canvas canvas = {0};
    assert_int_equal(sp_canvas_load(&canvas, &frame, SP_CANVAS_AS_FRAME, NULL), SP_OK);
    free(y);
    free(u);
    free(v);
    return canvas;
}

static uint8_t *decode(const uint8_t *data, size_t bytes, int width, int height)
{
    tjhandle decompressor = tjInitDecompress();
    int w, h, sampling, space;
    assert_int_equal(tjDecompressHeader3(decompressor, data, bytes, &w, &h, &sampling, &space), 0);
    assert_int_equal(w, width);
    assert_int_equal(h, height);
    assert_int_equal(sampling, TJSAMP_420);
    uint8_t *rgb = malloc((size_t)width * (size_t)height * 3);
    assert_int_equal(tjDecompress2(decompressor, data, bytes, rgb, width, 0, height, TJPF_RGB, 0),
                     0);
    tjDestroy(decompressor);
    return rgb;
}

/* FFmpeg's name for the canvas's colours. */
static uint8_t *reference_rgb(const struct sp_canvas *canvas)
{
    static const int spaces[] = {SWS_CS_ITU601, SWS_CS_ITU709, SWS_CS_BT2020};
    int width = canvas->width_px, height = canvas->height_px;
    struct SwsContext *sws =
        sws_getContext(width, height, AV_PIX_FMT_YUV420P, width, height, AV_PIX_FMT_RGB24,
                       SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND, NULL, NULL, NULL);
    assert_non_null(sws);
    const int *table = sws_getCoefficients(spaces[canvas->matrix]);
    sws_setColorspaceDetails(sws, table, canvas->full_range, table, 1, 0, 1 << 16, 1 << 16);
    uint8_t *rgb = malloc((size_t)width * (size_t)height * 3 + 64);
    uint8_t *const out[1] = {rgb};
    const int out_stride[1] = {width * 3};
    const uint8_t *const in[3] = {canvas->plane[0], canvas->plane[1], canvas->plane[2]};
    assert_int_equal(sws_scale(sws, in, canvas->stride_bytes, 0, height, out, out_stride), height);
    sws_freeContext(sws);
    return rgb;
}

static void assert_same_colors(const struct sp_canvas *canvas, const uint8_t *data, size_t bytes)
{
    int width = canvas->width_px, height = canvas->height_px;
    uint8_t *found = decode(data, bytes, width, height), *wanted = reference_rgb(canvas);
    double sum = 0;
    int worst = 0;
    for (int y = 4; y < height - 4; y++) /* at the edges the two interpolate chroma differently */
        for (int i = 12; i < 3 * width - 12; i++) {
            int difference = abs(found[y * width * 3 + i] - wanted[y * width * 3 + i]);
            sum += difference;
            if (difference > worst)
                worst = difference;
        }
    double mean = sum / ((height - 8) * (3.0 * width - 24));
    if (mean > 1.5 || worst > 12)
        fail_msg("matrix %d, full range %d: mean difference %.2f, worst %d", (int)canvas->matrix,
                 canvas->full_range, mean, worst);
    free(found);
    free(wanted);
}

static void check_colors(struct sp_jpeg_device place)
{
    struct sp_jpeg *jpeg;
    assert_int_equal(sp_jpeg_open(&jpeg, NULL), SP_OK);
    sp_jpeg_set_device(jpeg, place);
    for (int matrix = SP_MATRIX_BT601; matrix <= SP_MATRIX_BT2020; matrix++)
        for (int full_range = 0; full_range <= 1; full_range++) {
            struct sp_canvas canvas =
                color_canvas(320, 240, (enum sp_color_matrix)matrix, full_range);
            const uint8_t *data;
            size_t bytes;
            assert_int_equal(sp_jpeg_encode(jpeg, &canvas, 97, &data, &bytes, NULL), SP_OK);
            assert_same_colors(&canvas, data, bytes);
            sp_canvas_release(&canvas);
        }
    sp_jpeg_close(jpeg);
}

static void test_colors_are_those_of_ffmpeg(void **state)
{
    (void)state;
    check_colors((struct sp_jpeg_device){0});
}

/* By nvJPEG, where there is a device. */
static void test_colors_by_a_device(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = NULL;
    struct spoton_jpeg *probe = NULL;
    char text[256] = "no plugin";
    if (UNDER_TSAN || sp_engine_load(&api, "cuda", NULL) < 0 ||
        api->device_api->jpeg_open(&probe, 0, NULL, text, sizeof text) < 0) {
        print_message("skipped: %s\n", text);
        skip();
    }
    api->device_api->jpeg_close(probe);
    check_colors((struct sp_jpeg_device){.api = api});
}

/* ---- device selection ---- */

static int opened, closed, encoded, fail_opening, fail_from;
static const uint8_t made[] = {0xff, 0xd8, 0xff, 0xd9};

static int stub_open(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                     size_t error_bytes)
{
    assert_int_equal(device, 3);
    assert_string_equal(backend_options, "graphs=0");
    snprintf(error, error_bytes, "no library");
    *out = (struct spoton_jpeg *)&opened;
    opened += !fail_opening;
    return fail_opening ? SPOTON_FAILED : 0;
}

static void stub_close(struct spoton_jpeg *jpeg)
{
    assert_ptr_equal(jpeg, &opened);
    ++closed;
}

static int stub_encode(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                       const uint8_t **data, size_t *bytes, char *error, size_t error_bytes)
{
    assert_ptr_equal(jpeg, &opened);
    assert_int_equal(image->width, 64);
    assert_int_equal(image->height, 48);
    assert_int_equal(quality, 80);
    assert_int_equal(image->plane[0][0], 255); /* white, in JPEG's colours */
    *data = made;
    *bytes = sizeof made;
    snprintf(error, error_bytes, "it has gone");
    return ++encoded >= fail_from ? SPOTON_DEVICE_LOST : 0;
}

/* Returns whether the device encoded it; the CPU's output is a valid image. */
static bool encode_once(struct sp_jpeg *jpeg, const struct sp_canvas *canvas)
{
    const uint8_t *data;
    size_t bytes;
    assert_int_equal(sp_jpeg_encode(jpeg, canvas, 80, &data, &bytes, NULL), SP_OK);
    if (data == made)
        return true;
    free(decode(data, bytes, 64, 48));
    return false;
}

static void test_a_device_compresses_until_it_fails(void **state)
{
    (void)state;
    const struct spoton_device_api device_api = {.struct_bytes = sizeof device_api,
                                                 .jpeg_open = stub_open,
                                                 .jpeg_close = stub_close,
                                                 .jpeg_encode = stub_encode};
    struct spoton_engine_api api = {.struct_bytes = sizeof api, .device_api = &device_api};
    char options[16] = "graphs=0";
    struct sp_jpeg_device place = {.api = &api, .device = 3, .backend_options = options};
    struct sp_canvas canvas = color_canvas(64, 48, SP_MATRIX_BT709, false);
    struct sp_jpeg *jpeg;
    assert_true(spoton_engine_makes_jpeg(&api));
    memset(canvas.plane[0], 235, (size_t)canvas.stride_bytes[0] * 48);
    memset(canvas.plane[1], 128, (size_t)canvas.stride_bytes[1] * 24);
    memset(canvas.plane[2], 128, (size_t)canvas.stride_bytes[2] * 24);

    fail_from = 4;
    assert_int_equal(sp_jpeg_open(&jpeg, NULL), SP_OK);
    sp_jpeg_set_device(jpeg, place);
    memset(options, 'x', sizeof options); /* the encoder must have copied them */
    for (int i = 1; i <= 6; i++)
        assert_int_equal(encode_once(jpeg, &canvas), i < fail_from);
    assert_int_equal(encoded, 4); /* the device is not used again */
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 1);
    sp_jpeg_close(jpeg);
    assert_int_equal(closed, 1);

    fail_opening = 1;
    snprintf(options, sizeof options, "graphs=0");
    assert_int_equal(sp_jpeg_open(&jpeg, NULL), SP_OK);
    sp_jpeg_set_device(jpeg, place);
    assert_false(encode_once(jpeg, &canvas));
    assert_false(encode_once(jpeg, &canvas));
    sp_jpeg_close(jpeg);
    assert_int_equal(closed, 1);
    sp_canvas_release(&canvas);
}

static void test_loading_for_jpeg_gives_the_same_image(void **state)
{
    (void)state;
    struct sp_jpeg *one, *other;
    assert_int_equal(sp_jpeg_open(&one, NULL), SP_OK);
    assert_int_equal(sp_jpeg_open(&other, NULL), SP_OK);
    static const int sizes[][2] = {{320, 240}, {321, 241}, {1, 1}, {17, 9}, {2050, 6}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sp_canvas canvas = color_canvas(sizes[i][0], sizes[i][1], SP_MATRIX_BT709, false);
        const struct sp_frame frame = {
            .plane = {canvas.plane[0], canvas.plane[1], canvas.plane[2]},
            .stride_bytes = {canvas.stride_bytes[0], canvas.stride_bytes[1],
                             canvas.stride_bytes[2]},
            .width_px = canvas.width_px,
            .height_px = canvas.height_px,
            .matrix = canvas.matrix,
        };
        struct sp_canvas converted = {0};
        assert_int_equal(sp_canvas_load(&converted, &frame, SP_CANVAS_JPEG, NULL), SP_OK);
        const uint8_t *a, *b;
        size_t a_bytes, b_bytes;
        assert_int_equal(sp_jpeg_encode(one, &canvas, 85, &a, &a_bytes, NULL), SP_OK);
        assert_int_equal(sp_jpeg_encode(other, &converted, 85, &b, &b_bytes, NULL), SP_OK);
        assert_int_equal(a_bytes, b_bytes);
        assert_memory_equal(a, b, a_bytes);
        free(decode(a, a_bytes, canvas.width_px, canvas.height_px));
        sp_canvas_release(&canvas);
        sp_canvas_release(&converted);
    }
    sp_jpeg_close(one);
    sp_jpeg_close(other);
}

static void test_black_and_white_reach_the_ends(void **state)
{
    (void)state;
    static const struct {
        uint8_t in, out;
    } cases[] = {{16, 0}, {235, 255}, {0, 0}, {255, 255}, {126, 128}};
    struct sp_jpeg *jpeg;
    assert_int_equal(sp_jpeg_open(&jpeg, NULL), SP_OK);
    for (int matrix = SP_MATRIX_BT601; matrix <= SP_MATRIX_BT2020; matrix++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct sp_canvas canvas = color_canvas(64, 64, (enum sp_color_matrix)matrix, false);
            memset(canvas.plane[0], cases[i].in, (size_t)canvas.stride_bytes[0] * 64);
            memset(canvas.plane[1], 128, (size_t)canvas.stride_bytes[1] * 32);
            memset(canvas.plane[2], 128, (size_t)canvas.stride_bytes[2] * 32);
            const uint8_t *data;
            size_t bytes;
            assert_int_equal(sp_jpeg_encode(jpeg, &canvas, 90, &data, &bytes, NULL), SP_OK);
            uint8_t *rgb = decode(data, bytes, 64, 64);
            for (int k = 0; k < 3; k++)
                assert_true(abs(rgb[(32 * 64 + 32) * 3 + k] - cases[i].out) <= 1);
            free(rgb);
            sp_canvas_release(&canvas);
        }
    sp_jpeg_close(jpeg);
}

static void test_bad_calls_are_refused(void **state)
{
    (void)state;
    struct sp_jpeg *jpeg;
    struct sp_error err = {0};
    const uint8_t *data;
    size_t bytes;
    assert_int_equal(sp_jpeg_open(&jpeg, NULL), SP_OK);
    struct sp_canvas canvas = {0};
    assert_int_equal(sp_jpeg_encode(jpeg, &canvas, 75, &data, &bytes, &err), SP_ERR_INVALID);
    canvas = color_canvas(16, 16, SP_MATRIX_BT601, true);
    assert_int_equal(sp_jpeg_encode(jpeg, &canvas, 0, &data, &bytes, &err), SP_ERR_INVALID);
    assert_int_equal(sp_jpeg_encode(jpeg, &canvas, 101, &data, &bytes, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "101"));
    sp_canvas_release(&canvas);
    sp_jpeg_close(jpeg);
    sp_jpeg_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colors_are_those_of_ffmpeg),
        cmocka_unit_test(test_colors_by_a_device),
        cmocka_unit_test(test_a_device_compresses_until_it_fails),
        cmocka_unit_test(test_loading_for_jpeg_gives_the_same_image),
        cmocka_unit_test(test_black_and_white_reach_the_ends),
        cmocka_unit_test(test_bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
