/* The HTTP API: /api/v2, API v1 (v1/v1.h), metrics, health, the dashboard's files.
 *
 * Data flow: the server (publish/server.h) -> sp_site's callbacks -> pipeline (cameras, reports),
 * hub and encoder (frames) -> reply. All of it runs on the server's thread and never blocks, except
 * for sp_api_reload and sp_api_set_started, which any thread may call, and sp_api_edit_cameras.
 * docs/API.md is the reference. */
#pragma once

#include "cluster/cluster.h"
#include "config/settings.h"
#include "output/event_log.h"
#include "output/fan_out.h"
#include "pipeline/live_counting.h"
#include "pipeline/pipeline.h"
#include "publish/server.h"
#include "store/recorder.h"

struct sp_api;

struct sp_api_options {
    const struct sp_settings *settings; /* copied */
    struct sp_pipeline *pipeline;       /* outlives the API, as do hub and encoder */
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_event_log *events;
    struct sp_fan_out *outputs;
    struct sp_live_counting *counting;
    struct sp_recorder *recorder; /* NULL: nothing is stored */
    const char *store;            /* its location */
    bool edits_cameras;           /* POST and DELETE of cameras wait for sp_api_edit_cameras */
};

/* Reads ENVIRONMENTS_FILE. SP_ERR_NOT_FOUND, SP_ERR_FORMAT: the text names the file and the line.
 */
int sp_api_open(struct sp_api **out, const struct sp_api_options *options, struct sp_error *err);
void sp_api_close(struct sp_api *api); /* after the server; NULL is allowed */

struct sp_site sp_api_site(struct sp_api *api);

/* The names of the model's classes, which the pipeline owns. */
const struct sp_class_names *sp_api_classes(const struct sp_api *api);

/* Before the server starts. */
void sp_api_attach(struct sp_api *api, struct sp_server *server);

/* From then on cameras are those of the cluster, which outlives the server's thread. Any thread.
 * SP_ERR_NO_MEMORY, and errors of starting a thread. */
int sp_api_set_cluster(struct sp_api *api, struct sp_cluster *cluster, struct sp_error *err);

/* Applies the settings that may change at run time: API_TOKEN, VIDEO_DIR, V4L2_DEVICES,
 * ALLOWED_ORIGINS, quality and size of JPEGs. Any thread. */
void sp_api_reload(struct sp_api *api, const struct sp_settings *settings);

/* Ends the threads of the API, which use the pipeline and the cluster. After the server's. */
void sp_api_end_threads(struct sp_api *api);

/* With edits_cameras: calls `edit` for each camera that has to be added or removed, and sends the
 * reply: SP_ERR_INVALID, SP_ERR_UNSUPPORTED and SP_ERR_NO_SPACE are 409, SP_ERR_NOT_FOUND is 404,
 * others are 503. `add` is checked, but not complete. One thread, until the server is closed. */
void sp_api_edit_cameras(struct sp_api *api,
                         int (*edit)(void *user, const struct sp_camera_setting *add,
                                     const char *remove, struct sp_error *err),
                         void *user);

/* True once the pipeline has started; used by /readyz. Any thread. */
void sp_api_set_started(struct sp_api *api, bool started);

/* Checks that these settings may listen on HTTP_HOST: beyond loopback a token is required.
 * SP_ERR_INVALID: the text names the missing setting. */
int sp_api_check_exposure(const struct sp_settings *settings, struct sp_error *err);

/* Checks that a camera with this URL may be added over HTTP, and writes the URL for the pipeline to
 * out. SP_ERR_INVALID: the text names what is allowed. */
int sp_api_check_url(const struct sp_settings *settings, const char *url, char out[SP_URL_BYTES],
                     struct sp_error *err);
