#include "command/track_compare.h"

#include "command/track.h"
#include "command/track_input.h"
#include "command/tracks_table.h"
#include "eval/distractors.h"

#include <stdlib.h>
#include <string.h>

enum { TRACKERS_MAX = 8 };

/* The tracks of one tracker on one sequence, as rows for eval/tracks.h. */
struct collected {
    struct sp_mot_rows rows;
    size_t row_capacity;
    int *number; /* [id] of the tracker -> of the rows, + 1 */
    size_t number_count;
    bool *tracked; /* [frame], from 1 */
    size_t frame_count;
    bool failed;
};

struct comparison {
    const struct sp_options *options;
    struct sp_settings *settings; /* with the tracker in turn */
    char names[256];
    const char *tracker[TRACKERS_MAX];
    size_t tracker_count;
    struct sp_sequences sequences;
    struct sp_tracks_sums *sums; /* [tracker_count][sequences.count] */
};

static bool number_id(struct collected *c, uint32_t id)
{
    if (id >= c->number_count) {
        size_t more = 2 * (size_t)id + 64;
        int *grown = realloc(c->number, more * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + c->number_count, 0, (more - c->number_count) * sizeof *grown);
        c->number = grown;
        c->number_count = more;
    }
    if (c->number[id] == 0)
        c->number[id] = ++c->rows.ids;
    return true;
}

static void collect(void *user, uint64_t sequence, const struct sp_track *tracks, size_t count)
{
    struct collected *c = user;
    if (sequence + 1 < c->frame_count)
        c->tracked[sequence + 1] = true;
    for (size_t i = 0; i < count && !c->failed; i++) {
        const struct sp_track *t = &tracks[i];
        if (c->rows.count == c->row_capacity) {
            size_t more = c->row_capacity ? 2 * c->row_capacity : 1024;
            struct sp_mot_row *grown = realloc(c->rows.rows, more * sizeof *grown);
            c->failed = !grown;
            if (!grown)
                return;
            c->rows.rows = grown;
            c->row_capacity = more;
        }
        c->failed = !number_id(c, t->id);
        if (!c->failed)
            c->rows.rows[c->rows.count++] = (struct sp_mot_row){
                .frame = (int)sequence + 1,
                .id = c->number[t->id] - 1,
                .box = {.x1_px = t->x1_px, .y1_px = t->y1_px, .x2_px = t->x2_px, .y2_px = t->y2_px},
            };
    }
}

static int compare_rows(const void *left, const void *right)
{
    const struct sp_mot_row *a = left, *b = right;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Ground truth of other frames is neither found nor missed. */
static int keep_tracked_frames(struct sp_mot_rows *ground_truth, const struct collected *c,
                               const char *path, struct sp_error *err)
{
    size_t kept = 0;
    int *number = calloc((size_t)ground_truth->ids + 1, sizeof *number), ids = 0;
    if (!number)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < ground_truth->count; i++) {
        struct sp_mot_row row = ground_truth->rows[i];
        if ((size_t)row.frame >= c->frame_count || !c->tracked[row.frame])
            continue;
        if (number[row.id] == 0)
            number[row.id] = ++ids;
        row.id = number[row.id] - 1;
        ground_truth->rows[kept++] = row;
    }
    ground_truth->count = kept;
    ground_truth->ids = ids;
    free(number);
    return kept > 0 ? SP_OK
                    : sp_fail(err, SP_ERR_INVALID,
                              "%s: no row that counts as ground truth in the tracked frames; check "
                              "flag and class (seventh and eighth value), and frame numbers",
                              path);
}

static int compare_sequence(struct comparison *comparison, const struct sp_sequence *sequence,
                            const struct sp_track_input *input, struct sp_tracks_sums *sums,
                            struct sp_error *err)
{
    struct collected c = {.frame_count = 1};
    struct sp_mot_rows ground_truth = {0};
    struct sp_tracks_result result;
    size_t removed;
    struct sp_track_run run = {
        .settings = comparison->settings,
        .input = input,
        .frame_rate = sequence->frame_rate,
        .take = collect,
        .user = &c,
    };
    if (input->frame_count > 0)
        c.frame_count = input->frames[input->frame_count - 1].sequence + 2;
    c.tracked = calloc(c.frame_count, sizeof *c.tracked);
    int code = c.tracked ? sp_mot_rows_read(&ground_truth, sequence->ground_truth, true, err)
                         : sp_fail(err, SP_ERR_NO_MEMORY, "tracks: out of memory");
    if (code == SP_OK)
        code = sp_track_run(&run, err);
    if (code == SP_OK && c.failed)
        code = sp_fail(err, SP_ERR_NO_MEMORY, "tracks: out of memory");
    if (c.rows.count > 0)
        qsort(c.rows.rows, c.rows.count, sizeof *c.rows.rows, compare_rows);
    if (code == SP_OK)
        code = sp_mot_drop_distractors(&ground_truth, &c.rows, &removed, err);
    if (code == SP_OK)
        code = keep_tracked_frames(&ground_truth, &c, sequence->ground_truth, err);
    if (code == SP_OK)
        code = sp_tracks_compare(&ground_truth, &c.rows, &result, err);
    if (code == SP_OK)
        code = sp_tracks_sums_of(sums, &result, &c.rows,
                                 input->frame_rate > 0 ? input->frame_rate : sequence->frame_rate,
                                 err);
    sp_mot_rows_release(&ground_truth);
    sp_mot_rows_release(&c.rows);
    free(c.number);
    free(c.tracked);
    return code;
}

static int compare_all(struct comparison *comparison, struct sp_error *err)
{
    const char *detections = comparison->options->input[0];
    bool folder = sp_path_is_folder(detections);
    size_t count = comparison->sequences.count;
    int code = SP_OK;
    for (size_t i = 0; i < count && code == SP_OK; i++) {
        struct sp_sequence *sequence = &comparison->sequences.sequence[i];
        struct sp_track_input input = {0};
        char path[SP_PATH_BYTES];
        if (folder)
            code = sp_sequence_file(path, detections, sequence->name, SP_SEQUENCE_DETECTIONS, err);
        if (code == SP_OK)
            code = sp_track_input_read(&input, folder ? path : detections, err);
        for (size_t t = 0; t < comparison->tracker_count && code == SP_OK; t++) {
            code = sp_settings_set(comparison->settings, "TRACKER", comparison->tracker[t],
                                   "--compare", err);
            if (code == SP_OK)
                code = compare_sequence(comparison, sequence, &input,
                                        &comparison->sums[t * count + i], err);
        }
        sp_track_input_release(&input);
    }
    return code;
}

static int split_names(struct comparison *comparison, const char *list, struct sp_error *err)
{
    if ((size_t)snprintf(comparison->names, sizeof comparison->names, "%s", list) >=
        sizeof comparison->names)
        return sp_fail(err, SP_ERR_INVALID, "--compare: too long; give names of trackers: A,B");
    char *rest = comparison->names;
    for (char *name; (name = strsep(&rest, ","));) {
        if (comparison->tracker_count == TRACKERS_MAX)
            return sp_fail(err, SP_ERR_INVALID, "--compare: more than %d trackers; give fewer",
                           TRACKERS_MAX);
        comparison->tracker[comparison->tracker_count++] = name;
    }
    return SP_OK;
}

/* One sequence, whose ground truth is a file. */
static int take_file(struct sp_sequences *sequences, const char *detections,
                     const char *ground_truth, struct sp_error *err)
{
    const char *base = strrchr(detections, '/');
    base = base ? base + 1 : detections;
    sequences->sequence = calloc(1, sizeof *sequences->sequence);
    if (!sequences->sequence)
        return sp_fail(err, SP_ERR_NO_MEMORY, "sequences: out of memory");
    sequences->count = 1;
    struct sp_sequence *s = &sequences->sequence[0];
    s->frame_rate = SP_SEQUENCE_FRAME_RATE;
    (void)snprintf(s->name, sizeof s->name, "%.*s", (int)strcspn(base, "."), base);
    if ((size_t)snprintf(s->ground_truth, sizeof s->ground_truth, "%s", ground_truth) >=
        sizeof s->ground_truth)
        return sp_fail(err, SP_ERR_INVALID, "--ground-truth: path too long; the limit is %d bytes",
                       SP_PATH_BYTES);
    return SP_OK;
}

static int find_sequences(struct comparison *comparison, struct sp_error *err)
{
    const char *detections = comparison->options->input[0];
    const char *ground_truth = comparison->options->ground_truth;
    if (sp_path_is_folder(detections) != sp_path_is_folder(ground_truth))
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: must be a %s, as the detections are one; give two files or two folders",
                       ground_truth, sp_path_is_folder(detections) ? "folder" : "file");
    return sp_path_is_folder(ground_truth)
               ? sp_sequences_find(&comparison->sequences, ground_truth, err)
               : take_file(&comparison->sequences, detections, ground_truth, err);
}

int sp_track_compare(const struct sp_options *options, struct sp_error *err)
{
    struct comparison comparison = {.options = options};
    int code = split_names(&comparison, options->compare, err);
    if (code == SP_OK)
        code = find_sequences(&comparison, err);
    size_t count = comparison.tracker_count * comparison.sequences.count;
    comparison.settings = malloc(sizeof *comparison.settings);
    comparison.sums = calloc(count + 1, sizeof *comparison.sums);
    bool enough = comparison.settings && comparison.sums;
    if (code == SP_OK && !enough)
        code = sp_fail(err, SP_ERR_NO_MEMORY, "%zu sequences: out of memory", count);
    if (code == SP_OK && enough) {
        *comparison.settings = options->settings;
        comparison.settings->output_frames = SP_OUTPUT_FRAMES_INFERRED;
        code = compare_all(&comparison, err);
    }
    if (code == SP_OK) {
        const struct sp_tracks_table table = {
            .sequences = &comparison.sequences,
            .tracker_count = comparison.tracker_count,
            .tracker = comparison.tracker,
            .sums = comparison.sums,
        };
        code = sp_tracks_table_print(&table, options->json, err);
    }
    free(comparison.settings);
    free(comparison.sums);
    sp_sequences_release(&comparison.sequences);
    return code;
}
