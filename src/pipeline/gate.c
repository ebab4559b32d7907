#include "pipeline/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fewer boxes say too little: one missed of 19 is below 0.95. */
enum { BOXES_MIN = 20, SOURCE_BOXES_MIN = 50, SLOTS_MAX = 256 };

/* A source with enough boxes may be this much worse than is asked of all. */
static const double SOURCE_MARGIN = 0.05;

/* The boxes of one picture, in pixels of the input. */
struct found {
    size_t count;
    struct sp_detection box[SP_DETECTIONS_MAX];
};

static int collect(struct sp_detector *detector, struct sp_detector_slot *slot, struct found *found,
                   int first, struct sp_error *err)
{
    int result = sp_detector_collect(detector, slot, err);
    for (int i = 0; i < slot->images && result == SP_OK; ++i) {
        found[first + i].count = slot->image[i].detection_count;
        memcpy(found[first + i].box, slot->image[i].detections,
               slot->image[i].detection_count * sizeof *found->box);
    }
    return result;
}

/* All slots in flight at once, as in the pipeline. */
static int detect_all(struct sp_detector *detector, const struct sp_gate_options *options,
                      const struct sp_pictures *pictures, struct found *found, struct sp_error *err)
{
    struct spoton_engine_description description = {.struct_bytes = sizeof description};
    struct sp_detector_slot *slot[SLOTS_MAX];
    int first[SLOTS_MAX];
    sp_detector_describe(detector, &description);
    int slots = description.slots < SLOTS_MAX ? description.slots : SLOTS_MAX;
    int batch = sp_detector_batch(detector), next = 0, result = SP_OK;
    for (int i = 0; i < slots; ++i)
        slot[i] = sp_detector_acquire(detector);
    while (next < pictures->count && result == SP_OK) {
        int used = 0;
        if (options->interrupted && options->interrupted()) {
            result = sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
            break;
        }
        for (; used < slots && next < pictures->count && result == SP_OK; ++used) {
            first[used] = next;
            slot[used]->images = 0;
            while (slot[used]->images < batch && next < pictures->count)
                sp_detector_fill_input(detector, slot[used], sp_picture(pictures, next++));
            result = sp_detector_submit(detector, slot[used], err);
        }
        if (result < 0)
            --used; /* that one is not in flight */
        for (int i = 0; i < used; ++i) {
            int collected =
                collect(detector, slot[i], found, first[i], result == SP_OK ? err : NULL);
            result = result == SP_OK ? collected : result;
        }
    }
    for (int i = 0; i < slots; ++i)
        sp_detector_release(detector, slot[i]);
    return result;
}

static int run(const struct sp_gate_options *options, const struct sp_model *model,
               enum spoton_precision precision, int streams, const struct sp_pictures *pictures,
               struct found *found, struct sp_error *err)
{
    struct sp_detector *detector = NULL;
    struct sp_detector_options opening = {
        .engine = options->engine,
        .model = model,
        .precision = precision,
        .batch = options->batch,
        .width_px = pictures->width_px,
        .height_px = pictures->height_px,
        .threads = options->threads,
        .streams = streams,
        .cache_dir = options->cache_dir,
        .extra = options->extra,
        .head = {.score_threshold = options->score, .nms_iou = options->nms_iou},
    };
    int result = sp_detector_open(&detector, &opening, err);
    if (result == SP_OK)
        result = detect_all(detector, options, pictures, found, err);
    sp_detector_close(detector);
    return result;
}

static const char *name_of(const struct sp_gate_options *options, int source)
{
    return source < options->sources ? options->source_name[source] : "?";
}

void sp_gate_judge(struct sp_gate_result *result, const struct sp_gate_options *options)
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
                        "recall %.3f and precision %.3f of %llu boxes on %llu frames it did not "
                        "see, at IoU %.2f and score %.2f",
                        recall, precision, (unsigned long long)total->reference,
                        (unsigned long long)total->frames, options->iou, options->score);
    char *rest = result->text + used;
    size_t room = sizeof result->text - (size_t)used;
    bool source_fails = worst >= 0 && worst_value < options->required - SOURCE_MARGIN;
    result->passed = false;
    if (total->reference < BOXES_MIN)
        snprintf(rest, room,
                 "; that is too few boxes to judge by, %d are needed: calibrate on "
                 "pictures with more people",
                 BOXES_MIN);
    else if (!(recall >= options->required && precision >= options->required))
        snprintf(rest, room, "; required are %.3f%s%s", options->required,
                 worst >= 0 ? "; worst source: " : "", worst >= 0 ? name_of(options, worst) : "");
    else if (source_fails)
        snprintf(rest, room, "; but on %s only recall %.3f and precision %.3f; required are %.3f",
                 name_of(options, worst), sp_agreement_recall(&result->source[worst]),
                 sp_agreement_precision(&result->source[worst]), options->required - SOURCE_MARGIN);
    else
        result->passed = true;
}

static struct found *new_list(const struct sp_pictures *pictures, struct sp_error *err)
{
    struct found *list = calloc((size_t)pictures->count + 1, sizeof *list);
    if (!list)
        sp_fail(err, SP_ERR_NO_MEMORY, "%d pictures: out of memory", pictures->count);
    return list;
}

int sp_gate_run(struct sp_gate_result *result, const struct sp_gate_options *options,
                const struct sp_pictures *pictures, struct sp_error *err)
{
    struct found *reference = new_list(pictures, err), *tested = new_list(pictures, err);
    int code = reference && tested ? SP_OK : SP_ERR_NO_MEMORY;
    *result = (struct sp_gate_result){0};
    if (code == SP_OK)
        code = run(options, options->reference, SPOTON_PRECISION_F32, options->streams, pictures,
                   reference, err);
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, options->streams, pictures,
                   tested, err);
    for (int i = 0; i < pictures->count && code == SP_OK; ++i) {
        struct sp_agreement *sums[] = {&result->total, &result->source[pictures->source[i]]};
        for (size_t k = 0; k < 2; ++k)
            sp_agreement_add(sums[k], reference[i].box, reference[i].count, tested[i].box,
                             tested[i].count, options->iou, options->score, 0);
    }
    if (code == SP_OK)
        sp_gate_judge(result, options);
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
            fabs(p->score - q->score) > 0.01)
            return false;
    }
    return a->count == b->count;
}

int sp_gate_run_alone(struct sp_gate_result *result, const struct sp_gate_options *options,
                      const struct sp_pictures *pictures, struct sp_error *err)
{
    struct found *one = new_list(pictures, err), *many = new_list(pictures, err);
    int code = one && many ? SP_OK : SP_ERR_NO_MEMORY;
    int apart = 0, full = 0;
    *result = (struct sp_gate_result){0};
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, 1, pictures, one, err);
    if (code == SP_OK)
        code = run(options, options->tested, options->tested_precision, options->streams, pictures,
                   many, err);
    for (int i = 0; i < pictures->count && code == SP_OK; ++i) {
        apart += !same_boxes(&one[i], &many[i]);
        full += one[i].count == SP_DETECTIONS_MAX;
    }
    result->total.frames = (uint64_t)pictures->count;
    result->passed = apart == 0 && full == 0;
    snprintf(result->text, sizeof result->text,
             "on %d frames several streams and one differ on %d, and %d have boxes all over; "
             "agreement with its f32 original was not checked",
             pictures->count, apart, full);
    free(one);
    free(many);
    return code;
}
