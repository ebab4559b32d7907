/* What the server says and does: /api/v2, API v1 (v1/v1.h), metrics, health, the dashboard's
 * files.
 *
 * Data flow: the network (publish/server.h) -> sp_site's functions -> pipeline (cameras, reports),
 * hub and encoder (frames) -> reply. All of it runs on the server's thread and waits for nothing;
 * only sp_api_reload hands something over from another thread. docs/API.md tells what clients see.
 */
#pragma once

#include "config/settings.h"
#include "pipeline/pipeline.h"
#include "publish/server.h"

struct sp_api;

struct sp_api_options {
    const struct sp_settings *settings; /* copied */
    struct sp_pipeline *pipeline;       /* outlives the API, as do the others */
    struct sp_hub *hub;
    struct sp_encoder *encoder;
};

/* Reads ENVIRONMENTS_FILE. SP_ERR_NOT_FOUND, SP_ERR_FORMAT: the text names file and place. */
int sp_api_open(struct sp_api **out, const struct sp_api_options *options, struct sp_error *err);
void sp_api_close(struct sp_api *api); /* after the server; NULL is fine */

struct sp_site sp_api_site(struct sp_api *api);

/* Names of the model's classes; they live as long as the pipeline. */
const struct sp_class_names *sp_api_classes(const struct sp_api *api);

/* Before the server starts. */
void sp_api_attach(struct sp_api *api, struct sp_server *server);

/* Takes over what may change while running: API_TOKEN, VIDEO_DIR, V4L2_DEVICES, ALLOWED_ORIGINS,
 * the frames' quality and size. Any thread. */
void sp_api_reload(struct sp_api *api, const struct sp_settings *settings);

/* When everything stands (the pipeline is started): readiness asks for it. Any thread. */
void sp_api_set_started(struct sp_api *api, bool started);

/* May a server with these settings listen on this host? SP_ERR_INVALID says what is missing. */
int sp_api_check_exposure(const struct sp_settings *settings, struct sp_error *err);

/* May a camera of this address be added over HTTP? Writes what the pipeline gets to out.
 * SP_ERR_INVALID says what is allowed. */
int sp_api_check_url(const struct sp_settings *settings, const char *url, char out[SP_URL_BYTES],
                     struct sp_error *err);
