#include "command/outputs.h"

#include "base/clock.h"
#include "base/log.h"
#include "publish/files.h"
#include "render/draw.h"
#include "render/jpeg.h"
#include "render/text.h"
#include "surface.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worker_tools {
    struct sp_canvas canvas;
    struct sp_marks marks; /* where the device draws */
    struct sp_text *text;
    struct sp_jpeg *jpeg;
};

struct camera_outputs {
    pthread_mutex_t mutex; /* guards the files: another thread calls sp_outputs_save() */
    struct sp_files *files;
    uint8_t *seen_ids; /* one bit per id */
    size_t seen_bytes;
    int width_px, height_px; /* of the previous frame */
    int64_t jpeg_due_us;     /* when the next frame is encoded, at the earliest */
    struct sp_outputs_report report;
};

struct sp_outputs {
    struct sp_outputs_options options;
    struct worker_tools tools[SP_CAMERAS_MAX]; /* never more workers than cameras */
    struct camera_outputs cameras[SP_CAMERAS_MAX];
    const struct sp_class_names *class_names, *label_names; /* the pipeline's */
    atomic_bool saved;                                      /* no further writes */
};

/* Ids are assigned in ascending order, so the bit set grows with their number. Not counted if out
 * of memory. */
static void count_id(struct camera_outputs *camera, uint32_t id)
{
    size_t at = id / 8;
    if (at >= camera->seen_bytes) {
        size_t bytes = (at + 1) * 2;
        uint8_t *grown = realloc(camera->seen_ids, bytes);
        if (!grown)
            return;
        memset(grown + camera->seen_bytes, 0, bytes - camera->seen_bytes);
        camera->seen_ids = grown;
        camera->seen_bytes = bytes;
    }
    uint8_t bit = (uint8_t)(1U << id % 8);
    camera->report.track_ids += !(camera->seen_ids[at] & bit);
    camera->seen_ids[at] |= bit;
}

static int begin_camera(void *user, int camera, const struct sp_source_info *info,
                        struct sp_error *err)
{
    struct sp_outputs *o = user;
    struct camera_outputs *c = &o->cameras[camera];
    if (!o->options.dir)
        return SP_OK;
    struct sp_files_options options = {
        .dir = o->options.dir,
        .camera = o->options.settings->camera[camera].name,
        .video = o->options.video,
        .frame_rate = info->frame_rate,
        .video_crf = o->options.settings->video_crf,
        .class_names = o->class_names,
    };
    pthread_mutex_lock(&c->mutex);
    int result = atomic_load(&o->saved) ? sp_fail(err, SP_ERR_INTERRUPTED, "interrupted")
                                        : sp_files_open(&c->files, &options, err);
    if (result < 0)
        c->report.error = *err;
    pthread_mutex_unlock(&c->mutex);
    return result;
}

/* The frame's timestamp as h:mm:ss.mmm since the first frame. */
static void format_clock(int64_t pts_us, char out[32])
{
    int64_t ms = pts_us > 0 ? pts_us / 1000 : 0;
    snprintf(out, 32, "%lld:%02lld:%02lld.%03lld", (long long)(ms / 3600000),
             (long long)(ms / 60000 % 60), (long long)(ms / 1000 % 60), (long long)(ms % 1000));
}

static int draw(struct sp_outputs *o, struct worker_tools *tools, const struct sp_result *result,
                const struct sp_result_source *source, bool on_device, struct sp_error *err)
{
    char clock[32];
    const struct sp_frame *frame = source->frame;
    format_clock(frame->pts_us, clock);
    const struct sp_draw_style style = {
        .ids = true,
        .confidences = true,
        .names = o->label_names,
        .predicted = !result->inferred,
        .title = o->options.settings->camera[result->camera].name,
        .clock = clock,
    };
    if (on_device)
        return sp_draw_marks(&tools->marks, frame->width_px, frame->height_px, tools->text,
                             result->tracks, result->track_count, &style, err);
    enum sp_canvas_color color = o->options.video ? SP_CANVAS_AS_FRAME : SP_CANVAS_JPEG;
    int failed = sp_frame_fetch(frame, err);
    if (failed == SP_OK)
        failed = sp_canvas_load(&tools->canvas, frame, color, err);
    if (failed == SP_OK)
        sp_draw_tracks(&tools->canvas, tools->text, result->tracks, result->track_count, &style);
    return failed;
}

/* As the frame is. False: the CPU has to draw. */
static bool draw_on_device(struct sp_outputs *o, struct worker_tools *tools,
                           const struct sp_frame *frame)
{
    const uint8_t *data;
    size_t bytes;
    const struct sp_jpeg_layout layout = {.width_px = frame->width_px,
                                          .height_px = frame->height_px,
                                          .inner_width_px = frame->width_px,
                                          .inner_height_px = frame->height_px};
    return sp_jpeg_draw(tools->jpeg, frame, &layout, &tools->marks,
                        o->options.settings->jpeg_quality, &data, &bytes);
}

static int make_image(struct sp_outputs *o, const struct sp_result *result,
                      const struct sp_result_source *source, struct sp_error *err)
{
    struct worker_tools *tools = &o->tools[source->worker];
    bool on_device =
        o->options.jpeg && !o->options.video && sp_jpeg_draws(tools->jpeg, source->frame);
    struct sp_stage_clock begin = sp_stage_begin();
    int failed = draw(o, tools, result, source, on_device, err);
    sp_stage_end(&source->stages[SP_STAGE_DRAW], begin);
    if (failed < 0 || !o->options.jpeg)
        return failed;

    const uint8_t *data;
    size_t bytes;
    begin = sp_stage_begin();
    if (on_device && !draw_on_device(o, tools, source->frame)) {
        on_device = false;
        failed = draw(o, tools, result, source, false, err);
    }
    if (!on_device && failed == SP_OK)
        failed = sp_jpeg_encode(tools->jpeg, &tools->canvas, o->options.settings->jpeg_quality,
                                &data, &bytes, err);
    sp_stage_end(&source->stages[SP_STAGE_ENCODE], begin);
    return failed;
}

static int write_files(struct sp_outputs *o, const struct sp_result *result,
                       const struct sp_result_source *source, struct sp_error *err)
{
    struct camera_outputs *c = &o->cameras[result->camera];
    struct sp_files_frame frame = {
        .sequence = result->sequence,
        .pts_us = result->pts_us,
        .width_px = result->width_px,
        .height_px = result->height_px,
        .inferred = result->inferred,
        .reason = result->reason,
        .detections = source->detections,
        .detection_count = source->detection_count,
        .tracks = result->tracks,
        .track_count = result->track_count,
        .earlier = source->earlier,
        .earlier_count = source->earlier_count,
        .image = o->options.video ? &o->tools[source->worker].canvas : NULL,
    };
    struct sp_stage_clock begin = sp_stage_begin();
    pthread_mutex_lock(&c->mutex);
    int failed = c->files ? sp_files_frame(c->files, &frame, err) : SP_OK;
    pthread_mutex_unlock(&c->mutex);
    sp_stage_end(&source->stages[SP_STAGE_WRITE], begin);
    if (failed < 0)
        c->report.error = *err;
    return failed;
}

/* The results are correct: boxes are in pixels of their own frame. Their reader has to know. */
static void note_size(struct sp_outputs *o, const struct sp_result *result)
{
    struct camera_outputs *c = &o->cameras[result->camera];
    if (c->width_px && (c->width_px != result->width_px || c->height_px != result->height_px))
        sp_log(SP_LOG_WARNING,
               "camera %s: frame %llu is %dx%d, previous frames were %dx%d; boxes follow the "
               "new size%s",
               o->options.settings->camera[result->camera].name,
               (unsigned long long)result->sequence + 1, result->width_px, result->height_px,
               c->width_px, c->height_px,
               o->options.video ? ", the video keeps the first size" : "");
    c->width_px = result->width_px;
    c->height_px = result->height_px;
}

/* Whether the frame is drawn: for a video always, for JPEG at most at the rate. */
static bool is_drawn(struct sp_outputs *o, const struct sp_result *result)
{
    struct camera_outputs *c = &o->cameras[result->camera];
    int64_t now_us = sp_clock_us();
    if (o->options.video)
        return true;
    if (!o->options.jpeg || (o->options.jpeg_rate > 0 && now_us < c->jpeg_due_us))
        return false;
    if (o->options.jpeg_rate > 0)
        c->jpeg_due_us = now_us + 1000000 / o->options.jpeg_rate;
    return true;
}

static int take_result(void *user, struct sp_result *result, const struct sp_result_source *source,
                       struct sp_error *err)
{
    struct sp_outputs *o = user;
    struct camera_outputs *c = &o->cameras[result->camera];
    int failed = SP_OK;
    pthread_mutex_lock(&c->mutex);
    for (size_t i = 0; i < result->track_count; i++)
        count_id(c, result->tracks[i].id);
    c->report.rows += result->track_count + source->earlier_count;
    pthread_mutex_unlock(&c->mutex);
    note_size(o, result);
    if (is_drawn(o, result))
        failed = make_image(o, result, source, err);
    if (failed == SP_OK && o->options.dir)
        failed = write_files(o, result, source, err);
    sp_people_add(o->options.people, result, source->detections);
    return failed;
}

/* Results from before a failure are kept, and so is the content of files that could not be
 * extended.
 */
static void end_camera(void *user, int camera, const struct sp_error *why)
{
    struct sp_outputs *o = user;
    struct camera_outputs *c = &o->cameras[camera];
    struct sp_error err = {0};
    (void)why;
    sp_people_end(o->options.people, camera);
    struct sp_files_written written = {0};
    pthread_mutex_lock(&c->mutex);
    bool reported = c->report.error.code != SP_OK;
    if (!c->files) {
        pthread_mutex_unlock(&c->mutex);
        return;
    }
    if (sp_files_finish(c->files, &written, &err) < 0 && !reported) {
        c->report.error = err;
        sp_log(SP_LOG_ERROR, "camera %s: %s", o->options.settings->camera[camera].name, err.text);
    }
    c->report.finished = written.rows;
    c->report.video = written.video;
    c->files = NULL;
    pthread_mutex_unlock(&c->mutex);
}

void sp_outputs_save(struct sp_outputs *outputs)
{
    struct sp_error why = {0};
    sp_fail(&why, SP_ERR_INTERRUPTED, "interrupted");
    atomic_store(&outputs->saved, true);
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        struct camera_outputs *c = &outputs->cameras[i];
        if (pthread_mutex_trylock(&c->mutex) != 0)
            continue;
        if (c->files) {
            sp_files_stop(c->files, &why);
            (void)sp_files_finish(c->files, NULL, NULL);
            c->files = NULL;
        }
        pthread_mutex_unlock(&c->mutex);
    }
}

int sp_outputs_open(struct sp_outputs **out, const struct sp_outputs_options *options,
                    struct sp_error *err)
{
    struct sp_outputs *o = calloc(1, sizeof *o);
    if (!o)
        return sp_fail(err, SP_ERR_NO_MEMORY, "outputs: out of memory");
    o->options = *options;
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        pthread_mutex_init(&o->cameras[i].mutex, NULL);
    int result = SP_OK;
    bool images = options->video || options->jpeg;
    for (int i = 0; images && i < options->settings->camera_count && result == SP_OK; i++) {
        struct sp_error no_font = {0};
        if (sp_text_open(&o->tools[i].text, NULL, &no_font) < 0 && i == 0)
            sp_log(SP_LOG_WARNING, "labels: not drawn: %s", no_font.text);
        result = sp_jpeg_open(&o->tools[i].jpeg, err);
    }
    if (result < 0) {
        sp_outputs_close(o);
        return result;
    }
    *out = o;
    return SP_OK;
}

void sp_outputs_attach(struct sp_outputs *outputs, struct sp_pipeline *pipeline)
{
    outputs->class_names = &sp_pipeline_model(pipeline)->class_names;
    outputs->label_names = sp_pipeline_label_names(pipeline);
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        if (outputs->tools[i].jpeg)
            sp_jpeg_set_device(outputs->tools[i].jpeg, sp_pipeline_jpeg_device(pipeline, i));
}

void sp_outputs_close(struct sp_outputs *outputs)
{
    if (!outputs)
        return;
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        sp_files_abandon(outputs->cameras[i].files);
        free(outputs->cameras[i].seen_ids);
        pthread_mutex_destroy(&outputs->cameras[i].mutex);
        sp_canvas_release(&outputs->tools[i].canvas);
        sp_marks_release(&outputs->tools[i].marks);
        sp_text_close(outputs->tools[i].text);
        sp_jpeg_close(outputs->tools[i].jpeg);
    }
    free(outputs);
}

struct sp_pipeline_sink sp_outputs_sink(struct sp_outputs *outputs)
{
    return (struct sp_pipeline_sink){
        .user = outputs, .begin = begin_camera, .result = take_result, .end = end_camera};
}

void sp_outputs_camera(const struct sp_outputs *outputs, int camera,
                       struct sp_outputs_report *report)
{
    struct camera_outputs *c = (struct camera_outputs *)&outputs->cameras[camera];
    pthread_mutex_lock(&c->mutex);
    *report = c->report;
    pthread_mutex_unlock(&c->mutex);
}
