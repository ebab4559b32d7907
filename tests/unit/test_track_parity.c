/* Whole sequences compared with the tracks of the authors' Python: every row must have an equal
 * one, boxes within 0.01 px, under one mapping of the ids for the whole sequence (where tracks and
 * detections have exactly equal boxes either pairing is correct, so confidences are not compared).
 * The sequences in tests/data/tracker are our own; others are read from the shared folder, if it
 * exists. */
#include "base/assign.h"
#include "track/tracker.h"

#include "unit.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    int frame, id;
    double left, top, width, height, confidence;
};

struct rows {
    struct row *row;
    size_t count, capacity;
};

static void add_row(struct rows *rows, const struct row *row)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? 2 * rows->capacity : 1024;
        rows->row = realloc(rows->row, rows->capacity * sizeof *rows->row);
        assert_non_null(rows->row);
    }
    rows->row[rows->count++] = *row;
}

static struct rows read_rows(const char *folder, const char *name, const char *file)
{
    char path[4096];
    struct rows rows = {0};
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    FILE *from = fopen(path, "re");
    if (!from)
        fail_msg("%s: cannot be opened", path);
    struct row r;
    while (fscanf(from, "%d,%d,%lf,%lf,%lf,%lf,%lf%*[^\n]", &r.frame, &r.id, &r.left, &r.top,
                  &r.width, &r.height, &r.confidence) == 7)
        add_row(&rows, &r);
    assert_true(feof(from));
    fclose(from);
    return rows;
}

static struct rows track_rows(const struct rows *det)
{
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    static struct sp_track tracks[SP_TRACKS_MAX];
    struct rows rows = {0};
    struct sp_tracker_params params;
    struct sp_tracker *tracker;
    sp_tracker_params_default(&params);
    assert_int_equal(sp_tracker_open(&tracker, &params, NULL), SP_OK);
    int last = det->count ? det->row[det->count - 1].frame : 0;
    size_t d = 0;
    for (int frame = 1; frame <= last; frame++) {
        size_t count = 0;
        for (; d < det->count && det->row[d].frame == frame; d++) {
            assert_true(count < SP_DETECTIONS_MAX);
            const struct row *from = &det->row[d];
            detections[count++] = (struct sp_detection){
                .x1_px = from->left,
                .y1_px = from->top,
                .x2_px = from->left + from->width,
                .y2_px = from->top + from->height,
                .confidence = from->confidence,
            };
        }
        size_t got = sp_tracker_update(tracker, detections, count, 1, tracks);
        for (size_t i = 0; i < got; i++) {
            const struct sp_track *t = &tracks[i];
            add_row(&rows, &(struct row){frame, (int)t->id, t->x1_px, t->y1_px, t->x2_px - t->x1_px,
                                         t->y2_px - t->y1_px, t->confidence});
        }
    }
    sp_tracker_close(tracker);
    return rows;
}

static int is_like(const struct row *a, const struct row *b)
{
    return fabs(a->left - b->left) <= 0.01 && fabs(a->top - b->top) <= 0.01 &&
           fabs(a->width - b->width) <= 0.01 && fabs(a->height - b->height) <= 0.01;
}

static int highest_id(const struct rows *rows)
{
    int highest = 0;
    for (size_t i = 0; i < rows->count; i++)
        highest = rows->row[i].id > highest ? rows->row[i].id : highest;
    return highest;
}

/* The number of equal rows under the best mapping of ids. Rows rise by frame. */
static size_t count_alike(const struct rows *a, const struct rows *b)
{
    int ids_a = highest_id(a) + 1, ids_b = highest_id(b) + 1;
    size_t *alike = calloc((size_t)ids_a * (size_t)ids_b, sizeof *alike);
    assert_non_null(alike);
    for (size_t i = 0, first = 0; i < a->count; i++) {
        while (first < b->count && b->row[first].frame < a->row[i].frame)
            first++;
        for (size_t k = first; k < b->count && b->row[k].frame == a->row[i].frame; k++)
            if (is_like(&a->row[i], &b->row[k]))
                alike[a->row[i].id * ids_b + b->row[k].id]++;
    }
    struct sp_assign *assign;
    const int *b_of_a, *a_of_b;
    assert_int_equal(sp_assign_open(&assign, ids_a, ids_b, NULL), SP_OK);
    sp_assign_begin(assign, ids_a, ids_b, 0);
    for (int i = 0; i < ids_a; i++)
        for (int k = 0; k < ids_b; k++)
            sp_assign_add(assign, i, k, -(double)alike[i * ids_b + k]);
    sp_assign_solve(assign, &b_of_a, &a_of_b);
    size_t total = 0;
    for (int i = 0; i < ids_a; i++)
        if (b_of_a[i] >= 0)
            total += alike[i * ids_b + b_of_a[i]];
    sp_assign_close(assign);
    free(alike);
    return total;
}

static void check_sequence(const char *folder, const char *name)
{
    struct rows det = read_rows(folder, name, "det.txt");
    struct rows ref = read_rows(folder, name, "ref.txt");
    struct rows ours = track_rows(&det);
    size_t alike = count_alike(&ref, &ours);
    print_message("%-20s %zu of %zu rows equal\n", name, alike, ref.count);
    assert_int_equal(ours.count, ref.count);
    assert_int_equal(alike, ref.count);
    free(det.row);
    free(ref.row);
    free(ours.row);
}

/* Every folder with a det.txt; returns their number, or -1 without the folder. */
static int check_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    int checked = 0;
    if (!dir)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/det.txt", folder, entry->d_name);
        FILE *there = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!there)
            continue;
        fclose(there);
        check_sequence(folder, entry->d_name);
        checked++;
    }
    closedir(dir);
    return checked;
}

static const char *source_dir(void)
{
    const char *dir = getenv("SPOTON_SOURCE_DIR");
    return dir ? dir : ".";
}

static void test_our_sequences(void **state)
{
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/tests/data/tracker", source_dir());
    assert_int_equal(check_folder(folder), 5);
}

static void test_shared_sequences(void **state)
{
    (void)state;
    char folder[4096];
    const char *shared = getenv("SPOTON_SHARED");
    if (shared)
        snprintf(folder, sizeof folder, "%s/data/tracker", shared);
    else
        snprintf(folder, sizeof folder, "%s/../shared/data/tracker", source_dir());
    int checked = check_folder(folder);
    if (checked < 0) {
        print_message("skipped: %s not found\n", folder);
        skip();
    }
    assert_true(checked > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_sequences),
        cmocka_unit_test(test_shared_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
