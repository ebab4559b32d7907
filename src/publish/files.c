#include "publish/files.h"

#include "base/json.h"
#include "publish/atomic_file.h"
#include "publish/mp4.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES = 256,
    ROW_BYTES = 2048, /* four doubles of up to 314 digits, and the rest */
    CRF_DEFAULT = 23,
    MARKS_MAX = 1024,
};

/* Sizes of the files after a frame. */
struct mark {
    int64_t mot, results;
};

struct sp_files {
    struct sp_atomic_file *mot, *results, *video; /* video: NULL without */
    struct sp_mp4 *mp4;
    struct sp_json line;
    double frame_rate; /* nominal; 0: unknown */
    const struct sp_class_names *class_names;
    struct sp_error failure; /* the first; code 0: none */
    /* Of the last frame known to be on the disk, and of all later ones. */
    struct mark mark[MARKS_MAX];
    int marks;
};

static int open_atomic_file(struct sp_atomic_file **out, const struct sp_files_options *options,
                            const char *extension, struct sp_error *err)
{
    char name[NAME_BYTES];
    if (snprintf(name, sizeof name, "%s.%s", options->camera, extension) >= (int)sizeof name)
        return sp_fail(err, SP_ERR_INVALID, "camera %.40s...: the name is too long for a file",
                       options->camera);
    return sp_atomic_file_open(out, options->dir, name, err);
}

int sp_files_open(struct sp_files **out, const struct sp_files_options *options,
                  struct sp_error *err)
{
    struct sp_files *files = calloc(1, sizeof *files);
    if (!files)
        return sp_fail(err, SP_ERR_NO_MEMORY, "camera %s: out of memory", options->camera);
    files->frame_rate = options->frame_rate;
    files->class_names = options->class_names;
    int rc = open_atomic_file(&files->mot, options, "txt", err);
    if (!rc)
        rc = open_atomic_file(&files->results, options, "jsonl", err);
    if (!rc && options->video) {
        int crf = options->video_crf == 0 ? CRF_DEFAULT : options->video_crf;
        const struct sp_mp4_options video = {
            .frame_rate = options->frame_rate > 0 ? options->frame_rate : SP_FRAME_RATE_DEFAULT,
            .crf = crf < 1    ? 1
                   : crf > 51 ? 51
                              : crf,
        };
        rc = open_atomic_file(&files->video, options, "mp4", err);
        if (!rc)
            rc = sp_mp4_open(&files->mp4, files->video, &video, err);
    }
    if (rc) {
        sp_files_abandon(files);
        return rc;
    }
    *out = files;
    return SP_OK;
}

void sp_files_abandon(struct sp_files *files)
{
    if (!files)
        return;
    sp_mp4_close(files->mp4);
    sp_atomic_file_close(files->mot);
    sp_atomic_file_close(files->results);
    sp_atomic_file_close(files->video);
    sp_json_release(&files->line);
    free(files);
}

/* MOT Challenge results: frame, id, left, top, width, height, confidence, and three world
 * coordinates, unknown here (-1). */
static int write_row(struct sp_files *files, uint64_t sequence, const struct sp_track *track,
                     struct sp_error *err)
{
    char row[ROW_BYTES];
    int n = snprintf(row, sizeof row, "%llu,%u,%.3f,%.3f,%.3f,%.3f,%.4f,-1,-1,-1\n",
                     (unsigned long long)sequence + 1, track->id, track->x1_px, track->y1_px,
                     track->x2_px - track->x1_px, track->y2_px - track->y1_px, track->confidence);
    return sp_atomic_file_write(files->mot, row, (size_t)n, err);
}

static int write_rows(struct sp_files *files, const struct sp_files_frame *frame,
                      struct sp_error *err)
{
    int rc = SP_OK;
    for (size_t i = 0; !rc && i < frame->earlier_count; i++)
        rc = write_row(files, frame->earlier[i].sequence, &frame->earlier[i].track, err);
    for (size_t i = 0; !rc && i < frame->track_count; i++)
        rc = write_row(files, frame->sequence, &frame->tracks[i], err);
    return rc;
}

static bool is_in_frame(const struct sp_files_frame *frame, int class_id)
{
    for (size_t i = 0; i < frame->detection_count; i++)
        if (frame->detections[i].class_id == class_id)
            return true;
    for (size_t i = 0; i < frame->track_count; i++)
        if (frame->tracks[i].class_id == class_id)
            return true;
    return false;
}

/* The names of the classes in the line: "classes": {"2": "person"}. */
static void write_classes(struct sp_files *files, const struct sp_files_frame *frame)
{
    const struct sp_class_names *names = files->class_names;
    bool any = false;
    for (int i = 0; names && i < names->count; i++) {
        char number[16];
        const char *name = sp_class_names_get(names, i);
        if (!name || !is_in_frame(frame, i))
            continue;
        if (!any) {
            sp_json_key(&files->line, "classes");
            sp_json_begin_object(&files->line);
        }
        any = true;
        sp_json_key(&files->line, sp_class_name(NULL, i, number));
        sp_json_string(&files->line, name);
    }
    if (any)
        sp_json_end_object(&files->line);
}

/* The rest of an array. */
static void write_track(struct sp_json *json, const struct sp_track *t)
{
    sp_json_int(json, t->id);
    sp_json_number(json, t->x1_px, 3);
    sp_json_number(json, t->y1_px, 3);
    sp_json_number(json, t->x2_px, 3);
    sp_json_number(json, t->y2_px, 3);
    sp_json_number(json, t->confidence, 4);
    sp_json_int(json, t->class_id);
    sp_json_end_array(json);
}

static void write_tracks(struct sp_json *json, const struct sp_files_frame *frame)
{
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (size_t i = 0; i < frame->track_count; i++) {
        sp_json_begin_array(json);
        write_track(json, &frame->tracks[i]);
    }
    sp_json_end_array(json);
    if (frame->earlier_count == 0)
        return;
    sp_json_key(json, "earlier");
    sp_json_begin_array(json);
    for (size_t i = 0; i < frame->earlier_count; i++) {
        sp_json_begin_array(json);
        sp_json_int(json, (int64_t)frame->earlier[i].sequence);
        write_track(json, &frame->earlier[i].track);
    }
    sp_json_end_array(json);
}

/* Detections are written in full precision, so that `spoton track` reproduces the tracks from the
 * results log; tracks have the precision of the MOT rows. */
static int write_line(struct sp_files *files, const struct sp_files_frame *frame,
                      struct sp_error *err)
{
    struct sp_json *json = &files->line;
    sp_json_clear(json);
    sp_json_begin_object(json);
    sp_json_key(json, "sequence");
    sp_json_int(json, (int64_t)frame->sequence);
    sp_json_key(json, "pts_us");
    sp_json_int(json, frame->pts_us);
    if (frame->width_px > 0) { /* for lines and zones in fractions of the frame */
        sp_json_member_int(json, "width", frame->width_px);
        sp_json_member_int(json, "height", frame->height_px);
    }
    if (files->frame_rate > 0) {
        sp_json_key(json, "frame_rate"); /* the time step of `spoton track` */
        sp_json_double(json, files->frame_rate);
    }
    sp_json_key(json, "inferred");
    sp_json_bool(json, frame->inferred);
    if (frame->reason) {
        sp_json_key(json, "reason");
        sp_json_string(json, frame->reason);
    }
    sp_json_key(json, "detections");
    sp_json_begin_array(json);
    for (size_t i = 0; i < frame->detection_count; i++) {
        const struct sp_detection *d = &frame->detections[i];
        sp_json_begin_array(json);
        sp_json_double(json, d->x1_px);
        sp_json_double(json, d->y1_px);
        sp_json_double(json, d->x2_px);
        sp_json_double(json, d->y2_px);
        sp_json_double(json, d->confidence);
        sp_json_int(json, d->class_id);
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
    write_tracks(json, frame);
    write_classes(files, frame);
    sp_json_end_object(json);
    sp_json_raw(json, "\n");
    if (json->failed)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory",
                       sp_atomic_file_name(files->results));
    return sp_atomic_file_write(files->results, json->text, json->used_bytes, err);
}

static int repeat_failure(const struct sp_files *files, struct sp_error *err)
{
    if (err)
        *err = files->failure;
    return files->failure.code;
}

static bool is_written(const struct sp_files *files, const struct mark *mark)
{
    return mark->mot <= sp_atomic_file_written(files->mot) &&
           mark->results <= sp_atomic_file_written(files->results);
}

/* Records that the frame's rows and line are complete. */
static void set_mark(struct sp_files *files)
{
    if (files->marks == MARKS_MAX) { /* the buffers hold the rows of this many frames */
        (void)sp_atomic_file_rescue(files->mot);
        (void)sp_atomic_file_rescue(files->results);
    }
    int first = 0; /* marks before the last written one are obsolete */
    while (first + 1 < files->marks && is_written(files, &files->mark[first + 1]))
        first++;
    files->marks -= first;
    memmove(files->mark, files->mark + first, (size_t)files->marks * sizeof *files->mark);
    if (files->marks == MARKS_MAX) /* the disk accepts nothing; the next write reports it */
        files->marks--;
    files->mark[files->marks++] =
        (struct mark){sp_atomic_file_bytes(files->mot), sp_atomic_file_bytes(files->results)};
}

int sp_files_frame(struct sp_files *files, const struct sp_files_frame *frame, struct sp_error *err)
{
    struct sp_error *failure = &files->failure;
    if (failure->code)
        return repeat_failure(files, err);
    int rc = write_rows(files, frame, failure);
    if (!rc)
        rc = write_line(files, frame, failure);
    if (!rc)
        set_mark(files);
    if (!rc && files->mp4)
        rc = frame->image
                 ? sp_mp4_frame(files->mp4, frame->image, frame->pts_us, failure)
                 : sp_fail(failure, SP_ERR_INVALID, "%s: frame %llu has no image",
                           sp_atomic_file_name(files->video), (unsigned long long)frame->sequence);
    return rc ? repeat_failure(files, err) : SP_OK;
}

/* After a failure: truncates both files after the last frame that is complete in both. False: there
 * is none. */
static bool keep_whole_frames(struct sp_files *files)
{
    int64_t there = sp_atomic_file_rescue(files->results);
    for (int last = files->marks - 1; last >= 0; last--) {
        const struct mark *mark = &files->mark[last];
        if (mark->results == 0 || mark->results > there)
            continue;
        if (sp_atomic_file_cut(files->results, mark->results, NULL) != SP_OK)
            return false;
        /* Dropping a line may free the space that the rows need. */
        if (sp_atomic_file_rescue(files->mot) >= mark->mot)
            return sp_atomic_file_cut(files->mot, mark->mot, NULL) == SP_OK;
    }
    return false;
}

/* Syncs all files before the first is renamed. After a failure it keeps the complete frames and
 * returns the error. */
static int finish(struct sp_files *files, struct sp_files_written *written, struct sp_error *err)
{
    bool has_video = false;
    if (!files->failure.code && files->mp4)
        (void)sp_mp4_finish(files->mp4, files->video, &has_video, &files->failure);
    if (files->failure.code && files->mp4) /* first: it may free space for the others */
        has_video = sp_mp4_rescue(files->mp4, files->video);
    if (!files->failure.code)
        (void)sp_atomic_file_flush(files->mot, &files->failure);
    if (!files->failure.code)
        (void)sp_atomic_file_flush(files->results, &files->failure);
    if (files->failure.code && !keep_whole_frames(files))
        return repeat_failure(files, err);
    int rc = sp_atomic_file_sync(files->mot, err);
    if (!rc)
        rc = sp_atomic_file_sync(files->results, err);
    if (!rc && has_video)
        rc = sp_atomic_file_sync(files->video, err);
    if (!rc)
        rc = sp_atomic_file_publish(files->mot, err);
    if (!rc)
        rc = sp_atomic_file_publish(files->results, err);
    written->rows = rc == SP_OK;
    if (!rc && has_video)
        rc = sp_atomic_file_publish(files->video, err);
    written->video = rc == SP_OK && has_video;
    return files->failure.code ? repeat_failure(files, err) : rc;
}

void sp_files_stop(struct sp_files *files, const struct sp_error *why)
{
    if (files->failure.code == SP_OK)
        files->failure = *why;
}

int sp_files_finish(struct sp_files *files, struct sp_files_written *written, struct sp_error *err)
{
    struct sp_files_written here = {0};
    int rc = finish(files, &here, err);
    if (written)
        *written = here;
    sp_files_abandon(files); /* removes the remaining .part files */
    return rc;
}

int sp_files_write_whole(const char *dir, const char *name, const char *text, size_t bytes,
                         struct sp_error *err)
{
    struct sp_atomic_file *part;
    int rc = sp_atomic_file_open(&part, dir, name, err);
    if (rc)
        return rc;
    rc = sp_atomic_file_write(part, text, bytes, err);
    if (!rc)
        rc = sp_atomic_file_sync(part, err);
    if (!rc)
        rc = sp_atomic_file_publish(part, err);
    sp_atomic_file_close(part);
    return rc;
}
