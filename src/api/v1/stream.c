/* Camera frames of a task, as MJPEG without boxes. */
#include "api/v1/internal.h"

void sp_v1_stream(struct sp_call *call)
{
    struct sp_api *api = call->api;
    const struct sp_task *task = sp_task_find(api, call->name);
    struct sp_camera_report report;
    int camera = sp_api_find_camera(api, call->second, &report);
    /* An unknown name is a stream that stays silent: so the front end expects it. */
    call->reply->kind = SP_REPLY_SILENCE;
    if (!sp_task_is_active(api, task) || camera < 0 || sp_hub_generation(api->hub, camera) == 0 ||
        !sp_environment_has(sp_environment_find(api, task->environment), call->second))
        return;
    call->reply->kind = SP_REPLY_STREAM;
    call->reply->stream = sp_api_stream_options(api);
    call->reply->stream.camera = camera;
}
