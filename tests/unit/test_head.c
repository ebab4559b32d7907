#include "detect/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { ANCHORS = 1000, CLASSES_MOST = 80 };

static float unit_random(void)
{
    return (float)rand() / (float)RAND_MAX;
}

struct found {
    double box[4];
    double confidence;
    int class_id, anchor;
};

static int by_confidence(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->confidence != right->confidence)
        return left->confidence > right->confidence ? -1 : 1;
    return left->anchor - right->anchor;
}

static double slow_iou(const double a[4], const double b[4])
{
    double w = fmin(a[2], b[2]) - fmax(a[0], b[0]), h = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    if (w <= 0 || h <= 0)
        return 0;
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h);
}

static size_t decode(const struct sp_model *model, const float *data, const int64_t *dims, int rank,
                     const struct sp_head_options *options,
                     const struct sp_letterbox_geometry *geometry, struct sp_detection *out)
{
    struct sp_model_output output = {.data = data, .rank = rank};
    for (int i = 0; i < rank; ++i)
        output.dims[i] = dims[i];
    return sp_head_decode(model, &output, options, geometry, out);
}

/* A second decoder, written the plain way: values by index, suppression by marking. */
static size_t slow_decode(const struct sp_model *model, const float *data, int anchors,
                          const struct sp_head_options *options,
                          const struct sp_letterbox_geometry *geometry, struct found *out)
{
    struct found *all = calloc((size_t)anchors, sizeof *all);
    size_t count = 0, kept = 0;
    int values = 4 + model->classes;
    for (int i = 0; i < anchors; ++i) {
        double v[4 + CLASSES_MOST];
        for (int k = 0; k < values; ++k)
            v[k] = model->rows_first ? data[i * values + k] : data[k * anchors + i];
        int best = -1;
        for (int c = 0; c < model->classes; ++c) {
            if (options->class_wanted && !options->class_wanted[c])
                continue;
            if (best < 0 || v[4 + c] > v[4 + best])
                best = c;
        }
        if (best < 0 || !(v[4 + best] >= options->confidence_threshold) || v[2] <= 0 || v[3] <= 0)
            continue;
        double w = model->relative_boxes ? geometry->input_width_px : 1;
        double h = model->relative_boxes ? geometry->input_height_px : 1;
        all[count++] = (struct found){{(v[0] - v[2] / 2) * w, (v[1] - v[3] / 2) * h,
                                       (v[0] + v[2] / 2) * w, (v[1] + v[3] / 2) * h},
                                      v[4 + best],
                                      best,
                                      i};
    }
    qsort(all, count, sizeof *all, by_confidence);
    bool *gone = calloc(count + 1, sizeof *gone);
    for (size_t i = 0; i < count; ++i) {
        if (gone[i])
            continue;
        for (size_t k = i + 1; k < count; ++k) {
            if (all[k].class_id == all[i].class_id &&
                slow_iou(all[i].box, all[k].box) > options->nms_iou)
                gone[k] = true;
        }
        if (kept++ >= SP_DETECTIONS_MAX)
            break;
        *out = all[i];
        for (int k = 0; k < 4; ++k) {
            double shift = k % 2 ? geometry->top_px : geometry->left_px;
            double limit = k % 2 ? geometry->source_height_px : geometry->source_width_px;
            out->box[k] = fmin(fmax((out->box[k] - shift) / geometry->gain_x, 0), limit);
        }
        out += out->box[2] > out->box[0] && out->box[3] > out->box[1];
    }
    size_t written = kept < SP_DETECTIONS_MAX ? kept : SP_DETECTIONS_MAX;
    free(all);
    free(gone);
    return written;
}

static void fill_random(float *data, const struct sp_model *model, int anchors,
                        const struct sp_letterbox_geometry *geometry, float confidence_most)
{
    int values = 4 + model->classes;
    float w = model->relative_boxes ? 1.0f : (float)geometry->input_width_px;
    float h = model->relative_boxes ? 1.0f : (float)geometry->input_height_px;
    for (int i = 0; i < anchors; ++i) {
        for (int k = 0; k < values; ++k) {
            float value = unit_random() * confidence_most;
            if (k == 0)
                value = (0.15f + 0.7f * unit_random()) * w;
            else if (k == 1)
                value = (0.3f + 0.4f * unit_random()) * h;
            else if (k < 4)
                value = (0.01f + 0.1f * unit_random()) * (k == 2 ? w : h);
            data[model->rows_first ? i * values + k : k * anchors + i] = value;
        }
    }
}

static void check_against_slow(struct sp_model *model, const bool *wanted, float confidence_most)
{
    struct sp_letterbox_geometry geometry;
    sp_letterbox_geometry(&geometry, 1920, 1080, 640, 384);
    struct sp_head_options options = {0.3, 0.5, wanted};
    int values = 4 + model->classes;
    float *data = calloc((size_t)values * ANCHORS, sizeof *data);
    struct found *expected = calloc(ANCHORS + 1, sizeof *expected);
    struct sp_detection *got = calloc(SP_DETECTIONS_MAX, sizeof *got);
    fill_random(data, model, ANCHORS, &geometry, confidence_most);
    int64_t dims[2] = {model->rows_first ? ANCHORS : values, model->rows_first ? values : ANCHORS};
    size_t count = decode(model, data, dims, 2, &options, &geometry, got);
    size_t wanted_count = slow_decode(model, data, ANCHORS, &options, &geometry, expected);
    assert_int_equal(count, wanted_count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; ++i) {
        assert_int_equal(got[i].class_id, expected[i].class_id);
        assert_true(got[i].confidence == expected[i].confidence);
        assert_true(fabs(got[i].x1_px - expected[i].box[0]) < 1e-2);
        assert_true(fabs(got[i].y1_px - expected[i].box[1]) < 1e-2);
        assert_true(fabs(got[i].x2_px - expected[i].box[2]) < 1e-2);
        assert_true(fabs(got[i].y2_px - expected[i].box[3]) < 1e-2);
    }
    free(data);
    free(expected);
    free(got);
}

static void test_decodes_like_the_slow_decoder(void **state)
{
    (void)state;
    static const int classes[] = {1, 2, 3, 80};
    bool wanted[CLASSES_MOST] = {[0] = true, [2] = true, [41] = true};
    srand(5);
    for (int round = 0; round < 64; ++round) {
        struct sp_model model = {
            .head_type = SP_HEAD_YOLOV8,
            .classes = classes[round / 4 % 4],
            .rows_first = round % 2 == 1,
            .relative_boxes = round / 2 % 2 == 1,
        };
        check_against_slow(&model, round / 16 % 2 ? wanted : NULL,
                           model.classes > 3 ? 0.32f : 0.4f);
    }
}

static const struct sp_model one_class = {.head_type = SP_HEAD_YOLOV8, .classes = 1};
static const struct sp_head_options usual = {0.3, 0.5, NULL};

static size_t decode_one(const float values[5], struct sp_detection *out)
{
    static const int64_t dims[2] = {5, 1};
    struct sp_letterbox_geometry geometry;
    struct sp_detection all[SP_DETECTIONS_MAX];
    sp_letterbox_geometry(&geometry, 640, 640, 640, 640);
    size_t count = decode(&one_class, values, dims, 2, &usual, &geometry, all);
    if (count > 0)
        *out = all[0];
    return count;
}

static void test_values_that_are_not_finite_are_dropped(void **state)
{
    (void)state;
    struct sp_detection out;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const float good[5] = {100, 100, 50, 50, 0.9f};
    assert_int_equal(decode_one(good, &out), 1);
    for (int k = 0; k < 5; ++k) {
        for (int b = 0; b < 3; ++b) {
            float values[5];
            memcpy(values, good, sizeof values);
            values[k] = bad[b];
            assert_int_equal(decode_one(values, &out), 0);
        }
    }
}

static void test_boxes_that_are_no_boxes_are_dropped(void **state)
{
    (void)state;
    struct sp_detection out;
    const float negative[5] = {100, 100, -50, 50, 0.9f};
    const float empty[5] = {100, 100, 50, 0, 0.9f};
    const float outside[5] = {-100, 100, 50, 50, 0.9f};
    const float huge[5] = {320, 320, 1e30f, 1e30f, 0.9f};
    assert_int_equal(decode_one(negative, &out), 0);
    assert_int_equal(decode_one(empty, &out), 0);
    assert_int_equal(decode_one(outside, &out), 0);
    assert_int_equal(decode_one(huge, &out), 1);
    assert_true(out.x1_px == 0 && out.y1_px == 0 && out.x2_px == 640 && out.y2_px == 640);
}

static void test_the_threshold_counts_itself_in_double(void **state)
{
    (void)state;
    struct sp_detection out;
    float at[5] = {100, 100, 50, 50, 0.3f}; /* the float is above the double 0.3 */
    assert_int_equal(decode_one(at, &out), 1);
    assert_true(out.confidence >= 0.3);
    at[4] = nextafterf(0.3f, 0);
    assert_int_equal(decode_one(at, &out), 0);
}

static void test_wrong_dimensions_give_nothing(void **state)
{
    (void)state;
    struct sp_letterbox_geometry geometry;
    struct sp_detection all[SP_DETECTIONS_MAX];
    sp_letterbox_geometry(&geometry, 640, 640, 640, 640);
    const float values[12] = {100, 100, 50, 50, 0.9f, 0.9f, 100, 100, 50, 50, 0.9f, 0.9f};
    int64_t wide[2] = {6, 1}, three[3] = {1, 5, 1}, none[2] = {5, 0};
    assert_int_equal(decode(&one_class, values, wide, 2, &usual, &geometry, all), 0);
    assert_int_equal(decode(&one_class, values, three, 3, &usual, &geometry, all), 0);
    assert_int_equal(decode(&one_class, values, three, 1, &usual, &geometry, all), 0);
    assert_int_equal(decode(&one_class, values, none, 2, &usual, &geometry, all), 0);
}

static void test_end_to_end_rows(void **state)
{
    (void)state;
    struct sp_model model = {
        .head_type = SP_HEAD_END_TO_END, .classes = 80, .relative_boxes = true};
    struct sp_letterbox_geometry geometry;
    struct sp_detection all[SP_DETECTIONS_MAX];
    sp_letterbox_geometry(&geometry, 1280, 720, 640, 640); /* gain 0.5, 140 px bars */
    const float rows[7][6] = {
        {0.25f, 0.25f, 0.5f, 0.5f, 0.6f, 0},
        {0.25f, 0.25f, 0.5f, 0.5f, 0.9f, 0}, /* the same place: no NMS for this head type */
        {0.25f, 0.25f, 0.5f, 0.5f, 0.8f, 79},
        {0.25f, 0.25f, 0.5f, 0.5f, 0.8f, 80}, /* no such class */
        {0.25f, 0.25f, 0.5f, 0.5f, 0.8f, NAN},
        {0.25f, 0.25f, 0.5f, 0.5f, 0.8f, -3e9f},
        {0.25f, 0.25f, 0.5f, 0.5f, 0.1f, 0},
    };
    int64_t dims[2] = {7, 6};
    size_t count = decode(&model, rows[0], dims, 2, &usual, &geometry, all);
    assert_int_equal(count, 3);
    assert_true(all[0].confidence == 0.9f && all[1].confidence == 0.8f &&
                all[2].confidence == 0.6f);
    assert_int_equal(all[1].class_id, 79);
    assert_true(fabs(all[0].x1_px - 320) < 1e-6 && fabs(all[0].y1_px - 40) < 1e-6);
    assert_true(fabs(all[0].x2_px - 640) < 1e-6 && fabs(all[0].y2_px - 360) < 1e-6);
}

static void test_a_full_head_gives_the_best_300(void **state)
{
    (void)state;
    enum { MANY = 9000 };
    struct sp_letterbox_geometry geometry;
    sp_letterbox_geometry(&geometry, 8000, 8000, 8000, 8000);
    float *data = calloc(5 * MANY, sizeof *data);
    struct sp_detection *all = calloc(SP_DETECTIONS_MAX, sizeof *all);
    for (int i = 0; i < MANY;
         ++i) { /* a grid of boxes that do not touch, confidences all different */
        int column = i % 100, row = i / 100;
        data[i] = (float)column * 80 + 40;
        data[MANY + i] = (float)row * 80 + 40;
        data[2 * MANY + i] = data[3 * MANY + i] = 40;
        data[4 * MANY + i] = 0.4f + (float)((i * 7919) % MANY) / MANY * 0.5f;
    }
    int64_t dims[2] = {5, MANY};
    assert_int_equal(decode(&one_class, data, dims, 2, &usual, &geometry, all), SP_DETECTIONS_MAX);
    for (int i = 0; i < SP_DETECTIONS_MAX; ++i)
        assert_true(all[i].confidence == 0.4f + (float)(MANY - 1 - i) / MANY * 0.5f);
    free(data);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_like_the_slow_decoder),
        cmocka_unit_test(test_values_that_are_not_finite_are_dropped),
        cmocka_unit_test(test_boxes_that_are_no_boxes_are_dropped),
        cmocka_unit_test(test_the_threshold_counts_itself_in_double),
        cmocka_unit_test(test_wrong_dimensions_give_nothing),
        cmocka_unit_test(test_end_to_end_rows),
        cmocka_unit_test(test_a_full_head_gives_the_best_300),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
