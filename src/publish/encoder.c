#include "publish/encoder.h"

#include "base/log.h"
#include "base/thread.h"
#include "publish/downscale.h"
#include "render/draw.h"
#include "render/text.h"
#include "surface.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char part_tail[] = "\r\n" SP_IMAGE_BOUNDARY;

enum {
    THREADS_MAX = 64,
    TAIL_BYTES = sizeof part_tail - 1,
};

struct sp_stream {
    struct sp_encoder *encoder;
    struct sp_stream_options options;
    int viewers;
    struct sp_result *result; /* the waiting frame and its result */
    struct sp_frame *frame;
    bool queued, busy;
    struct sp_stream *next_queued;
    struct sp_image *newest;
    uint64_t number;
};

struct worker {
    struct sp_encoder *encoder;
    pthread_t thread;
    struct sp_downscaler downscaler;
    struct sp_canvas canvas;
    struct sp_marks marks; /* where the device draws */
    struct sp_text *text;
    struct sp_jpeg *jpeg;
    struct sp_track tracks[SP_TRACKS_MAX]; /* scaled */
};

struct sp_encoder {
    struct sp_encoder_options options;
    void (*wake)(void *user, int camera);
    void *wake_user;
    struct worker *workers;
    int worker_count, workers_started;
    atomic_int stream_count;

    pthread_mutex_t mutex; /* guards the rest, and all of the streams */
    pthread_cond_t work;
    bool stopping;
    struct sp_stream *streams[SP_STREAMS_MAX];
    struct sp_stream *first_queued, *last_queued;
    struct sp_image *free_images;
    uint64_t encoded, replaced, failed;
};

/* --- images --------------------------------------------------------------------------------- */

static struct sp_image *take_image(struct sp_encoder *e, size_t jpeg_bytes)
{
    pthread_mutex_lock(&e->mutex);
    struct sp_image *image = e->free_images;
    if (image)
        e->free_images = image->next_free;
    pthread_mutex_unlock(&e->mutex);
    if (!image)
        image = calloc(1, sizeof *image);
    if (!image)
        return NULL;
    size_t bytes = SP_IMAGE_HEADROOM + jpeg_bytes + TAIL_BYTES;
    if (bytes > image->capacity_bytes) {
        free(image->memory);
        bytes += bytes / 4;
        image->memory = malloc(bytes);
        image->capacity_bytes = image->memory ? bytes : 0;
    }
    if (!image->memory) {
        free(image);
        return NULL;
    }
    image->encoder = e;
    atomic_init(&image->refs, 1);
    return image;
}

void sp_image_unref(struct sp_image *image)
{
    if (!image || atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct sp_encoder *e = image->encoder;
    sp_result_unref(image->result);
    image->result = NULL;
    pthread_mutex_lock(&e->mutex);
    image->next_free = e->free_images;
    e->free_images = image;
    pthread_mutex_unlock(&e->mutex);
}

static void wrap(struct sp_image *image, const uint8_t *jpeg, size_t bytes)
{
    image->part = image->memory + SP_IMAGE_HEADROOM;
    image->part_bytes = bytes + TAIL_BYTES;
    memcpy(image->part, jpeg, bytes);
    memcpy(image->part + bytes, part_tail, TAIL_BYTES);
    image->jpeg = image->part;
    image->jpeg_bytes = bytes;
}

/* --- workers ---------------------------------------------------------------------------------- */

static struct sp_draw_style style_of(const struct worker *w, const struct sp_result *result)
{
    return (struct sp_draw_style){
        .ids = true,
        .confidences = true,
        .names = w->encoder->options.names,
        .predicted = !result->inferred,
        .title = result->name,
    };
}

static void scale_tracks(struct worker *w, const struct sp_shrunk *size,
                         const struct sp_result *result, const struct sp_frame *frame)
{
    double x_scale = (double)size->inner_width_px / frame->width_px;
    double y_scale = (double)size->inner_height_px / frame->height_px;
    for (size_t i = 0; i < result->track_count; i++) {
        w->tracks[i] = result->tracks[i];
        w->tracks[i].x1_px = size->left_px + w->tracks[i].x1_px * x_scale;
        w->tracks[i].x2_px = size->left_px + w->tracks[i].x2_px * x_scale;
        w->tracks[i].y1_px = size->top_px + w->tracks[i].y1_px * y_scale;
        w->tracks[i].y2_px = size->top_px + w->tracks[i].y2_px * y_scale;
    }
}

static int draw(struct worker *w, const struct sp_shrunk *size, bool annotated,
                const struct sp_result *result, const struct sp_frame *frame, struct sp_error *err)
{
    struct sp_frame small;
    int failed = sp_frame_fetch(frame, err);
    if (failed == SP_OK)
        failed = sp_downscale(&w->downscaler, frame, size, &small, err);
    if (failed == SP_OK)
        failed = sp_canvas_load(&w->canvas, &small, SP_CANVAS_JPEG, err);
    if (failed < 0 || !annotated)
        return failed;
    scale_tracks(w, size, result, frame);
    const struct sp_draw_style style = style_of(w, result);
    sp_draw_tracks(&w->canvas, w->text, w->tracks, result->track_count, &style);
    return SP_OK;
}

/* For a frame on a device that draws. */
static int mark(struct worker *w, const struct sp_shrunk *size, bool annotated,
                const struct sp_result *result, const struct sp_frame *frame, struct sp_error *err)
{
    const struct sp_draw_style style = style_of(w, result);
    w->marks.count = w->marks.coverage_bytes = 0;
    if (!annotated)
        return SP_OK;
    scale_tracks(w, size, result, frame);
    return sp_draw_marks(&w->marks, size->width_px, size->height_px, w->text, w->tracks,
                         result->track_count, &style, err);
}

static bool draw_on_device(struct worker *w, const struct sp_shrunk *size,
                           const struct sp_frame *frame, int quality, const uint8_t **jpeg,
                           size_t *bytes)
{
    const struct sp_jpeg_layout layout = {.width_px = size->width_px,
                                          .height_px = size->height_px,
                                          .left_px = size->left_px,
                                          .top_px = size->top_px,
                                          .inner_width_px = size->inner_width_px,
                                          .inner_height_px = size->inner_height_px};
    return sp_jpeg_draw(w->jpeg, frame, &layout, &w->marks, quality, jpeg, bytes);
}

/* NULL: encoding failed; counted, and logged at debug level. */
static struct sp_image *encode(struct worker *w, const struct sp_stream_options *options,
                               struct sp_result *result, const struct sp_frame *frame)
{
    struct sp_encoder *e = w->encoder;
    struct sp_hub_times *times = sp_hub_times(e->options.hub, options->camera);
    struct sp_error err = {0};
    const uint8_t *jpeg = NULL;
    size_t bytes = 0;
    struct sp_shrunk size;
    int square_width, square_height; /* JPEG has square pixels only */
    sp_frame_square_size_px(frame, &square_width, &square_height);
    sp_downscale_plan(&size, square_width, square_height, options->width_px, options->scale,
                      options->wide);
    bool on_device = sp_jpeg_draws(w->jpeg, frame), annotated = options->annotated;
    struct sp_stage_clock begin = sp_stage_begin();
    int failed = on_device ? mark(w, &size, annotated, result, frame, &err)
                           : draw(w, &size, annotated, result, frame, &err);
    struct sp_stage_clock drawn = sp_stage_begin();
    sp_histogram_add(&times->draw, drawn.wall_us - begin.wall_us);
    if (failed == SP_OK && on_device) {
        on_device = draw_on_device(w, &size, frame, options->quality, &jpeg, &bytes);
        if (!on_device)
            failed = draw(w, &size, annotated, result, frame, &err);
    }
    if (failed == SP_OK && !on_device)
        failed = sp_jpeg_encode(w->jpeg, &w->canvas, options->quality, &jpeg, &bytes, &err);
    sp_histogram_add(&times->encode, sp_stage_begin().wall_us - drawn.wall_us);
    struct sp_image *image = failed == SP_OK ? take_image(e, bytes) : NULL;
    if (!image) {
        sp_log(SP_LOG_DEBUG, "camera %s: JPEG encoding failed: %s", result->name,
               failed < 0 ? err.text : "out of memory");
        return NULL;
    }
    wrap(image, jpeg, bytes);
    image->result = sp_result_ref(result);
    return image;
}

/* The mutex is held. */
static void enqueue(struct sp_encoder *e, struct sp_stream *stream)
{
    if (stream->queued || stream->busy)
        return;
    stream->queued = true;
    stream->next_queued = NULL;
    if (e->last_queued)
        e->last_queued->next_queued = stream;
    else
        e->first_queued = stream;
    e->last_queued = stream;
    pthread_cond_signal(&e->work);
}

static void free_stream(struct sp_stream *stream)
{
    sp_result_unref(stream->result);
    sp_frame_unref(stream->frame);
    free(stream);
}

/* The mutex is held, and released while encoding. */
static void work_on(struct worker *w, struct sp_stream *stream)
{
    struct sp_encoder *e = w->encoder;
    struct sp_result *result = stream->result;
    struct sp_frame *frame = stream->frame;
    struct sp_stream_options options = stream->options;
    stream->result = NULL;
    stream->frame = NULL;
    stream->busy = true;
    pthread_mutex_unlock(&e->mutex);

    struct sp_image *image = encode(w, &options, result, frame);
    sp_result_unref(result);
    sp_frame_unref(frame);

    pthread_mutex_lock(&e->mutex);
    stream->busy = false;
    e->encoded += image != NULL;
    e->failed += image == NULL;
    struct sp_image *old = image;
    bool gone = stream->viewers == 0;
    if (!gone && image) {
        old = stream->newest;
        stream->newest = image;
        image->number = ++stream->number;
    }
    if (!gone && stream->frame)
        enqueue(e, stream);
    pthread_mutex_unlock(&e->mutex);
    sp_image_unref(old);
    if (gone)
        free_stream(stream);
    else if (image && e->wake)
        e->wake(e->wake_user, options.camera);
    pthread_mutex_lock(&e->mutex);
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    struct sp_encoder *e = w->encoder;
    pthread_mutex_lock(&e->mutex);
    while (!e->stopping) {
        struct sp_stream *stream = e->first_queued;
        if (!stream) {
            pthread_cond_wait(&e->work, &e->mutex);
            continue;
        }
        e->first_queued = stream->next_queued;
        if (!e->first_queued)
            e->last_queued = NULL;
        stream->queued = false;
        work_on(w, stream);
    }
    pthread_mutex_unlock(&e->mutex);
    return NULL;
}

/* --- open and close --------------------------------------------------------------------------- */

static int open_worker(struct sp_encoder *e, int index, struct sp_error *err)
{
    struct worker *w = &e->workers[index];
    struct sp_error no_font = {0};
    w->encoder = e;
    if (sp_text_open(&w->text, NULL, &no_font) < 0 && index == 0)
        sp_log(SP_LOG_WARNING, "drawing boxes without labels: %s", no_font.text);
    int result = sp_jpeg_open(&w->jpeg, err);
    if (result == SP_OK && e->options.device)
        sp_jpeg_set_device(w->jpeg, e->options.device(e->options.device_user, index));
    if (result == SP_OK)
        result = sp_thread_start(&w->thread, "jpeg", worker_main, w, err);
    e->workers_started += result == SP_OK;
    return result;
}

int sp_encoder_open(struct sp_encoder **out, const struct sp_encoder_options *options,
                    struct sp_error *err)
{
    struct sp_encoder *e = calloc(1, sizeof *e);
    int threads = options->threads > 0 ? options->threads : 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    if (e)
        e->workers = calloc((size_t)threads, sizeof e->workers[0]);
    if (!e || !e->workers) {
        free(e);
        return sp_fail(err, SP_ERR_NO_MEMORY, "JPEG workers: out of memory");
    }
    e->options = *options;
    e->worker_count = threads;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->work, NULL);
    int result = SP_OK;
    for (int i = 0; i < threads && result == SP_OK; i++)
        result = open_worker(e, i, err);
    if (result < 0)
        sp_encoder_close(e);
    else
        *out = e;
    return result;
}

void sp_encoder_listen(struct sp_encoder *e, void (*wake)(void *user, int camera), void *user)
{
    e->wake = wake;
    e->wake_user = user;
}

void sp_encoder_stop(struct sp_encoder *e)
{
    pthread_mutex_lock(&e->mutex);
    e->stopping = true;
    pthread_cond_broadcast(&e->work);
    pthread_mutex_unlock(&e->mutex);
    while (e->workers_started > 0)
        pthread_join(e->workers[--e->workers_started].thread, NULL);
}

void sp_encoder_close(struct sp_encoder *e)
{
    if (!e)
        return;
    sp_encoder_stop(e);
    assert(atomic_load(&e->stream_count) == 0);
    for (int i = 0; i < e->worker_count; i++) {
        sp_downscaler_release(&e->workers[i].downscaler);
        sp_canvas_release(&e->workers[i].canvas);
        sp_marks_release(&e->workers[i].marks);
        sp_text_close(e->workers[i].text);
        sp_jpeg_close(e->workers[i].jpeg);
    }
    while (e->free_images) {
        struct sp_image *image = e->free_images;
        e->free_images = image->next_free;
        free(image->memory);
        free(image);
    }
    pthread_cond_destroy(&e->work);
    pthread_mutex_destroy(&e->mutex);
    free(e->workers);
    free(e);
}

/* --- streams ---------------------------------------------------------------------------------- */

/* The mutex is held. The stream takes over the references. */
static void give(struct sp_encoder *e, struct sp_stream *stream, struct sp_result *result,
                 struct sp_frame *frame)
{
    e->replaced += stream->frame != NULL;
    sp_result_unref(stream->result);
    sp_frame_unref(stream->frame);
    stream->result = result;
    stream->frame = frame;
    enqueue(e, stream);
}

void sp_encoder_offer(void *encoder, struct sp_result *result, struct sp_frame *frame)
{
    struct sp_encoder *e = encoder;
    if (atomic_load_explicit(&e->stream_count, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&e->mutex);
    for (int i = 0; i < SP_STREAMS_MAX && !e->stopping; i++)
        if (e->streams[i] && e->streams[i]->options.camera == result->camera)
            give(e, e->streams[i], sp_result_ref(result), sp_frame_ref(frame));
    pthread_mutex_unlock(&e->mutex);
}

static bool is_same(const struct sp_stream_options *a, const struct sp_stream_options *b)
{
    return a->camera == b->camera && a->width_px == b->width_px && a->scale == b->scale &&
           a->quality == b->quality && a->annotated == b->annotated && a->wide == b->wide;
}

/* The mutex is held. */
static struct sp_stream *find_or_make(struct sp_encoder *e, const struct sp_stream_options *options,
                                      struct sp_error *err)
{
    int device = -1;
    for (int i = SP_STREAMS_MAX - 1; i >= 0; i--) {
        if (!e->streams[i])
            device = i;
        else if (is_same(&e->streams[i]->options, options))
            return e->streams[i];
    }
    if (device < 0) {
        sp_fail(err, SP_ERR_NO_SPACE,
                "%d JPEG streams are open; close some, or request the same width and quality",
                SP_STREAMS_MAX);
        return NULL;
    }
    struct sp_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        sp_fail(err, SP_ERR_NO_MEMORY, "stream: out of memory");
        return NULL;
    }
    stream->encoder = e;
    stream->options = *options;
    e->streams[device] = stream;
    atomic_fetch_add(&e->stream_count, 1);
    return stream;
}

int sp_stream_join(struct sp_encoder *e, const struct sp_stream_options *options,
                   struct sp_stream **out, struct sp_error *err)
{
    struct sp_error why = {0};
    struct sp_result *result = NULL;
    struct sp_frame *frame = NULL;
    bool known = sp_hub_latest(e->options.hub, options->camera, &result, &frame);
    pthread_mutex_lock(&e->mutex);
    struct sp_stream *stream = find_or_make(e, options, &why);
    if (stream && ++stream->viewers == 1 && known && frame && !e->stopping && !stream->frame)
        give(e, stream, sp_result_ref(result), sp_frame_ref(frame));
    pthread_mutex_unlock(&e->mutex);
    sp_result_unref(result);
    sp_frame_unref(frame);
    if (!stream) {
        if (err)
            *err = why;
        return why.code;
    }
    *out = stream;
    return SP_OK;
}

/* The mutex is held. */
static void unqueue(struct sp_encoder *e, struct sp_stream *stream)
{
    struct sp_stream *before = NULL;
    for (struct sp_stream *s = e->first_queued; s; before = s, s = s->next_queued) {
        if (s != stream)
            continue;
        if (before)
            before->next_queued = s->next_queued;
        else
            e->first_queued = s->next_queued;
        if (e->last_queued == s)
            e->last_queued = before;
        return;
    }
}

void sp_stream_leave(struct sp_stream *stream)
{
    if (!stream)
        return;
    struct sp_encoder *e = stream->encoder;
    pthread_mutex_lock(&e->mutex);
    bool last = --stream->viewers == 0;
    struct sp_image *newest = NULL;
    bool busy = stream->busy;
    if (last) {
        for (int i = 0; i < SP_STREAMS_MAX; i++)
            if (e->streams[i] == stream)
                e->streams[i] = NULL;
        atomic_fetch_sub(&e->stream_count, 1);
        if (stream->queued)
            unqueue(e, stream);
        newest = stream->newest;
    }
    pthread_mutex_unlock(&e->mutex);
    sp_image_unref(newest);
    if (last && !busy) /* otherwise its worker frees it */
        free_stream(stream);
}

uint64_t sp_stream_number(struct sp_stream *stream)
{
    pthread_mutex_lock(&stream->encoder->mutex);
    uint64_t number = stream->number;
    pthread_mutex_unlock(&stream->encoder->mutex);
    return number;
}

struct sp_image *sp_stream_newest(struct sp_stream *stream, uint64_t seen)
{
    struct sp_image *image = NULL;
    pthread_mutex_lock(&stream->encoder->mutex);
    if (stream->newest && stream->number > seen) {
        image = stream->newest;
        atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&stream->encoder->mutex);
    return image;
}

void sp_encoder_count(struct sp_encoder *e, struct sp_encoder_counts *counts)
{
    *counts = (struct sp_encoder_counts){.streams = atomic_load(&e->stream_count)};
    pthread_mutex_lock(&e->mutex);
    for (struct sp_stream *s = e->first_queued; s; s = s->next_queued)
        counts->waiting++;
    counts->encoded = e->encoded;
    counts->replaced = e->replaced;
    counts->failed = e->failed;
    pthread_mutex_unlock(&e->mutex);
}
