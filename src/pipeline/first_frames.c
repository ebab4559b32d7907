/* The first frames of all cameras, each read by a thread of its own. */
#include "pipeline/calibration_frames.h"

#include "base/clock.h"
#include "base/redact.h"
#include "base/thread.h"
#include "capture/source.h"
#include "detect/letterbox.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STRIDE = 12 };

static const useconds_t POLL_US = 10000;

struct reader {
    const struct sp_calibration_frames_options *options;
    struct sp_images *set;
    int camera, wanted, taken;
    pthread_t thread;
    bool started;
    atomic_bool interrupted, done;
    struct sp_frame_pool *pool;
    struct sp_letterbox *letterbox;
    struct sp_error error; /* why there are fewer than wanted */
};

/* Each camera has entries of its own in the set. */
static int take(struct reader *r, const struct sp_frame *frame)
{
    struct sp_letterbox_geometry geometry = {0};
    uint8_t *to = sp_image_memory(r->set, r->camera * r->wanted + r->taken);
    int result = sp_letterbox_fill(r->letterbox, frame, to, r->set->layout, r->set->width_px,
                                   r->set->height_px, &geometry, &r->error);
    r->taken += result == SP_OK;
    return result;
}

/* The distance between the frames taken; a short video is covered completely. */
static int choose_stride(const struct reader *r, const struct sp_source_info *info)
{
    int64_t even = info->frames_total / r->wanted;
    if (info->snapshot)
        return 1;
    return info->frames_total > 0 && even < STRIDE ? (int)(even > 1 ? even : 1) : STRIDE;
}

static int read_source(struct reader *r, struct sp_source *source)
{
    struct sp_source_info info;
    struct sp_frame *frame, *last = NULL;
    int result = SP_OK;
    sp_source_info(source, &info);
    int stride = choose_stride(r, &info);
    for (int64_t number = 0; r->taken < r->wanted && result == SP_OK; number++) {
        result = sp_source_read(source, &frame, &r->error);
        if (result < 0)
            break;
        if (number % stride == stride / 2)
            result = take(r, frame);
        sp_frame_unref(last);
        last = frame;
    }
    if (r->taken == 0 && last) /* shorter than half a stride, or interrupted */
        result = take(r, last);
    sp_frame_unref(last);
    return result;
}

static void *reader_main(void *argument)
{
    struct reader *r = argument;
    struct sp_source *source = NULL;
    int result = sp_frame_pool_open(&r->pool, &r->error);
    if (result == SP_OK)
        result = sp_letterbox_open(&r->letterbox, &r->error);
    struct sp_source_options options = {.url = r->options->name[r->camera],
                                        .camera = r->camera,
                                        .pool = r->pool,
                                        .frame_skip = 1,
                                        .open_timeout_us = r->options->limit_us,
                                        .read_timeout_us = r->options->limit_us,
                                        .interrupted = &r->interrupted};
    if (result == SP_OK)
        result = sp_source_open(&source, &options, &r->error);
    if (result == SP_OK)
        read_source(r, source);
    sp_source_close(source);
    sp_letterbox_close(r->letterbox);
    sp_frame_pool_close(r->pool);
    atomic_store(&r->done, true);
    return NULL;
}

static bool all_done(const struct reader *readers, int count)
{
    for (int i = 0; i < count; i++)
        if (readers[i].started && !atomic_load(&readers[i].done))
            return false;
    return true;
}

static bool is_interrupted(const struct sp_calibration_frames_options *options)
{
    return options->interrupted && options->interrupted();
}

static void read_all(struct reader *readers, const struct sp_calibration_frames_options *options)
{
    int64_t until_us = sp_clock_us() + options->limit_us;
    for (int i = 0; i < options->name_count; i++)
        readers[i].started = sp_thread_start(&readers[i].thread, "first-frames", reader_main,
                                             &readers[i], &readers[i].error) == SP_OK;
    while (!all_done(readers, options->name_count) && sp_clock_us() < until_us &&
           !is_interrupted(options))
        usleep(POLL_US);
    for (int i = 0; i < options->name_count; i++)
        atomic_store(&readers[i].interrupted, true);
    for (int i = 0; i < options->name_count; i++)
        if (readers[i].started)
            pthread_join(readers[i].thread, NULL);
}

/* Moves the images together; returns the number of cameras without one. */
static int compact(struct sp_images *set, const struct reader *readers, int count)
{
    int silent = 0;
    for (int i = 0; i < count; i++) {
        const struct reader *r = &readers[i];
        silent += r->taken == 0;
        for (int k = 0; k < r->taken; k++) {
            memmove(sp_image_memory(set, set->count), sp_image_memory(set, i * r->wanted + k),
                    set->image_bytes);
            set->source[set->count++] = (uint8_t)i;
        }
    }
    return silent;
}

int sp_calibration_frames_first(struct sp_calibration_frames *frames,
                                const struct sp_calibration_frames_options *options, int *silent,
                                struct sp_error *err)
{
    int cameras = options->name_count, each = options->wanted / cameras;
    *frames = (struct sp_calibration_frames){.calibration.file = -1, .check.file = -1};
    struct reader *readers = calloc((size_t)cameras, sizeof *readers);
    if (!readers)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%d cameras: out of memory", cameras);
    int result = sp_images_open(&frames->check, options, NULL, each * cameras, err);
    for (int i = 0; i < cameras; i++)
        readers[i] =
            (struct reader){.options = options, .set = &frames->check, .camera = i, .wanted = each};
    if (result == SP_OK) {
        read_all(readers, options);
        *silent = compact(&frames->check, readers, cameras);
    }
    if (result == SP_OK && is_interrupted(options))
        result = sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
    if (result == SP_OK && *silent == cameras) {
        char shown[256];
        sp_redact_url(options->name[0], shown, sizeof shown);
        result =
            readers[0].error.code != SP_OK
                ? sp_fail(err, SP_ERR_IO, "no camera delivered a frame: %s", readers[0].error.text)
                : sp_fail(err, SP_ERR_IO, "no camera delivered a frame: %s", shown);
    }
    if (result == SP_OK)
        result = sp_images_finish(&frames->check, err);
    free(readers);
    if (result < 0)
        sp_calibration_frames_release(frames);
    return result;
}
