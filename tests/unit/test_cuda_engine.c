/* The cuda engine: what it is told and tells without a device, and its boxes beside the CPU's where
 * there is one. */
#include "../../src/engine/cuda/options.h"
#include "detect/detector.h"

#include <math.h>
#include <string.h>

#include "engines.h"

enum { W = 1920, H = 1080, FRAMES = 8, IMAGES_MAX = 64, IMAGE_BYTES = W * H * 3 / 2 };

/* ---- without a device ---- */

static const char *value_of(const struct cuda_provider *provider, const char *key)
{
    for (int i = 0; i < provider->count; ++i)
        if (strcmp(provider->key[i], key) == 0)
            return provider->value[i];
    return "";
}

static void test_options_are_read_or_named(void **state)
{
    (void)state;
    struct cuda_options options;
    char text[400] = "";
    assert_int_equal(cuda_options_parse(&options, NULL, text, sizeof text), 0);
    assert_true(options.graphs && options.nhwc && options.search && options.workspace);
    assert_true(options.fused && !options.sweep);
    assert_false(options.tensorrt);
    assert_int_equal(options.device, -1);
    assert_int_equal(cuda_options_parse(&options, "fused=0;sweep=1", text, sizeof text), 0);
    assert_true(!options.fused && options.sweep);
    assert_int_equal(cuda_options_parse(&options, "device=3;graphs=0;memory_mib=2048;tensorrt=1",
                                        text, sizeof text),
                     0);
    assert_int_equal(options.device, 3);
    assert_int_equal(options.memory_mib, 2048);
    assert_true(options.tensorrt && !options.graphs);
    static const char *const bad[][2] = {{"graph=1", "graphs"},
                                         {"graphs=2", "0 or 1"},
                                         {"device=-1", "whole number"},
                                         {"device=", "whole number"},
                                         {"device", "KEY=VALUE"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        assert_true(cuda_options_parse(&options, bad[i][0], text, sizeof text) < 0);
        assert_non_null(strstr(text, bad[i][1]));
    }
}

static void test_providers_are_told(void **state)
{
    (void)state;
    static struct cuda_provider provider;
    struct cuda_options options;
    char text[400];
    assert_int_equal(cuda_options_parse(&options, "device=1;memory_mib=512;workspace_mib=1024",
                                        text, sizeof text),
                     0);
    cuda_provider_options(&provider, &options, SPOTON_PRECISION_F32);
    assert_string_equal(value_of(&provider, "device_id"), "1");
    assert_string_equal(value_of(&provider, "gpu_mem_limit"), "536870912");
    assert_string_equal(value_of(&provider, "use_tf32"), "0");
    assert_string_equal(value_of(&provider, "enable_cuda_graph"), "1");
    assert_string_equal(value_of(&provider, "cudnn_conv_algo_search"), "EXHAUSTIVE");
    options.graphs = false;
    cuda_provider_options(&provider, &options, SPOTON_PRECISION_AUTO);
    assert_string_equal(value_of(&provider, "use_tf32"), "1");
    assert_string_equal(value_of(&provider, "enable_cuda_graph"), "1");
    options.capturable = false;
    cuda_provider_options(&provider, &options, SPOTON_PRECISION_AUTO);
    assert_string_equal(value_of(&provider, "enable_cuda_graph"), "0");

    struct spoton_engine_options engine = {.batch = 16,
                                           .height = 384,
                                           .width = 640,
                                           .layout = SPOTON_LAYOUT_NCHW,
                                           .cache_dir = "/var/cache/spoton"};
    cuda_tensorrt_options(&provider, &options, &engine, "images", false);
    assert_string_equal(value_of(&provider, "trt_fp16_enable"), "1");
    assert_string_equal(value_of(&provider, "trt_int8_enable"), "0");
    assert_string_equal(value_of(&provider, "trt_profile_min_shapes"), "images:1x3x384x640");
    assert_string_equal(value_of(&provider, "trt_profile_max_shapes"), "images:16x3x384x640");
    assert_string_equal(value_of(&provider, "trt_engine_cache_path"), "/var/cache/spoton");
    assert_string_equal(value_of(&provider, "trt_max_workspace_size"), "1073741824");
    engine.precision = SPOTON_PRECISION_F32;
    engine.layout = SPOTON_LAYOUT_NHWC;
    engine.cache_dir = NULL;
    cuda_tensorrt_options(&provider, &options, &engine, "x", true);
    assert_string_equal(value_of(&provider, "trt_fp16_enable"), "0");
    assert_string_equal(value_of(&provider, "trt_int8_enable"), "1");
    assert_string_equal(value_of(&provider, "trt_profile_opt_shapes"), "x:16x384x640x3");
    assert_string_equal(value_of(&provider, "trt_engine_cache_enable"), "");
}

static void test_batch_sizes_and_memory(void **state)
{
    (void)state;
    int sizes[16];
    assert_int_equal(cuda_batch_sizes(1, false, sizes), 1);
    assert_int_equal(cuda_batch_sizes(16, true, sizes), 1);
    assert_int_equal(sizes[0], 16);
    assert_int_equal(cuda_batch_sizes(32, false, sizes), 6);
    assert_true(sizes[0] == 1 && sizes[3] == 8 && sizes[5] == 32);
    assert_int_equal(cuda_batch_sizes(12, false, sizes), 5);
    assert_true(sizes[3] == 8 && sizes[4] == 12);
    assert_true(cuda_is_out_of_memory("BFCArena: Failed to allocate memory for requested buffer"));
    assert_true(cuda_is_out_of_memory("CUDA failure 2: out of memory ; GPU=0"));
    assert_true(cuda_is_out_of_memory("CUDNN_STATUS_ALLOC_FAILED"));
    assert_false(cuda_is_out_of_memory("CUDNN_STATUS_BAD_PARAM"));
}

static const struct spoton_engine_api *find_cuda(void)
{
    const struct spoton_engine_api *api = NULL;
    struct sp_error err = {0};
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    if (UNDER_TSAN || sp_engine_load(&api, "cuda", &err) < 0) {
        print_message("skipped: %s\n", UNDER_TSAN ? "ThreadSanitizer" : err.text);
        return NULL;
    }
    api->probe(&probe);
    if (probe.preference > 0)
        return api;
    assert_true(probe.reason[0] != '\0'); /* why, in words */
    print_message("skipped: engine cuda: %s\n", probe.reason);
    return NULL;
}

/* ---- with one ---- */

static uint8_t *planes[IMAGES_MAX];
static int images; /* that there are */
static struct sp_model model, cpu_model;

struct found {
    size_t count;
    struct sp_detection detections[SP_DETECTIONS_MAX];
};

static struct found on_cpu[IMAGES_MAX], on_device[IMAGES_MAX];

static uint8_t *add_image(void)
{
    uint8_t *memory = malloc(IMAGE_BYTES);
    assert_non_null(memory);
    planes[images++] = memory;
    return memory;
}

/* Frames of $SPOTON_TEST_IMAGES (raw I420, 1920x1080), or noise. Returns whether they are real.
 */
static bool read_images(void)
{
    const char *path = getenv("SPOTON_TEST_IMAGES");
    FILE *file = path ? fopen(path, "rbe") : NULL;
    static uint8_t image[IMAGE_BYTES];
    unsigned seed = 3;
    if (images > 0) {
        if (file)
            fclose(file);
        return path != NULL;
    }
    while (file && images < IMAGES_MAX && fread(image, 1, sizeof image, file) == sizeof image)
        memcpy(add_image(), image, sizeof image);
    if (file)
        fclose(file);
    if (images > 0)
        return true;
    assert_null(path);
    while (images < FRAMES) {
        uint8_t *noise = add_image();
        for (size_t k = 0; k < IMAGE_BYTES; ++k) {
            seed = seed * 1664525u + 1013904223u;
            noise[k] = (uint8_t)((k / 9000 % 200) + (seed >> 27));
        }
    }
    return false;
}

static struct sp_frame frame_of(int image)
{
    uint8_t *luma = planes[image];
    return (struct sp_frame){
        .plane = {luma, luma + W * H, luma + W * H * 5 / 4},
        .stride_bytes = {W, W / 2, W / 2},
        .width_px = W,
        .height_px = H,
        .matrix = SP_MATRIX_BT709,
    };
}

static char why[400]; /* open_detector() gave none */

/* $SPOTON_TEST_MODEL: another file of the same model for the device, in f16 for one. */
static struct sp_detector *open_detector(const struct spoton_engine_api *api, struct sp_model *of,
                                         int batch, enum spoton_precision precision,
                                         const char *backend_options)
{
    struct sp_detector *detector = NULL;
    struct sp_error err = {0};
    const char *chosen = strcmp(api->name, "cuda") == 0 ? getenv("SPOTON_TEST_MODEL") : NULL;
    char path[1024];
    source_path(path, sizeof path, "models/person.onnx");
    if (sp_model_open(of, api, chosen ? chosen : path, NULL, &err) < 0)
        print_message("%s\n", err.text);
    struct sp_detector_options options = {
        .engine = api,
        .model = of,
        .precision = precision,
        .batch = batch,
        .width_px = 640,
        .height_px = 384,
        .threads = 2,
        .backend_options = backend_options,
        .head = {.confidence_threshold = 0.3, .nms_iou = 0.7},
    };
    if (sp_detector_open(&detector, &options, &err) < 0) {
        snprintf(why, sizeof why, "%s", err.text);
        print_message("%s\n", err.text);
    }
    return detector;
}

static int submit(struct sp_detector *detector, struct sp_detector_request *request, int first,
                  int count)
{
    request->images = 0;
    for (int i = 0; i < count; ++i) {
        struct sp_frame frame = frame_of((first + i) % images);
        int result = sp_detector_fill(detector, request, &frame, NULL);
        if (result < 0)
            return result;
    }
    return sp_detector_submit(detector, request, NULL);
}

static void detect(struct sp_detector *detector, int batch, struct found found[IMAGES_MAX])
{
    struct sp_detector_request *request = sp_detector_acquire(detector);
    for (int first = 0; first < images; first += batch) {
        int count = images - first < batch ? images - first : batch;
        assert_int_equal(submit(detector, request, first, count), SP_OK);
        assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
        for (int i = 0; i < count; ++i) {
            found[first + i].count = request->image[i].detection_count;
            memcpy(found[first + i].detections, request->image[i].detections,
                   request->image[i].detection_count * sizeof(struct sp_detection));
        }
    }
    sp_detector_release(detector, request);
}

static double iou(const struct sp_detection *a, const struct sp_detection *b)
{
    double w = fmin(a->x2_px, b->x2_px) - fmax(a->x1_px, b->x1_px);
    double h = fmin(a->y2_px, b->y2_px) - fmax(a->y1_px, b->y1_px);
    if (w <= 0 || h <= 0)
        return 0;
    return w * h /
           ((a->x2_px - a->x1_px) * (a->y2_px - a->y1_px) +
            (b->x2_px - b->x1_px) * (b->y2_px - b->y1_px) - w * h);
}

/* Boxes well over the threshold, and how many of them the other has at IoU >= 0.98. */
static void count_alike(const struct found *a, const struct found *b, size_t *all, size_t *alike)
{
    for (int i = 0; i < images; ++i)
        for (size_t k = 0; k < a[i].count; ++k) {
            double best = 0;
            if (a[i].detections[k].confidence < 0.33)
                continue;
            for (size_t j = 0; j < b[i].count; ++j)
                best = fmax(best, iou(&a[i].detections[k], &b[i].detections[j]));
            ++*all;
            *alike += best >= 0.98;
        }
}

static void test_boxes_agree_with_the_cpu(void **state)
{
    (void)state;
    static const struct {
        enum spoton_precision precision;
        const char *backend_options;
        int batch;
        bool fused;
        double alike; /* of all boxes; f32 here is TF32 where the precision is left open */
    } ways[] = {{SPOTON_PRECISION_AUTO, "one_size=1", 8, true, 0.99},
                {SPOTON_PRECISION_AUTO, NULL, 8, true, 0.99}, /* larger sizes come meanwhile */
                {SPOTON_PRECISION_F16, "graphs=0;one_size=1", 3, true, 0.99},
                {SPOTON_PRECISION_AUTO, "fused=0;one_size=1", 8, false, 0.98},
                {SPOTON_PRECISION_F32, "graphs=0;nhwc=0", 1, false, 0.99},
                {SPOTON_PRECISION_F32, NULL, 3, false, 0.99},
                {SPOTON_PRECISION_AUTO, "fused=0;nhwc=0;search=0", 4, false, 0.98}};
    const struct spoton_engine_api *cuda = find_cuda(), *cpu = NULL;
    if (!cuda || sp_engine_load(&cpu, "onnxruntime", NULL) < 0)
        skip();
    bool real = read_images();
    struct sp_detector *detector = open_detector(cpu, &cpu_model, 1, SPOTON_PRECISION_F32, NULL);
    assert_non_null(detector);
    detect(detector, 1, on_cpu);
    sp_detector_close(detector);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i) {
        struct spoton_engine_description d = {.struct_bytes = sizeof d};
        detector =
            open_detector(cuda, &model, ways[i].batch, ways[i].precision, ways[i].backend_options);
        if (!detector && strstr(why, "no CUDA provider")) {
            print_message("skipped: %s\n", why);
            continue;
        }
        assert_non_null(detector);
        sp_detector_describe(detector, &d);
        assert_true(ways[i].fused == (strstr(d.device, "fused kernels") != NULL));
        size_t all = 0, alike = 0;
        for (int again = 0; again < 3; ++again) {
            detect(detector, ways[i].batch, on_device);
            count_alike(on_cpu, on_device, &all, &alike);
            count_alike(on_device, on_cpu, &all, &alike);
        }
        print_message(
            "%s, %s, batch %d: %zu of %zu boxes alike\n", sp_precision_name(ways[i].precision),
            ways[i].backend_options ? ways[i].backend_options : "", ways[i].batch, alike, all);
        assert_true((double)alike >= ways[i].alike * (double)all);
        assert_true(!real || all > 100);
        sp_detector_close(detector);
    }
}

/* Several requests in flight of two engines: every image keeps its boxes. */
static void share_a_device(const struct spoton_engine_api *cuda, enum spoton_precision precision,
                           const char *backend_options)
{
    enum { BATCH = 2, REQUESTS = 3, ROUNDS = 20 };
    struct sp_detector *detectors[2];
    struct sp_detector_request *requests[2][REQUESTS];
    for (int d = 0; d < 2; ++d) {
        detectors[d] = open_detector(cuda, &model, BATCH, precision, backend_options);
        if (!detectors[d] && strstr(why, "no CUDA provider"))
            return;
        assert_non_null(detectors[d]);
        for (int s = 0; s < REQUESTS; ++s)
            requests[d][s] = sp_detector_acquire(detectors[d]);
    }
    detect(detectors[0], BATCH, on_device);
    for (int round = 0; round < ROUNDS; ++round) {
        for (int d = 0; d < 2; ++d)
            for (int s = 0; s < REQUESTS; ++s)
                assert_int_equal(
                    submit(detectors[d], requests[d][s], (round + d + s) * BATCH, BATCH), SP_OK);
        for (int d = 0; d < 2; ++d)
            for (int s = 0; s < REQUESTS; ++s) {
                assert_int_equal(sp_detector_collect(detectors[d], requests[d][s], NULL), SP_OK);
                for (int i = 0; i < BATCH; ++i) {
                    const struct found *wanted = &on_device[((round + d + s) * BATCH + i) % images];
                    assert_int_equal(requests[d][s]->image[i].detection_count, wanted->count);
                    assert_memory_equal(requests[d][s]->image[i].detections, wanted->detections,
                                        wanted->count * sizeof *wanted->detections);
                }
            }
    }
    for (int d = 0; d < 2; ++d) {
        for (int s = 0; s < REQUESTS; ++s)
            sp_detector_release(detectors[d], requests[d][s]);
        sp_detector_close(detectors[d]);
    }
}

static void test_two_engines_share_a_device(void **state)
{
    (void)state;
    const struct spoton_engine_api *cuda = find_cuda();
    if (!cuda)
        skip();
    read_images();
    share_a_device(cuda, SPOTON_PRECISION_F32, "search=0");
    share_a_device(cuda, SPOTON_PRECISION_AUTO, "one_size=1");
}

/* Too little memory for 32 images at once: they run in parts, and the answers are the same. */
static void test_little_memory_is_enough(void **state)
{
    (void)state;
    const struct spoton_engine_api *cuda = find_cuda();
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    static struct found usual[IMAGES_MAX];
    if (!cuda)
        skip();
    read_images();
    struct sp_detector *detector = open_detector(cuda, &model, 8, SPOTON_PRECISION_F32, NULL);
    if (!detector && strstr(why, "no CUDA provider"))
        skip();
    assert_non_null(detector);
    detect(detector, 8, usual);
    sp_detector_close(detector);
    detector = open_detector(cuda, &model, 8, SPOTON_PRECISION_F32, "memory_mib=110");
    assert_non_null(detector);
    sp_detector_describe(detector, &d);
    print_message("%s\n", d.device);
    assert_non_null(strstr(d.device, "instead of 8"));
    detect(detector, 8, on_device);
    size_t all = 0, alike = 0;
    count_alike(usual, on_device, &all, &alike);
    count_alike(on_device, usual, &all, &alike);
    assert_true((double)alike >= 0.99 * (double)all);
    sp_detector_close(detector);
}

/* The last test: the device's context does not come back within a process. */
static void test_a_device_that_fails_is_an_error(void **state)
{
    (void)state;
    const struct spoton_engine_api *cuda = find_cuda();
    if (!cuda)
        skip();
    struct sp_detector *detector =
        open_detector(cuda, &model, 2, SPOTON_PRECISION_AUTO, "break_after=4");
    assert_non_null(detector);
    struct sp_detector_request *request = sp_detector_acquire(detector);
    int good = 0, bad = 0;
    for (int i = 0; i < 8; ++i) {
        struct sp_error err = {0};
        int result = submit(detector, request, i, 2);
        if (result == SP_OK)
            result = sp_detector_collect(detector, request, &err);
        if (result < 0)
            assert_int_equal(request->image[0].detection_count, 0);
        good += result == SP_OK;
        bad += result < 0;
    }
    assert_true(good >= 2 && good <= 3); /* one of the four may be the model's first run */
    assert_int_equal(bad, 8 - good);
    sp_detector_release(detector, request);
    sp_detector_close(detector);
}

/* An argument: the tests whose names fit it, as test_boxes*. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_read_or_named),
        cmocka_unit_test(test_providers_are_told),
        cmocka_unit_test(test_batch_sizes_and_memory),
        cmocka_unit_test(test_boxes_agree_with_the_cpu),
        cmocka_unit_test(test_two_engines_share_a_device),
        cmocka_unit_test(test_little_memory_is_enough),
        cmocka_unit_test(test_a_device_that_fails_is_an_error),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
