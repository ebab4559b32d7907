/* The detector pool: one detector instance per input shape and device.
 *
 * An instance is opened on its device's own thread when the first frame of that shape is scheduled
 * there, which can take seconds. Offline all cameras wait, so that no result depends on timing, and
 * the other devices open theirs at the same time; live only the frames of that shape and device are
 * dropped meanwhile. */
#include "pipeline/detector_pool.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/loader.h"
#include "pipeline/device_health.h"
#include "pipeline/devices.h"
#include "pipeline/dispatch.h"
#include "pipeline/input_shape.h"
#include "pipeline/lifecycle.h"
#include "pipeline/pipeline_impl.h"

#include <assert.h>

enum { SHAPES = 5 }; /* of one input size */

/* ---- opening ---- */

/* An engine offers more requests than it processes at once, so that its streams never wait. A live
 * frame would only grow old in such a request: one more than the streams is enough; the pool keeps
 * the others. */
static void reserve_requests(const struct sp_pipeline *p, struct sp_detector_instance *instance,
                             const struct spoton_engine_description *d)
{
    if (!p->options.live || d->streams < 1)
        return;
    while (instance->reserved_count < SP_REQUESTS_RESERVED_MAX &&
           d->requests - instance->reserved_count > d->streams + 1)
        instance->reserved[instance->reserved_count++] = sp_detector_acquire(instance->detector);
}

static void close_instance(struct sp_detector_instance *instance)
{
    if (!instance->detector)
        return;
    while (instance->reserved_count > 0)
        sp_detector_release(instance->detector, instance->reserved[--instance->reserved_count]);
    sp_detector_close(instance->detector);
}

/* The least over all devices: on each of them one request must stay free for healthy cameras. */
static void note_capacity(struct sp_device *device, int frames)
{
    struct sp_pipeline *p = device->pipeline;
    int least = frames;
    pthread_mutex_lock(&p->mutex);
    device->capacity_frames = frames;
    for (int i = 0; i < p->device_count; i++)
        if (p->devices[i].capacity_frames > 0 && p->devices[i].capacity_frames < least)
            least = p->devices[i].capacity_frames;
    sp_frame_scheduler_set_capacity(p->scheduler, least);
    pthread_mutex_unlock(&p->mutex);
}

/* A bundle contains the compiled model for its own shape; other shapes use the common cache. */
static const char *cache_for(const struct sp_pipeline *p,
                             const struct sp_detector_instance *instance, int batch)
{
    const struct sp_bundle *bundle = &p->choice.bundle;
    if (bundle->cache_dir[0] && bundle->manifest.width_px == instance->width_px &&
        bundle->manifest.height_px == instance->height_px && bundle->manifest.batch == batch)
        return bundle->cache_dir;
    return p->cache_dir[0] ? p->cache_dir : NULL;
}

static int threads_for(const struct sp_pipeline *p)
{
    int threads = p->cores / p->device_count;
    return threads > 0 ? threads : 1;
}

/* A camera by need has one frame in flight: more streams than such cameras would be idle, and their
 * threads with them. Live and 0: the engine's own number, because cameras may be added. */
static int streams_for(struct sp_pipeline *p, int threads)
{
    int by_need = 0;
    if (p->settings->streams > 0 || p->options.live)
        return p->settings->streams;
    for (int i = 0; i < p->camera_count; i++) {
        struct sp_camera *camera = &p->cameras[i];
        pthread_mutex_lock(&camera->mutex);
        bool busy = camera->status.busy;
        bool need = camera->status.setting.inference == SP_INFERENCE_NEED;
        pthread_mutex_unlock(&camera->mutex);
        if (busy && !need)
            return 0;
        by_need += busy;
    }
    return by_need * 2 <= threads ? by_need : 0;
}

static int open_detector(struct sp_pipeline *p, struct sp_detector_instance *instance,
                         struct sp_error *err)
{
    int batch = p->model.fixed_batch ? p->model.fixed_batch : p->choice.batch;
    struct sp_detector_options options = {
        .engine = p->engine,
        .model = &p->model,
        .precision = p->choice.precision,
        .batch = batch > 0 ? batch : 1,
        .width_px = instance->width_px,
        .height_px = instance->height_px,
        .threads = threads_for(p),
        .streams = streams_for(p, threads_for(p)),
        .cache_dir = cache_for(p, instance, batch > 0 ? batch : 1),
        .backend_options = sp_model_choice_backend_options(&p->choice),
        .head = p->head,
        .device = instance->device->number,
        .spill = p->choice.spill,
        .spill_options = p->choice.spill_options,
    };
    pthread_setname_np(pthread_self(), "engine"); /* the engine's threads inherit the name */
    int result = sp_detector_open(&instance->detector, &options, err);
    pthread_setname_np(pthread_self(), "opener");
    return result;
}

/* The dispatcher uses the rest of the instance only after it has seen the state change. */
static void open_instance(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    char words[SP_DEVICE_WORDS_BYTES];
    int64_t begin_us = sp_clock_us();
    int result = open_detector(p, instance, &instance->error);
    if (result == SP_ERR_DEVICE)
        sp_device_lose(instance->device, &instance->error);
    if (result == SP_OK) {
        struct spoton_engine_description d = {.struct_bytes = sizeof d};
        int batch = sp_detector_batch(instance->detector);
        sp_detector_describe(instance->detector, &d);
        sp_device_words(instance->device, words);
        sp_log(SP_LOG_INFO,
               "engine %s ready%s in %.1f s: %dx%d, batch %d, %s, %d streams, %d threads on %s",
               p->engine->name, words, (double)(sp_clock_us() - begin_us) / 1e6, instance->width_px,
               instance->height_px, batch, sp_precision_name(d.precision), d.streams, d.threads,
               d.device);
        reserve_requests(p, instance, &d);
        note_capacity(instance->device, d.streams * batch);
    }
    pthread_mutex_lock(&p->mutex);
    atomic_store(&instance->state, result == SP_OK ? SP_INSTANCE_READY : SP_INSTANCE_REFUSED);
    pthread_cond_broadcast(&p->instance_opened);
    pthread_mutex_unlock(&p->mutex);
}

static void *opener_main(void *argument)
{
    struct sp_device *device = argument;
    struct sp_pipeline *p = device->pipeline;
    void *item;
    while (sp_queue_pop(device->to_open, &item, -1) == SP_OK) {
        if (atomic_load(&p->pool_stopped))
            continue;
        open_instance(p, item);
        sp_frame_scheduler_release(p->scheduler);
    }
    sp_pipeline_worker_done(p);
    return NULL;
}

static struct sp_detector_instance *instance_on(struct sp_pipeline *p, struct sp_device *device,
                                                int width_px, int height_px);

/* The shape of 16:9, so that other machines need not wait for a camera here. Before the dispatcher
 * starts, to which the instances then belong. */
static void open_for_others(struct sp_pipeline *p)
{
    int width_px, height_px;
    sp_input_shape_choose(&p->model, p->choice.input_size_px, p->settings->square_input, 16, 9,
                          &width_px, &height_px);
    instance_on(p, &p->devices[0], width_px, height_px);
}

int sp_detector_pool_start(struct sp_pipeline *p, struct sp_error *err)
{
    int result = SP_OK;
    for (int i = 0; i < p->device_count && result == SP_OK; i++) {
        struct sp_device *device = &p->devices[i];
        result = sp_queue_open(&device->to_open, SP_DETECTORS_MAX, err);
        if (result == SP_OK)
            result = sp_thread_start(&device->opener, "opener", opener_main, device, err);
        device->opener_started = result == SP_OK;
    }
    if (result == SP_OK && p->options.live && p->settings->share_engine)
        open_for_others(p);
    return result;
}

void sp_detector_pool_stop(struct sp_pipeline *p)
{
    atomic_store(&p->pool_stopped, true);
    for (int i = 0; i < p->device_count; i++)
        if (p->devices[i].to_open)
            sp_queue_close(p->devices[i].to_open);
}

void sp_detector_pool_close(struct sp_pipeline *p)
{
    sp_detector_pool_stop(p);
    for (int i = 0; i < p->device_count; i++) {
        if (p->devices[i].opener_started)
            pthread_join(p->devices[i].opener, NULL);
        sp_queue_free(p->devices[i].to_open);
    }
    for (int i = 0; i < p->instance_count; i++)
        close_instance(&p->instances[i]);
}

/* ---- finding ---- */

struct sp_detector_instance *sp_instance_ready(struct sp_pipeline *p, int index)
{
    for (int i = 0; i < SP_DETECTORS_MAX; i++)
        if (atomic_load(&p->instances[i].state) == SP_INSTANCE_READY && index-- == 0)
            return &p->instances[i];
    return NULL;
}

/* NULL: none was opened or tried on the device. */
static struct sp_detector_instance *
find_instance(struct sp_pipeline *p, const struct sp_device *device, int width_px, int height_px)
{
    for (int i = 0; i < p->instance_count; i++)
        if (p->instances[i].device == device && p->instances[i].width_px == width_px &&
            p->instances[i].height_px == height_px)
            return &p->instances[i];
    return NULL;
}

static struct sp_detector_instance *instance_on(struct sp_pipeline *p, struct sp_device *device,
                                                int width_px, int height_px)
{
    struct sp_detector_instance *instance = find_instance(p, device, width_px, height_px);
    if (instance)
        return instance;
    assert(p->instance_count < SP_DETECTORS_MAX); /* there are fewer shapes */
    instance = &p->instances[p->instance_count++];
    instance->device = device;
    instance->width_px = width_px;
    instance->height_px = height_px;
    atomic_store(&instance->state, SP_INSTANCE_OPENING);
    sp_queue_push(device->to_open, instance);
    return instance;
}

/* The devices that may get a camera open their detectors in parallel. */
static void open_beside(struct sp_pipeline *p, int width_px, int height_px)
{
    for (int i = 0; i < p->device_count && i < p->camera_count; i++)
        if (!atomic_load(&p->devices[i].lost))
            instance_on(p, &p->devices[i], width_px, height_px);
}

static void wait_until_opened(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    pthread_mutex_lock(&p->mutex);
    while (atomic_load(&instance->state) == SP_INSTANCE_OPENING)
        pthread_cond_wait(&p->instance_opened, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

static double load_of(struct sp_camera *camera, int width_px, int height_px)
{
    double rate = 1; /* offline, cameras are read in turn */
    if (camera->pipeline->options.live) {
        pthread_mutex_lock(&camera->mutex);
        rate = camera->status.info.frame_rate > 0 ? camera->status.info.frame_rate
                                                  : SP_FRAME_RATE_DEFAULT;
        pthread_mutex_unlock(&camera->mutex);
    }
    return rate * width_px * height_px;
}

/* Offline it is ready; live it may still be opening. NULL: every working device refused the shape.
 */
static struct sp_detector_instance *instance_of_shape(struct sp_camera *camera, int width_px,
                                                      int height_px)
{
    struct sp_pipeline *p = camera->pipeline;
    double load = load_of(camera, width_px, height_px);
    bool usable[SP_DEVICES_MAX];
    if (!p->options.live)
        open_beside(p, width_px, height_px);
    for (int i = 0; i < p->device_count; i++) {
        struct sp_detector_instance *instance =
            find_instance(p, &p->devices[i], width_px, height_px);
        usable[i] = !atomic_load(&p->devices[i].lost) &&
                    !(instance && atomic_load(&instance->state) == SP_INSTANCE_REFUSED);
    }
    for (;;) {
        struct sp_device *device = sp_device_choose(camera, usable, load);
        if (!device)
            return NULL;
        struct sp_detector_instance *instance = instance_on(p, device, width_px, height_px);
        if (!p->options.live)
            wait_until_opened(p, instance);
        if (atomic_load(&instance->state) != SP_INSTANCE_REFUSED) {
            sp_device_join(camera, device, load);
            return instance;
        }
        usable[device->index] = false;
    }
}

/* Any ready instance of another shape, on a working device; live only. */
static struct sp_detector_instance *any_instance(struct sp_pipeline *p)
{
    for (int i = 0; i < p->instance_count && p->options.live; i++)
        if (atomic_load(&p->instances[i].state) == SP_INSTANCE_READY &&
            !atomic_load(&p->instances[i].device->lost))
            return &p->instances[i];
    return NULL;
}

/* Logs, once per instance, why this shape was refused; without another instance the pipeline fails.
 */
static void log_refusals(struct sp_pipeline *p, int width_px, int height_px, bool others)
{
    char words[SP_DEVICE_WORDS_BYTES];
    for (int i = 0; i < p->instance_count; i++) {
        struct sp_detector_instance *instance = &p->instances[i];
        if (atomic_load(&instance->state) != SP_INSTANCE_REFUSED || instance->refusal_logged ||
            instance->width_px != width_px || instance->height_px != height_px)
            continue;
        instance->refusal_logged = true;
        sp_device_words(instance->device, words);
        if (others)
            sp_log(SP_LOG_WARNING, "input of %dx%d%s: %s; its cameras use another %s", width_px,
                   height_px, words, instance->error.text, words[0] ? "device or shape" : "shape");
        else
            sp_pipeline_fail(p, &instance->error);
    }
}

/* The camera's own input size, as long as instances are left for the common one. */
static int size_for(const struct sp_pipeline *p, const struct sp_camera *camera)
{
    bool full = p->instance_count + 2 * SHAPES * p->device_count > SP_DETECTORS_MAX;
    return camera->own_input_size_px > 0 && !full ? camera->own_input_size_px
                                                  : p->choice.input_size_px;
}

struct sp_detector_instance *sp_instance_for(struct sp_pipeline *p, struct sp_camera *camera,
                                             int width_px, int height_px)
{
    bool resized = camera->scheduling.frame_width_px != width_px ||
                   camera->scheduling.frame_height_px != height_px;
    if (camera->scheduling.instance && !(p->options.live && resized) &&
        !atomic_load(&camera->scheduling.instance->device->lost))
        return camera->scheduling.instance;
    int instance_width_px, instance_height_px;
    sp_input_shape_choose(&p->model, size_for(p, camera), p->settings->square_input, width_px,
                          height_px, &instance_width_px, &instance_height_px);
    struct sp_detector_instance *instance =
        instance_of_shape(camera, instance_width_px, instance_height_px);
    bool found = instance != NULL;
    if (!found) {
        instance = any_instance(p);
        if (instance)
            sp_device_join(camera, instance->device,
                           load_of(camera, instance->width_px, instance->height_px));
    }
    log_refusals(p, instance_width_px, instance_height_px, instance != NULL);
    if (instance && atomic_load(&instance->state) == SP_INSTANCE_OPENING)
        return instance;
    if (camera->scheduling.instance && camera->scheduling.instance != instance)
        sp_instance_submit(p, camera->scheduling.instance); /* its frames come first */
    if (instance)
        sp_camera_route(camera, instance->device);
    camera->scheduling.instance = instance;
    camera->scheduling.frame_width_px = width_px;
    camera->scheduling.frame_height_px = height_px;
    sp_frame_scheduler_set_group(p->scheduler, camera->index,
                                 instance ? (int)(instance - p->instances) : -1);
    return instance;
}
