/* What runs on the device beside the CPU's code for the same. All but the arithmetic needs a GPU.
 */
#include "detect/device.h"

#include "../../src/engine/cuda/act.h"
#include "../../src/engine/cuda/pixel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_device.h"
#include "overlay_case.h"

static unsigned seed = 7;

static unsigned dice(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static float chance(void)
{
    return (float)(dice() % 1000000) / 1000000.0f;
}

static void *to_device(const void *data, size_t bytes)
{
    void *memory = NULL;
    assert_int_equal(cudaMalloc(&memory, bytes), cudaSuccess);
    assert_int_equal(data ? cudaMemcpy(memory, data, bytes, cudaMemcpyHostToDevice)
                          : cudaMemset(memory, 0xab, bytes),
                     cudaSuccess);
    return memory;
}

/* ---- letterbox ---- */

struct shape {
    int width, height, input_width, input_height;
    enum sp_pixel_format format;
    enum sp_color_matrix matrix;
    bool full_range;
    enum spoton_layout layout;
};

static const struct shape shapes[] = {
    {1920, 1080, 640, 384, SP_PIXEL_I420, SP_MATRIX_BT709, false, SPOTON_LAYOUT_NCHW},
    {1920, 1080, 640, 640, SP_PIXEL_NV12, SP_MATRIX_BT709, false, SPOTON_LAYOUT_NCHW},
    {1280, 720, 640, 384, SP_PIXEL_I420, SP_MATRIX_BT601, true, SPOTON_LAYOUT_NHWC},
    {640, 360, 640, 384, SP_PIXEL_NV12, SP_MATRIX_BT601, false, SPOTON_LAYOUT_NCHW},
    {768, 576, 640, 480, SP_PIXEL_I420, SP_MATRIX_BT601, false, SPOTON_LAYOUT_NCHW},
    {3840, 2160, 640, 384, SP_PIXEL_NV12, SP_MATRIX_BT2020, false, SPOTON_LAYOUT_NCHW},
    {353, 287, 640, 544, SP_PIXEL_I420, SP_MATRIX_BT601, false, SPOTON_LAYOUT_NCHW},
    {1079, 1919, 384, 640, SP_PIXEL_I420, SP_MATRIX_BT709, false, SPOTON_LAYOUT_NCHW},
    {1621, 911, 640, 384, SP_PIXEL_NV12, SP_MATRIX_BT709, false, SPOTON_LAYOUT_NCHW},
};

/* Smooth with noise on it, as images are: edges of one pixel would measure the rounding of
 * positions. */
static uint8_t *make_planes(const struct shape *shape, struct sp_frame *frame)
{
    int width = shape->width, height = shape->height;
    int chroma_width = (width + 1) / 2, chroma_height = (height + 1) / 2;
    size_t luma = (size_t)width * (size_t)height;
    size_t chroma = (size_t)chroma_width * (size_t)chroma_height;
    uint8_t *planes = malloc(luma + 2 * chroma);
    assert_non_null(planes);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            planes[(size_t)y * (size_t)width + (size_t)x] =
                (uint8_t)(16 + (int)(90 * (1 + sin(x * 0.02 + y * 0.013))) + (int)(dice() % 24));
    for (size_t i = 0; i < 2 * chroma; ++i)
        planes[luma + i] = (uint8_t)(100 + (int)(30 * sin((double)i * 0.003)) + (int)(dice() % 12));
    bool nv12 = shape->format == SP_PIXEL_NV12;
    *frame = (struct sp_frame){
        .plane = {planes, planes + luma, nv12 ? NULL : planes + luma + chroma},
        .stride_bytes = {width, nv12 ? 2 * chroma_width : chroma_width, chroma_width},
        .width_px = width,
        .height_px = height,
        .format = shape->format,
        .matrix = shape->matrix,
        .full_range = shape->full_range,
    };
    return planes;
}

/* The planes of `from` lie at the same places after `device` as after `planes`. */
static struct cuda_image image_of(const struct spoton_image *from, const uint8_t *planes,
                                  const uint8_t *device)
{
    struct cuda_image to;
    cuda_describe_image(&to, from);
    for (int i = 0; i < 3; ++i) {
        to.stride_bytes[i] = from->stride_bytes[i];
        to.plane[i] = from->plane[i] ? device + (from->plane[i] - planes) : NULL;
    }
    return to;
}

struct difference {
    double mean;
    int largest;
    size_t over;
};

static struct difference compare(const float *device, const uint8_t *cpu, size_t count)
{
    struct difference d = {0};
    for (size_t i = 0; i < count; ++i) {
        int off = abs((int)lrintf(device[i] * 255) - cpu[i]);
        d.mean += off / (double)count;
        d.largest = off > d.largest ? off : d.largest;
        d.over += off > 3;
    }
    return d;
}

/* What is alike: hardly any number differs by more than rounding does. */
static void judge(const struct shape *shape, const float *found, const uint8_t *expected,
                  size_t count)
{
    struct difference d = compare(found, expected, count);
    print_message("%dx%d to %dx%d: mean %.3f, largest %d, over 3: %zu of %zu\n", shape->width,
                  shape->height, shape->input_width, shape->input_height, d.mean, d.largest, d.over,
                  count);
    assert_true(d.mean < 0.8);
    assert_true(d.over <= count / 500);
}

static uint8_t *letterbox_by_cpu(const struct shape *shape, const struct sp_frame *frame)
{
    struct sp_letterbox *letterbox = NULL;
    struct sp_letterbox_geometry last = {0};
    uint8_t *expected = malloc((size_t)shape->input_width * (size_t)shape->input_height * 3);
    assert_non_null(expected);
    assert_int_equal(sp_letterbox_open(&letterbox, NULL), SP_OK);
    assert_int_equal(sp_letterbox_fill(letterbox, frame, expected, shape->layout,
                                       shape->input_width, shape->input_height, &last, NULL),
                     SP_OK);
    sp_letterbox_close(letterbox);
    return expected;
}

static void describe(const struct shape *shape, const struct sp_frame *frame,
                     struct spoton_image *description)
{
    struct sp_letterbox_geometry geometry;
    assert_int_equal(sp_device_image(description, &geometry, frame, shape->input_width,
                                     shape->input_height, NULL),
                     SP_OK);
}

static void keep_pixel(const struct shape *shape, float *found, int x, int y, const float color[3])
{
    size_t pixels = (size_t)shape->input_width * (size_t)shape->input_height;
    if (x < 0 || y < 0 || x >= shape->input_width || y >= shape->input_height)
        return;
    size_t at = (size_t)y * (size_t)shape->input_width + (size_t)x;
    for (size_t c = 0; c < 3; ++c)
        found[shape->layout == SPOTON_LAYOUT_NHWC ? at * 3 + c : c * pixels + at] = color[c] / 255;
}

/* The kernel's arithmetic, compiled for the CPU: needs no device. */
static void test_the_arithmetic_is_that_of_the_cpu(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        const struct shape *shape = &shapes[i];
        struct spoton_image description;
        struct sp_frame frame;
        uint8_t *planes = make_planes(shape, &frame);
        uint8_t *expected = letterbox_by_cpu(shape, &frame);
        describe(shape, &frame, &description);
        struct cuda_image image = image_of(&description, planes, planes);
        size_t pixels = (size_t)shape->input_width * (size_t)shape->input_height;
        float *found = malloc(3 * pixels * sizeof *found);
        assert_non_null(found);
        for (int y = -(image.top & 1); y < shape->input_height; y += 2)
            for (int x = -(image.left & 1); x < shape->input_width; x += 2) {
                float color[4][3];
                cuda_four_of_input(&image, x, y, color);
                for (int k = 0; k < 4; ++k)
                    keep_pixel(shape, found, x + (k & 1), y + (k >> 1), color[k]);
            }
        judge(shape, found, expected, 3 * pixels);
        free(found);
        free(expected);
        free(planes);
    }
}

static void run_letterbox(const struct shape *shape)
{
    struct spoton_image description;
    struct sp_frame frame;
    size_t count = (size_t)shape->input_width * (size_t)shape->input_height * 3;
    uint8_t *planes = make_planes(shape, &frame);
    uint8_t *expected = letterbox_by_cpu(shape, &frame);
    float *found = malloc(2 * count * sizeof *found);
    assert_non_null(found);
    describe(shape, &frame, &description);
    size_t bytes = (size_t)shape->width * (size_t)shape->height +
                   2 * (size_t)((shape->width + 1) / 2) * (size_t)((shape->height + 1) / 2);
    uint8_t *device = to_device(planes, bytes);
    struct cuda_image images[2] = {image_of(&description, planes, device)};
    struct cuda_image *on_device = to_device(images, sizeof images);
    struct cuda_input input = {
        .data = to_device(NULL, 2 * count * sizeof *found),
        .nhwc = shape->layout == SPOTON_LAYOUT_NHWC,
        .width = shape->input_width,
        .height = shape->input_height,
        .scale = 255,
    };
    assert_int_equal(cuda_letterbox(on_device, 2, &input, NULL), 0);
    assert_int_equal(
        cudaMemcpy(found, input.data, 2 * count * sizeof *found, cudaMemcpyDeviceToHost),
        cudaSuccess);
    judge(shape, found, expected, count);
    for (size_t i = count; i < 2 * count; ++i) /* no image: grey */
        assert_true(found[i] == 114.0f / 255);
    cudaFree(device);
    cudaFree(on_device);
    cudaFree(input.data);
    free(found);
    free(expected);
    free(planes);
}

static void test_images_are_those_of_the_cpu(void **state)
{
    (void)state;
    if (!have_device())
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        run_letterbox(&shapes[i]);
}

/* ---- images for viewers ---- */

static void run_overlay(const struct overlay_case *c, struct sp_text *text, int width, int height)
{
    struct overlay o;
    struct sp_marks marks = {0};
    overlay_make(c, &o);
    assert_int_equal(
        sp_draw_marks(&marks, width, height, text, o.track, (size_t)c->tracks, &o.style, NULL),
        SP_OK);
    struct spoton_image image = sp_frame_image(&o.frame);
    image.scaled_width = width;
    image.scaled_height = height;
    struct overlay_planes expected = overlay_planes(width, height);
    struct cuda_overlay overlay = overlay_describe(&o.frame, &image, &marks, width, height);
    overlay_point(&overlay, &expected, expected.memory);
    overlay_interpret(&overlay);

    uint8_t *from = to_device(o.frame.plane[0], o.frame_bytes);
    uint8_t *to = to_device(NULL, expected.bytes), *found = malloc(expected.bytes);
    struct spoton_mark *mark = to_device(marks.mark, marks.count * sizeof *mark);
    uint8_t *coverage = to_device(marks.coverage, marks.coverage_bytes);
    assert_non_null(found);
    for (int i = 0; i < 3; ++i)
        overlay.from[i] = o.frame.plane[i] ? from + (o.frame.plane[i] - o.frame.plane[0]) : NULL;
    overlay.marks = mark;
    overlay.coverage = coverage;
    overlay_point(&overlay, &expected, to);
    assert_int_equal(cuda_draw(&overlay, NULL), 0);
    assert_int_equal(cudaMemcpy(found, to, expected.bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_memory_equal(found, expected.memory, expected.bytes);

    cudaFree(from);
    cudaFree(to);
    cudaFree(mark);
    cudaFree(coverage);
    free(found);
    free(expected.memory);
    sp_marks_release(&marks);
    overlay_free(&o);
}

static void test_overlays_are_those_of_the_cpu(void **state)
{
    struct sp_text *text = NULL;
    (void)state;
    if (!have_device())
        skip();
    if (sp_text_open(&text, NULL, NULL) < 0)
        print_message("without labels: no font\n");
    for (int i = 0; i < OVERLAY_CASES; ++i) {
        const struct overlay_case *c = &overlay_cases[i];
        run_overlay(c, text, c->width, c->height);
        run_overlay(c, text, c->width * 2 / 3, c->height * 2 / 3);
        run_overlay(c, text, c->width / 3, c->height / 3);
    }
    sp_text_close(text);
}

/* ---- head ---- */

enum { IMAGES = 3 };

struct head_case {
    enum sp_head_type head_type;
    int classes, anchors;
    bool rows_first, relative, some_classes;
    float likely; /* share of anchors over the threshold */
};

static const struct head_case heads[] = {
    {SP_HEAD_YOLOV8, 1, 5040, false, false, false, 0.01f},
    {SP_HEAD_YOLOV8, 80, 8400, false, false, true, 0.02f},
    {SP_HEAD_YOLOV8, 3, 8400, true, true, false, 0.9f}, /* more than are sorted in shared memory */
    {SP_HEAD_YOLOV8, 1, 8400, false, false, false, 0},
    {SP_HEAD_END_TO_END, 80, 300, true, false, true, 0.3f},
    {SP_HEAD_END_TO_END, 5, 300, true, true, false, 1.0f},
};

static void fill_head(const struct head_case *c, float *data)
{
    float unit = c->relative ? 1.0f : 640.0f;
    int values = c->head_type == SP_HEAD_END_TO_END ? 6 : 4 + c->classes;
    bool rows = c->head_type == SP_HEAD_END_TO_END || c->rows_first;
    for (int image_index = 0; image_index < IMAGES; ++image_index)
        for (int a = 0; a < c->anchors; ++a)
            for (int v = 0; v < values; ++v) {
                float value = chance() * unit;
                bool likely = chance() < c->likely;
                if (c->head_type == SP_HEAD_END_TO_END) {
                    if (v == 2 || v == 3)
                        value = unit * 0.4f + value;
                    if (v == 4)
                        value = likely ? chance() : 0;
                    if (v == 5)
                        value = (float)(dice() % (unsigned)(c->classes + 1));
                } else if (v >= 4) {
                    value = likely && dice() % 3 == 0 ? chance() : 0.1f * chance();
                } else if (v >= 2) {
                    value *= 0.2f;
                }
                if (dice() % 997 == 0) /* what must not pass */
                    value = dice() % 2 ? NAN : INFINITY;
                size_t at = rows ? (size_t)a * (size_t)values + (size_t)v
                                 : (size_t)v * (size_t)c->anchors + (size_t)a;
                data[(size_t)image_index * (size_t)values * (size_t)c->anchors + at] = value;
            }
}

static struct cuda_head device_head(const struct spoton_head *head, const struct head_case *c,
                                    const float *data, size_t count)
{
    struct cuda_head h = {
        .data = to_device(data, count * sizeof *data),
        .corners = head->kind == SPOTON_HEAD_CORNERS,
        .rows_first = head->rows_first,
        .classes = head->classes,
        .anchors = c->anchors,
        .unit_x = head->unit_x,
        .unit_y = head->unit_y,
        .threshold = head->confidence_threshold,
        .nms_iou = head->nms_iou,
        .class_wanted =
            head->class_wanted ? to_device(head->class_wanted, (size_t)head->classes) : NULL,
        .candidates_max = head->candidates_max,
        .boxes_max = head->boxes_max,
        .keys_stride = 16384,
    };
    size_t anchors = IMAGES * (size_t)c->anchors, boxes = IMAGES * (size_t)h.boxes_max;
    h.keys = to_device(NULL, IMAGES * (size_t)h.keys_stride * sizeof *h.keys);
    h.candidate = to_device(NULL, anchors * sizeof *h.candidate);
    h.candidate_count = to_device(NULL, IMAGES * sizeof *h.candidate_count);
    h.boxes = to_device(NULL, boxes * sizeof *h.boxes);
    h.box_count = to_device(NULL, IMAGES * sizeof *h.box_count);
    return h;
}

static void free_head(struct cuda_head *h)
{
    cudaFree((void *)h->data);
    cudaFree((void *)h->class_wanted);
    cudaFree(h->keys);
    cudaFree(h->candidate);
    cudaFree(h->candidate_count);
    cudaFree(h->boxes);
    cudaFree(h->box_count);
}

static void assert_same(const struct sp_detection *a, const struct sp_detection *b, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        assert_true(a[i].x1_px == b[i].x1_px && a[i].y1_px == b[i].y1_px);
        assert_true(a[i].x2_px == b[i].x2_px && a[i].y2_px == b[i].y2_px);
        assert_true(a[i].confidence == b[i].confidence && a[i].class_id == b[i].class_id);
    }
}

static void run_head(const struct head_case *c)
{
    static struct sp_detection expected[SP_DETECTIONS_MAX], found[SP_DETECTIONS_MAX];
    static struct spoton_box boxes[IMAGES * SP_DETECTIONS_MAX];
    static struct sp_model model;
    bool wanted[128], end_to_end = c->head_type == SP_HEAD_END_TO_END;
    uint8_t wanted_bytes[128];
    int values = end_to_end ? 6 : 4 + c->classes, counts[IMAGES];
    size_t each = (size_t)values * (size_t)c->anchors;
    float *data = malloc(IMAGES * each * sizeof *data);
    assert_non_null(data);
    fill_head(c, data);
    for (int i = 0; i < 128; ++i)
        wanted[i] = i % 3 != 1;
    model = (struct sp_model){.head_type = c->head_type,
                              .classes = c->classes,
                              .rows_first = c->rows_first,
                              .relative_boxes = c->relative};
    struct sp_head_options options = {.confidence_threshold = 0.3,
                                      .nms_iou = 0.5,
                                      .class_wanted = c->some_classes ? wanted : NULL};
    struct sp_letterbox_geometry geometry;
    sp_letterbox_geometry(&geometry, 1920, 1080, 640, 640);
    struct spoton_head head;
    assert_true(sp_device_head(&head, wanted_bytes, &model, &options, 640, 640));
    struct cuda_head h = device_head(&head, c, data, IMAGES * each);
    bool rows = end_to_end || c->rows_first;
    int64_t dims[2] = {rows ? c->anchors : values, rows ? values : c->anchors};
    for (int again = 0; again < 2; ++again) { /* the same memory, as from batch to batch */
        assert_int_equal(cuda_head(&h, IMAGES, NULL), 0);
        assert_int_equal(cudaMemcpy(boxes, h.boxes, sizeof boxes, cudaMemcpyDeviceToHost),
                         cudaSuccess);
        assert_int_equal(cudaMemcpy(counts, h.box_count, sizeof counts, cudaMemcpyDeviceToHost),
                         cudaSuccess);
        for (int image_index = 0; image_index < IMAGES; ++image_index) {
            struct sp_model_output output = {
                .data = data + (size_t)image_index * each, .dims = {dims[0], dims[1]}, .rank = 2};
            size_t want = sp_head_decode(&model, &output, &options, &geometry, expected);
            size_t got = sp_device_detections(boxes + (ptrdiff_t)image_index * SP_DETECTIONS_MAX,
                                              counts[image_index], &geometry, found);
            assert_int_equal(got, want);
            assert_true(want > 0 || c->likely == 0);
            assert_same(found, expected, want);
        }
    }
    free_head(&h);
    free(data);
}

static void test_boxes_are_those_of_the_cpu(void **state)
{
    (void)state;
    if (!have_device())
        skip();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; ++i)
        run_head(&heads[i]);
}

/* ---- after convolutions ---- */

struct sums {
    int channels, pixels, before;
    bool half, half_out, after, in_place;
    enum cuda_activation activation;
};

static const struct sums sums[] = {
    {64, 4000, 0, true, true, false, true, CUDA_ACTIVATION_SILU},
    {64, 4001, 0, true, true, true, false, CUDA_ACTIVATION_CLIP},
    {8, 777, 2, true, true, true, true, CUDA_ACTIVATION_SILU},
    {80, 333, 4, true, false, false, false, CUDA_ACTIVATION_NONE},
    {5, 1001, 1, true, true, true, true, CUDA_ACTIVATION_SILU},
    {4, 999, 0, true, false, false, false, CUDA_ACTIVATION_NONE},
    {32, 501, 3, false, false, true, true, CUDA_ACTIVATION_CLIP},
    {3, 10007, 1, false, false, true, false, CUDA_ACTIVATION_SILU},
};

static float from_half(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return (float)(half & 0x8000 ? -size : size);
}

/* Numbers of both signs from 0.03 to 8, as f16 or f32 on the device, and their values. */
static void *random_numbers(size_t count, bool half, float *values)
{
    void *memory = malloc(count * (half ? 2 : 4));
    assert_non_null(memory);
    for (size_t i = 0; i < count; ++i) {
        uint16_t bits = (uint16_t)((dice() & 0x83ff) | (10 + dice() % 8) << 10);
        values[i] = half ? from_half(bits) : chance() * 16 - 8;
        if (half)
            ((uint16_t *)memory)[i] = bits;
        else
            ((float *)memory)[i] = values[i];
    }
    void *device = to_device(memory, count * (half ? 2 : 4));
    free(memory);
    return device;
}

static void run_sums(const struct sums *c)
{
    size_t count = (size_t)c->channels * (size_t)c->pixels, width = c->half_out ? 2 : 4;
    float *values = calloc(count * (CUDA_SUMMANDS_MAX + 3), sizeof *values);
    float *bias = values + count * (CUDA_SUMMANDS_MAX + 2);
    void *found = malloc(count * width);
    assert_non_null(values);
    assert_non_null(found);
    void *memory[CUDA_SUMMANDS_MAX + 4] = {
        random_numbers(count, c->half, values),
        random_numbers((size_t)c->channels, false, bias),
    };
    struct cuda_bias_act work = {
        .x = memory[0],
        .bias = memory[1],
        .before_count = c->before,
        .half = c->half,
        .half_out = c->half_out,
        .activation = c->activation,
        .low = 0,
        .high = 6,
        .channels = c->channels,
        .count = count,
    };
    for (int k = 0; k < c->before; ++k)
        work.before[k] = memory[k + 4] =
            random_numbers(count, c->half, values + count * (size_t)(k + 2));
    if (c->after)
        work.after = memory[2] = random_numbers(count, c->half, values + count);
    if (!c->in_place)
        memory[3] = to_device(NULL, count * width);
    work.y = c->in_place ? memory[0] : memory[3];
    assert_int_equal(cuda_bias_act(&work, NULL), 0);
    assert_int_equal(cudaMemcpy(found, work.y, count * width, cudaMemcpyDeviceToHost), cudaSuccess);
    for (size_t i = 0; i < count; ++i) {
        double sum = (double)values[i] + (double)bias[i % (size_t)c->channels];
        for (int k = 0; k < c->before; ++k)
            sum += (double)values[count * (size_t)(k + 2) + i];
        sum = (double)cuda_activate((float)sum, c->activation, 0, 6);
        sum += c->after ? (double)values[count + i] : 0;
        float got = c->half_out ? from_half(((uint16_t *)found)[i]) : ((float *)found)[i];
        double allowed = c->half_out ? fabs(sum) / 2047 + 1e-6 : fabs(sum) * 2e-6 + 4e-6;
        assert_true(fabs((double)got - sum) <= allowed);
    }
    for (size_t k = 0; k < sizeof memory / sizeof *memory; ++k)
        cudaFree(memory[k]);
    free(found);
    free(values);
}

static void test_sums_and_activations(void **state)
{
    (void)state;
    if (!have_device())
        skip();
    for (size_t i = 0; i < sizeof sums / sizeof *sums; ++i)
        run_sums(&sums[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_arithmetic_is_that_of_the_cpu),
        cmocka_unit_test(test_images_are_those_of_the_cpu),
        cmocka_unit_test(test_overlays_are_those_of_the_cpu),
        cmocka_unit_test(test_boxes_are_those_of_the_cpu),
        cmocka_unit_test(test_sums_and_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
