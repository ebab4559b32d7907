/* Applies changed cameras of the settings to a running pipeline.
 *
 * Data flow: settings before and settings now -> cameras removed, added, changed -> pipeline and
 * hub. A changed camera is removed and added again; all others are not touched, and neither are
 * cameras added over the API. One thread. */
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

/* Adds cameras that had to wait for a free camera index. */
void sp_reload_retry(struct sp_reload *reload);
