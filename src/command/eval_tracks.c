/* spoton eval --tracks: MOTA, IDF1 and HOTA of a file or folder of tracks. */
#include "base/json.h"
#include "command/eval.h"
#include "command/tracks_table.h"
#include "eval/distractors.h"
#include "eval/tracks.h"

#include <stdlib.h>

static void add_number(struct sp_json *json, const char *key, double value)
{
    sp_json_key(json, key);
    sp_json_number(json, value, 5);
}

static void add_count(struct sp_json *json, const char *key, uint64_t value)
{
    sp_json_key(json, key);
    sp_json_int(json, (int64_t)value);
}

static void print_json(const struct sp_tracks_result *result, size_t distracted)
{
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    add_number(&json, "mota", result->clear.mota);
    add_number(&json, "idf1", result->idf1);
    add_number(&json, "hota", result->hota);
    add_count(&json, "id_switches", result->clear.switches);
    add_number(&json, "mota_trackeval", result->clear_trackeval.mota);
    add_count(&json, "id_switches_trackeval", result->clear_trackeval.switches);
    add_number(&json, "id_precision", result->id_precision);
    add_number(&json, "id_recall", result->id_recall);
    add_number(&json, "detection_accuracy", result->detection_accuracy);
    add_number(&json, "association_accuracy", result->association_accuracy);
    add_count(&json, "matches", result->clear.matches);
    add_count(&json, "false_positives", result->clear.false_positives);
    add_count(&json, "misses", result->clear.misses);
    add_count(&json, "ground_truth_boxes", result->ground_truth);
    add_count(&json, "tracked_boxes", result->tracked);
    add_count(&json, "distractor_boxes", distracted);
    add_count(&json, "people", (uint64_t)result->ground_truth_ids);
    add_count(&json, "tracks", (uint64_t)result->tracked_ids);
    sp_json_end_object(&json);
    printf("%s\n", json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

static void print_table(const struct sp_tracks_result *result, size_t distracted)
{
    printf("MOTA         %7.3f   %llu missed, %llu false positives\n", result->clear.mota,
           (unsigned long long)result->clear.misses,
           (unsigned long long)result->clear.false_positives);
    printf("IDF1         %7.3f   precision %.3f, recall %.3f\n", result->idf1, result->id_precision,
           result->id_recall);
    printf("HOTA         %7.3f   detection %.3f, association %.3f\n", result->hota,
           result->detection_accuracy, result->association_accuracy);
    printf("ID switches  %7llu   as counted by TrackEval: %llu, MOTA %.3f\n",
           (unsigned long long)result->clear.switches,
           (unsigned long long)result->clear_trackeval.switches, result->clear_trackeval.mota);
    printf("boxes        %7llu   of %d people; %llu of %d tracks\n",
           (unsigned long long)result->ground_truth, result->ground_truth_ids,
           (unsigned long long)result->tracked, result->tracked_ids);
    if (distracted > 0)
        printf("ignored      %7zu   boxes on distractors (classes 2, 7, 8, 12)\n", distracted);
}

/* Ground truth and tracks of one sequence; release both in any case. */
static int compare(struct sp_mot_rows *ground_truth, const char *ground_truth_path,
                   struct sp_mot_rows *tracks, const char *tracks_path,
                   struct sp_tracks_result *result, size_t *distracted, struct sp_error *err)
{
    int code = sp_mot_rows_read(ground_truth, ground_truth_path, true, err);
    if (code == SP_OK)
        code = sp_mot_rows_read(tracks, tracks_path, false, err);
    if (code == SP_OK && ground_truth->count == 0)
        code = sp_fail(
            err, SP_ERR_INVALID,
            "%s: no row that counts as ground truth; check flag and class (seventh and eighth "
            "value)",
            ground_truth_path);
    if (code == SP_OK)
        code = sp_mot_drop_distractors(ground_truth, tracks, distracted, err);
    if (code == SP_OK)
        code = sp_tracks_compare(ground_truth, tracks, result, err);
    return code;
}

static int evaluate_file(const char *ground_truth_path, const char *tracks_path, bool json,
                         struct sp_error *err)
{
    struct sp_mot_rows ground_truth = {0}, tracks = {0};
    struct sp_tracks_result result;
    size_t distracted = 0;
    int code =
        compare(&ground_truth, ground_truth_path, &tracks, tracks_path, &result, &distracted, err);
    if (code == SP_OK && json)
        print_json(&result, distracted);
    else if (code == SP_OK)
        print_table(&result, distracted);
    sp_mot_rows_release(&ground_truth);
    sp_mot_rows_release(&tracks);
    return code;
}

static int evaluate_sequence(const struct sp_sequence *sequence, const char *folder,
                             struct sp_tracks_sums *sums, struct sp_error *err)
{
    struct sp_mot_rows ground_truth = {0}, tracks = {0};
    struct sp_tracks_result result;
    char path[SP_PATH_BYTES];
    size_t distracted = 0;
    int code = sp_sequence_file(path, folder, sequence->name, SP_SEQUENCE_TRACKS, err);
    if (code == SP_OK)
        code = compare(&ground_truth, sequence->ground_truth, &tracks, path, &result, &distracted,
                       err);
    if (code == SP_OK)
        code = sp_tracks_sums_of(sums, &result, &tracks, sequence->frame_rate, err);
    sp_mot_rows_release(&ground_truth);
    sp_mot_rows_release(&tracks);
    return code;
}

static int evaluate_folder(const char *ground_truth_folder, const char *folder, bool json,
                           struct sp_error *err)
{
    struct sp_sequences sequences;
    int code = sp_sequences_find(&sequences, ground_truth_folder, err);
    struct sp_tracks_table table = {.sequences = &sequences, .tracker_count = 1};
    table.sums = calloc(sequences.count + 1, sizeof *table.sums);
    if (code == SP_OK && !table.sums)
        code = sp_fail(err, SP_ERR_NO_MEMORY, "%zu sequences: out of memory", sequences.count);
    for (size_t i = 0; code == SP_OK && i < sequences.count; i++)
        code = evaluate_sequence(&sequences.sequence[i], folder, &table.sums[i], err);
    if (code == SP_OK)
        code = sp_tracks_table_print(&table, json, err);
    free(table.sums);
    sp_sequences_release(&sequences);
    return code;
}

int sp_eval_tracks(const char *ground_truth, const char *tracks, bool json, struct sp_error *err)
{
    if (!sp_path_is_folder(ground_truth))
        return evaluate_file(ground_truth, tracks, json, err);
    if (!sp_path_is_folder(tracks))
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: not a folder, but the ground truth is one; give two files or two "
                       "folders",
                       tracks);
    return evaluate_folder(ground_truth, tracks, json, err);
}
