#include "config/settings.h"
#include "detect/detector.h"
#include "detect/model.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

/* 1: made; 0: there is no python3 with the onnx package. */
static int make_models(char *folder, size_t folder_bytes)
{
    char script[1024], command[4096];
    const char *python = getenv("PYTHON");
    scratch_folder(folder, folder_bytes, "test-models");
    source_path(script, sizeof script, "tests/tools/make_models.py");
    if (!python || !*python)
        return 0;
    snprintf(command, sizeof command, "'%s' '%s' '%s'", python, script, folder);
    int status = system(command);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WEXITSTATUS(status) == 0;
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static void test_the_fake_is_a_model_of_one_class(void **state)
{
    (void)state;
    static struct sp_model model;
    assert_int_equal(sp_model_open(&model, load_fake(), "fake", NULL, NULL), SP_OK);
    assert_int_equal(model.head_type, SP_HEAD_YOLOV8);
    assert_int_equal(model.classes, 1);
    assert_int_equal(model.person_class, 0);
    assert_int_equal(model.fixed_batch, 0);
    assert_int_equal(model.fixed_width_px, 0);
    assert_int_equal(model.stride_px, 32);
    assert_true(model.scale == 255);
    assert_false(model.relative_boxes);
}

static void test_paths_that_are_no_models(void **state)
{
    (void)state;
    static struct sp_model model;
    struct sp_error err;
    assert_int_equal(sp_model_open(&model, load_fake(), "/nowhere/m.onnx", NULL, &err),
                     SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/m.onnx"));
    static char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    assert_int_equal(sp_model_open(&model, load_fake(), longest, NULL, &err), SP_ERR_INVALID);
}

static void expect_unreadable(const struct spoton_engine_api *api, const char *path,
                              const char *word)
{
    static struct sp_model model;
    struct sp_error err;
    assert_int_equal(sp_model_open(&model, api, path, NULL, &err), SP_ERR_FORMAT);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, word));
    assert_null(strchr(err.text, '\n'));
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    if (!api)
        skip();
    char folder[512], path[600], bundled[1024];
    static char data[400000];
    scratch_folder(folder, sizeof folder, "test-models");
    expect_unreadable(api, folder, "folder");

    snprintf(path, sizeof path, "%s/empty.onnx", folder);
    write_file(path, "", 0);
    expect_unreadable(api, path, "empty");
    snprintf(path, sizeof path, "%s/text.onnx", folder);
    write_file(path, "hello, this is a text", 21);
    expect_unreadable(api, path, "not an ONNX file");
    snprintf(path, sizeof path, "%s/text.tflite", folder);
    write_file(path, "hello, this is a text", 21);
    expect_unreadable(api, path, "not a TFLite file");
    snprintf(path, sizeof path, "%s/text.xml", folder);
    write_file(path, "hello, this is a text", 21);
    expect_unreadable(api, path, "not an OpenVINO IR file");
    snprintf(path, sizeof path, "%s/one.onnx", folder);
    write_file(path, "\x08", 1);
    expect_unreadable(api, path, "ONNX");
    snprintf(path, sizeof path, "%s/model.bin", folder);
    write_file(path, "hello", 5);
    expect_unreadable(api, path, ".onnx");

    source_path(bundled, sizeof bundled, "models/person.onnx");
    FILE *file = fopen(bundled, "rb");
    assert_non_null(file);
    assert_int_equal(fread(data, 1, sizeof data, file), sizeof data);
    fclose(file);
    snprintf(path, sizeof path, "%s/half.onnx", folder);
    write_file(path, data, sizeof data);
    expect_unreadable(api, path, "unreadable");
    static const char magic[4] = {'T', 'F', 'L', '3'};
    memcpy(data + 4, magic, sizeof magic);
    snprintf(path, sizeof path, "%s/half.tflite", folder);
    write_file(path, data, sizeof data);
    expect_unreadable(api, path, "corrupted");
}

/* Opens it and runs it on a black image; true when it is usable. *model is then what the first
 * run made of it. */
static bool run_model(const struct spoton_engine_api *api, const char *path,
                      const struct sp_model_wish *wish, struct sp_model *model,
                      struct sp_detection *out, struct sp_error *err)
{
    static struct sp_model opened;
    if (sp_model_open(&opened, api, path, wish, err) < 0)
        return false;
    struct sp_detector *detector;
    struct sp_detector_options options = {
        .engine = api,
        .model = &opened,
        .precision = SPOTON_PRECISION_F32,
        .batch = 2,
        .width_px = 128,
        .height_px = 128,
        .threads = 1,
        .head = {.confidence_threshold = 0.5, .nms_iou = 0.5},
    };
    if (sp_detector_open(&detector, &options, err) < 0)
        return false;
    static const uint8_t planes[128 * 128];
    struct sp_frame frame = {.plane = {planes, planes, planes},
                             .stride_bytes = {128, 64, 64},
                             .width_px = 128,
                             .height_px = 128};
    struct sp_detector_request *request = sp_detector_acquire(detector);
    for (int i = 0; i < sp_detector_batch(detector); ++i)
        assert_int_equal(sp_detector_fill(detector, request, &frame, NULL), SP_OK);
    assert_int_equal(sp_detector_submit(detector, request, NULL), SP_OK);
    assert_int_equal(sp_detector_collect(detector, request, NULL), SP_OK);
    int last = request->images - 1;
    assert_true(request->image[last].detection_count >= 1);
    *out = request->image[last].detections[0];
    *model = *sp_detector_model(detector);
    sp_detector_release(detector, request);
    sp_detector_close(detector);
    return true;
}

static const struct spoton_engine_api *prepare(char *folder, size_t folder_bytes)
{
    const struct spoton_engine_api *api = find_openvino();
    if (!api)
        skip();
    if (!make_models(folder, folder_bytes)) {
        print_message("skipped: no python3 with the onnx package\n");
        skip();
    }
    return api;
}

struct reading {
    const char *name;
    enum sp_head_type head_type;
    int classes, person_class, fixed_batch, quantized, class_id;
    bool bytes, bgr, normalised; /* what the input wants */
    struct sp_model_wish wish;
};

static void expect_reading(const struct spoton_engine_api *api, const char *folder,
                           const struct reading *expected)
{
    static struct sp_model model;
    struct sp_detection found;
    struct sp_error err = {0};
    char path[600];
    snprintf(path, sizeof path, "%s/%s.onnx", folder, expected->name);
    bool usable = run_model(api, path, &expected->wish, &model, &found, &err);
    print_message("%s %s\n", expected->name, usable ? "" : err.text);
    assert_true(usable);
    assert_int_equal(model.head_type, expected->head_type);
    assert_int_equal(model.classes, expected->classes);
    assert_int_equal(model.person_class, expected->person_class);
    assert_int_equal(model.fixed_batch, expected->fixed_batch);
    assert_int_equal(model.quantized, expected->quantized);
    assert_true(model.scale == (expected->bytes ? 1.0f : 255.0f));
    assert_int_equal(model.swap_red_blue, expected->bgr);
    assert_true(model.mean[0] == (expected->normalised ? 0.485f : 0));
    assert_true(model.deviation[2] == (expected->normalised ? 0.225f : 0));
    assert_int_equal(found.class_id, expected->class_id);
    assert_true(fabs(found.confidence - 0.9) < 1e-3);
    /* make_models.py: cell 9 of stride 8 is at (76, 4), clipped at the top */
    double box[4] = {68, 0, 84, 16};
    if (expected->head_type == SP_HEAD_END_TO_END && !model.rows_overlap)
        memcpy(box, (double[4]){10, 20, 30, 60}, sizeof box);
    assert_true(fabs(found.x1_px - box[0]) < 0.1 && fabs(found.y1_px - box[1]) < 0.1);
    assert_true(fabs(found.x2_px - box[2]) < 0.1 && fabs(found.y2_px - box[3]) < 0.1);
}

static void test_heads_that_are_read(void **state)
{
    (void)state;
    char folder[512];
    const struct spoton_engine_api *api = prepare(folder, sizeof folder);
    static const struct reading cases[] = {
        {"v8", SP_HEAD_YOLOV8, 2, 1, 1, 0, 1},
        {"v8_free_batch", SP_HEAD_YOLOV8, 1, 0, 0, 0, 0},
        {"v8_relative", SP_HEAD_YOLOV8, 2, -1, 1, 0, 1},
        {"v8_rows", SP_HEAD_YOLOV8, 2, 1, 1, 0, 1},
        {"v8_rows_relative_nhwc", SP_HEAD_YOLOV8, 2, -1, 1, 0, 1},
        {"v8_half", SP_HEAD_YOLOV8, 1, 0, 1, 0, 0},
        {"v8_u8", SP_HEAD_YOLOV8, 1, 0, 1, 0, 0, .bytes = true},
        {"v8_takes_bytes", SP_HEAD_YOLOV8, 1, 0, 1, 0, 0, .bytes = true},
        {"v8_quantized", SP_HEAD_YOLOV8, 1, 0, 1, 1, 0},
        {"v8_no_person", SP_HEAD_YOLOV8, 2, -1, 1, 0, 1},
        {"v8_coco", SP_HEAD_YOLOV8, 80, 0, 1, 0, 79},
        {"v5", SP_HEAD_YOLOV5, 80, 0, 1, 0, 79},
        {"v5_unnamed", SP_HEAD_YOLOV5, 2, -1, 1, 0, 1},
        {"v5_relative", SP_HEAD_YOLOV5, 2, -1, 1, 0, 1},
        {"v5_free", SP_HEAD_YOLOV5, 80, 0, 0, 0, 79},
        {"v5_half", SP_HEAD_YOLOV5, 2, -1, 1, 0, 1},
        {"v5_maps", SP_HEAD_YOLOV5, 2, -1, 1, 0, 1},
        {"yolox", SP_HEAD_YOLOX, 80, 0, 1, 0, 79, .bytes = true, .bgr = true},
        {"yolox_raw", SP_HEAD_YOLOX, 2, -1, 1, 0, 1, .bytes = true, .bgr = true},
        {"yolox_free", SP_HEAD_YOLOX, 80, 0, 0, 0, 79, .bytes = true, .bgr = true},
        {"yolox_decoded", SP_HEAD_YOLOX, 80, 0, 1, 0, 79, .bytes = true, .bgr = true},
        {"rtdetr", SP_HEAD_RTDETR, 2, -1, 1, 0, 1},
        {"rtdetr_turned", SP_HEAD_RTDETR, 2, -1, 1, 0, 1},
        {"rtdetr_one", SP_HEAD_RTDETR, 80, 0, 1, 0, 79},
        {"end_to_end", SP_HEAD_END_TO_END, 80, 0, 1, 0, 0},
        {"end_to_end_relative", SP_HEAD_END_TO_END, 3, 1, 1, 0, 0},
        {"end_to_end_free", SP_HEAD_END_TO_END, 80, 0, 0, 0, 0},
        {"end_to_end_centers", SP_HEAD_END_TO_END, 80, 0, 1, 0, 0},
        {"v6", SP_HEAD_YOLOV6, 80, 0, 1, 0, 79},
        {"v6_free", SP_HEAD_YOLOV6, 80, 0, 0, 0, 79},
        {"v6_unnamed", SP_HEAD_YOLOV6, 2, -1, 1, 0, 1},
        {"v6_one", SP_HEAD_YOLOV6, 1, 0, 1, 0, 0},
        {"rows_free", SP_HEAD_END_TO_END, 1, 0, 0, 0, 0},
        {"rows_two", SP_HEAD_END_TO_END, 2, 0, 0, 0, 0},
        {"rows_three", SP_HEAD_END_TO_END, 3, 0, 1, 0, 0},
        {"rfdetr", SP_HEAD_RFDETR, 3, -1, 1, 0, 2, .normalised = true},
        {"rfdetr_one", SP_HEAD_RFDETR, 1, 0, 1, 0, 0, .normalised = true},
        {"rfdetr_coco", SP_HEAD_RFDETR, 91, 1, 1, 0, 90, .normalised = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        expect_reading(api, folder, &cases[i]);
}

static void test_what_the_user_says_goes_before_the_file(void **state)
{
    (void)state;
    char folder[512];
    const struct spoton_engine_api *api = prepare(folder, sizeof folder);
    static const struct reading cases[] = {
        {"v8_unsure", SP_HEAD_YOLOV8, 2, -1, 1, 0, 1, .wish = {.head_type = SP_HEAD_YOLOV8}},
        {"yolox", SP_HEAD_YOLOX, 80, 0, 1, 0, 79,
         .wish = {.range = SP_RANGE_UNIT, .color = SP_COLOR_RGB}},
        {"v8", SP_HEAD_YOLOV8, 2, 1, 1, 0, 1, .bytes = true, .bgr = true,
         .wish = {.range = SP_RANGE_BYTES, .color = SP_COLOR_BGR}},
        {"v8_takes_bytes", SP_HEAD_YOLOV8, 1, 0, 1, 0, 0, .wish = {.range = SP_RANGE_UNIT}},
        {"rtdetr", SP_HEAD_RTDETR, 2, -1, 1, 0, 1, .wish = {.head_type = SP_HEAD_RTDETR}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        expect_reading(api, folder, &cases[i]);
}

/* The settings do not see detect/ and repeat its numbers. */
static void test_the_settings_mean_what_the_model_reads(void **state)
{
    (void)state;
    static struct sp_settings settings;
    for (enum sp_head_type head_type = SP_HEAD_AUTO; head_type <= SP_HEAD_RFDETR; ++head_type) {
        const char *name = sp_head_type_name(head_type);
        assert_int_equal(sp_settings_set(&settings, "MODEL_HEAD", name, "a test", NULL), SP_OK);
        assert_int_equal(settings.head_type, head_type);
    }
    static const char *const ranges[] = {
        [SP_RANGE_AUTO] = "auto", [SP_RANGE_UNIT] = "0..1", [SP_RANGE_BYTES] = "0..255"};
    static const char *const colors[] = {
        [SP_COLOR_AUTO] = "auto", [SP_COLOR_RGB] = "rgb", [SP_COLOR_BGR] = "bgr"};
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(sp_settings_set(&settings, "MODEL_INPUT_RANGE", ranges[i], "a test", NULL),
                         SP_OK);
        assert_int_equal(sp_settings_set(&settings, "MODEL_INPUT_COLOR", colors[i], "a test", NULL),
                         SP_OK);
        assert_int_equal(settings.model_input_range, i);
        assert_int_equal(settings.model_input_color, i);
    }
}

static int inspect_huge(const char *path, struct spoton_model_info *info, char *error,
                        size_t error_bytes)
{
    (void)path;
    (void)error;
    (void)error_bytes;
    info->input_count = info->output_count = 1;
    info->input[0] = (struct spoton_tensor){
        .name = "images", .element = SPOTON_ELEMENT_F32, .rank = 4, .dims = {1, 3, 64, 1LL << 33}};
    info->output[0] = (struct spoton_tensor){
        .name = "boxes", .element = SPOTON_ELEMENT_F32, .rank = 3, .dims = {1, 84, -1}};
    return 0;
}

static void test_sides_that_fit_no_integer_are_refused(void **state)
{
    (void)state;
    static const struct spoton_engine_api engine = {.inspect = inspect_huge};
    static struct sp_model model;
    struct sp_error err = {0};
    assert_int_equal(sp_model_open(&model, &engine, "huge", NULL, &err), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "[1,3,64,8589934592]"));
}

static void test_heads_that_are_refused(void **state)
{
    (void)state;
    char folder[512], path[600];
    const struct spoton_engine_api *api = prepare(folder, sizeof folder);
    static const struct {
        const char *name, *seen;
        struct sp_model_wish wish;
    } cases[] = {
        {"no_grid", "are not near the cells", {0}},
        {"no_sigmoid", "a confidence is 8.1", {0}},
        {"v8_unsure", "MODEL_HEAD=yolov8", {0}},
        {"no_classes", "a class is 0.4", {0}},
        {"no_objectness", "are not near the cells of a yolov5", {0}},
        {"no_three_anchors", "are not near the cells of a yolov5", {0}},
        {"no_yolox", "are not near the cells of a yolox", {0}},
        {"no_nanodet", "NanoDet", {0}},
        {"no_queries", "MODEL_HEAD=rtdetr", {0}},
        {"no_masks", "masks", {0}},
        {"no_detr", "DETR or Deformable DETR", {0}},
        {"no_rows_unnamed", "MODEL_HEAD=end-to-end", {0}},
        {"no_relative", "RT-DETR's are in 0..1", {0}},
        {"no_two_outputs", "2 outputs", {0}},
        {"no_two_inputs", "2 inputs", {0}},
        {"no_rank", "[1,512]", {0}},
        {"no_map", "[1,85,8,8]", {0}},
        {"no_image", "[1,12]", {0}},
        {"no_grey", "[1,1,128,128]", {0}},
        {"no_int_input", "i32", {0}},
        {"no_keypoints", "names 1 classes", {0}},
        {"no_values", "[1,4,336]", {0}},
        {"v8", "does not fit MODEL_HEAD=yolov5", {.head_type = SP_HEAD_YOLOV5}},
        {"v8", "does not fit MODEL_HEAD=rtdetr", {.head_type = SP_HEAD_RTDETR}},
        {"rtdetr", "2 outputs", {.head_type = SP_HEAD_YOLOV8}},
        {"v8_u8", "MODEL_INPUT_RANGE", {.range = SP_RANGE_UNIT}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        static struct sp_model model;
        struct sp_detection found;
        struct sp_error err = {0};
        snprintf(path, sizeof path, "%s/%s.onnx", folder, cases[i].name);
        bool usable = run_model(api, path, &cases[i].wish, &model, &found, &err);
        print_message("%s\n", usable ? path : err.text);
        assert_false(usable);
        assert_int_equal(err.code, SP_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, cases[i].seen));
        assert_true(strlen(err.text) + 1 < sizeof err.text); /* nothing was cut off */
    }
}

static void test_models_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int result;
        enum sp_head_type head_type;
        const char *seen;
    } cases[] = {
        {"yolo11n_int8.tflite", SP_OK, SP_HEAD_YOLOV8, NULL},
        {"yolov8n_int8.tflite", SP_OK, SP_HEAD_YOLOV8, NULL},
        {"yolo26n_int8.tflite", SP_OK, SP_HEAD_END_TO_END, NULL},
        {"yolov5n.onnx", SP_OK, SP_HEAD_YOLOV5, NULL},
        {"yolox_nano.onnx", SP_OK, SP_HEAD_YOLOX, NULL},
        {"FastestDet.onnx", SP_ERR_UNSUPPORTED, SP_HEAD_AUTO, "[1,85,22,22]"},
        {"osnet_x0_25.onnx", SP_ERR_UNSUPPORTED, SP_HEAD_AUTO, "[?,512]"},
    };
    const struct spoton_engine_api *api = find_openvino();
    char folder[512], path[600];
    if (!api)
        skip();
    shared_path(folder, sizeof folder, "models/peers");
    if (!file_exists(folder)) {
        print_message("skipped: no %s\n", folder);
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        static struct sp_model model;
        struct sp_error err = {0};
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].name);
        assert_int_equal(sp_model_open(&model, api, path, NULL, &err), cases[i].result);
        if (cases[i].result == SP_OK) {
            assert_int_equal(model.head_type, cases[i].head_type);
            assert_int_equal(model.classes, 80);
            bool tflite = strstr(cases[i].name, "tflite") != NULL;
            bool yolox = model.head_type == SP_HEAD_YOLOX;
            assert_int_equal(model.layout, tflite ? SPOTON_LAYOUT_NHWC : SPOTON_LAYOUT_NCHW);
            assert_int_equal(model.fixed_width_px, yolox ? 416 : 640);
            assert_int_equal(model.relative_boxes, tflite);
            assert_int_equal(model.swap_red_blue, yolox);
            assert_true(model.scale == (yolox ? 1.0f : 255.0f));
        } else {
            assert_non_null(strstr(err.text, cases[i].seen));
        }
    }
}

static void test_the_bundled_model(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    static struct sp_model model;
    char path[1024];
    if (!api)
        skip();
    source_path(path, sizeof path, "models/person.onnx");
    assert_int_equal(sp_model_open(&model, api, path, NULL, NULL), SP_OK);
    assert_int_equal(model.head_type, SP_HEAD_YOLOV8);
    assert_string_equal(sp_head_type_name(model.head_type), "yolov8");
    assert_int_equal(model.classes, 1);
    assert_int_equal(model.fixed_batch + model.fixed_width_px + model.fixed_height_px, 0);
    assert_int_equal(model.layout, SPOTON_LAYOUT_NCHW);
    assert_false(model.quantized);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fake_is_a_model_of_one_class),
        cmocka_unit_test(test_paths_that_are_no_models),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_heads_that_are_read),
        cmocka_unit_test(test_sides_that_fit_no_integer_are_refused),
        cmocka_unit_test(test_what_the_user_says_goes_before_the_file),
        cmocka_unit_test(test_the_settings_mean_what_the_model_reads),
        cmocka_unit_test(test_heads_that_are_refused),
        cmocka_unit_test(test_models_of_others),
        cmocka_unit_test(test_the_bundled_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
