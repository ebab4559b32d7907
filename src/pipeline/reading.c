#include "pipeline/reading.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "detect/detector.h"
#include "pipeline/classes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const int64_t FIRST_US = 60000000, SECOND_US = 240000000;

/* Of the thread and of the engine's threads that inherit it. */
enum { NICE = 15 };

/* A frame with this many boxes shows noise, not objects. */
enum { NOISE_BOXES = 100, ALTERNATIVES_MAX = 16 };

struct sp_reading {
    struct sp_reading_options options;
    atomic_bool over; /* there was a detection, or the warning was logged */
    atomic_uint_fast64_t noted;
    atomic_bool closing;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct sp_frame *frame[SP_READING_FRAMES]; /* guarded */
    uint64_t kept;                             /* guarded */
    pthread_t thread;
    bool started;
};

static void drop_frames(struct sp_reading *reading)
{
    pthread_mutex_lock(&reading->mutex);
    for (int i = 0; i < SP_READING_FRAMES; i++) {
        sp_frame_unref(reading->frame[i]);
        reading->frame[i] = NULL;
    }
    pthread_mutex_unlock(&reading->mutex);
}

void sp_reading_note(struct sp_reading *reading, struct sp_frame *frame, size_t detections)
{
    if (!reading || atomic_load_explicit(&reading->over, memory_order_relaxed))
        return;
    if (detections > 0) {
        atomic_store(&reading->over, true);
        drop_frames(reading);
        return;
    }
    /* The first ones, then the 8th, 16th, 32nd, ...: spread over time. */
    uint64_t number = atomic_fetch_add(&reading->noted, 1) + 1;
    if (number > SP_READING_FRAMES && (number & (number - 1)) != 0)
        return;
    pthread_mutex_lock(&reading->mutex);
    struct sp_frame **position = &reading->frame[reading->kept++ % SP_READING_FRAMES];
    sp_frame_unref(*position);
    *position = sp_frame_ref(frame);
    pthread_mutex_unlock(&reading->mutex);
}

/* ---- one reading ---- */

static int infer(struct sp_detector *detector, const struct sp_frame *frame, size_t *boxes)
{
    struct sp_detector_request *request = sp_detector_acquire(detector);
    int result = sp_detector_fill(detector, request, frame, NULL);
    if (result == SP_OK)
        result = sp_detector_submit(detector, request, NULL);
    if (result == SP_OK)
        result = sp_detector_collect(detector, request, NULL);
    *boxes = result == SP_OK ? request->image[0].detection_count : 0;
    sp_detector_release(detector, request);
    return result;
}

static int open_detector(struct sp_detector **detector, const struct sp_model_choice *choice,
                         const struct sp_settings *settings, const struct sp_model *model,
                         const bool *wanted, const struct sp_frame *frame)
{
    struct sp_detector_options options = {
        .engine = choice->engine,
        .model = model,
        .precision = choice->precision,
        .batch = 1,
        .width_px = choice->input_size_px,
        .height_px = choice->input_size_px,
        .threads = 1,
        .streams = 1,
        .backend_options = sp_model_choice_backend_options(choice),
        .head = {.confidence_threshold = settings->confidence_threshold,
                 .nms_iou = settings->nms_iou,
                 .class_wanted = wanted},
    };
    int width_px, height_px;
    sp_frame_square_size_px(frame, &width_px, &height_px);
    if (!settings->square_input)
        sp_letterbox_input_shape(width_px, height_px, choice->input_size_px, model->stride_px,
                                 &options.width_px, &options.height_px);
    return sp_detector_open(detector, &options, NULL);
}

int sp_reading_evaluate(const struct sp_model_choice *choice, const struct sp_settings *settings,
                        const struct sp_model_wish *wish, struct sp_frame *const *frames, int count,
                        int *boxes)
{
    struct sp_model *model = calloc(1, sizeof *model);
    struct sp_detector *detector = NULL;
    bool *wanted = NULL;
    int hits = -1;
    struct sp_model_wish remote = *wish;
    remote.backend_options = sp_model_choice_backend_options(choice);
    *boxes = 0;
    if (model && count > 0 &&
        sp_model_open(model, choice->engine, choice->model.path, &remote, NULL) == SP_OK &&
        sp_classes_choose(&wanted, model, settings->classes, NULL) == SP_OK &&
        open_detector(&detector, choice, settings, model, wanted, frames[0]) == SP_OK)
        hits = 0;
    for (int i = 0; i < count && hits >= 0; i++) {
        size_t found;
        if (infer(detector, frames[i], &found) < 0) {
            hits = -1;
            break;
        }
        hits += found > 0 && found < NOISE_BOXES;
        *boxes += (int)found;
    }
    sp_detector_close(detector);
    free(wanted);
    free(model);
    return hits;
}

/* ---- all readings ---- */

/* The other readings, the most likely first. Opening the model rejects impossible ones. */
static int list_alternatives(const struct sp_model *model, const struct sp_model_wish *now,
                             struct sp_model_wish list[ALTERNATIVES_MAX])
{
    int count = 0;
    struct sp_model_wish range = *now, color = *now, both;
    range.range = model->scale == 1.0f ? SP_RANGE_UNIT : SP_RANGE_BYTES;
    color.color = model->swap_red_blue ? SP_COLOR_RGB : SP_COLOR_BGR;
    both = range;
    both.color = color.color;
    list[count++] = range;
    list[count++] = color;
    list[count++] = both;
    if (model->deviation[0] > 0) {
        list[count] = *now;
        list[count++].range = SP_RANGE_UNIT;
    }
    for (int head_type = SP_HEAD_YOLOV5; head_type <= SP_HEAD_RFDETR && count < ALTERNATIVES_MAX;
         head_type++) {
        if (head_type != (int)model->head_type)
            list[count++] = (struct sp_model_wish){.head_type = (enum sp_head_type)head_type};
    }
    return count;
}

static void describe(char text[SP_READING_TEXT_BYTES], const struct sp_model_choice *choice,
                     const struct sp_model_wish *now, const struct sp_model_wish *other, int hits,
                     int frames, int boxes)
{
    char settings[120] = "";
    size_t used = 0, room = sizeof settings;
    const char *slash = strrchr(choice->model.path, '/');
    if (other->head_type != now->head_type)
        used += (size_t)snprintf(settings + used, room - used, " MODEL_HEAD=%s",
                                 sp_head_type_name(other->head_type));
    if (other->range != now->range)
        used += (size_t)snprintf(settings + used, room - used, " MODEL_INPUT_RANGE=%s",
                                 other->range == SP_RANGE_UNIT    ? "0..1"
                                 : other->range == SP_RANGE_BYTES ? "0..255"
                                                                  : "auto");
    if (other->color != now->color)
        snprintf(settings + used, room - used, " MODEL_INPUT_COLOR=%s",
                 other->color == SP_COLOR_RGB   ? "rgb"
                 : other->color == SP_COLOR_BGR ? "bgr"
                                                : "auto");
    snprintf(
        text, SP_READING_TEXT_BYTES,
        "model %.100s: no detections so far; with other settings it has %d in %d of %d frames: "
        "try%s",
        slash ? slash + 1 : choice->model.path, boxes, hits, frames, settings);
}

static bool try_all(struct sp_reading *reading, struct sp_frame *const *frames, int count,
                    char text[SP_READING_TEXT_BYTES])
{
    const struct sp_reading_options *o = &reading->options;
    struct sp_model_wish now = sp_model_choice_wish(o->settings), list[ALTERNATIVES_MAX];
    int alternatives = list_alternatives(&o->choice->model, &now, list);
    for (int i = 0; i < alternatives; i++) {
        int boxes;
        if (atomic_load(&reading->closing) || atomic_load(&reading->over))
            return false;
        int hits = sp_reading_evaluate(o->choice, o->settings, &list[i], frames, count, &boxes);
        if (hits * 2 > count) {
            describe(text, o->choice, &now, &list[i], hits, count, boxes);
            return true;
        }
    }
    return false;
}

bool sp_reading_try(struct sp_reading *reading, char text[SP_READING_TEXT_BYTES])
{
    struct sp_frame *frames[SP_READING_FRAMES];
    int count = 0;
    if (!reading || atomic_load(&reading->over))
        return false;
    pthread_mutex_lock(&reading->mutex);
    for (int i = 0; i < SP_READING_FRAMES; i++)
        if (reading->frame[i])
            frames[count++] = sp_frame_ref(reading->frame[i]);
    pthread_mutex_unlock(&reading->mutex);
    bool found = count > 0 && try_all(reading, frames, count, text);
    for (int i = 0; i < count; i++)
        sp_frame_unref(frames[i]);
    if (found) {
        atomic_store(&reading->over, true);
        drop_frames(reading);
    }
    return found;
}

/* ---- live ---- */

/* False: closing. */
static bool wait_until(struct sp_reading *reading, int64_t at_us)
{
    struct timespec until = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    pthread_mutex_lock(&reading->mutex);
    while (!atomic_load(&reading->closing) && sp_clock_us() < at_us)
        pthread_cond_timedwait(&reading->changed, &reading->mutex, &until);
    pthread_mutex_unlock(&reading->mutex);
    return !atomic_load(&reading->closing);
}

static void *watch(void *argument)
{
    struct sp_reading *reading = argument;
    const int64_t after_us[] = {reading->options.first_us, reading->options.second_us};
    int64_t begin_us = sp_clock_us();
    char text[SP_READING_TEXT_BYTES];
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    for (int i = 0; i < 2 && !atomic_load(&reading->over); i++) {
        if (wait_until(reading, begin_us + after_us[i]) && sp_reading_try(reading, text))
            sp_log(SP_LOG_WARNING, "%s", text);
    }
    atomic_store(&reading->over, true);
    drop_frames(reading);
    return NULL;
}

int sp_reading_open(struct sp_reading **out, const struct sp_reading_options *options,
                    struct sp_error *err)
{
    struct sp_reading *reading = calloc(1, sizeof *reading);
    pthread_condattr_t monotonic;
    if (!reading)
        return sp_fail(err, SP_ERR_NO_MEMORY, "reading: out of memory");
    reading->options = *options;
    if (reading->options.first_us == 0)
        reading->options.first_us = FIRST_US;
    if (reading->options.second_us == 0)
        reading->options.second_us = SECOND_US;
    pthread_mutex_init(&reading->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&reading->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int result = SP_OK;
    if (options->watch)
        result = sp_thread_start(&reading->thread, "reading", watch, reading, err);
    reading->started = options->watch && result == SP_OK;
    if (result < 0)
        sp_reading_close(reading);
    else
        *out = reading;
    return result;
}

void sp_reading_close(struct sp_reading *reading)
{
    if (!reading)
        return;
    pthread_mutex_lock(&reading->mutex);
    atomic_store(&reading->closing, true);
    pthread_cond_signal(&reading->changed);
    pthread_mutex_unlock(&reading->mutex);
    if (reading->started)
        pthread_join(reading->thread, NULL);
    drop_frames(reading);
    pthread_cond_destroy(&reading->changed);
    pthread_mutex_destroy(&reading->mutex);
    free(reading);
}
