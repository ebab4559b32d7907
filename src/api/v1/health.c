/* The health page that the front end reads before it starts a task. */
#include "api/v1/internal.h"

void sp_v1_health(struct sp_call *call)
{
    char reason[300];
    bool healthy = !sp_health_is_broken(call->api, reason) && atomic_load(&call->api->started);
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "status", healthy ? "healthy" : "degraded");
    sp_json_key(call->json, "detector_model_loaded");
    sp_json_bool(call->json, healthy);
    sp_json_key(call->json, "prototype_tracker_loaded");
    sp_json_bool(call->json, healthy);
    /* There is no map, and so nothing to compute before the start. */
    sp_json_key(call->json, "homography_matrices_precomputed");
    sp_json_bool(call->json, true);
    sp_json_end_object(call->json);
}
