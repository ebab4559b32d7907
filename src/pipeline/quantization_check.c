#include "pipeline/quantization_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fewer boxes are not significant: one missed of 19 is below 0.95. */
enum { BOXES_MIN = 20, SOURCE_BOXES_MIN = 50, REQUESTS_MAX = 256 };

/* A source with enough boxes may be this much below the required values. */
static const double SOURCE_MARGIN = 0.05;

/* The boxes of one image, in pixels of the input. */
struct found {
    size_t count;
    struct sp_detection box[SP_DETECTIONS_MAX];
};

static int collect(struct sp_detector *detector, struct sp_detector_request *request,
                   struct found *found, int first, struct sp_error *err)
{
    int result = sp_detector_collect(detector, request, err);
    for (int i = 0; i < request->images && result == SP_OK; ++i) {
        found[first + i].count = request->image[i].detection_count;
        memcpy(found[first + i].box, request->image[i].detections,
               request->image[i].detection_count * sizeof *found->box);
    }
    return result;
}

/* All requests in flight at once, as in the pipeline. */
static int detect_all(struct sp_detector *detector,
                      const struct sp_quantization_check_options *options,
                      const struct sp_images *images, struct found *found, struct sp_error *err)
{
    struct spoton_engine_description description = {.struct_bytes = sizeof description};
    struct sp_detector_request *request[REQUESTS_MAX];
    int first[REQUESTS_MAX];
    sp_detector_describe(detector, &description);
    int requests = description.requests < REQUESTS_MAX ? description.requests : REQUESTS_MAX;
    int batch = sp_detector_batch(detector), next = 0, result = SP_OK;
    for (int i = 0; i < requests; ++i)
        request[i] = sp_detector_acquire(detector);
    while (next < images->count && result == SP_OK) {
        int used = 0;
        if (options->interrupted && options->interrupted()) {
            result = sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
            break;
        }
        for (; used < requests && next < images->count && result == SP_OK; ++used) {
            first[used] = next;
            request[used]->images = 0;
            while (request[used]->images < batch && next < images->count)
                sp_detector_fill_input(detector, request[used], sp_image(images, next++));
            result = sp_detector_submit(detector, request[used], err);
        }
        if (result < 0)
            --used; /* that one is not in flight */
        for (int i = 0; i < used; ++i) {
            int collected =
                collect(detector, request[i], found, first[i], result == SP_OK ? err : NULL);
            result = result == SP_OK ? collected : result;
        }
    }
    for (int i = 0; i < requests; ++i)
        sp_detector_release(detector, request[i]);
    return result;
}

static int run(const struct sp_quantization_check_options *options, const struct sp_model *model,
               enum spoton_precision precision, int streams, const struct sp_images *images,
               struct found *found, struct sp_error *err)
{
    struct sp_detector *detector = NULL;
    struct sp_detector_options opening = {
        .engine = options->engine,
        .model = model,
        .precision = precision,
        .batch = options->batch,
        .width_px = images->width_px,
        .height_px = images->height_px,
        .threads = options->threads,
        .streams = streams,
        .cache_dir = options->cache_dir,
        .backend_options = options->backend_options,
        .head = {.confidence_threshold = options->confidence, .nms_iou = options->nms_iou},
    };
    int result = sp_detector_open(&detector, &opening, err);
    if (result == SP_OK)
        result = detect_all(detector, options, images, found, err);
    sp_detector_close(detector);
    return result;
}

static const char *name_of(const struct sp_quantization_check_options *options, int source)
{
    return source < options->sources ? options->source_name[source] : "?";
}

void sp_quantization_check_judge(struct sp_quantization_check_result *result,
                                 const struct sp_quantization_check_options *options)
{
    const struct sp_agreement *total = &result->total;
    double recall = sp_agreement_recall(total), precision = sp_agreement_precision(total);
    int worst = -1;
    double worst_value = 2;
    for (int i = 0; i < options->sources; ++i) {
        const struct sp_agreement *sum = &result->source[i];
        double value = fmin(sp_agreement_recall(sum), sp_agreement_precision(sum));
        if (sum->reference >= SOURCE_BOXES_MIN && value < worst_value) {
            worst = i;
            worst_value = value;
        }
    }
    int used = snprintf(result->text, sizeof result->text,
                        "recall %.3f and precision %.3f of %llu boxes on %llu frames not used "
                        "for calibration, at IoU %.2f and confidence %.2f",
                        recall, precision, (unsigned long long)total->reference,
                        (unsigned long long)total->frames, options->iou, options->confidence);
    char *rest = result->text + used;
    size_t room = sizeof result->text - (size_t)used;
    bool source_fails = worst >= 0 && worst_value < options->required - SOURCE_MARGIN;
    result->passed = false;
    if (total->reference < BOXES_MIN)
        snprintf(rest, room,
                 "; too few boxes, at least %d are needed; calibrate on "
                 "images with more people",
                 BOXES_MIN);
    else if (!(recall >= options->required && precision >= options->required))
        snprintf(rest, room, "; required are %.3f%s%s", options->required,
                 worst >= 0 ? "; worst source: " : "", worst >= 0 ? name_of(options, worst) : "");
    else if (source_fails)
        snprintf(rest, room, "; but only recall %.3f and precision %.3f on %s; required are %.3f",
                 sp_agreement_recall(&result->source[worst]),
                 sp_agreement_precision(&result->source[worst]), name_of(options, worst),
                 options->required - SOURCE_MARGIN);
    else
        result->passed = true;
}

static struct found *new_list(const struct sp_images *images, struct sp_error *err)
{
    struct found *list = calloc((size_t)images->count + 1, sizeof *list);
    if (!list)
        sp_fail(err, SP_ERR_NO_MEMORY, "%d images: out of memory", images->count);
    return list;
}

int sp_quantization_check_run(struct sp_quantization_check_result *result,
                              const struct sp_quantization_check_options *options,
                              const struct sp_images *images, struct sp_error *err)
{
    struct found *reference = new_list(images, err), *tested = new_list(images, err);
    int code = reference && tested ? SP_OK : SP_ERR_NO_MEMORY;
    *result = (struct sp_quantization_check_result){0};
    if (code == SP_OK)
        code = run(options, options->reference, SPOTON_PRECISION_F32, options->streams, images,
                   reference, err);
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, options->streams, images,
                   tested, err);
    for (int i = 0; i < images->count && code == SP_OK; ++i) {
        struct sp_agreement *sums[] = {&result->total, &result->source[images->source[i]]};
        for (size_t k = 0; k < 2; ++k)
            sp_agreement_add(sums[k], reference[i].box, reference[i].count, tested[i].box,
                             tested[i].count, options->iou, options->confidence, 0);
    }
    if (code == SP_OK)
        sp_quantization_check_judge(result, options);
    free(reference);
    free(tested);
    return code;
}

static bool same_boxes(const struct found *a, const struct found *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; ++i) {
        const struct sp_detection *p = &a->box[i], *q = &b->box[i];
        if (fabs(p->x1_px - q->x1_px) > 1 || fabs(p->y1_px - q->y1_px) > 1 ||
            fabs(p->x2_px - q->x2_px) > 1 || fabs(p->y2_px - q->y2_px) > 1 ||
            fabs(p->confidence - q->confidence) > 0.01)
            return false;
    }
    return a->count == b->count;
}

int sp_quantization_check_run_alone(struct sp_quantization_check_result *result,
                                    const struct sp_quantization_check_options *options,
                                    const struct sp_images *images, struct sp_error *err)
{
    struct found *one = new_list(images, err), *many = new_list(images, err);
    int code = one && many ? SP_OK : SP_ERR_NO_MEMORY;
    int apart = 0, full = 0;
    *result = (struct sp_quantization_check_result){0};
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, 1, images, one, err);
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, options->streams, images,
                   many, err);
    for (int i = 0; i < images->count && code == SP_OK; ++i) {
        apart += !same_boxes(&one[i], &many[i]);
        full += one[i].count == SP_DETECTIONS_MAX;
    }
    result->total.frames = (uint64_t)images->count;
    result->passed = apart == 0 && full == 0;
    snprintf(result->text, sizeof result->text,
             "on %d frames, several streams and one stream differ on %d, and %d are full of boxes; "
             "agreement with the f32 original was not checked",
             images->count, apart, full);
    free(one);
    free(many);
    return code;
}
