/* API v1: the API of SpotOn, used by its front end (docs/MIGRATION.md).
 *
 * Data flow: api.c searches these routes after those of /api/v2 and forwards the WebSockets under
 * /ws/. A task is a viewer's session on an environment, which is a group of cameras; cameras run
 * with or without a task. All of it runs on the server's thread and never blocks. */
#pragma once

#include "api/internal.h"

extern const struct sp_route sp_v1_routes[];
extern const int sp_v1_route_count;

/* Reads ENVIRONMENTS_FILE into api->v1, and, if api->recorder is set, earlier statistics and
 * feedback from the store at this location. SP_ERR_NOT_FOUND, SP_ERR_FORMAT: the text names the
 * file and the line. */
int sp_v1_open(struct sp_api *api, const char *store, struct sp_error *err);
void sp_v1_close(struct sp_api *api);

/* True for the paths of API v1. */
bool sp_v1_owns(const char *path);

/* Callbacks of struct sp_site for paths other than /api/v2/ws. */
bool sp_v1_upgrade(struct sp_call *call, struct sp_ws_plan *plan);
void sp_v1_format(void *user, const struct sp_ws_plan *plan, const struct sp_result *result,
                  struct sp_json *json);
void sp_v1_message(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes);
void sp_v1_opened(void *user, const struct sp_ws_plan *plan, struct sp_json *first);
void sp_v1_closed(void *user, const struct sp_ws_plan *plan);
void sp_v1_tick(struct sp_api *api); /* once a second */
