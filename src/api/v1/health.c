/* /health and below, read by the front end and its scripts. */
#include "api/v1/internal.h"

#include "api/health.h"
#include "api/reply.h"
#include "api/v1/feedback.h"
#include "base/clock.h"

void sp_v1_health(struct sp_call *call)
{
    char reason[300];
    bool healthy = !sp_health_is_broken(call->api, reason) && atomic_load(&call->api->started);
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", healthy ? "healthy" : "degraded");
    sp_json_member_bool(call->json, "detector_model_loaded", healthy);
    sp_json_member_bool(call->json, "prototype_tracker_loaded", healthy);
    /* Calibrations are computed on loading, so they are always ready. */
    sp_json_member_bool(call->json, "homography_matrices_precomputed", true);
    sp_json_end_object(call->json);
}

static void put_clock(struct sp_call *call)
{
    sp_json_member_number(call->json, "timestamp", (double)sp_clock_wall_us() / 1e6, 3);
    sp_json_member_number(call->json, "uptime_seconds",
                          (double)(sp_clock_us() - call->api->started_us) / 1e6, 3);
    sp_json_member_string(call->json, "version", SPOTON_VERSION);
}

void sp_v1_health_live(struct sp_call *call)
{
    char reason[300];
    if (sp_health_is_broken(call->api, reason)) {
        sp_call_refuse(call, 503, "%s", reason);
        return;
    }
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", "alive");
    put_clock(call);
    sp_json_end_object(call->json);
}

void sp_v1_health_ready(struct sp_call *call)
{
    char reasons[3][300];
    if (sp_health_reasons(call->api, reasons) > 0) {
        sp_call_refuse(call, 503, "Service not ready: %s", reasons[0]);
        return;
    }
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", "ready");
    sp_json_member_number(call->json, "timestamp", (double)sp_clock_wall_us() / 1e6, 3);
    sp_json_end_object(call->json);
}

static void put_component(struct sp_json *json, const char *name, const char *status,
                          const char *message)
{
    sp_json_key(json, name);
    sp_json_begin_object(json);
    sp_json_member_string(json, "status", status);
    sp_json_member_string(json, "message", message);
    sp_json_end_object(json);
}

/* unhealthy: not working. degraded: partly working, for example with cameras missing. */
void sp_v1_health_deep(struct sp_call *call)
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    struct sp_error kept = {0};
    char reasons[3][300], cameras[64], broken[300];
    int used = 0, live = 0, capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(call->api->pipeline, i, &report);
        used += report.used;
        live += report.used && report.state == SP_CAMERA_LIVE;
    }
    snprintf(cameras, sizeof cameras, "%d of %d are live", live, used);
    int count = sp_health_reasons(call->api, reasons);
    bool failed = sp_health_is_broken(call->api, broken);
    bool model = sp_pipeline_detectors(call->api->pipeline, detectors) > 0 || used == 0;
    bool keeps = sp_feedback_error(call->api->v1->feedback, &kept) == SP_OK;
    bool whole = live == used && model && keeps;
    const char *status = count > 0 ? "unhealthy" : (whole ? "healthy" : "degraded");
    call->reply->status = count > 0 ? 503 : 200;
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", status);
    sp_json_member_string(call->json, "message",
                          count > 0 ? reasons[0] : (whole ? "all components work" : cameras));
    put_clock(call);
    sp_json_key(call->json, "components");
    sp_json_begin_object(call->json);
    put_component(call->json, "pipeline", failed ? "unhealthy" : "healthy", failed ? broken : NULL);
    put_component(call->json, "detector", model ? "healthy" : "degraded",
                  model ? NULL : "the model is being compiled");
    put_component(call->json, "cameras", live == used ? "healthy" : "degraded", cameras);
    put_component(call->json, "feedback", keeps ? "healthy" : "degraded", keeps ? NULL : kept.text);
    sp_json_end_object(call->json);
    sp_json_end_object(call->json);
}
