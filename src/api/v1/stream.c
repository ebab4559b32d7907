/* Camera frames of a task, as MJPEG without boxes. The front end draws boxes for 1920x1080 over
 * them, so frames are padded to 16:9. */
#include "api/v1/internal.h"

#include "api/camera_lookup.h"
#include "api/reply.h"

#include <string.h>

void sp_v1_stream(struct sp_call *call)
{
    struct sp_api *api = call->api;
    const struct sp_task *task = sp_task_find(api, call->name);
    struct sp_camera_report report;
    if (task && !sp_task_is_active(api, task)) {
        sp_call_refuse(call, 404, "task %s: has ended; start another one", task->id);
        return;
    }
    /* The front end expects a silent stream for an unknown name. */
    call->reply->kind = SP_REPLY_SILENCE;
    if (!task)
        return;
    const char *client = sp_page_find(api->v1, task, call->request->address);
    snprintf(call->reply->tag, sizeof call->reply->tag, "%s", task->id);
    if (client)
        snprintf(call->reply->client, sizeof call->reply->client, "%s", client);
    else
        sp_page_missing(call->request->address, call->reply->client, sizeof call->reply->client);
    int camera = sp_api_find_camera(api, call->second, &report);
    if (camera < 0 || sp_hub_generation(api->hub, camera) == 0 ||
        !sp_environment_has(sp_environment_find(api, task->environment), call->second))
        return;
    call->reply->kind = SP_REPLY_STREAM;
    call->reply->stream = sp_api_stream_options(api);
    call->reply->stream.camera = camera;
    call->reply->stream.wide = true;
}
