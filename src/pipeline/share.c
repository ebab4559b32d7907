#include "pipeline/share.h"

#include "base/clock.h"
#include "pipeline/detector_pool.h"
#include "pipeline/pipeline_impl.h"

#include <unistd.h>

/* Polled: a condition would need a lock for every frame of the own cameras. */
static const useconds_t POLL_US = 500;

static size_t image_bytes(int width_px, int height_px)
{
    return (size_t)width_px * (size_t)height_px * 3;
}

/* One box per cell of the input: the number is dynamic for a reader of the metadata, as in the
 * model file, and is verified by the first inference. */
static void free_cells(const struct sp_model *model, struct sp_model_output *output)
{
    switch (model->head_type) {
    case SP_HEAD_YOLOV5:
    case SP_HEAD_YOLOV6:
    case SP_HEAD_YOLOV8:
    case SP_HEAD_YOLOX:
        output->dims[model->rows_first ? 0 : 1] = -1;
        break;
    case SP_HEAD_AUTO:
    case SP_HEAD_END_TO_END:
    case SP_HEAD_RTDETR:
    case SP_HEAD_RFDETR:
        break;
    }
}

bool sp_share_describe(struct sp_pipeline *p, struct sp_share_model *model)
{
    struct sp_detector_instance *instance = sp_instance_ready(p, 0);
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    if (!instance)
        return false;
    sp_detector_describe(instance->detector, &d);
    *model = (struct sp_share_model){
        .layout = sp_detector_model(instance->detector)->layout,
        .batch = sp_detector_batch(instance->detector),
        .width_px = instance->width_px,
        .height_px = instance->height_px,
        .streams = d.streams > 0 ? d.streams : 1,
    };
    model->output_count = sp_detector_outputs(instance->detector, model->output);
    free_cells(sp_detector_model(instance->detector), &model->output[0]);
    return true;
}

static struct sp_detector_instance *find(struct sp_pipeline *p, const struct sp_share_input *input)
{
    struct sp_detector_instance *instance;
    for (int i = 0; (instance = sp_instance_ready(p, i)); i++)
        if (instance->width_px == input->width_px && instance->height_px == input->height_px &&
            !atomic_load(&instance->device->lost))
            return instance;
    return NULL;
}

/* ---- acquiring a request ---- */

/* Counts itself in; false: all streams are in use. */
static bool enter(struct sp_detector_instance *instance)
{
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_detector_describe(instance->detector, &d);
    int streams = d.streams > 0 ? d.streams : 1;
    if (atomic_fetch_add(&instance->in_flight, 1) < streams)
        return true;
    atomic_fetch_sub(&instance->in_flight, 1);
    return false;
}

static struct sp_detector_request *take_reserved(struct sp_pipeline *p,
                                                 struct sp_detector_instance *instance)
{
    struct sp_detector_request *request = NULL;
    pthread_mutex_lock(&p->mutex);
    if (instance->reserved_count > 0)
        request = instance->reserved[--instance->reserved_count];
    pthread_mutex_unlock(&p->mutex);
    return request;
}

static void give_reserved(struct sp_pipeline *p, struct sp_detector_instance *instance,
                          struct sp_detector_request *request)
{
    request->images = 0;
    request->given = false;
    pthread_mutex_lock(&p->mutex);
    instance->reserved[instance->reserved_count++] = request;
    pthread_mutex_unlock(&p->mutex);
}

static struct sp_detector_request *acquire(struct sp_pipeline *p,
                                           struct sp_detector_instance *instance, bool *reserved,
                                           int64_t deadline_us)
{
    for (;;) {
        if (enter(instance)) {
            struct sp_detector_request *request = take_reserved(p, instance);
            *reserved = request != NULL;
            if (!request)
                request = sp_detector_acquire_within(instance->detector, 0);
            if (request)
                return request;
            atomic_fetch_sub(&instance->in_flight, 1);
        }
        if (sp_clock_us() >= deadline_us)
            return NULL;
        usleep(POLL_US);
    }
}

/* ---- inference ---- */

static int infer(struct sp_detector_instance *instance, struct sp_detector_request *request,
                 const struct sp_share_input *input, sp_share_take_fn *take, void *user,
                 struct sp_error *err)
{
    struct sp_model_output outputs[SPOTON_TENSORS_MAX];
    int count = 0;
    for (int i = 0; i < input->count; i++)
        sp_detector_fill_input(instance->detector, request,
                               input->images +
                                   (size_t)i * image_bytes(input->width_px, input->height_px));
    int result = sp_detector_submit(instance->detector, request, err);
    if (result == SP_OK)
        result = sp_detector_collect_outputs(instance->detector, request, outputs, &count, err);
    if (result == SP_OK)
        take(user, outputs, count);
    return result;
}

int sp_share_infer(struct sp_pipeline *p, const struct sp_share_input *input,
                   sp_share_take_fn *take, void *user, struct sp_error *err)
{
    bool reserved;
    struct sp_detector_instance *instance = find(p, input);
    if (!instance || input->count > sp_detector_batch(instance->detector))
        return sp_fail(
            err, SP_ERR_INVALID,
            "inference of %d images of %dx%d px: no detector has that shape; use the one "
            "of the model's metadata",
            input->count, input->width_px, input->height_px);
    struct sp_detector_request *request = acquire(p, instance, &reserved, input->deadline_us);
    if (!request)
        return sp_fail(err, SP_ERR_TIMEOUT, "inference: the engine is busy; try again");
    int result = infer(instance, request, input, take, user, err);
    atomic_fetch_sub(&instance->in_flight, 1);
    if (reserved) {
        give_reserved(p, instance, request);
    } else {
        sp_detector_release(instance->detector, request);
        sp_frame_scheduler_set_full(p->scheduler, (int)(instance - p->instances), false);
    }
    return result;
}
