/* A collector's thread, one per device: waits for the inference requests in the order of their
 * submission, copies the detections and passes the tasks to their cameras' tracking workers. Tasks
 * of a lost device are first inferred on another device, in a request of the collector's own; the
 * dispatcher meanwhile withholds the cameras' next frames (sp_camera_route). */
#include "pipeline/collector.h"

#include "base/clock.h"
#include "pipeline/detector_pool.h"
#include "pipeline/device_health.h"
#include "pipeline/devices.h"
#include "pipeline/dispatch.h"
#include "pipeline/pipeline_impl.h"

#include <string.h>

/* Longer than a working engine ever needs for the batches in flight. */
static const int64_t REQUEST_TIMEOUT_US = 30000000;

static void take_detections(struct sp_pipeline *p, const struct sp_detector_request *request,
                            struct sp_frame_task *task, int64_t head_us)
{
    struct sp_stage_stats *stages = p->cameras[task->camera].stages;
    task->detection_count = request->image[task->image].detection_count;
    memcpy(task->detections, request->image[task->image].detections,
           task->detection_count * sizeof task->detections[0]);
    sp_histogram_add(&stages[SP_STAGE_ENGINE].wall, request->finished_us - request->submitted_us);
    sp_histogram_add(&stages[SP_STAGE_HEAD].wall, head_us);
    atomic_fetch_add(&stages[SP_STAGE_HEAD].cpu_us, (uint64_t)head_us);
    sp_batch_note_engine(task->batch, request->submitted_us, request->finished_us);
}

static void collect(struct sp_pipeline *p, struct sp_batch *batch)
{
    struct sp_error err = {0};
    struct sp_detector_instance *instance = batch->instance;
    int result = sp_detector_collect(batch->detector, batch->request, &err);
    atomic_fetch_sub(&instance->in_flight, 1);
    sp_device_count(instance->device, batch->request);
    sp_device_note(instance->device, result, &err);
    if (result < 0)
        sp_batch_fail(p, batch, result, &err);
    /* Decoding the head is pure computation: its wall time is its CPU time, divided over the
     * images. */
    const struct sp_detector_request *request = batch->request;
    int64_t head_us =
        (sp_clock_us() - request->finished_us) / (request->images > 0 ? request->images : 1);
    for (struct sp_frame_task *task = batch->first; task && result == SP_OK; task = task->next)
        if (task->image >= 0)
            take_detections(p, request, task, head_us);
    sp_detector_release(batch->detector, batch->request);
    if (p->device_count > 1)
        sp_frame_scheduler_set_full(p->scheduler, (int)(instance - p->instances), false);
}

/* ---- on another device ---- */

/* A ready instance of the same shape on a working device, or NULL. */
static struct sp_detector_instance *instance_elsewhere(struct sp_pipeline *p,
                                                       const struct sp_detector_instance *instance)
{
    struct sp_detector_instance *other;
    for (int i = 0; (other = sp_instance_ready(p, i)); i++)
        if (other->width_px == instance->width_px && other->height_px == instance->height_px &&
            !atomic_load(&other->device->lost))
            return other;
    return NULL;
}

/* Infers again as many of the tasks as fit into the request; returns the first one left. */
static struct sp_frame_task *infer_some(struct sp_pipeline *p,
                                        struct sp_detector_instance *instance,
                                        struct sp_detector_request *request,
                                        struct sp_frame_task *first)
{
    struct sp_error err = {0};
    struct sp_frame_task *task, *end;
    int result = SP_OK;
    for (task = first; task && request->images < sp_detector_batch(instance->detector);
         task = task->next) {
        if (!task->again)
            continue;
        task->image = request->images;
        result = sp_detector_fill(instance->detector, request, task->frame, &err);
        if (result == SP_OK)
            request->image[task->image].head = &p->cameras[task->camera].head;
        if (result < 0) {
            task->again = false;
            sp_task_fail(p, task, &err);
        }
    }
    end = task;
    result = request->images > 0 ? sp_detector_submit(instance->detector, request, &err) : SP_OK;
    if (result == SP_OK && request->images > 0)
        result = sp_detector_collect(instance->detector, request, &err);
    sp_device_note(instance->device, result, &err);
    for (task = first; task != end; task = task->next) {
        if (!task->again)
            continue;
        task->again = false;
        if (result < 0)
            sp_task_fail(p, task, &err);
        else
            take_detections(p, request, task, 0);
    }
    if (result == SP_OK) {
        atomic_fetch_add(&instance->images, (uint64_t)request->images);
        atomic_fetch_add(&instance->device->batches, request->images > 0);
        atomic_fetch_add(&instance->device->images, (uint64_t)request->images);
    }
    return end;
}

static void infer_again(struct sp_pipeline *p, struct sp_batch *batch)
{
    struct sp_frame_task *task = batch->first;
    while (task && !task->again)
        task = task->next;
    while (task) {
        struct sp_detector_instance *instance = instance_elsewhere(p, batch->instance);
        struct sp_detector_request *request =
            instance ? sp_detector_acquire_within(instance->detector, REQUEST_TIMEOUT_US) : NULL;
        if (request) {
            task = infer_some(p, instance, request, task);
            sp_detector_release(instance->detector, request);
            sp_frame_scheduler_set_full(p->scheduler, (int)(instance - p->instances), false);
            continue;
        }
        for (; task; task = task->next)
            if (task->again)
                sp_task_fail(p, task, &batch->instance->device->error);
    }
}

void *sp_collector_main(void *argument)
{
    struct sp_device *device = argument;
    struct sp_pipeline *p = device->pipeline;
    void *item;
    while (sp_queue_pop(device->batch_queue, &item, -1) == SP_OK) {
        struct sp_batch *batch = item;
        if (batch->detector)
            collect(p, batch);
        if (batch->instance && atomic_load(&batch->instance->device->lost))
            infer_again(p, batch);
        for (struct sp_frame_task *task = batch->first, *next; task; task = next) {
            next = task->next; /* the worker may recycle the task at once */
            int camera = task->camera;
            sp_queue_push(p->workers[camera % p->worker_count].tasks, task);
            atomic_fetch_sub(&p->cameras[camera].undelivered, 1);
        }
        sp_queue_push(p->free_batches, batch);
    }
    if (atomic_fetch_sub(&p->collectors_running, 1) != 1)
        return NULL;
    for (int i = 0; i < p->worker_count; i++)
        sp_queue_close(p->workers[i].tasks);
    return NULL;
}
