#include "base/queue.h"
#include "base/thread.h"
#include "detect/detector.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

enum { SOURCE_W = 640, SOURCE_H = 360 };

static struct sp_model model;

static struct sp_detector_options fake_options(const char *backend_options)
{
    const struct spoton_engine_api *fake = load_fake();
    assert_int_equal(sp_model_open(&model, fake, "fake", NULL, NULL), SP_OK);
    return (struct sp_detector_options){
        .engine = fake,
        .model = &model,
        .batch = 2,
        .width_px = 640,
        .height_px = 384,
        .threads = 2,
        .backend_options = backend_options,
        .head = {.confidence_threshold = 0.3, .nms_iou = 0.5},
    };
}

/* A dark image with one bright rectangle, whose place tells which image it is. */
static void draw(uint8_t *planes, struct sp_frame *frame, int number)
{
    memset(planes, 30, SOURCE_W * SOURCE_H);
    memset(planes + SOURCE_W * SOURCE_H, 128, SOURCE_W * SOURCE_H / 2);
    int left = 8 * (number % 60), top = 8 * (number / 60 % 30) + 4; /* bar of 12 px above: a grid */
    for (int y = top; y < top + 80; ++y)
        memset(planes + y * SOURCE_W + left, 235, 40);
    *frame = (struct sp_frame){
        .plane = {planes, planes + SOURCE_W * SOURCE_H, planes + SOURCE_W * SOURCE_H * 5 / 4},
        .stride_bytes = {SOURCE_W, SOURCE_W / 2, SOURCE_W / 2},
        .width_px = SOURCE_W,
        .height_px = SOURCE_H,
        .sequence = (uint64_t)number,
    };
}

static bool holds_image(const struct sp_detector_request *request, int image_index, int number)
{
    const struct sp_detection *found = request->image[image_index].detections;
    int left = 8 * (number % 60), top = 8 * (number / 60 % 30) + 4;
    return request->image[image_index].detection_count == 1 && fabs(found->x1_px - left) < 0.01 &&
           fabs(found->y1_px - top) < 0.01 && fabs(found->x2_px - left - 40) < 0.01 &&
           fabs(found->y2_px - top - 80) < 0.01 && found->class_id == 0;
}

static void test_a_rectangle_is_found_where_it_is(void **state)
{
    (void)state;
    struct sp_detector_options options = fake_options(NULL);
    struct sp_detector *detector;
    struct sp_frame frame;
    static uint8_t planes[SOURCE_W * SOURCE_H * 3 / 2];
    int w, h;
    assert_int_equal(sp_detector_open(&detector, &options, NULL), SP_OK);
    sp_detector_input_size(detector, &w, &h);
    assert_true(w == 640 && h == 384 && sp_detector_batch(detector) == 2);
    for (int number = 0; number < 200; number += 7) {
        struct sp_detector_request *request = sp_detector_acquire(detector);
        assert_int_equal(request->images, 0);
        draw(planes, &frame, number);
        assert_int_equal(sp_detector_fill(detector, request, &frame, NULL), SP_OK);
        assert_int_equal(request->images, 1); /* half a batch */
        assert_int_equal(sp_detector_submit(detector, request, NULL), SP_OK);
        assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
        assert_true(holds_image(request, 0, number));
        assert_true(request->finished_us >= request->submitted_us && request->submitted_us > 0);
        sp_detector_release(detector, request);
    }
    sp_detector_close(detector);
    sp_detector_close(NULL);
}

static void test_settings_that_cannot_be(void **state)
{
    (void)state;
    struct sp_detector *detector;
    struct sp_error err;
    struct sp_detector_options options = fake_options(NULL);
    options.width_px = 650;
    assert_int_equal(sp_detector_open(&detector, &options, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "650x384"));
    assert_non_null(strstr(err.text, "32"));
    options = fake_options(NULL);
    options.batch = 0;
    assert_int_equal(sp_detector_open(&detector, &options, &err), SP_ERR_INVALID);
    options = fake_options("nonsense=1");
    assert_int_equal(sp_detector_open(&detector, &options, &err), SP_ERR_ENGINE);
    assert_non_null(strstr(err.text, "nonsense=1"));
    options = fake_options("fail_every=1");
    assert_int_equal(sp_detector_open(&detector, &options, &err), SP_ERR_ENGINE);
    options = fake_options(NULL);
    model.fixed_batch = 3;
    model.fixed_width_px = 320;
    model.fixed_height_px = 200;
    assert_int_equal(sp_detector_open(&detector, &options, &err), SP_OK);
    int w, h;
    sp_detector_input_size(detector, &w, &h);
    assert_true(w == 320 && h == 200 && sp_detector_batch(detector) == 3);
    sp_detector_close(detector);
}

static void test_an_empty_frame_does_not_spoil_the_request(void **state)
{
    (void)state;
    struct sp_detector_options options = fake_options(NULL);
    struct sp_detector *detector;
    struct sp_frame frame, empty = {0};
    static uint8_t planes[SOURCE_W * SOURCE_H * 3 / 2];
    assert_int_equal(sp_detector_open(&detector, &options, NULL), SP_OK);
    struct sp_detector_request *request = sp_detector_acquire(detector);
    assert_int_equal(sp_detector_fill(detector, request, &empty, NULL), SP_ERR_INVALID);
    draw(planes, &frame, 61);
    assert_int_equal(sp_detector_fill(detector, request, &frame, NULL), SP_OK);
    assert_int_equal(sp_detector_submit(detector, request, NULL), SP_OK);
    assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
    assert_true(request->images == 1 && holds_image(request, 0, 61));
    sp_detector_release(detector, request);
    sp_detector_close(detector);
}

/* One thread fills, another collects, as in the pipeline. */
struct stream {
    struct sp_detector *detector;
    struct sp_queue *in_flight;
    int images, right, wrong, failed;
};

static void *collect_all(void *argument)
{
    struct stream *stream = argument;
    int next = 0;
    void *item;
    while (sp_queue_pop(stream->in_flight, &item, -1) == SP_OK) {
        struct sp_detector_request *request = item;
        struct sp_error err;
        int result = sp_detector_collect(stream->detector, request, &err);
        for (int i = 0; i < request->images; ++i, ++next) {
            if (result < 0)
                stream->failed += request->image[i].detection_count == 0;
            else if (holds_image(request, i, next))
                ++stream->right;
            else
                ++stream->wrong;
        }
        sp_detector_release(stream->detector, request);
    }
    return NULL;
}

static void run_stream(struct stream *stream, const char *backend_options, int images)
{
    struct sp_detector_options options = fake_options(backend_options);
    struct spoton_engine_description description;
    static uint8_t planes[SOURCE_W * SOURCE_H * 3 / 2];
    pthread_t collector;
    *stream = (struct stream){.images = images};
    assert_int_equal(sp_detector_open(&stream->detector, &options, NULL), SP_OK);
    sp_detector_describe(stream->detector, &description);
    assert_true(description.requests > 2);
    assert_int_equal(sp_queue_open(&stream->in_flight, 16, NULL), SP_OK);
    assert_int_equal(sp_thread_start(&collector, "collect", collect_all, stream, NULL), SP_OK);
    for (int number = 0; number < images;) {
        struct sp_detector_request *request = sp_detector_acquire(stream->detector);
        for (int i = 0; i < 2 && number < images; ++i, ++number) {
            struct sp_frame frame;
            draw(planes, &frame, number);
            assert_int_equal(sp_detector_fill(stream->detector, request, &frame, NULL), SP_OK);
        }
        assert_int_equal(sp_detector_submit(stream->detector, request, NULL), SP_OK);
        assert_int_equal(sp_queue_push(stream->in_flight, request), SP_OK);
    }
    sp_queue_close(stream->in_flight);
    pthread_join(collector, NULL);
    sp_queue_free(stream->in_flight);
    sp_detector_close(stream->detector);
}

static void test_many_requests_keep_their_order(void **state)
{
    (void)state;
    struct stream stream;
    run_stream(&stream, "delay_us=300", 301);
    assert_int_equal(stream.right, 301);
    assert_int_equal(stream.wrong + stream.failed, 0);
}

static void test_failures_stay_with_their_images(void **state)
{
    (void)state;
    struct stream stream;
    /* The first submit is open's own, so of 100 batches the 4th, 9th, 14th... fail: 20. */
    run_stream(&stream, "fail_every=5", 200);
    assert_int_equal(stream.failed, 40);
    assert_int_equal(stream.right, 160);
    assert_int_equal(stream.wrong, 0);
}

/* First image of a clip as raw planes; false when the clip or the ffmpeg program is missing. */
static bool read_image(const char *clip, int number, int w, int h, uint8_t *planes)
{
    char command[3000], folder[512], raw[600];
    size_t bytes = (size_t)w * (size_t)h * 3 / 2;
    if (!file_exists(clip))
        return false;
    scratch_folder(folder, sizeof folder, "test-models");
    snprintf(raw, sizeof raw, "%s/image.yuv", folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -y -i '%s' -vf 'select=eq(n\\,%d)' -frames:v 1 -pix_fmt yuv420p "
             "-f rawvideo '%s'",
             clip, number, raw);
    if (system(command) != 0)
        return false;
    FILE *file = fopen(raw, "rb");
    bool whole = file && fread(planes, 1, bytes, file) == bytes;
    if (file)
        fclose(file);
    unlink(raw);
    return whole;
}

static double iou(const struct sp_detection *a, const double b[4])
{
    double w = fmin(a->x2_px, b[2]) - fmax(a->x1_px, b[0]);
    double h = fmin(a->y2_px, b[3]) - fmax(a->y1_px, b[1]);
    if (w <= 0 || h <= 0)
        return 0;
    return w * h /
           ((a->x2_px - a->x1_px) * (a->y2_px - a->y1_px) + (b[2] - b[0]) * (b[3] - b[1]) - w * h);
}

struct result {
    size_t count;
    struct sp_detection detections[SP_DETECTIONS_MAX];
};

static void detect_one(const struct sp_detector_options *options, const struct sp_frame *frame,
                       int image_index, struct result *result)
{
    struct sp_detector *detector;
    struct sp_error err = {0};
    int opened = sp_detector_open(&detector, options, &err);
    if (opened < 0)
        print_message("%s\n", err.text);
    assert_int_equal(opened, SP_OK);
    struct sp_detector_request *request = sp_detector_acquire(detector);
    for (int i = 0; i <= image_index; ++i)
        assert_int_equal(sp_detector_fill(detector, request, frame, NULL), SP_OK);
    assert_int_equal(sp_detector_submit(detector, request, NULL), SP_OK);
    assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
    memset(result, 0, sizeof *result);
    result->count = request->image[image_index].detection_count;
    memcpy(result->detections, request->image[image_index].detections,
           result->count * sizeof *result->detections);
    sp_detector_release(detector, request);
    sp_detector_close(detector);
}

static struct sp_detector_options bundled_options(const struct spoton_engine_api *api)
{
    char path[1024];
    source_path(path, sizeof path, "models/person.onnx");
    assert_int_equal(sp_model_open(&model, api, path, NULL, NULL), SP_OK);
    return (struct sp_detector_options){
        .engine = api,
        .model = &model,
        .batch = 1,
        .width_px = 640,
        .height_px = 384,
        .threads = 2,
        .head = {.confidence_threshold = 0.3, .nms_iou = 0.7},
    };
}

static uint8_t planes_1080p[1920 * 1080 * 3 / 2];

static struct sp_frame frame_1080p(void)
{
    return (struct sp_frame){
        .plane = {planes_1080p, planes_1080p + 1920 * 1080, planes_1080p + 1920 * 1080 * 5 / 4},
        .stride_bytes = {1920, 960, 960},
        .width_px = 1920,
        .height_px = 1080,
        .matrix = SP_MATRIX_BT709,
    };
}

static void test_people_in_a_real_image(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    char clip[1024];
    shared_path(clip, sizeof clip, "data/clips/shop-1080p-hevc.mp4");
    if (!api)
        skip();
    if (!read_image(clip, 0, 1920, 1080, planes_1080p)) {
        print_message("skipped: no %s, or no ffmpeg program\n", clip);
        skip();
    }
    /* Two people seen in full, drawn by hand on the image. */
    static const double people[2][4] = {{687, 376, 961, 894}, {977, 136, 1152, 567}};
    struct sp_frame frame = frame_1080p();
    struct sp_detector_options options = bundled_options(api);
    static struct result result;
    detect_one(&options, &frame, 0, &result);
    assert_in_range(result.count, 3, 12);
    for (int i = 0; i < 2; ++i) {
        double best = 0;
        for (size_t k = 0; k < result.count; ++k)
            best = fmax(best, iou(&result.detections[k], people[i]));
        assert_true(best > 0.7);
    }
}

/* An image that needs no file: noise over a gradient. What is found does not matter. */
static void draw_noise(void)
{
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof planes_1080p; ++i) {
        seed = seed * 1664525u + 1013904223u;
        planes_1080p[i] = (uint8_t)((i / 9000 % 200) + (seed >> 27));
    }
}

static bool is_same(const struct result *a, const struct result *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; ++i) {
        const struct sp_detection *x = &a->detections[i], *y = &b->detections[i];
        same = x->x1_px == y->x1_px && x->y1_px == y->y1_px && x->x2_px == y->x2_px &&
               x->y2_px == y->y2_px && x->confidence == y->confidence && x->class_id == y->class_id;
    }
    return same;
}

static void test_the_same_numbers_whatever_the_threads(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    static const int settings[][4] = {/* threads, streams, batch, image */
                                      {2, 0, 1, 0}, {1, 1, 1, 0}, {2, 1, 1, 0}, {2, 2, 1, 0},
                                      {4, 2, 1, 0}, {2, 2, 4, 0}, {2, 2, 4, 3}, {1, 1, 4, 1}};
    static struct result first[2], result; /* by batch: 1, 4 */
    char clip[1024];
    if (!api)
        skip();
    shared_path(clip, sizeof clip, "data/clips/shop-1080p-hevc.mp4");
    if (!read_image(clip, 0, 1920, 1080, planes_1080p))
        draw_noise();
    struct sp_frame frame = frame_1080p();
    for (int precision = 0; precision < 2; ++precision) {
        first[0].count = first[1].count = 0;
        for (size_t i = 0; i < sizeof settings / sizeof *settings; ++i) {
            struct sp_detector_options options = bundled_options(api);
            options.precision = precision ? SPOTON_PRECISION_F32 : SPOTON_PRECISION_AUTO;
            options.threads = settings[i][0];
            options.streams = settings[i][1];
            options.batch = settings[i][2];
            options.head.confidence_threshold = 0; /* whatever it says: much to compare */
            detect_one(&options, &frame, settings[i][3], &result);
            assert_in_range(result.count, 20, SP_DETECTIONS_MAX);
            struct result *expected = &first[settings[i][2] > 1];
            if (expected->count == 0)
                *expected = result;
            print_message("%s, threads %d, streams %d, batch %d, image %d: %s\n",
                          precision ? "f32" : "auto", settings[i][0], settings[i][1],
                          settings[i][2], settings[i][3],
                          is_same(&first[0], &result) ? "the same" : "different from batch 1");
            assert_true(is_same(expected, &result));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rectangle_is_found_where_it_is),
        cmocka_unit_test(test_settings_that_cannot_be),
        cmocka_unit_test(test_an_empty_frame_does_not_spoil_the_request),
        cmocka_unit_test(test_many_requests_keep_their_order),
        cmocka_unit_test(test_failures_stay_with_their_images),
        cmocka_unit_test(test_people_in_a_real_image),
        cmocka_unit_test(test_the_same_numbers_whatever_the_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
