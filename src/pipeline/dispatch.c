#include "pipeline/dispatch.h"

#include "pipeline/camera_state.h"
#include "pipeline/device_health.h"
#include "pipeline/pipeline_impl.h"

#include <unistd.h>

/* Polled, because the wait is rare: a condition would need a lock for every delivered frame. */
static const useconds_t DELIVERY_POLL_US = 100;

void sp_task_fail(struct sp_pipeline *p, struct sp_frame_task *task, const struct sp_error *err)
{
    task->failed = true;
    sp_camera_fail(&p->cameras[task->camera], err);
}

void sp_batch_fail(struct sp_pipeline *p, struct sp_batch *batch, int result,
                   const struct sp_error *err)
{
    bool again = sp_device_retries(batch->instance->device, result);
    for (struct sp_frame_task *task = batch->first; task; task = task->next) {
        if (task->image < 0)
            continue;
        task->again = again;
        if (!again)
            sp_task_fail(p, task, err);
    }
}

void sp_batch_push(struct sp_device *device, struct sp_batch *batch)
{
    /* Open: the dispatcher itself closes it, at its end. */
    sp_queue_push(device->batch_queue, batch);
}

/* If the engine refuses the request, its tasks continue as failed ones. */
void sp_instance_submit(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    struct sp_batch *batch = instance->open;
    struct sp_error err = {0};
    if (!batch)
        return;
    instance->open = NULL;
    sp_speed_log_flush(&p->speed_log, &instance->record);
    if (batch->request->images == 0) { /* acquired for a frame that was then inferred elsewhere */
        sp_detector_release(batch->detector, batch->request);
        batch->detector = NULL;
        if (batch->first)
            sp_batch_push(instance->device, batch);
        else
            sp_queue_push(p->free_batches, batch);
        return;
    }
    atomic_fetch_add(&instance->images, (uint64_t)batch->request->images);
    int result = sp_detector_submit(batch->detector, batch->request, &err);
    atomic_fetch_add(&instance->in_flight, result == SP_OK);
    if (result < 0) {
        sp_device_note(instance->device, result, &err);
        sp_batch_fail(p, batch, result, &err);
        sp_detector_release(batch->detector, batch->request);
        batch->detector = NULL;
    }
    sp_batch_push(instance->device, batch);
}

void sp_camera_route(struct sp_camera *camera, struct sp_device *device)
{
    struct sp_pipeline *p = camera->pipeline;
    if (camera->scheduling.route == device)
        return;
    if (camera->scheduling.instance)
        sp_instance_submit(p, camera->scheduling.instance);
    /* Rare: at a camera's first frames, and when a device fails. */
    while (atomic_load(&camera->undelivered) > 0)
        usleep(DELIVERY_POLL_US);
    camera->scheduling.route = device;
}
