#include "command/identity.h"

#include "base/assign.h"
#include "base/lines.h"
#include "eval/boxes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDS_MAX = 2000 };

static const double IOU = 0.5;

struct row {
    int frame, id;
    struct sp_detection box;
};

struct rows {
    struct row *row;
    size_t count, capacity;
    int number[IDS_MAX]; /* ids in order of appearance */
    int ids;
};

static int index_of(struct rows *rows, int id)
{
    for (int i = rows->ids - 1; i >= 0; --i) {
        if (rows->number[i] == id)
            return i;
    }
    if (rows->ids == IDS_MAX)
        return -1;
    rows->number[rows->ids] = id;
    return rows->ids++;
}

static bool add(struct rows *rows, const struct row *row)
{
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 1024;
        struct row *grown = realloc(rows->row, capacity * sizeof *grown);
        if (!grown)
            return false;
        rows->row = grown;
        rows->capacity = capacity;
    }
    rows->row[rows->count++] = *row;
    return true;
}

static int by_frame(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    return (left->frame > right->frame) - (left->frame < right->frame);
}

static int read_rows(struct rows *rows, const char *path, bool ground_truth, int64_t last_frame,
                     struct sp_error *err)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    int result = SP_OK, number = 0;
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    while (result == SP_OK && sp_line_read(&line, &capacity, file, number == 0) >= 0) {
        struct row row = {0};
        double width, height, flag = 1, class_id = 1, rest;
        ++number;
        if (line[strspn(line, " \t")] == '\0')
            continue;
        for (char *c = line; (c = strchr(c, ',')); c++)
            *c = ' '; /* blanks are separators too */
        int count =
            sscanf(line, "%d %d %lf %lf %lf %lf %lf %lf %lf %lf", &row.frame, &row.id,
                   &row.box.x1_px, &row.box.y1_px, &width, &height, &flag, &class_id, &rest, &rest);
        if (count < 6) {
            result =
                sp_fail(err, SP_ERR_FORMAT,
                        "%s line %d: not a MOT row; must be frame,id,left,top,width,height,...",
                        path, number);
            break;
        }
        /* Rows of 8 or 9 values hold the class; rows of 10 a world position. */
        bool other_class = (count == 8 || count == 9) && class_id > 0 && class_id != 1;
        if (ground_truth &&
            (flag == 0 || other_class || (last_frame > 0 && row.frame > last_frame)))
            continue;
        row.box.x2_px = row.box.x1_px + width;
        row.box.y2_px = row.box.y1_px + height;
        row.id = index_of(rows, row.id);
        if (row.id < 0)
            result = sp_fail(err, SP_ERR_FORMAT, "%s: more than %d identities", path, IDS_MAX);
        else if (!add(rows, &row))
            result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", path);
    }
    free(line);
    fclose(file);
    if (rows->count > 0)
        qsort(rows->row, rows->count, sizeof *rows->row, by_frame);
    return result;
}

/* together[a][b]: frames in which both boxes overlap. Rows are sorted by frame. */
static void count_pairs(const struct rows *a, const struct rows *b, int *together)
{
    size_t from = 0;
    for (size_t i = 0; i < a->count; ++i) {
        while (from < b->count && b->row[from].frame < a->row[i].frame)
            ++from;
        for (size_t k = from; k < b->count && b->row[k].frame == a->row[i].frame; ++k) {
            if (sp_detection_iou(&a->row[i].box, &b->row[k].box) >= IOU)
                ++together[(size_t)a->row[i].id * (size_t)b->ids + (size_t)b->row[k].id];
        }
    }
}

/* The cost of a pair is the limit minus its frames, so pairs with the most frames are cheapest. */
static int best_pairing(const struct rows *a, const struct rows *b, const int *together,
                        int64_t *agreed, struct sp_error *err)
{
    struct sp_assign *assign = NULL;
    const int *column, *row;
    double limit = (double)(a->count + 1);
    int result = sp_assign_open(&assign, a->ids, b->ids, err);
    if (result < 0)
        return result;
    sp_assign_begin(assign, a->ids, b->ids, limit);
    for (int i = 0; i < a->ids; ++i) {
        for (int k = 0; k < b->ids; ++k) {
            int count = together[(size_t)i * (size_t)b->ids + (size_t)k];
            if (count > 0)
                sp_assign_add(assign, i, k, limit - count);
        }
    }
    sp_assign_solve(assign, &column, &row);
    *agreed = 0;
    for (int i = 0; i < a->ids; ++i)
        *agreed += column[i] >= 0 ? together[(size_t)i * (size_t)b->ids + (size_t)column[i]] : 0;
    sp_assign_close(assign);
    return SP_OK;
}

static int compare(const struct rows *a, const struct rows *b, double *idf1, struct sp_error *err)
{
    int64_t agreed = 0;
    int result = SP_OK;
    if (a->ids > 0 && b->ids > 0) {
        int *together = calloc((size_t)a->ids * (size_t)b->ids, sizeof *together);
        if (!together)
            return sp_fail(err, SP_ERR_NO_MEMORY, "comparing tracks: out of memory");
        count_pairs(a, b, together);
        result = best_pairing(a, b, together, &agreed, err);
        free(together);
    }
    size_t all = a->count + b->count;
    *idf1 = all > 0 ? 2.0 * (double)agreed / (double)all : 1.0;
    return result;
}

int sp_identity_f1(const char *reference_path, const char *path, int64_t last_frame, double *idf1,
                   struct sp_error *err)
{
    struct rows *rows = calloc(2, sizeof *rows);
    int result = SP_OK;
    if (!rows)
        return sp_fail(err, SP_ERR_NO_MEMORY, "comparing tracks: out of memory");
    result = read_rows(&rows[0], reference_path, true, last_frame, err);
    if (result == SP_OK)
        result = read_rows(&rows[1], path, false, 0, err);
    if (result == SP_OK)
        result = compare(&rows[0], &rows[1], idf1, err);
    free(rows[0].row);
    free(rows[1].row);
    free(rows);
    return result;
}
