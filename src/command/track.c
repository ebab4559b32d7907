#include "command/track.h"

#include "base/clock.h"
#include "base/log.h"
#include "command/track_input.h"
#include "track/timestep.h"
#include "track/tracker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct task {
    struct sp_track_run *run;
    const struct sp_settings *settings;
    const struct sp_track_input *input;
    struct sp_tracker *tracker;
    struct sp_timestep step;
    int every; /* FRAME_SKIP */
    bool warned;
    bool between;      /* frames between updates have rows */
    uint64_t sequence; /* of the update */
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_track_earlier earlier[SP_TRACK_EARLIER_MAX];
};

struct output {
    FILE *out;
    uint64_t rows;
    uint32_t highest_id;
};

static void write_rows(void *user, uint64_t sequence, const struct sp_track *tracks, size_t count)
{
    struct output *output = user;
    for (size_t i = 0; i < count; i++) {
        const struct sp_track *t = &tracks[i];
        /* The stream keeps errors; close_output checks them. */
        (void)fprintf(output->out, "%llu,%u,%.3f,%.3f,%.3f,%.3f,%.4f,-1,-1,-1\n",
                      (unsigned long long)sequence + 1, t->id, t->x1_px, t->y1_px,
                      t->x2_px - t->x1_px, t->y2_px - t->y1_px, t->confidence);
        if (t->id > output->highest_id)
            output->highest_id = t->id;
    }
    output->rows += count;
}

/* `frame` may be NULL: a frame in which nothing was detected. */
static void update(struct task *task, uint64_t sequence, const struct sp_track_input_frame *frame)
{
    size_t count = frame ? frame->detection_count : 0;
    const struct sp_detection *detections =
        count ? &task->input->detections[frame->first_detection] : NULL;
    if (count > SP_DETECTIONS_MAX && !task->warned) {
        task->warned = true;
        sp_log(SP_LOG_WARNING,
               "frame %llu has %zu detections; only the %d with the highest confidence are used",
               (unsigned long long)sequence + 1, count, SP_DETECTIONS_MAX);
    }
    double dt_frames = sp_timestep_next(&task->step, sequence, frame ? frame->pts_us : 0);
    task->sequence = sequence;
    sp_tracker_set_sequence(task->tracker, sequence);
    int64_t start_us = sp_clock_us();
    size_t tracks = sp_tracker_update(task->tracker, detections, count, dt_frames, task->tracks);
    task->run->update_us += sp_clock_us() - start_us;
    task->run->updates++;
    size_t earlier = sp_tracker_earlier(task->tracker, task->between, task->earlier);
    for (size_t i = 0; i < earlier; i++)
        task->run->take(task->run->user, task->earlier[i].sequence, &task->earlier[i].track, 1);
    task->run->take(task->run->user, sequence, task->tracks, tracks);
}

static void predict(struct task *task, uint64_t sequence, int64_t pts_us)
{
    if (task->settings->output_frames == SP_OUTPUT_FRAMES_INFERRED || !task->step.started)
        return;
    double ahead_frames = sp_timestep_ahead(&task->step, sequence, pts_us);
    size_t count = sp_tracker_predict(task->tracker, ahead_frames, task->tracks);
    task->run->take(task->run->user, sequence, task->tracks, count);
}

static void track_results_log(struct task *task)
{
    for (size_t i = 0; i < task->input->frame_count; i++) {
        const struct sp_track_input_frame *frame = &task->input->frames[i];
        if (frame->inferred && frame->sequence % (uint64_t)task->every == 0)
            update(task, frame->sequence, frame);
        else
            predict(task, frame->sequence, frame->pts_us);
    }
}

static void track_mot(struct task *task)
{
    const struct sp_track_input *input = task->input;
    uint64_t skip = (uint64_t)task->every;
    bool only_with_rows = task->step.timestamps && skip == 1;
    task->between = task->between && !only_with_rows;
    uint64_t end = input->frame_count ? input->frames[input->frame_count - 1].sequence + 1 : 0;
    size_t next = 0;
    for (uint64_t sequence = 0; sequence < end; sequence++) {
        const struct sp_track_input_frame *frame = NULL;
        if (input->frames[next].sequence == sequence)
            frame = &input->frames[next++];
        if (sequence % skip != 0)
            predict(task, sequence, 0);
        else if (frame || !only_with_rows)
            update(task, sequence, frame);
    }
}

static int prepare(struct task *task, struct sp_tracker_params *params, struct sp_error *err)
{
    const struct sp_settings *s = task->settings;
    sp_tracker_params_default(params);
    params->high_thresh = s->track_high_thresh;
    params->low_thresh = s->track_low_thresh;
    params->new_track_thresh = s->track_new_thresh;
    params->match_thresh = s->track_match_thresh;
    params->buffer_frames = s->track_buffer_frames;

    int skip = s->frame_skip > 1 ? s->frame_skip : 1;
    task->every = skip;
    task->between = s->output_frames != SP_OUTPUT_FRAMES_INFERRED;
    if (task->input->inferred_every > skip)
        skip = task->input->inferred_every;
    task->step = (struct sp_timestep){
        /* auto: as in the pipeline; MOT rows have no timestamps. */
        .timestamps = s->track_dt == SP_TRACK_DT_TIMESTAMPS ||
                      (s->track_dt == SP_TRACK_DT_AUTO && task->input->is_results_log),
        .frame_rate = task->input->frame_rate, /* 0 for MOT rows: frames are counted */
        .frame_skip = skip,
    };
    return sp_tracker_choose(params, s->tracker, err);
}

static void explain(void *user, const struct sp_track_explanation *explanation)
{
    const struct task *task = user;
    task->run->explain(task->run->user, task->sequence, explanation);
}

int sp_track_run(struct sp_track_run *run, struct sp_error *err)
{
    struct sp_tracker_params params;
    struct task *task = calloc(1, sizeof *task);
    if (!task)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracks: out of memory");
    task->run = run;
    task->settings = run->settings;
    task->input = run->input;
    int rc = prepare(task, &params, err);
    if (rc == SP_OK)
        rc = sp_tracker_open(&task->tracker, &params, err);
    if (rc == SP_OK && run->explain)
        rc = sp_tracker_explain(task->tracker, explain, task, err);
    if (rc == SP_OK) {
        sp_tracker_set_frame_rate(task->tracker, run->input->is_results_log ? task->step.frame_rate
                                                                            : run->frame_rate);
        if (run->input->is_results_log)
            track_results_log(task);
        else
            track_mot(task);
    }
    sp_tracker_close(task->tracker);
    free(task);
    return rc;
}

static int close_output(FILE *out, const char *part, const char *output, struct sp_error *err)
{
    bool failed = fflush(out) != 0 || ferror(out);
    int problem = errno;
    if (fclose(out) != 0 && !failed) {
        failed = true;
        problem = errno;
    }
    if (!failed && rename(part, output) != 0) {
        failed = true;
        problem = errno;
    }
    if (!failed)
        return SP_OK;
    (void)unlink(part);
    return sp_fail(err, sp_error_from_errno(problem), "%s: cannot be written: %s", output,
                   strerror(problem));
}

static int track_to_file(struct sp_track_run *run, struct output *to, const char *output,
                         struct sp_error *err)
{
    char part[SP_PATH_BYTES + 8];
    if ((size_t)snprintf(part, sizeof part, "%s.part", output) >= sizeof part)
        return sp_fail(err, SP_ERR_INVALID, "-o: path too long; the limit is %d bytes",
                       SP_PATH_BYTES);
    to->out = fopen(part, "we");
    if (!to->out)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be written: %s", part,
                       strerror(errno));
    errno = 0;
    int rc = sp_track_run(run, err);
    if (rc == SP_OK)
        return close_output(to->out, part, output, err);
    (void)fclose(to->out);
    (void)unlink(part);
    return rc;
}

int sp_command_track(const struct sp_settings *settings, const char *input, const char *output,
                     struct sp_error *err)
{
    struct sp_track_input detections = {0};
    struct output to = {0};
    struct sp_track_run run = {
        .settings = settings, .input = &detections, .take = write_rows, .user = &to};
    int rc = sp_track_input_read(&detections, input, err);
    if (rc == SP_OK)
        rc = track_to_file(&run, &to, output, err);
    if (rc == SP_OK)
        sp_log(SP_LOG_INFO,
               "%s: %llu frames tracked, %.1f us per frame; %llu rows, ids up to %u, written to %s",
               input, (unsigned long long)run.updates,
               run.updates ? (double)run.update_us / (double)run.updates : 0,
               (unsigned long long)to.rows, to.highest_id, output);
    sp_track_input_release(&detections);
    return rc;
}
