/* Crops of people, and a model of them. The engines' own part: test_engines_agree.c. */
#include "embed/embedder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"

enum { W = 200, H = 160, CROP_W = 64, CROP_H = 128 };

struct image {
    struct sp_frame frame;
    uint8_t y[W * H], u[W * H / 4], v[W * H / 4], uv[W * H / 2];
};

/* Grey on the left, red on the right of x = 100; BT.601, 16..235. */
static struct image *make_image(enum sp_pixel_format format)
{
    struct image *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int row = 0; row < H; row++)
        for (int x = 0; x < W; x++)
            p->y[row * W + x] = x < 100 ? 126 : 81;
    for (int i = 0; i < W * H / 4; i++) {
        bool red = i % (W / 2) >= 50;
        p->u[i] = p->uv[2 * i] = red ? 90 : 128;
        p->v[i] = p->uv[2 * i + 1] = red ? 240 : 128;
    }
    bool planar = format == SP_PIXEL_I420;
    p->frame = (struct sp_frame){.plane = {p->y, planar ? p->u : p->uv, planar ? p->v : NULL},
                                 .stride_bytes = {W, planar ? W / 2 : W, planar ? W / 2 : 0},
                                 .width_px = W,
                                 .height_px = H,
                                 .format = format};
    return p;
}

static void assert_color(const uint8_t *crop, int x, int y, int red, int green, int blue)
{
    const int wanted[3] = {red, green, blue};
    for (int c = 0; c < 3; c++)
        assert_true(abs(crop[(c * CROP_H + y) * CROP_W + x] - wanted[c]) <= 4);
}

static void test_a_crop_shows_its_part_of_the_image(void **state)
{
    (void)state;
    struct sp_crop_scratch *scratch;
    struct sp_error err = {0};
    uint8_t *first = malloc(3 * CROP_W * CROP_H), *second = malloc(3 * CROP_W * CROP_H);
    const double half[4] = {80, 20, 120, 120}, outside[4] = {150, -40, 400, 300};
    const double small[4] = {10, 10, 14, 60}, none[4] = {NAN, 0, NAN, 50};
    assert_int_equal(sp_crop_scratch_open(&scratch, NULL), SP_OK);
    for (int f = 0; f < 2; f++) {
        struct image *p = make_image(f ? SP_PIXEL_NV12 : SP_PIXEL_I420);
        uint8_t *rgb = f ? second : first;
        assert_int_equal(sp_crop_fill(scratch, &p->frame, outside, CROP_W, CROP_H, rgb, &err),
                         SP_OK);
        assert_color(rgb, 3, 3, 255, 0, 0);
        assert_color(rgb, CROP_W - 3, CROP_H - 3, 255, 0, 0);
        assert_int_equal(sp_crop_fill(scratch, &p->frame, half, CROP_W, CROP_H, rgb, &err), SP_OK);
        assert_color(rgb, 8, 60, 128, 128, 128);
        assert_color(rgb, CROP_W - 8, 60, 255, 0, 0);
        assert_int_equal(sp_crop_fill(scratch, &p->frame, small, CROP_W, CROP_H, rgb, &err),
                         SP_ERR_INVALID);
        assert_int_equal(sp_crop_fill(scratch, &p->frame, none, CROP_W, CROP_H, rgb, &err),
                         SP_ERR_INVALID);
        free(p);
    }
    assert_memory_equal(first, second, 3 * CROP_W * CROP_H);
    sp_crop_scratch_close(scratch);
    free(first);
    free(second);
}

static double cosine(const float *a, const float *b, int numbers)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < numbers; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* A crop gives the same alone and among others, and the mean and deviation come to bear. */
static void test_a_real_model(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    struct sp_embedder *embedder, *other;
    struct sp_error err = {0};
    char path[1024];
    int width, height;
    shared_path(path, sizeof path, "models/peers/osnet_x0_25.onnx");
    if (!api || !file_exists(path)) {
        print_message("skipped: no engine, or no %s\n", path);
        skip();
    }
    struct sp_embedder_options options = {.engine = api,
                                          .model_path = path,
                                          .mean = {0.485f, 0.456f, 0.406f},
                                          .deviation = {0.229f, 0.224f, 0.225f}};
    assert_int_equal(sp_embedder_open(&embedder, &options, &err), SP_OK);
    options.mean[0] = options.mean[1] = options.mean[2] = 0;
    options.deviation[0] = options.deviation[1] = options.deviation[2] = 1;
    assert_int_equal(sp_embedder_open(&other, &options, &err), SP_OK);
    sp_embedder_crop_size(embedder, &width, &height);
    assert_true(width == 128 && height == 256 && sp_embedder_numbers(embedder) == 512);
    size_t bytes = 3 * (size_t)width * (size_t)height;
    uint8_t *crops = malloc(SP_EMBEDDER_BATCH * bytes);
    assert_non_null(crops);
    for (size_t i = 0; i < SP_EMBEDDER_BATCH * bytes; i++) /* the fourth is as the first */
        crops[i] = (uint8_t)((i % bytes) * 31 / 7 * (1 + i / bytes % 3) % 251);
    const float *rows, *alone;
    float first[512];
    assert_int_equal(sp_embedder_run(embedder, crops, SP_EMBEDDER_BATCH, &rows, &err), SP_OK);
    assert_true(cosine(rows, rows + 3 * 512, 512) > 0.9999);
    assert_true(cosine(rows, rows + 512, 512) < 0.999);
    memcpy(first, rows, sizeof first);
    assert_int_equal(sp_embedder_run(embedder, crops, 1, &alone, &err), SP_OK);
    assert_true(cosine(first, alone, 512) > 0.9999);
    assert_int_equal(sp_embedder_run(other, crops, 1, &alone, &err), SP_OK);
    assert_true(cosine(first, alone, 512) < 0.99);
    free(crops);
    sp_embedder_close(other);
    sp_embedder_close(embedder);
}

static void test_other_models_are_refused(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    struct sp_embedder *embedder;
    struct sp_error err = {0};
    char path[1024];
    if (!api)
        skip();
    source_path(path, sizeof path, "models/person.onnx");
    struct sp_embedder_options options = {.engine = api, .model_path = path};
    assert_int_equal(sp_embedder_open(&embedder, &options, &err), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "REID_MODEL_PATH"));
    options.model_path = "/nothing/here.onnx";
    assert_int_equal(sp_embedder_open(&embedder, &options, &err), SP_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crop_shows_its_part_of_the_image),
        cmocka_unit_test(test_a_real_model),
        cmocka_unit_test(test_other_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
