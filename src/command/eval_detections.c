/* spoton eval MODEL DATA: average precision of a model on labelled images. */
#include "base/cpu.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "capture/source.h"
#include "command/eval.h"
#include "command/eval_data.h"
#include "detect/detector.h"
#include "engine/loader.h"
#include "eval/average_precision.h"
#include "pipeline/classes.h"
#include "pipeline/model_choice.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Input shapes kept compiled; images of one size are mostly adjacent. */
enum { SHAPES_MAX = 6 };

/* Lowest confidence on the precision-recall curve; boxes below have no visible effect. */
static const double LOWEST_CONFIDENCE = 0.001;

struct shape {
    int width_px, height_px;
    struct sp_detector *detector;
    uint64_t used; /* number of the last image that used it */
};

struct eval {
    const struct sp_options *options;
    struct sp_model_choice choice; /* as in the server, without quantization check */
    struct sp_eval_data data;
    struct sp_frame_pool *pool;
    struct sp_ap *ap;
    bool *class_wanted;
    int class_id, threads;
    char cache_dir[SP_PATH_BYTES];
    struct shape shapes[SHAPES_MAX];
    double *engine_ms; /* per image */
    FILE *boxes;
    int width_px, height_px;         /* input size of the last image */
    enum spoton_precision precision; /* actually used */
    enum sp_head_type head_type;     /* resolved by the first run */
};

/* The single class of CLASSES, or the person class. */
static int choose_class(struct eval *eval, struct sp_error *err)
{
    const struct sp_model *model = &eval->choice.model;
    bool *wanted = NULL;
    int result = sp_classes_choose(&wanted, model, eval->options->settings.classes, err);
    if (result < 0)
        return result;
    int single = sp_classes_single(model, wanted);
    free(wanted);
    eval->class_id = single >= 0 ? single : model->person_class;
    if (eval->class_id >= 0)
        return SP_OK;
    char classes[240];
    sp_classes_text(model, classes, sizeof classes);
    return sp_fail(err, SP_ERR_INVALID,
                   "model %.120s: no class \"person\"; set CLASSES to the class of the labels: "
                   "%s",
                   model->path, classes);
}

static int open_eval(struct eval *eval, const char *data_path, struct sp_error *err)
{
    const struct sp_settings *s = &eval->options->settings;
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    eval->threads = s->threads > 0 ? s->threads : cpu.cores_usable;
    int result = sp_model_choose(&eval->choice, s, err);
    if (result == SP_OK)
        result = choose_class(eval, err);
    if (result == SP_OK)
        result = sp_eval_data_open(&eval->data, data_path, err);
    if (result == SP_OK)
        result = sp_frame_pool_open(&eval->pool, err);
    if (result == SP_OK)
        result = sp_ap_open(&eval->ap, s->confidence_threshold, err);
    if (result < 0)
        return result;
    eval->class_wanted = calloc((size_t)eval->choice.model.classes, sizeof *eval->class_wanted);
    eval->engine_ms = calloc(eval->data.count, sizeof *eval->engine_ms);
    if (!eval->class_wanted || !eval->engine_ms)
        return sp_fail(err, SP_ERR_NO_MEMORY, "eval: out of memory");
    eval->class_wanted[eval->class_id] = true;
    if (s->cache_dir[0])
        snprintf(eval->cache_dir, sizeof eval->cache_dir, "%s",
                 strcmp(s->cache_dir, "off") == 0 ? "" : s->cache_dir);
    else
        sp_path_cache_dir(eval->cache_dir, sizeof eval->cache_dir);
    return eval->cache_dir[0] ? sp_path_make_dirs(eval->cache_dir, err) : SP_OK;
}

static void close_eval(struct eval *eval)
{
    for (int i = 0; i < SHAPES_MAX; i++)
        sp_detector_close(eval->shapes[i].detector);
    sp_ap_close(eval->ap);
    sp_frame_pool_close(eval->pool);
    sp_eval_data_release(&eval->data);
    free(eval->class_wanted);
    free(eval->engine_ms);
    free(eval);
}

static int open_shape(struct eval *eval, struct shape *shape, struct sp_error *err)
{
    const struct sp_settings *s = &eval->options->settings;
    struct sp_detector_options options = {
        .engine = eval->choice.engine,
        .model = &eval->choice.model,
        .precision = eval->choice.precision,
        .batch = 1,
        .width_px = shape->width_px,
        .height_px = shape->height_px,
        .threads = eval->threads,
        .streams = s->streams > 0 ? s->streams : 1, /* one image at a time */
        .cache_dir = eval->cache_dir[0] ? eval->cache_dir : NULL,
        .backend_options = sp_model_choice_backend_options(&eval->choice),
        .head = {.confidence_threshold = LOWEST_CONFIDENCE,
                 .nms_iou = s->nms_iou,
                 .class_wanted = eval->class_wanted},
    };
    return sp_detector_open(&shape->detector, &options, err);
}

/* The detector for this image size; replaces the least recently used one. */
static int find_shape(struct eval *eval, int width_px, int height_px, uint64_t number,
                      struct shape **found, struct sp_error *err)
{
    const struct sp_settings *s = &eval->options->settings;
    struct shape wanted = {.width_px = eval->choice.input_size_px,
                           .height_px = eval->choice.input_size_px};
    if (eval->choice.model.fixed_width_px && eval->choice.model.fixed_height_px) {
        wanted.width_px = eval->choice.model.fixed_width_px;
        wanted.height_px = eval->choice.model.fixed_height_px;
    } else if (!s->square_input) {
        sp_letterbox_input_shape(width_px, height_px, eval->choice.input_size_px,
                                 eval->choice.model.stride_px, &wanted.width_px, &wanted.height_px);
    }
    struct shape *oldest = &eval->shapes[0];
    int result = SP_OK;
    *found = NULL;
    for (int i = 0; i < SHAPES_MAX; i++) {
        struct shape *shape = &eval->shapes[i];
        if (shape->detector && shape->width_px == wanted.width_px &&
            shape->height_px == wanted.height_px)
            *found = shape;
        if (!shape->detector || (oldest->detector && shape->used < oldest->used))
            oldest = shape;
    }
    if (!*found) {
        sp_detector_close(oldest->detector);
        *oldest = wanted;
        *found = oldest;
        result = open_shape(eval, oldest, err);
    }
    (*found)->used = number;
    return result;
}

static int read_image(const struct eval *eval, const struct sp_eval_image *image,
                      struct sp_frame **frame, struct sp_error *err)
{
    struct sp_source *source = NULL;
    struct sp_source_options options = {.url = image->url, .pool = eval->pool, .frame_skip = 1};
    int result = sp_source_open(&source, &options, err);
    if (result == SP_OK)
        result = sp_source_read(source, frame, err);
    sp_source_close(source);
    return result < 0 ? sp_fail_prefix(err, result, "image %s", image->name) : SP_OK;
}

static void write_boxes(const struct eval *eval, const char *name, const struct sp_detection *boxes,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) /* the stream keeps errors; finish_boxes checks them */
        (void)fprintf(eval->boxes, "%s %.4f %.4f %.4f %.4f %.9g\n", name, boxes[i].x1_px,
                      boxes[i].y1_px, boxes[i].x2_px, boxes[i].y2_px, boxes[i].confidence);
}

static int infer(struct eval *eval, struct sp_detector *detector, const struct sp_frame *frame,
                 size_t index, struct sp_error *err)
{
    const struct sp_eval_image *image = &eval->data.images[index];
    struct sp_detector_request *request = sp_detector_acquire(detector);
    struct sp_box_label *labels = NULL;
    size_t label_count = 0;
    int result = sp_detector_fill(detector, request, frame, err);
    if (result == SP_OK)
        result = sp_detector_submit(detector, request, err);
    if (result == SP_OK)
        result = sp_detector_collect(detector, request, err);
    if (result == SP_OK)
        result = sp_eval_labels(image, frame->width_px, frame->height_px, eval->class_id, &labels,
                                &label_count, err);
    if (result == SP_OK) {
        eval->engine_ms[index] = (double)(request->finished_us - request->submitted_us) / 1e3;
        if (eval->boxes)
            write_boxes(eval, image->name, request->image[0].detections,
                        request->image[0].detection_count);
        result = sp_ap_add(eval->ap, request->image[0].detections,
                           request->image[0].detection_count, labels, label_count, err);
    }
    free(labels);
    sp_detector_release(detector, request);
    return result;
}

static int take_image(struct eval *eval, size_t index, struct sp_error *err)
{
    struct sp_frame *frame = NULL;
    struct shape *shape = NULL;
    int result = read_image(eval, &eval->data.images[index], &frame, err);
    if (result < 0 || !frame)
        return result;
    int width_px, height_px;
    sp_frame_square_size_px(frame, &width_px, &height_px);
    result = find_shape(eval, width_px, height_px, index + 1, &shape, err);
    if (result == SP_OK)
        result = infer(eval, shape->detector, frame, index, err);
    if (result == SP_OK) {
        struct spoton_engine_description description = {.struct_bytes = sizeof description};
        sp_detector_describe(shape->detector, &description);
        sp_detector_input_size(shape->detector, &eval->width_px, &eval->height_px);
        eval->precision = description.precision;
        eval->head_type = sp_detector_model(shape->detector)->head_type;
    }
    sp_frame_unref(frame);
    return result;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_ms(const struct eval *eval)
{
    qsort(eval->engine_ms, eval->data.count, sizeof *eval->engine_ms, compare_numbers);
    return eval->engine_ms[eval->data.count / 2];
}

static void add_number(struct sp_json *json, const char *key, double value, int decimals)
{
    sp_json_key(json, key);
    sp_json_number(json, value, decimals);
}

static void add_text(struct sp_json *json, const char *key, const char *value)
{
    sp_json_key(json, key);
    sp_json_string(json, value);
}

static void add_range(struct sp_json *json, const struct sp_ap_result *result)
{
    add_number(json, "ap50", result->ap50, 5);
    add_number(json, "ap50_95", result->ap50_95, 5);
    add_number(json, "precision", result->precision, 5);
    add_number(json, "recall", result->recall, 5);
    sp_json_key(json, "people");
    sp_json_int(json, (int64_t)result->labels);
    sp_json_key(json, "doubtful");
    sp_json_int(json, (int64_t)result->doubtful);
}

static void print_json(struct eval *eval)
{
    struct sp_json json = {0};
    struct sp_ap_result result;
    sp_ap_compute(eval->ap, 0, &result);
    sp_json_begin_object(&json);
    add_range(&json, &result);
    sp_json_key(&json, "images");
    sp_json_int(&json, (int64_t)eval->data.count);
    add_number(&json, "threshold", eval->options->settings.confidence_threshold, 4);
    sp_json_key(&json, "by_height");
    sp_json_begin_array(&json);
    for (int i = 1; i < SP_AP_RANGES; i++) {
        sp_ap_compute(eval->ap, i, &result);
        sp_json_begin_object(&json);
        add_text(&json, "height", sp_ap_ranges[i].name);
        add_range(&json, &result);
        sp_json_end_object(&json);
    }
    sp_json_end_array(&json);
    add_text(&json, "model", eval->choice.model.path);
    char number[16];
    add_text(&json, "class",
             sp_class_name(&eval->choice.model.class_names, eval->class_id, number));
    add_text(&json, "head_type", sp_head_type_name(eval->head_type));
    add_text(&json, "engine", eval->choice.engine->name);
    add_text(&json, "precision_used", sp_precision_name(eval->precision));
    add_number(&json, "engine_ms", median_ms(eval), 3);
    sp_json_end_object(&json);
    printf("%s\n", json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

static void print_share(double share)
{
    if (isnan(share))
        printf(" %9s", "-");
    else
        printf(" %9.3f", share);
}

static void print_table(struct eval *eval)
{
    printf("%-12s %8s %9s %9s %9s %9s\n", "height", "people", "AP50", "AP50-95", "precision",
           "recall");
    for (int i = 0; i < SP_AP_RANGES; i++) {
        struct sp_ap_result result;
        sp_ap_compute(eval->ap, i, &result);
        printf("%-12s %8llu", sp_ap_ranges[i].name, (unsigned long long)result.labels);
        print_share(result.ap50);
        print_share(result.ap50_95);
        print_share(result.precision);
        print_share(result.recall);
        printf("\n");
    }
    char number[16];
    printf("\nclass %s; precision and recall at confidence %g; true positive from IoU %g\n",
           sp_class_name(&eval->choice.model.class_names, eval->class_id, number),
           eval->options->settings.confidence_threshold, 0.5);
    printf("%zu images, %zu of them without labels; %s, %s on %s, %s, %.2f ms per image\n",
           eval->data.count, eval->data.unlabelled, eval->choice.model.path,
           sp_head_type_name(eval->head_type), eval->choice.engine->name,
           sp_precision_name(eval->precision), median_ms(eval));
}

/* Publishes the complete file, or removes it. */
static int finish_boxes(struct eval *eval, const char *part, bool whole, struct sp_error *err)
{
    const char *path = eval->options->out_file;
    errno = 0;
    bool failed = fflush(eval->boxes) != 0 || ferror(eval->boxes);
    failed = fclose(eval->boxes) != 0 || failed;
    eval->boxes = NULL;
    if (whole && !failed && rename(part, path) == 0)
        return SP_OK;
    int why = errno;
    (void)unlink(part);
    return whole ? sp_fail(err, sp_error_from_errno(why), "%s: cannot be written: %s", path,
                           strerror(why))
                 : SP_OK;
}

static int take_all(struct eval *eval, bool (*interrupted)(void), struct sp_error *err)
{
    char part[SP_PATH_BYTES + 8] = "";
    const char *path = eval->options->out_file;
    if (path) {
        if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
            return sp_fail(err, SP_ERR_INVALID, "-o: path too long; the limit is %d bytes",
                           SP_PATH_BYTES);
        eval->boxes = fopen(part, "we");
        if (!eval->boxes)
            return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be written: %s", part,
                           strerror(errno));
    }
    int result = SP_OK;
    for (size_t i = 0; i < eval->data.count && result == SP_OK; i++)
        result = interrupted() ? sp_fail(err, SP_ERR_INTERRUPTED, "interrupted")
                               : take_image(eval, i, err);
    if (eval->boxes) {
        int written = finish_boxes(eval, part, result == SP_OK, err);
        result = result == SP_OK ? written : result;
    }
    return result;
}

int sp_eval_detections(const struct sp_options *options, const char *data_path,
                       bool (*interrupted)(void), struct sp_error *err)
{
    struct eval *eval = calloc(1, sizeof *eval);
    if (!eval)
        return sp_fail(err, SP_ERR_NO_MEMORY, "eval: out of memory");
    eval->options = options;
    int result = open_eval(eval, data_path, err);
    if (result == SP_OK)
        result = take_all(eval, interrupted, err);
    if (result == SP_OK && options->json)
        print_json(eval);
    else if (result == SP_OK)
        print_table(eval);
    close_eval(eval);
    return result;
}
