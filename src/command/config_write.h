/* Cameras of the API in spoton.yaml (--config-write).
 *
 * Data flow: sp_api_edit_cameras -> sp_config_write_camera -> the text of the file (config/edit.h),
 * the running pipeline, and the cameras that SIGHUP compares with (command/reload.h). Either all of
 * them change, or none. One thread, that of sp_reload. */
#pragma once

#include "command/reload.h"

struct sp_config_write {
    struct sp_reload *reload;
    const char *path;         /* spoton.yaml */
    char *const *environment; /* for ${NAME} */
};

/* For sp_api_edit_cameras; user: struct sp_config_write. SP_ERR_NO_SPACE: MAX_CAMERAS is reached.
 * SP_ERR_NOT_FOUND: no such camera. SP_ERR_INVALID: the name is in use, the file is invalid, or the
 * camera to remove is set elsewhere. SP_ERR_UNSUPPORTED: the file has to be changed by hand.
 * SP_ERR_IO, SP_ERR_NO_MEMORY, SP_ERR_CLOSED. */
int sp_config_write_camera(void *user, const struct sp_camera_setting *add, const char *remove,
                           struct sp_error *err);
