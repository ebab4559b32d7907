/* KServe v2 for other machines: /v2/... (`spoton serve --share-engine`, SHARE_ENGINE).
 *
 * Data flow: the server's thread checks the token and puts the body of an inference request into a
 * bounded queue (inference_queue.h) -> a worker parses it, waits until the own cameras leave room
 * (pipeline/share.h), infers -> sp_server_reply(). The clients take turns. Full, or no room in
 * time: 503 with Retry-After. A body is limited to the images of one batch. */
#pragma once

#include "api/internal.h"

/* Starts the workers. SP_ERR_UNSUPPORTED: the engine itself infers elsewhere. NULL is stored if
 * SHARE_ENGINE is off. */
int sp_inference_open(struct sp_inference **out, struct sp_api *api, struct sp_error *err);
/* Ends the workers; queued requests are not answered. NULL is fine. */
void sp_inference_stop(struct sp_inference *inference);
void sp_inference_close(struct sp_inference *inference);

/* The largest body of this request. The server's thread. */
size_t sp_inference_body_limit(struct sp_api *api, const struct sp_request *request);

void sp_inference_server(struct sp_call *call);   /* GET /v2 */
void sp_inference_live(struct sp_call *call);     /* GET /v2/health/live */
void sp_inference_ready(struct sp_call *call);    /* GET /v2/health/ready */
void sp_inference_metadata(struct sp_call *call); /* GET /v2/models/{} */
void sp_inference_model_ready(struct sp_call *call);
void sp_inference_infer(struct sp_call *call); /* POST /v2/models/{}/infer */

struct sp_inference_counts {
    uint64_t requests, busy, failed; /* answered; refused with 503; with another error */
    int queued;
};
/* False: not shared. Any thread. */
bool sp_inference_count(const struct sp_api *api, struct sp_inference_counts *counts);
