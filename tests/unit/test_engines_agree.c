/* The engines beside each other: the same numbers go into a model, and the same boxes come out. */
#include "detect/detector.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

enum { W = 48, H = 32, BATCH = 2, IMAGE_W = 1920, IMAGE_H = 1080 };

static const struct spoton_engine_api *find_engine(const char *name)
{
    const struct spoton_engine_api *api = NULL;
    struct sp_error err = {0};
    if (UNDER_TSAN) /* it cannot see into the runtimes */
        print_message("skipped: no %s under ThreadSanitizer\n", name);
    else if (sp_engine_load(&api, name, &err) < 0)
        print_message("skipped: %s\n", err.text);
    return api;
}

/* ---- what goes in ---- */

struct echo {
    const char *name;
    enum spoton_layout layout;
    enum spoton_element element;
};

static uint8_t image_byte(int image, int color, int y, int x)
{
    return (uint8_t)((image * 91 + color * 57 + y * 13 + x * 7 + (x * y) % 5) & 255);
}

static void write_images(uint8_t *memory, enum spoton_layout layout)
{
    for (int i = 0; i < BATCH; ++i)
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < H; ++y)
                for (int x = 0; x < W; ++x)
                    memory[layout == SPOTON_LAYOUT_NCHW ? ((i * 3 + c) * H + y) * W + x
                                                        : ((i * H + y) * W + x) * 3 + c] =
                        image_byte(i, c, y, x);
}

/* The largest difference to what the model must have been given. */
static double largest_difference(const float *data, const struct spoton_engine_options *options)
{
    double largest = 0;
    for (int i = 0; i < BATCH; ++i)
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < H; ++y)
                for (int x = 0; x < W; ++x) {
                    int color = options->swap_red_blue ? 2 - c : c;
                    float found =
                        data[options->layout == SPOTON_LAYOUT_NCHW ? ((i * 3 + c) * H + y) * W + x
                                                                   : ((i * H + y) * W + x) * 3 + c];
                    double wanted = image_byte(i, color, y, x) / (double)options->scale;
                    if (options->deviation[0] > 0)
                        wanted =
                            (wanted - (double)options->mean[c]) / (double)options->deviation[c];
                    largest = fmax(largest, fabs(wanted - (double)found));
                }
    return largest;
}

static void run_echo(const struct spoton_engine_api *api,
                     const struct spoton_engine_options *options, double tolerance)
{
    struct spoton_engine *engine = NULL;
    struct spoton_engine_description description = {.struct_bytes = sizeof description};
    char text[400] = "";
    int opened = api->open(&engine, options, text, sizeof text);
    if (opened < 0)
        print_message("%s, %s: %s\n", api->name, options->model_path, text);
    assert_int_equal(opened, 0);
    api->describe(engine, &description);
    assert_true(description.requests >= 2 && description.output_count == 1);
    for (int request = 0; request < description.requests; ++request) {
        write_images(api->input(engine, request), options->input_layout);
        assert_int_equal(api->submit(engine, request, text, sizeof text), 0);
    }
    for (int request = 0; request < description.requests; ++request) {
        const float *data = NULL;
        int64_t dims[SPOTON_RANK_MAX];
        int rank = 0;
        assert_int_equal(api->wait(engine, request, text, sizeof text), 0);
        assert_int_equal(api->output(engine, request, 0, &data, dims, &rank, text, sizeof text), 0);
        assert_int_equal(rank, 4);
        assert_int_equal(dims[0] * dims[1] * dims[2] * dims[3], BATCH * 3 * H * W);
        double difference = largest_difference(data, options);
        if (difference > tolerance)
            print_message("%s, %s: off by %g\n", api->name, options->model_path, difference);
        assert_true(difference <= tolerance);
    }
    assert_true(api->output(engine, 0, 1, NULL, NULL, NULL, text, sizeof text) < 0);
    api->close(engine);
}

static bool make_models(char *folder, size_t folder_bytes)
{
    char script[1024], command[4096];
    const char *python = getenv("PYTHON");
    scratch_folder(folder, folder_bytes, "test-engines");
    source_path(script, sizeof script, "tests/tools/make_models.py");
    if (!python || !*python)
        return false;
    snprintf(command, sizeof command, "'%s' '%s' '%s'", python, script, folder);
    int status = system(command);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
    return WEXITSTATUS(status) == 0;
}

/* Every way from the requests' memory to the model's numbers. In bf16 all numbers are rounded to 8
 * bits, those of an image that is not divided not at all. */
static void run_echoes(const struct spoton_engine_api *api, enum spoton_precision precision)
{
    static const struct echo echoes[] = {
        {"echo_f32_nchw", SPOTON_LAYOUT_NCHW, SPOTON_ELEMENT_F32},
        {"echo_f32_nhwc", SPOTON_LAYOUT_NHWC, SPOTON_ELEMENT_F32},
        {"echo_f16_nchw", SPOTON_LAYOUT_NCHW, SPOTON_ELEMENT_F16},
        {"echo_f16_nhwc", SPOTON_LAYOUT_NHWC, SPOTON_ELEMENT_F16},
        {"echo_u8_nchw", SPOTON_LAYOUT_NCHW, SPOTON_ELEMENT_U8},
        {"echo_u8_nhwc", SPOTON_LAYOUT_NHWC, SPOTON_ELEMENT_U8},
    };
    char folder[512], path[600];
    if (!api || !make_models(folder, sizeof folder)) {
        print_message("skipped: no engine, or no python3 with the onnx package\n");
        skip();
    }
    for (int way = 0; way < 4; ++way) { /* a mean and deviation of each colour */
        snprintf(path, sizeof path, "%s/%s.onnx", folder,
                 way & 1 ? "echo_f32_nhwc" : "echo_f32_nchw");
        struct spoton_engine_options options = {
            .struct_bytes = sizeof options,
            .model_path = path,
            .precision = SPOTON_PRECISION_F32,
            .batch = BATCH,
            .height = H,
            .width = W,
            .layout = way & 1 ? SPOTON_LAYOUT_NHWC : SPOTON_LAYOUT_NCHW,
            .input_layout = SPOTON_LAYOUT_NCHW,
            .swap_red_blue = way >> 1,
            .scale = 255,
            .threads = 1,
            .mean = {0.485f, 0.456f, 0.406f},
            .deviation = {0.229f, 0.224f, 0.225f},
        };
        run_echo(api, &options, 1e-5);
    }
    for (size_t i = 0; i < sizeof echoes / sizeof *echoes; ++i)
        for (int way = 0; way < 8; ++way) {
            bool is_u8 = echoes[i].element == SPOTON_ELEMENT_U8;
            snprintf(path, sizeof path, "%s/%s.onnx", folder, echoes[i].name);
            struct spoton_engine_options options = {
                .struct_bytes = sizeof options,
                .model_path = path,
                .precision = precision,
                .batch = BATCH,
                .height = H,
                .width = W,
                .layout = echoes[i].layout,
                .swap_red_blue = way & 1,
                .scale = is_u8 || (way & 2) ? 1.0f : 255.0f,
                .threads = way & 4 ? 3 : 1,
                .streams = way & 4 ? 2 : 0,
                .input_layout = way & 4 ? SPOTON_LAYOUT_NCHW : SPOTON_LAYOUT_NHWC,
            };
            bool half = echoes[i].element == SPOTON_ELEMENT_F16;
            double tolerance = half ? 0.00025 : 1e-7;
            if (precision == SPOTON_PRECISION_BF16)
                tolerance = 0x1p-8;
            run_echo(api, &options, options.scale > 1 ? tolerance : 1e-7);
        }
}

static void test_models_are_given_the_image(void **state)
{
    (void)state;
    run_echoes(find_engine("onnxruntime"), SPOTON_PRECISION_F32);
}

static void test_openvino_gives_models_the_image(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_engine("openvino");
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    if (!api)
        skip();
    api->probe(&probe);
    run_echoes(api, SPOTON_PRECISION_F32);
    if (strstr(probe.precisions, "bf16"))
        run_echoes(api, SPOTON_PRECISION_BF16);
    else
        print_message("skipped in part: this CPU has no bf16\n");
}

static void test_what_the_engine_cannot_do_is_said(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_engine("onnxruntime");
    char path[1024], folder[512], text[400];
    struct spoton_engine *engine = NULL;
    static struct spoton_model_info info;
    if (!api)
        skip();
    assert_true(api->inspect("model.tflite", &info, text, sizeof text) < 0);
    scratch_folder(folder, sizeof folder, "test-engines");
    assert_true(api->inspect(folder, &info, text, sizeof text) < 0);
    assert_non_null(strstr(text, "folder"));
    snprintf(path, sizeof path, "%s/plan.tflite", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("TFL3 and more", file);
    fclose(file);
    assert_true(api->inspect(path, &info, text, sizeof text) < 0);
    assert_non_null(strstr(text, "ENGINE=openvino"));

    source_path(path, sizeof path, "models/person.onnx");
    struct spoton_engine_options options = {
        .struct_bytes = sizeof options,
        .model_path = path,
        .precision = SPOTON_PRECISION_BF16,
        .batch = 1,
        .height = 64,
        .width = 64,
        .scale = 255,
        .threads = 1,
    };
    assert_true(api->open(&engine, &options, text, sizeof text) < 0);
    assert_non_null(strstr(text, "f32"));
    options.precision = SPOTON_PRECISION_INT8;
    assert_true(api->open(&engine, &options, text, sizeof text) < 0);
    assert_non_null(strstr(text, "quantized"));
    options.precision = SPOTON_PRECISION_AUTO;
    options.backend_options = "not a pair";
    assert_true(api->open(&engine, &options, text, sizeof text) < 0);
    assert_non_null(strstr(text, "KEY=VALUE"));
    assert_null(engine);
}

/* ---- what comes out ---- */

static uint8_t planes[IMAGE_W * IMAGE_H * 3 / 2];

static bool read_image(const char *clip, int number)
{
    char command[3000], folder[512], raw[600];
    if (!file_exists(clip))
        return false;
    scratch_folder(folder, sizeof folder, "test-engines");
    snprintf(raw, sizeof raw, "%s/image.yuv", folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -y -i '%s' -vf 'select=eq(n\\,%d)' -frames:v 1 -pix_fmt yuv420p "
             "-f rawvideo '%s'",
             clip, number, raw);
    if (system(command) != 0)
        return false;
    FILE *file = fopen(raw, "rb");
    bool whole = file && fread(planes, 1, sizeof planes, file) == sizeof planes;
    if (file)
        fclose(file);
    unlink(raw);
    return whole;
}

/* An image that needs no file: noise over a gradient. */
static void draw_noise(unsigned seed)
{
    for (size_t i = 0; i < sizeof planes; ++i) {
        seed = seed * 1664525u + 1013904223u;
        planes[i] = (uint8_t)((i / 9000 % 200) + (seed >> 27));
    }
}

struct found {
    size_t count;
    struct sp_detection detections[SP_DETECTIONS_MAX];
};

static void detect(struct sp_detector *detector, struct found *found)
{
    struct sp_frame frame = {
        .plane = {planes, planes + IMAGE_W * IMAGE_H, planes + IMAGE_W * IMAGE_H * 5 / 4},
        .stride_bytes = {IMAGE_W, IMAGE_W / 2, IMAGE_W / 2},
        .width_px = IMAGE_W,
        .height_px = IMAGE_H,
        .matrix = SP_MATRIX_BT709,
    };
    struct sp_detector_request *request = sp_detector_acquire(detector);
    assert_int_equal(sp_detector_fill(detector, request, &frame, NULL), SP_OK);
    assert_int_equal(sp_detector_submit(detector, request, NULL), SP_OK);
    assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
    found->count = request->image[0].detection_count;
    memcpy(found->detections, request->image[0].detections,
           found->count * sizeof *found->detections);
    sp_detector_release(detector, request);
}

static struct sp_detector *open_detector(const struct spoton_engine_api *api,
                                         struct sp_model *model)
{
    struct sp_detector *detector = NULL;
    struct sp_error err = {0};
    char path[1024];
    source_path(path, sizeof path, "models/person.onnx");
    if (sp_model_open(model, api, path, NULL, &err) < 0)
        print_message("%s\n", err.text);
    struct sp_detector_options options = {
        .engine = api,
        .model = model,
        .precision = SPOTON_PRECISION_F32,
        .batch = 1,
        .width_px = 640,
        .height_px = 384,
        .threads = 2,
        .head = {.confidence_threshold = 0.1, .nms_iou = 0.7},
    };
    if (sp_detector_open(&detector, &options, &err) < 0)
        print_message("%s\n", err.text);
    assert_non_null(detector);
    return detector;
}

static double box_difference(const struct sp_detection *a, const struct sp_detection *b)
{
    return fmax(fmax(fabs(a->x1_px - b->x1_px), fabs(a->y1_px - b->y1_px)),
                fmax(fabs(a->x2_px - b->x2_px), fabs(a->y2_px - b->y2_px)));
}

/* Every box of one has its like in the other. */
static void assert_found_in(const struct found *some, const struct found *others)
{
    for (size_t i = 0; i < some->count; ++i) {
        bool found = false;
        for (size_t k = 0; k < others->count && !found; ++k)
            found =
                box_difference(&some->detections[i], &others->detections[k]) <= 1 &&
                fabs(some->detections[i].confidence - others->detections[k].confidence) <= 0.01 &&
                some->detections[i].class_id == others->detections[k].class_id;
        /* A confidence that close to the threshold may fall on either side of it. */
        if (!found && some->detections[i].confidence > 0.11)
            print_message("box %zu of %zu, confidence %g, is not found by the other engine\n", i,
                          some->count, some->detections[i].confidence);
        assert_true(found || some->detections[i].confidence <= 0.11);
    }
}

static void test_engines_find_the_same_people(void **state)
{
    (void)state;
    static const int numbers[] = {0, 40, 90, 140};
    static struct sp_model models[2];
    static struct found one, other;
    const struct spoton_engine_api *openvino = find_engine("openvino");
    const struct spoton_engine_api *onnxruntime = find_engine("onnxruntime");
    char clip[1024];
    if (!openvino || !onnxruntime)
        skip();
    struct sp_detector *first = open_detector(openvino, &models[0]);
    struct sp_detector *second = open_detector(onnxruntime, &models[1]);
    assert_int_equal(models[0].head_type, models[1].head_type);
    assert_int_equal(models[0].classes, models[1].classes);
    assert_int_equal(models[0].layout, models[1].layout);
    assert_int_equal(models[0].quantized, models[1].quantized);
    shared_path(clip, sizeof clip, "data/clips/shop-1080p-hevc.mp4");
    size_t people = 0;
    bool real = true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
        if (!read_image(clip, numbers[i])) {
            if (real)
                print_message("no %s, or no ffmpeg program: noise is compared\n", clip);
            real = false;
            draw_noise((unsigned)numbers[i] + 1);
        }
        detect(first, &one);
        detect(second, &other);
        assert_found_in(&one, &other);
        assert_found_in(&other, &one);
        people += one.count;
    }
    assert_true(!real || people >= 12);
    sp_detector_close(first);
    sp_detector_close(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_are_given_the_image),
        cmocka_unit_test(test_openvino_gives_models_the_image),
        cmocka_unit_test(test_what_the_engine_cannot_do_is_said),
        cmocka_unit_test(test_engines_find_the_same_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
