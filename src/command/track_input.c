#include "command/track_input.h"

#include "base/lines.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ensures capacity for one more element. */
static int grow(void **items, size_t count, size_t *capacity, size_t item_bytes,
                struct sp_error *err)
{
    if (count < *capacity)
        return SP_OK;
    size_t wanted = *capacity ? *capacity * 2 : 1024;
    void *more = realloc(*items, wanted * item_bytes);
    if (!more)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detections: out of memory at %zu entries", count);
    *items = more;
    *capacity = wanted;
    return SP_OK;
}

static int add_detection(struct sp_track_input *input, const struct sp_detection *detection,
                         struct sp_error *err)
{
    int rc = grow((void **)&input->detections, input->detection_count, &input->detection_capacity,
                  sizeof *input->detections, err);
    if (rc == SP_OK)
        input->detections[input->detection_count++] = *detection;
    return rc;
}

static int add_frame(struct sp_track_input *input, const struct sp_track_input_frame *frame,
                     struct sp_error *err)
{
    int rc = grow((void **)&input->frames, input->frame_count, &input->frame_capacity,
                  sizeof *input->frames, err);
    if (rc == SP_OK)
        input->frames[input->frame_count++] = *frame;
    return rc;
}

/* ---- MOT Challenge ---- */

enum { MOT_FRAME, MOT_ID, MOT_LEFT, MOT_TOP, MOT_WIDTH, MOT_HEIGHT, MOT_CONFIDENCE, MOT_VALUES };

static const char *const MOT_NAME[MOT_VALUES] = {"frame", "id",     "left",      "top",
                                                 "width", "height", "confidence"};

static int parse_mot_row(const char *line, double value[MOT_VALUES], struct sp_error *err)
{
    const char *at = line;
    for (int i = 0; i < MOT_VALUES; i++) {
        char *end;
        value[i] = strtod(at, &end);
        int length = (int)strcspn(at, ",");
        if (length > 40)
            length = 40;
        const char *after = end + strspn(end, " \t");
        bool apart = after > end || *after == ',' || *after == '\0'; /* blanks are separators too */
        if (end == at || !apart || !isfinite(value[i]))
            return sp_fail(err, SP_ERR_FORMAT,
                           "value %d (%s) is '%.*s', not a number; a row is "
                           "frame,-1,left,top,width,height,confidence",
                           i + 1, MOT_NAME[i], length, at);
        if (*after == '\0' && i + 1 < MOT_VALUES)
            return sp_fail(
                err, SP_ERR_FORMAT,
                "%d values found; a row is frame,-1,left,top,width,height,confidence with at "
                "least %d",
                i + 1, MOT_VALUES);
        at = *after == ',' ? after + 1 : after;
    }
    double frame = value[MOT_FRAME];
    if (frame != floor(frame) || frame < 1 || frame > SP_TRACK_INPUT_FRAME_MAX)
        return sp_fail(err, SP_ERR_FORMAT, "frame number %g; must be a whole number from 1 to %d",
                       frame, SP_TRACK_INPUT_FRAME_MAX);
    return SP_OK;
}

/* Each row is a frame of its own until join_mot_frames. */
static int take_mot_line(struct sp_track_input *input, const char *line, struct sp_error *err)
{
    double value[MOT_VALUES] = {0};
    int rc = parse_mot_row(line, value, err);
    if (rc)
        return rc;
    const struct sp_track_input_frame frame = {
        .sequence = (uint64_t)value[MOT_FRAME] - 1,
        .inferred = true,
        .first_detection = input->detection_count,
        .detection_count = 1,
    };
    const struct sp_detection detection = {
        .x1_px = value[MOT_LEFT],
        .y1_px = value[MOT_TOP],
        .x2_px = value[MOT_LEFT] + value[MOT_WIDTH],
        .y2_px = value[MOT_TOP] + value[MOT_HEIGHT],
        .confidence = value[MOT_CONFIDENCE],
    };
    rc = add_detection(input, &detection, err);
    return rc ? rc : add_frame(input, &frame, err);
}

static int compare_frames(const void *left, const void *right)
{
    const struct sp_track_input_frame *a = left, *b = right;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return a->first_detection < b->first_detection ? -1 : a->first_detection > b->first_detection;
}

/* Sorts rows and detections by frame and joins the rows of a frame. */
static int join_mot_frames(struct sp_track_input *input, struct sp_error *err)
{
    if (input->frame_count == 0)
        return SP_OK;
    struct sp_detection *sorted = malloc(input->detection_count * sizeof *sorted);
    if (!sorted)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detections: out of memory at %zu entries",
                       input->detection_count);
    qsort(input->frames, input->frame_count, sizeof *input->frames, compare_frames);
    size_t joined = 0;
    for (size_t i = 0; i < input->frame_count; i++) {
        struct sp_track_input_frame frame = input->frames[i];
        sorted[i] = input->detections[frame.first_detection];
        if (joined > 0 && input->frames[joined - 1].sequence == frame.sequence) {
            input->frames[joined - 1].detection_count++;
            continue;
        }
        frame.first_detection = i;
        input->frames[joined++] = frame;
    }
    input->frame_count = joined;
    free(input->detections);
    input->detections = sorted;
    input->detection_capacity = input->detection_count;
    return SP_OK;
}

/* ---- results log ---- */

static int take_results_log_detections(struct sp_track_input *input, const json_t *list,
                                       struct sp_error *err)
{
    if (!json_is_array(list))
        return sp_fail(err, SP_ERR_FORMAT,
                       "\"detections\" is not an array; an inferred frame requires "
                       "[[x1,y1,x2,y2,confidence,class],...]");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        double value[6] = {0};
        bool good = json_is_array(entry) && json_array_size(entry) == 6;
        for (size_t k = 0; good && k < 6; k++) {
            value[k] = json_number_value(json_array_get(entry, k));
            good = json_is_number(json_array_get(entry, k));
        }
        if (!good || !(fabs(value[5]) <= INT32_MAX))
            return sp_fail(err, SP_ERR_FORMAT,
                           "detection %zu is not six numbers [x1,y1,x2,y2,confidence,class]",
                           i + 1);
        const struct sp_detection detection = {
            .x1_px = value[0],
            .y1_px = value[1],
            .x2_px = value[2],
            .y2_px = value[3],
            .confidence = value[4],
            .class_id = (int)value[5],
        };
        int rc = add_detection(input, &detection, err);
        if (rc)
            return rc;
    }
    return SP_OK;
}

static int take_results_log_object(struct sp_track_input *input, const json_t *object,
                                   struct sp_error *err)
{
    const json_t *sequence = json_object_get(object, "sequence");
    const json_t *pts_us = json_object_get(object, "pts_us");
    const json_t *inferred = json_object_get(object, "inferred");
    if (!json_is_integer(sequence) || json_integer_value(sequence) < 0 ||
        json_integer_value(sequence) >= SP_TRACK_INPUT_FRAME_MAX)
        return sp_fail(err, SP_ERR_FORMAT, "\"sequence\" is not a whole number from 0 to %d",
                       SP_TRACK_INPUT_FRAME_MAX - 1);
    if (!json_is_integer(pts_us))
        return sp_fail(err, SP_ERR_FORMAT, "\"pts_us\" is not a whole number");
    if (!json_is_boolean(inferred))
        return sp_fail(err, SP_ERR_FORMAT, "\"inferred\" is neither true nor false");
    struct sp_track_input_frame frame = {
        .sequence = (uint64_t)json_integer_value(sequence),
        .pts_us = json_integer_value(pts_us),
        .inferred = json_is_true(inferred),
        .first_detection = input->detection_count,
    };
    if (input->frame_count > 0 && frame.sequence <= input->frames[input->frame_count - 1].sequence)
        return sp_fail(err, SP_ERR_FORMAT,
                       "sequence %llu after %llu; a results log must be in ascending order",
                       (unsigned long long)frame.sequence,
                       (unsigned long long)input->frames[input->frame_count - 1].sequence);
    double frame_rate = json_number_value(json_object_get(object, "frame_rate"));
    if (frame_rate > 0)
        input->frame_rate = frame_rate;
    if (frame.inferred) {
        int rc = take_results_log_detections(input, json_object_get(object, "detections"), err);
        if (rc)
            return rc;
    }
    frame.detection_count = input->detection_count - frame.first_detection;
    return add_frame(input, &frame, err);
}

static int take_results_log_line(struct sp_track_input *input, const char *line,
                                 struct sp_error *err)
{
    json_error_t problem;
    json_t *object = json_loads(line, 0, &problem);
    if (!object)
        return sp_fail(err, SP_ERR_FORMAT, "not a JSON object: %s at column %d", problem.text,
                       problem.column);
    int rc = json_is_object(object)
                 ? take_results_log_object(input, object, err)
                 : sp_fail(err, SP_ERR_FORMAT, "a JSON value, but not an object");
    json_decref(object);
    return rc;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Smallest distance between inferred frames; failed frames leave larger ones. */
static int least_distance(const struct sp_track_input *input)
{
    const struct sp_track_input_frame *last = NULL;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < input->frame_count; i++) {
        const struct sp_track_input_frame *frame = &input->frames[i];
        if (!frame->inferred)
            continue;
        if (last && frame->sequence - last->sequence < least)
            least = frame->sequence - last->sequence;
        last = frame;
    }
    return least == UINT64_MAX ? 1 : (int)least;
}

/* From the median frame interval. */
static int measure_frame_rate(struct sp_track_input *input, struct sp_error *err)
{
    if (input->frame_rate > 0 || input->frame_count < 2)
        return SP_OK;
    size_t count = input->frame_count - 1;
    double *period_us = malloc(count * sizeof *period_us);
    if (!period_us)
        return sp_fail(err, SP_ERR_NO_MEMORY, "results log: out of memory at %zu frames", count);
    for (size_t i = 0; i < count; i++) {
        const struct sp_track_input_frame *a = &input->frames[i], *b = a + 1;
        period_us[i] =
            ((double)b->pts_us - (double)a->pts_us) / (double)(b->sequence - a->sequence);
    }
    qsort(period_us, count, sizeof *period_us, compare_doubles);
    double median_us = (period_us[(count - 1) / 2] + period_us[count / 2]) / 2;
    if (median_us > 0)
        input->frame_rate = 1e6 / median_us;
    free(period_us);
    return SP_OK;
}

/* ---- both ---- */

static int take_line(struct sp_track_input *input, const char *line, size_t bytes, bool *first,
                     struct sp_error *err)
{
    const char *text = line + strspn(line, " \t\r\n");
    if (strlen(line) != bytes)
        return sp_fail(err, SP_ERR_FORMAT, "NUL byte; give a text file");
    if (*text == '\0' || *text == '#')
        return SP_OK;
    if (*first)
        input->is_results_log = *text == '{';
    *first = false;
    return input->is_results_log ? take_results_log_line(input, text, err)
                                 : take_mot_line(input, text, err);
}

static int read_lines(struct sp_track_input *input, FILE *file, const char *path,
                      struct sp_error *err)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    bool first = true;
    int rc = SP_OK;
    errno = 0;
    for (ssize_t got;
         rc == SP_OK && (got = sp_line_read(&line, &capacity, file, number == 0)) >= 0;) {
        number++;
        rc = take_line(input, line, (size_t)got, &first, err);
        if (rc)
            sp_fail_prefix(err, rc, "%s:%zu", path, number);
        errno = 0;
    }
    if (rc == SP_OK && (ferror(file) || errno))
        rc = sp_fail(err, sp_error_from_errno(errno), "%s: reading failed: %s", path,
                     strerror(errno));
    free(line);
    return rc;
}

int sp_track_input_read(struct sp_track_input *input, const char *path, struct sp_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be opened: %s; check the path",
                       path, strerror(errno));
    int rc = read_lines(input, file, path, err);
    (void)fclose(file); /* read only */
    if (rc)
        return rc;
    if (!input->is_results_log)
        return join_mot_frames(input, err);
    input->inferred_every = least_distance(input);
    return measure_frame_rate(input, err);
}

void sp_track_input_release(struct sp_track_input *input)
{
    free(input->frames);
    free(input->detections);
    *input = (struct sp_track_input){0};
}
