/* Limits the HTTP thread while late frames are dropped. */
#pragma once

#include "api/internal.h"

/* Once a second. */
void sp_viewer_throttle_tick(struct sp_api *api);
