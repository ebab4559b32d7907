/* /healthz and /readyz. */
#include "api/health.h"

#include <string.h>

static void put_reasons(struct sp_call *call, char reasons[][300], int count)
{
    call->reply->status = count ? 503 : 200;
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", count ? "failed" : "ok");
    sp_json_key(call->json, "reasons");
    sp_json_begin_array(call->json);
    for (int i = 0; i < count; i++)
        sp_json_string(call->json, reasons[i]);
    sp_json_end_array(call->json);
    sp_json_end_object(call->json);
}

bool sp_health_is_broken(struct sp_api *api, char reason[300])
{
    struct sp_error error;
    sp_pipeline_error(api->pipeline, &error);
    if (error.code != SP_OK)
        snprintf(reason, 300, "%s", error.text);
    return error.code != SP_OK;
}

void sp_health_live(struct sp_call *call)
{
    char reasons[1][300];
    put_reasons(call, reasons, sp_health_is_broken(call->api, reasons[0]));
}

struct census {
    int on, delivering, refusing; /* cameras that should deliver frames, that do, and that
                                   * refuse the login */
};

static struct census count_cameras(struct sp_api *api)
{
    struct census census = {0};
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (!report.used || report.state == SP_CAMERA_PAUSED || report.state == SP_CAMERA_ENDED)
            continue;
        census.on++;
        census.refusing += report.state == SP_CAMERA_UNAUTHORIZED;
        census.delivering += report.state == SP_CAMERA_LIVE || report.state == SP_CAMERA_FROZEN ||
                             report.state == SP_CAMERA_BLACK;
    }
    return census;
}

int sp_health_reasons(struct sp_api *api, char reasons[3][300])
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    int count = sp_health_is_broken(api, reasons[0]);
    struct census census = count_cameras(api);
    if (!atomic_load(&api->started))
        snprintf(reasons[count++], 300, "starting or stopping");
    else if (census.on > 0 && census.delivering == 0)
        snprintf(reasons[count++], 300,
                 census.refusing ? "none of %d cameras delivers frames, %d unauthorized"
                                 : "none of %d cameras delivers frames",
                 census.on, census.refusing);
    else if (census.on > 0 && sp_pipeline_detectors(api->pipeline, detectors) == 0)
        snprintf(reasons[count++], 300, "the model is being compiled");
    return count;
}

void sp_health_ready(struct sp_call *call)
{
    char reasons[3][300];
    put_reasons(call, reasons, sp_health_reasons(call->api, reasons));
}
