/* Names for cameras that are given by their URL alone. */
#pragma once

#include "config/settings.h"

/* Derives a camera's name from its URL: the file's base name without extension, or the host,
 * reduced to safe characters; "-2", "-3", ... if `settings` has that name already. Never contains a
 * part of the user name or password. */
void sp_camera_name_from_url(const struct sp_settings *settings, const char *url,
                             char out[SP_CAMERA_NAME_BYTES]);
