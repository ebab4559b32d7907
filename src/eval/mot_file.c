#include "eval/mot_file.h"

#include "base/lines.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 8, FRAME_MAX = 10000000 };

struct parsed {
    double value[VALUES_MAX];
    int count;
};

/* Distractor classes of MOT16 and MOT17: a person on a vehicle, a static person, a distractor, a
 * reflection. */
static const int distractors[] = {2, 7, 8, 12};

struct reader {
    struct sp_mot_rows *out;
    size_t capacity, ignored_capacity;
    long *ids; /* as in the file, one per row */
    long *lines;
    const char *path;
};

/* True when the line consists of numbers separated by commas or blanks. */
static bool parse(const char *line, struct parsed *parsed)
{
    parsed->count = 0;
    for (;;) {
        char *end;
        double value = strtod(line, &end);
        if (end == line || !isfinite(value))
            return false;
        if (parsed->count < VALUES_MAX)
            parsed->value[parsed->count] = value;
        ++parsed->count;
        end += strspn(end, " \t\r\n");
        if (*end == '\0')
            return true;
        line = *end == ',' ? end + 1 : end;
    }
}

static int refuse(const struct reader *reader, long line, const char *what, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_FORMAT,
                   "%s: line %ld: %s; expected: frame,id,left,top,width,height,confidence with "
                   "frames from 1",
                   reader->path, line, what);
}

static bool make_room(struct reader *reader)
{
    if (reader->out->count < reader->capacity)
        return true;
    size_t capacity = reader->capacity ? 2 * reader->capacity : 1024;
    struct sp_mot_row *rows = realloc(reader->out->rows, capacity * sizeof *rows);
    if (rows)
        reader->out->rows = rows;
    long *ids = rows ? realloc(reader->ids, capacity * sizeof *ids) : NULL;
    if (ids)
        reader->ids = ids;
    long *lines = ids ? realloc(reader->lines, capacity * sizeof *lines) : NULL;
    if (!lines)
        return false;
    reader->lines = lines;
    reader->capacity = capacity;
    return true;
}

static int ignore(struct reader *reader, int frame, double class_id, const struct sp_detection *box,
                  struct sp_error *err)
{
    struct sp_mot_rows *out = reader->out;
    if (out->ignored_count == reader->ignored_capacity) {
        size_t capacity = reader->ignored_capacity ? 2 * reader->ignored_capacity : 256;
        struct sp_mot_ignored *grown = realloc(out->ignored, capacity * sizeof *grown);
        if (!grown)
            return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", reader->path);
        out->ignored = grown;
        reader->ignored_capacity = capacity;
    }
    struct sp_mot_ignored *row = &out->ignored[out->ignored_count++];
    *row = (struct sp_mot_ignored){.frame = frame, .box = *box};
    for (size_t i = 0; i < sizeof distractors / sizeof distractors[0]; i++)
        row->distractor = row->distractor || class_id == distractors[i];
    return SP_OK;
}

static int take(struct reader *reader, const char *text, long line, bool ground_truth,
                struct sp_error *err)
{
    struct parsed parsed;
    size_t blank = strspn(text, " \t\r\n");
    if (text[blank] == '\0' || text[blank] == '#')
        return SP_OK;
    if (!parse(text, &parsed))
        return refuse(reader, line, "not a row of numbers", err);
    const double *v = parsed.value;
    if (parsed.count < 6)
        return refuse(reader, line, "fewer than 6 numbers", err);
    if (!(v[0] >= 1 && v[0] <= FRAME_MAX) || v[0] != rint(v[0]))
        return refuse(reader, line, "the frame is not a whole number from 1 on", err);
    if (v[1] != rint(v[1]) || fabs(v[1]) > 1e9)
        return refuse(reader, line, "the id is not a whole number", err);
    if (v[4] < 0 || v[5] < 0)
        return refuse(reader, line, "a box of negative size", err);
    struct sp_detection box = {
        .x1_px = v[2], .y1_px = v[3], .x2_px = v[2] + v[4], .y2_px = v[3] + v[5]};
    /* With 8 or 9 values the eighth is the class (MOT16 and later); with 10 it is a position on the
     * ground (MOT15). */
    bool has_class = parsed.count == 8 || parsed.count == 9;
    bool other_class = has_class && v[7] > 0 && v[7] != 1;
    reader->out->classes = reader->out->classes || (has_class && v[7] > 0);
    if (ground_truth && ((parsed.count >= 7 && v[6] == 0) || other_class))
        return ignore(reader, (int)v[0], other_class ? v[7] : 1, &box, err);
    if (!make_room(reader))
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", reader->path);
    size_t at = reader->out->count++;
    reader->ids[at] = (long)v[1];
    reader->lines[at] = line;
    reader->out->rows[at] = (struct sp_mot_row){.frame = (int)v[0],
                                                .id = (int)at, /* for now: the index of its id */
                                                .box = box};
    return SP_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct sp_mot_row *x = a, *y = b;
    return x->frame != y->frame ? x->frame - y->frame : x->id - y->id;
}

static int compare_ignored(const void *a, const void *b)
{
    const struct sp_mot_ignored *x = a, *y = b;
    return x->frame - y->frame;
}

static int compare_ids(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* Sorts the rows, numbers the ids, and checks that no frame has an id twice. */
static int number_ids(struct reader *reader, struct sp_error *err)
{
    struct sp_mot_rows *out = reader->out;
    if (out->ignored_count > 0)
        qsort(out->ignored, out->ignored_count, sizeof *out->ignored, compare_ignored);
    if (out->count == 0 || !reader->ids)
        return SP_OK;
    qsort(out->rows, out->count, sizeof *out->rows, compare_rows);
    long *unique = malloc(out->count * sizeof *unique);
    int *last_frame = calloc(out->count, sizeof *last_frame);
    int result = SP_OK;
    if (!unique || !last_frame) {
        result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", reader->path);
    } else {
        memcpy(unique, reader->ids, out->count * sizeof *unique);
        qsort(unique, out->count, sizeof *unique, compare_ids);
        size_t ids = 0;
        for (size_t i = 0; i < out->count; ++i) {
            if (ids == 0 || unique[i] != unique[ids - 1])
                unique[ids++] = unique[i];
        }
        out->ids = (int)ids;
        for (size_t i = 0; i < out->count && result == SP_OK; ++i) {
            struct sp_mot_row *row = &out->rows[i];
            long line = reader->lines[row->id];
            const long *place =
                bsearch(&reader->ids[row->id], unique, ids, sizeof *unique, compare_ids);
            row->id = (int)(place - unique);
            if (last_frame[row->id] == row->frame)
                result = refuse(reader, line, "this id occurs twice in this frame", err);
            last_frame[row->id] = row->frame;
        }
    }
    free(unique);
    free(last_frame);
    return result;
}

int sp_mot_rows_read(struct sp_mot_rows *rows, const char *path, bool ground_truth,
                     struct sp_error *err)
{
    *rows = (struct sp_mot_rows){0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s; check the path", path,
                       strerror(errno));
    struct reader reader = {.out = rows, .path = path};
    char *text = NULL;
    size_t room = 0;
    int result = SP_OK;
    errno = 0;
    for (long line = 1; result == SP_OK; ++line) {
        ssize_t length = sp_line_read(&text, &room, file, line == 1);
        if (length < 0)
            break;
        result = strlen(text) == (size_t)length
                     ? take(&reader, text, line, ground_truth, err)
                     : refuse(&reader, line, "not a row of numbers", err);
    }
    if (result == SP_OK && (ferror(file) || errno == ENOMEM))
        result = sp_fail(err, SP_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (result == SP_OK)
        result = number_ids(&reader, err);
    free(text);
    free(reader.ids);
    free(reader.lines);
    fclose(file);
    return result;
}

void sp_mot_rows_release(struct sp_mot_rows *rows)
{
    free(rows->rows);
    free(rows->ignored);
    *rows = (struct sp_mot_rows){0};
}
