#include "eval/distractors.h"

#include "base/assign.h"
#include "eval/boxes.h"

#include <float.h>
#include <stdlib.h>

static const double RIGHT = 0.5 - DBL_EPSILON;

struct frame {                   /* rows of one frame, as ranges */
    size_t first, end;           /* of ground_truth->rows */
    size_t ignored, ignored_end; /* of ground_truth->ignored */
    size_t tracks, tracks_end;   /* of tracks->rows */
};

/* The next frame with tracks; false after the last. */
static bool next_frame(const struct sp_mot_rows *ground_truth, const struct sp_mot_rows *tracks,
                       struct frame *f)
{
    f->first = f->end;
    f->ignored = f->ignored_end;
    f->tracks = f->tracks_end;
    if (f->tracks == tracks->count)
        return false;
    int number = tracks->rows[f->tracks].frame;
    while (f->tracks_end < tracks->count && tracks->rows[f->tracks_end].frame == number)
        f->tracks_end++;
    while (f->first < ground_truth->count && ground_truth->rows[f->first].frame < number)
        f->first++;
    for (f->end = f->first;
         f->end < ground_truth->count && ground_truth->rows[f->end].frame == number;)
        f->end++;
    while (f->ignored < ground_truth->ignored_count &&
           ground_truth->ignored[f->ignored].frame < number)
        f->ignored++;
    for (f->ignored_end = f->ignored; f->ignored_end < ground_truth->ignored_count &&
                                      ground_truth->ignored[f->ignored_end].frame == number;)
        f->ignored_end++;
    return true;
}

static void add_row(struct sp_assign *assign, int row, const struct sp_detection *label,
                    const struct sp_mot_rows *tracks, const struct frame *f)
{
    for (size_t t = f->tracks; t < f->tracks_end; t++) {
        double iou = sp_detection_iou(label, &tracks->rows[t].box);
        if (iou >= RIGHT)
            sp_assign_add(assign, row, (int)(t - f->tracks), -iou);
    }
}

/* gone[tracks->count] */
static void match(struct sp_assign *assign, const struct sp_mot_rows *ground_truth,
                  const struct sp_mot_rows *tracks, const struct frame *f, bool *gone)
{
    const int *column_of_row, *row_of_column;
    int people = (int)(f->end - f->first), others = (int)(f->ignored_end - f->ignored);
    sp_assign_begin(assign, people + others, (int)(f->tracks_end - f->tracks), 0);
    for (int i = 0; i < people; i++)
        add_row(assign, i, &ground_truth->rows[f->first + (size_t)i].box, tracks, f);
    for (int i = 0; i < others; i++)
        add_row(assign, people + i, &ground_truth->ignored[f->ignored + (size_t)i].box, tracks, f);
    sp_assign_solve(assign, &column_of_row, &row_of_column);
    for (int i = 0; i < others; i++) {
        int column = column_of_row[people + i];
        if (column >= 0 && ground_truth->ignored[f->ignored + (size_t)i].distractor)
            gone[f->tracks + (size_t)column] = true;
    }
}

static int compact(struct sp_mot_rows *tracks, const bool *gone, struct sp_error *err)
{
    int *number = calloc((size_t)tracks->ids + 1, sizeof *number);
    if (!number)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%d tracks: out of memory", tracks->ids);
    size_t kept = 0;
    for (size_t i = 0; i < tracks->count; i++)
        if (!gone[i])
            tracks->rows[kept++] = tracks->rows[i];
    tracks->count = kept;
    for (size_t i = 0; i < kept; i++)
        number[tracks->rows[i].id] = 1;
    int ids = 0;
    for (int i = 0; i < tracks->ids; i++)
        number[i] = number[i] ? ids++ : -1;
    for (size_t i = 0; i < kept; i++)
        tracks->rows[i].id = number[tracks->rows[i].id];
    tracks->ids = ids;
    free(number);
    return SP_OK;
}

int sp_mot_drop_distractors(const struct sp_mot_rows *ground_truth, struct sp_mot_rows *tracks,
                            size_t *removed, struct sp_error *err)
{
    struct frame f = {0};
    size_t labels = 1, boxes = 1, before = tracks->count;
    *removed = 0;
    if (!ground_truth->classes || tracks->count == 0)
        return SP_OK;
    while (next_frame(ground_truth, tracks, &f)) {
        size_t all = f.end - f.first + f.ignored_end - f.ignored, here = f.tracks_end - f.tracks;
        labels = all > labels ? all : labels;
        boxes = here > boxes ? here : boxes;
    }
    struct sp_assign *assign = NULL;
    bool *gone = calloc(tracks->count, sizeof *gone);
    if (!gone)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%zu boxes: out of memory", tracks->count);
    int result = sp_assign_open(&assign, (int)labels, (int)boxes, err);
    if (result == SP_OK) {
        f = (struct frame){0};
        while (next_frame(ground_truth, tracks, &f))
            match(assign, ground_truth, tracks, &f, gone);
        sp_assign_close(assign);
        result = compact(tracks, gone, err);
        *removed = before - tracks->count;
    }
    free(gone);
    return result;
}
