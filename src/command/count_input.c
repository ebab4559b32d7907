#include "command/count_input.h"

#include "base/lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 64, PATH_BYTES = 4096 };

struct log {
    char path[PATH_BYTES], name[NAME_BYTES];
    FILE *file;
    char *line;
    size_t capacity, number;
    json_t *object; /* the next frame; NULL: the end */
    int64_t pts_us, sequence;
};

struct sp_count_input {
    int count;
    struct log *logs; /* [count], ordered by name */
    const char **names;
    struct log people; /* file NULL: none */
};

static int open_log(struct log *log, const char *path, struct sp_error *err)
{
    if (strlen(path) >= sizeof log->path)
        return sp_fail(err, SP_ERR_INVALID, "%.80s...: path too long; the limit is %d bytes", path,
                       PATH_BYTES - 1);
    snprintf(log->path, sizeof log->path, "%s", path);
    log->file = fopen(path, "re");
    if (!log->file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be opened: %s; check the path",
                       path, strerror(errno));
    return SP_OK;
}

/* The next line with a "sequence". */
static int advance(struct log *log, struct sp_error *err)
{
    if (log->object)
        json_decref(log->object);
    log->object = NULL;
    errno = 0;
    for (ssize_t got;
         (got = sp_line_read(&log->line, &log->capacity, log->file, log->number == 0)) >= 0;) {
        json_error_t problem;
        log->number++;
        const char *text = log->line + strspn(log->line, " \t\r\n");
        if (*text == '\0')
            continue;
        json_t *object = strlen(log->line) == (size_t)got ? json_loads(text, 0, &problem) : NULL;
        if (!object || !json_is_object(object)) {
            if (object)
                json_decref(object);
            return sp_fail(err, SP_ERR_FORMAT,
                           "%s:%zu: not a JSON object; give the results log (NAME.jsonl) of a run",
                           log->path, log->number);
        }
        const json_t *sequence = json_object_get(object, "sequence");
        const json_t *pts_us = json_object_get(object, "pts_us");
        if (!sequence && json_object_get(object, "what")) { /* a decision in people.jsonl */
            json_decref(object);
            continue;
        }
        if (!json_is_integer(sequence) || !json_is_integer(pts_us)) {
            json_decref(object);
            return sp_fail(err, SP_ERR_FORMAT,
                           "%s:%zu: \"sequence\" and \"pts_us\" are not whole numbers; give the "
                           "results log (NAME.jsonl) of a run",
                           log->path, log->number);
        }
        log->object = object;
        log->sequence = json_integer_value(sequence);
        log->pts_us = json_integer_value(pts_us);
        return SP_OK;
    }
    if (ferror(log->file) || errno)
        return sp_fail(err, sp_error_from_errno(errno), "%s: reading failed: %s", log->path,
                       strerror(errno));
    return SP_OK;
}

static void close_log(struct log *log)
{
    if (log->object)
        json_decref(log->object);
    if (log->file)
        (void)fclose(log->file); /* read only */
    free(log->line);
}

void sp_count_input_close(struct sp_count_input *input)
{
    if (!input)
        return;
    for (int i = 0; input->logs && i < input->count; i++)
        close_log(&input->logs[i]);
    close_log(&input->people);
    free(input->logs);
    free(input->names);
    free(input);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct log *)a)->name, ((const struct log *)b)->name);
}

static int take_path(struct sp_count_input *input, const char *path, struct sp_error *err)
{
    const char *name = base_name(path);
    size_t bytes = strlen(name);
    if (strcmp(name, "events.jsonl") == 0)
        return SP_OK;
    if (strcmp(name, "people.jsonl") == 0)
        return input->people.file
                   ? sp_fail(err, SP_ERR_INVALID,
                             "%s: a second people.jsonl; give the files of one run", path)
                   : open_log(&input->people, path, err);
    if (bytes <= 6 || strcmp(name + bytes - 6, ".jsonl") != 0 || bytes - 6 >= NAME_BYTES)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: not a results log; give files named CAMERA.jsonl of a run", path);
    struct log *log = &input->logs[input->count];
    snprintf(log->name, sizeof log->name, "%.*s", (int)(bytes - 6), name);
    for (int i = 0; i < input->count; i++)
        if (strcmp(input->logs[i].name, log->name) == 0)
            return sp_fail(err, SP_ERR_INVALID, "%s: a second file of camera %s; give one", path,
                           log->name);
    input->count++;
    return open_log(log, path, err);
}

static int open_people_beside(struct sp_count_input *input, struct sp_error *err)
{
    char path[PATH_BYTES];
    const char *first = input->logs[0].path;
    int n = snprintf(path, sizeof path, "%.*speople.jsonl", (int)(base_name(first) - first), first);
    if (n < 0 || (size_t)n >= sizeof path || access(path, F_OK) != 0)
        return SP_OK;
    return open_log(&input->people, path, err);
}

int sp_count_input_open(struct sp_count_input **out, const char *const *paths, int count,
                        struct sp_error *err)
{
    struct sp_count_input *input = calloc(1, sizeof *input);
    int result = SP_OK;
    if (input) {
        input->logs = calloc((size_t)count + 1, sizeof *input->logs);
        input->names = calloc((size_t)count + 1, sizeof(const char *));
    }
    if (!input || !input->logs || !input->names) {
        sp_count_input_close(input);
        return sp_fail(err, SP_ERR_NO_MEMORY, "results logs: out of memory");
    }
    for (int i = 0; i < count && result == SP_OK; i++)
        result = take_path(input, paths[i], err);
    if (result == SP_OK && input->count == 0)
        result = sp_fail(err, SP_ERR_INVALID,
                         "input: no results log; give CAMERA.jsonl of one or more cameras");
    if (result == SP_OK && !input->people.file)
        result = open_people_beside(input, err);
    if (result == SP_OK)
        qsort(input->logs, (size_t)input->count, sizeof *input->logs, compare_names);
    for (int i = 0; result == SP_OK && i < input->count; i++) {
        input->names[i] = input->logs[i].name;
        result = advance(&input->logs[i], err);
    }
    if (result == SP_OK && input->people.file)
        result = advance(&input->people, err);
    if (result < 0) {
        sp_count_input_close(input);
        return result;
    }
    *out = input;
    return SP_OK;
}

int sp_count_input_cameras(const struct sp_count_input *input, const char *const **names)
{
    *names = input->names;
    return input->count;
}

/* ---- frames ---- */

static int take_tracks(const struct log *log, struct sp_count_frame *frame, struct sp_error *err)
{
    const json_t *list = json_object_get(log->object, "tracks");
    frame->count = json_array_size(list);
    if (!json_is_array(list) || frame->count > SP_TRACKS_MAX)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s:%zu: \"tracks\" is not an array of at most %d tracks; give a results "
                       "log that is not altered",
                       log->path, log->number, SP_TRACKS_MAX);
    for (size_t i = 0; i < frame->count; i++) {
        const json_t *entry = json_array_get(list, i);
        double value[7] = {0};
        bool good = json_is_array(entry) && json_array_size(entry) == 7;
        for (size_t k = 0; good && k < 7; k++) {
            value[k] = json_number_value(json_array_get(entry, k));
            good = json_is_number(json_array_get(entry, k));
        }
        if (!good || !(value[0] >= 1 && value[0] <= UINT32_MAX))
            return sp_fail(err, SP_ERR_FORMAT,
                           "%s:%zu: track %zu is not [id,x1,y1,x2,y2,confidence,class]; give a "
                           "results log that is not altered",
                           log->path, log->number, i + 1);
        frame->tracks[i] = (struct sp_track){.id = (uint32_t)value[0],
                                             .x1_px = value[1],
                                             .y1_px = value[2],
                                             .x2_px = value[3],
                                             .y2_px = value[4],
                                             .confidence = value[5]};
    }
    return SP_OK;
}

/* Positions of the tracks by their ids. */
static void take_positions(const json_t *list, struct sp_count_frame *frame)
{
    memset(frame->positions, 0, frame->count * sizeof frame->positions[0]);
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *entry = json_array_get(list, k);
        const json_t *person = json_array_get(entry, 1), *x = json_array_get(entry, 2);
        const json_t *y = json_array_get(entry, 3);
        json_int_t id = json_integer_value(json_array_get(entry, 0));
        for (size_t i = 0; i < frame->count; i++)
            if (frame->tracks[i].id == id)
                frame->positions[i] =
                    (struct sp_world_position){.person = (uint32_t)json_integer_value(person),
                                               .on_map = json_is_number(x) && json_is_number(y),
                                               .x = json_number_value(x),
                                               .y = json_number_value(y)};
    }
}

static bool is_counted(const struct sp_count_input *input, const char *camera)
{
    for (int i = 0; camera && i < input->count; i++)
        if (strcmp(input->names[i], camera) == 0)
            return true;
    return false;
}

/* people.jsonl has the frames of calibrated cameras in the same order. */
static int match_people(struct sp_count_input *input, const struct log *log,
                        struct sp_count_frame *frame, struct sp_error *err)
{
    struct log *people = &input->people;
    int result = SP_OK;
    while (result == SP_OK && people->object) {
        const char *camera = json_string_value(json_object_get(people->object, "camera"));
        bool this_one =
            camera && strcmp(camera, log->name) == 0 && people->sequence == log->sequence;
        bool missed = people->pts_us < log->pts_us || !is_counted(input, camera);
        if (this_one) {
            frame->mapped = true;
            take_positions(json_object_get(people->object, "people"), frame);
        } else if (!missed) {
            break;
        }
        result = advance(people, err);
        if (this_one)
            break;
    }
    return result;
}

int sp_count_input_next(struct sp_count_input *input, struct sp_count_frame *frame,
                        struct sp_error *err)
{
    struct log *next = NULL;
    for (int i = 0; i < input->count; i++) {
        struct log *log = &input->logs[i];
        if (log->object && (!next || log->pts_us < next->pts_us))
            next = log;
    }
    if (!next)
        return 0;
    const json_t *width = json_object_get(next->object, "width");
    const json_t *height = json_object_get(next->object, "height");
    const json_t *inferred = json_object_get(next->object, "inferred");
    if (!json_is_integer(width) || !json_is_integer(height) || !json_is_boolean(inferred))
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s:%zu: no \"width\", \"height\" or \"inferred\"; write the results again "
                       "with `spoton run` of this version",
                       next->path, next->number);
    frame->camera = (int)(next - input->logs);
    frame->pts_us = next->pts_us;
    frame->width_px = (int)json_integer_value(width);
    frame->height_px = (int)json_integer_value(height);
    frame->inferred = json_is_true(inferred);
    frame->mapped = false;
    int result = take_tracks(next, frame, err);
    if (result == SP_OK && input->people.file)
        result = match_people(input, next, frame, err);
    if (result == SP_OK)
        result = advance(next, err);
    return result < 0 ? result : 1;
}
