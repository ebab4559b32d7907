/* Variants of TRACKER=spoton against ground truth:
 *
 *     bench_variants GT.txt DETS.txt FPS EVERY [bytetrack] [live] [NAME=VALUE ...]
 *
 * Feeds the frames 1, 1+EVERY, ... with their real time steps and prints one line: MOTA, IDF1,
 * HOTA, AssA and DetA in percent, ID switches, ids, ids that live under 0.5 s, and microseconds per
 * frame. NAME is a member of struct sp_adaptive_params. With OUT=FILE the rows are written too.
 * live: without the rows of frames from before a track had its id.
 * IGNORE=FILE has what counts neither way, "frame,id,left,top,width,height,kind": of kind 1 people
 * (eval/distractors.h), of kind 2 regions without labels, as in KITTI: a track's box is removed
 * when half of it is in one and no person has it. */
#include "base/clock.h"
#include "command/track_input.h"
#include "eval/boxes.h"
#include "eval/distractors.h"
#include "eval/tracks.h"
#include "track/adaptive.h"
#include "track/bytetrack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct sp_adaptive_params, name)                                           \
    }

static const struct {
    const char *name;
    size_t offset;
} members[] = {
    MEMBER(low),
    MEMBER(high),
    MEMBER(start),
    MEMBER(evidence),
    MEMBER(evidence_covered),
    MEMBER(limit_confirmed),
    MEMBER(limit_tentative),
    MEMBER(limit_tentative_long),
    MEMBER(limit_low),
    MEMBER(limit_again),
    MEMBER(mahalanobis),
    MEMBER(long_step_s),
    MEMBER(margin),
    MEMBER(decay_s),
    MEMBER(keep_lost_s),
    MEMBER(keep_again_s),
    MEMBER(keep_tentative_s),
    MEMBER(low_lost_s),
    MEMBER(low_right_s),
    MEMBER(low_share),
    MEMBER(birth_iou),
    MEMBER(rejoin_heights),
    MEMBER(blend),
    MEMBER(coast_share),
};

static void stop(const struct sp_error *err)
{
    fprintf(stderr, "bench_variants: %s\n", err->text);
    exit(1);
}

static bool set(struct sp_adaptive_params *params, const char *text)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        size_t n = strlen(members[i].name);
        if (strncmp(text, members[i].name, n) == 0 && text[n] == '=') {
            double value = strtod(text + n + 1, NULL);
            memcpy((char *)params + members[i].offset, &value, sizeof value);
            return true;
        }
    }
    return false;
}

static void keep_every(struct sp_mot_rows *rows, int every)
{
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++)
        if ((rows->rows[i].frame - 1) % every == 0)
            rows->rows[kept++] = rows->rows[i];
    rows->count = kept;
}

static void write_row(FILE *out, uint64_t sequence, const struct sp_track *track)
{
    fprintf(out, "%d,%u,%.6f,%.6f,%.6f,%.6f,%.6f,%d\n", (int)sequence + 1, track->id, track->x1_px,
            track->y1_px, track->x2_px - track->x1_px, track->y2_px - track->y1_px,
            track->confidence, track->detection == 0);
}

static double track_all(const struct sp_tracker_type *type, void *tracker,
                        const struct sp_track_input *in, double fps, int every, bool earlier,
                        FILE *out)
{
    static struct sp_track tracks[SP_TRACKS_MAX];
    static struct sp_track_earlier rows[SP_TRACK_EARLIER_MAX];
    uint64_t end = in->frame_count ? in->frames[in->frame_count - 1].sequence + 1 : 0;
    size_t next = 0;
    int64_t spent_us = 0, updates = 0;
    for (uint64_t sequence = 0; sequence < end; sequence++) {
        const struct sp_track_input_frame *frame = NULL;
        if (in->frames[next].sequence == sequence)
            frame = &in->frames[next++];
        if (sequence % (uint64_t)every != 0)
            continue;
        struct sp_tracker_input input = {
            .detections = frame ? &in->detections[frame->first_detection] : NULL,
            .detection_count = frame ? frame->detection_count : 0,
            .dt_frames = every,
            .dt_s = every / fps,
            .sequence = sequence,
        };
        int64_t start_us = sp_clock_us();
        size_t count = type->update(tracker, &input, tracks);
        spent_us += sp_clock_us() - start_us;
        updates++;
        size_t earlier_count = earlier && type->earlier ? type->earlier(tracker, false, rows) : 0;
        for (size_t i = 0; i < earlier_count; i++)
            write_row(out, rows[i].sequence, &rows[i].track);
        for (size_t i = 0; i < count; i++)
            write_row(out, sequence, &tracks[i]);
    }
    return updates ? (double)spent_us / (double)updates : 0;
}

static int count_short(const struct sp_mot_rows *rows, double fps)
{
    int *first = calloc((size_t)rows->ids + 1, sizeof *first);
    int *last = calloc((size_t)rows->ids + 1, sizeof *last);
    int count = 0;
    if (!first || !last)
        exit(1);
    for (size_t i = 0; i < rows->count; i++) {
        int id = rows->rows[i].id;
        first[id] = first[id] ? first[id] : rows->rows[i].frame;
        last[id] = rows->rows[i].frame;
    }
    for (int id = 0; id < rows->ids; id++) /* those without rows are in regions without labels */
        count += first[id] > 0 && last[id] - first[id] < 0.5 * fps;
    free(first);
    free(last);
    return count;
}

/* ---- what counts neither way ---- */

static int compare_ignored(const void *left, const void *right)
{
    const struct sp_mot_ignored *a = left, *b = right;
    return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* Rows of kind 1 become distractors of the ground truth; the others are returned. */
static struct sp_mot_ignored *read_ignored(struct sp_mot_rows *ground_truth, const char *path,
                                           size_t *region_count)
{
    struct sp_mot_ignored *regions = NULL;
    size_t room = 0;
    char line[256];
    FILE *file = fopen(path, "re");
    *region_count = 0;
    if (!file) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, file)) {
        double v[7];
        char *at = line;
        for (int i = 0; i < 7; i++, at += *at == ',')
            v[i] = strtod(at, &at);
        struct sp_mot_ignored row = {.frame = (int)v[0],
                                     .distractor = v[6] < 2,
                                     .box = {v[2], v[3], v[2] + v[4], v[3] + v[5], 1, 0}};
        struct sp_mot_ignored **list = row.distractor ? &ground_truth->ignored : &regions;
        size_t *count = row.distractor ? &ground_truth->ignored_count : region_count;
        if (row.distractor || *count == room) {
            room += row.distractor ? 0 : 1024;
            *list = realloc(*list, (row.distractor ? *count + 1 : room) * sizeof **list);
            if (!*list)
                exit(1);
        }
        (*list)[(*count)++] = row;
    }
    (void)fclose(file);
    if (ground_truth->ignored_count > 0)
        qsort(ground_truth->ignored, ground_truth->ignored_count, sizeof *ground_truth->ignored,
              compare_ignored);
    ground_truth->classes = true;
    return regions;
}

static bool is_inside(const struct sp_detection *box, const struct sp_detection *region)
{
    double width = fmin(box->x2_px, region->x2_px) - fmax(box->x1_px, region->x1_px);
    double height = fmin(box->y2_px, region->y2_px) - fmax(box->y1_px, region->y1_px);
    return width > 0 && height > 0 &&
           width * height >= 0.5 * (box->x2_px - box->x1_px) * (box->y2_px - box->y1_px);
}

static bool is_ignored(const struct sp_mot_row *row, const struct sp_mot_rows *ground_truth,
                       const struct sp_mot_ignored *regions, size_t region_count)
{
    bool inside = false;
    for (size_t i = 0; i < region_count && !inside; i++)
        inside = regions[i].frame == row->frame && is_inside(&row->box, &regions[i].box);
    for (size_t i = 0; i < ground_truth->count && inside; i++)
        if (ground_truth->rows[i].frame == row->frame &&
            sp_detection_iou(&ground_truth->rows[i].box, &row->box) >= 0.5)
            inside = false;
    return inside;
}

static void drop_in_regions(struct sp_mot_rows *rows, const struct sp_mot_rows *ground_truth,
                            const struct sp_mot_ignored *regions, size_t region_count)
{
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (!is_ignored(&rows->rows[i], ground_truth, regions, region_count))
            rows->rows[kept++] = rows->rows[i];
    rows->count = kept;
}

int main(int argc, char **argv)
{
    struct sp_tracker_params base;
    struct sp_adaptive_params params;
    struct sp_error err = {0};
    char path[] = "/tmp/bench_variants.XXXXXX";
    const char *out_path = NULL, *ignore_path = NULL;
    bool earlier = true;
    const struct sp_tracker_type *type = &sp_adaptive_type;
    void *tracker;
    sp_tracker_params_default(&base);
    sp_adaptive_params_default(&params, &base);
    for (int i = 5; i < argc; i++) {
        if (strncmp(argv[i], "OUT=", 4) == 0)
            out_path = argv[i] + 4;
        else if (strncmp(argv[i], "IGNORE=", 7) == 0)
            ignore_path = argv[i] + 7;
        else if (strcmp(argv[i], "live") == 0)
            earlier = false;
        else if (strcmp(argv[i], "bytetrack") == 0)
            type = &sp_bytetrack_type;
        else if (!set(&params, argv[i]))
            argc = 0;
    }
    double fps = argc > 4 ? strtod(argv[3], NULL) : 0;
    int every = argc > 4 ? atoi(argv[4]) : 0;
    if (!(fps > 0) || every < 1) {
        fprintf(stderr,
                "bench_variants GT DETS FPS EVERY [bytetrack] [OUT=FILE] [NAME=VALUE ...]\n");
        return 2;
    }
    struct sp_track_input in = {0};
    struct sp_mot_rows ground_truth = {0}, rows = {0};
    struct sp_tracks_result r;
    size_t removed;
    if (sp_track_input_read(&in, argv[2], &err) ||
        (type == &sp_adaptive_type ? sp_adaptive_open(&tracker, &params, &err)
                                   : type->open(&tracker, &base, &err)))
        stop(&err);
    int fd = out_path ? -1 : mkstemp(path);
    FILE *out = out_path ? fopen(out_path, "we") : fdopen(fd, "w");
    if (!out)
        return 1;
    double us = track_all(type, tracker, &in, fps, every, earlier, out);
    (void)fclose(out);
    type->close(tracker);
    int rc = sp_mot_rows_read(&rows, out_path ? out_path : path, false, &err);
    if (!out_path)
        (void)remove(path);
    struct sp_mot_ignored *regions = NULL;
    size_t region_count = 0;
    if (rc || sp_mot_rows_read(&ground_truth, argv[1], true, &err))
        stop(&err);
    if (ignore_path)
        regions = read_ignored(&ground_truth, ignore_path, &region_count);
    if (sp_mot_drop_distractors(&ground_truth, &rows, &removed, &err))
        stop(&err);
    drop_in_regions(&rows, &ground_truth, regions, region_count);
    free(regions);
    keep_every(&ground_truth, every);
    if (sp_tracks_compare(&ground_truth, &rows, &r, &err))
        stop(&err);
    printf("%.2f %.2f %.2f %.2f %.2f %llu %d %d %.1f\n", 100 * r.clear.mota, 100 * r.idf1,
           100 * r.hota, 100 * r.association_accuracy, 100 * r.detection_accuracy,
           (unsigned long long)r.clear.switches, r.tracked_ids, count_short(&rows, fps), us);
    sp_mot_rows_release(&ground_truth);
    sp_mot_rows_release(&rows);
    sp_track_input_release(&in);
    return 0;
}
