/* Applies changed cameras of the settings to a running pipeline.
 *
 * Data flow: settings before and settings now -> cameras removed, added, changed -> pipeline and
 * hub. A changed camera is removed and added again; all others are not touched, and neither are
 * cameras added over the API, unless they were added here (--config-write). One thread. */
#pragma once

#include "config/settings.h"
#include "pipeline/pipeline.h"
#include "publish/hub.h"

struct sp_reload {
    struct sp_pipeline *pipeline;
    struct sp_hub *hub;
    struct sp_camera_setting camera[SP_CAMERAS_MAX]; /* of the settings, complete */
    bool pending[SP_CAMERAS_MAX];                    /* to be added once an index is free */
    int camera_count;
    struct sp_settings settings; /* the newest, for cameras that are added */
};

/* From the settings that the pipeline was opened with. */
void sp_reload_init(struct sp_reload *reload, struct sp_pipeline *pipeline, struct sp_hub *hub,
                    const struct sp_settings *settings);

/* SP_ERR_INVALID, SP_ERR_UNSUPPORTED: a camera's settings do not fit the running pipeline; nothing
 * was changed. */
int sp_reload_check(const struct sp_reload *reload, const struct sp_settings *settings,
                    struct sp_error *err);

/* After sp_reload_check. Logs what changed. */
void sp_reload_apply(struct sp_reload *reload, const struct sp_settings *settings);

/* Whether the settings have this camera. */
bool sp_reload_has(const struct sp_reload *reload, const char *name);

/* Whether they have it from two sources: one of them replaced the URL. */
bool sp_reload_has_replaced(const struct sp_reload *reload, const char *name);

/* Adds a camera that the settings have from now on: a reload does not add it again.
 * SP_ERR_NO_SPACE: MAX_CAMERAS; also the errors of sp_pipeline_add_camera. */
int sp_reload_add(struct sp_reload *reload, const struct sp_camera_setting *camera,
                  struct sp_error *err);

/* Removes a camera that the settings no longer have, if they had it. SP_ERR_NOT_FOUND: it is not
 * running. */
int sp_reload_remove(struct sp_reload *reload, const char *name, struct sp_error *err);

/* Adds cameras that had to wait for a free camera index. */
void sp_reload_retry(struct sp_reload *reload);
