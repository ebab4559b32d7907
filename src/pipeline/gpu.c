/* Decoding and JPEG on GPUs. A camera is decoded on the device of the engine whose decoders have
 * the most free capacity, or on the CPU. Its frames are inferred on the same device while that
 * works (sp_device_choose). */
#include "pipeline/gpu.h"

#include "pipeline/pipeline_impl.h"
#include "pipeline/placement.h"

int sp_gpu_check(const struct sp_pipeline *p, struct sp_error *err)
{
    if (p->settings->decoder == SP_DECODER_GPU && !spoton_engine_decodes(p->engine))
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "DECODER=gpu: engine %s does not decode video; use ENGINE=cuda, or DECODER=auto",
            p->engine->name);
    if (p->settings->jpeg_encoder == SP_JPEG_ENCODER_GPU && !spoton_engine_makes_jpeg(p->engine))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "JPEG_ENCODER=gpu: engine %s does not encode JPEG; use ENGINE=cuda, or "
                       "JPEG_ENCODER=cpu",
                       p->engine->name);
    return SP_OK;
}

static double load_of(const struct sp_camera *camera, const struct sp_source_info *info)
{
    double rate = info->frame_rate > 0 ? info->frame_rate : SP_FRAME_RATE_DEFAULT;
    if (!camera->pipeline->options.live)
        rate = 1; /* cameras are read in turn */
    return rate * info->width_px * info->height_px;
}

/* With the pipeline's mutex held. */
static void leave(struct sp_camera *camera)
{
    int index = atomic_load(&camera->decoding.device);
    if (index >= 0)
        camera->pipeline->devices[index].decoding -= camera->decoding.load;
    atomic_store(&camera->decoding.device, -1);
}

static int choose_device(void *user, const struct sp_source_info *info)
{
    struct sp_camera *camera = user;
    struct sp_pipeline *p = camera->pipeline;
    struct sp_device_capacity capacities[SP_DEVICES_MAX];
    double load = load_of(camera, info);
    int inferred_on = atomic_load(&camera->device_shown);
    pthread_mutex_lock(&p->mutex);
    leave(camera);
    for (int i = 0; i < p->device_count; i++)
        capacities[i] = (struct sp_device_capacity){.usable = !atomic_load(&p->devices[i].lost),
                                                    .power = p->devices[i].about.power,
                                                    .load = p->devices[i].decoding};
    int best = inferred_on >= 0 && capacities[inferred_on].usable
                   ? inferred_on
                   : sp_placement_choose(capacities, p->device_count, load);
    if (best >= 0) {
        p->devices[best].decoding += load;
        camera->decoding.load = load;
        atomic_store(&camera->decoding.device, best);
    }
    pthread_mutex_unlock(&p->mutex);
    return best < 0 ? -1 : p->devices[best].number;
}

struct sp_source_gpu sp_camera_gpu(struct sp_camera *camera)
{
    const struct sp_pipeline *p = camera->pipeline;
    if (camera->status.setting.decoder == SP_DECODER_CPU || !spoton_engine_decodes(p->engine))
        return (struct sp_source_gpu){0};
    return (struct sp_source_gpu){
        .api = p->engine,
        .backend_options = sp_model_choice_backend_options(&p->choice),
        .user = camera,
        .choose_device = choose_device,
    };
}

struct sp_jpeg_device sp_pipeline_jpeg_device(void *user, int thread)
{
    const struct sp_pipeline *p = user;
    if (p->settings->jpeg_encoder != SP_JPEG_ENCODER_GPU || !spoton_engine_makes_jpeg(p->engine))
        return (struct sp_jpeg_device){0};
    return (struct sp_jpeg_device){.api = p->engine,
                                   .device = p->devices[thread % p->device_count].number,
                                   .backend_options = sp_model_choice_backend_options(&p->choice)};
}

void sp_camera_leave_gpu(struct sp_camera *camera)
{
    pthread_mutex_lock(&camera->pipeline->mutex);
    leave(camera);
    pthread_mutex_unlock(&camera->pipeline->mutex);
}

void sp_camera_count_decoded(struct sp_camera *camera, const struct sp_frame *frame)
{
    int index = atomic_load(&camera->decoding.device);
    if (frame->surface && index >= 0)
        atomic_fetch_add(&camera->pipeline->devices[index].decoded, 1);
}
