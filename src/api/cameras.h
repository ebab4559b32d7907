/* /api/v2/cameras. */
#pragma once

#include "api/internal.h"

void sp_cameras_list(struct sp_call *call);
void sp_cameras_add(struct sp_call *call);
void sp_cameras_get(struct sp_call *call);
void sp_cameras_remove(struct sp_call *call);
void sp_cameras_pause(struct sp_call *call);
void sp_cameras_resume(struct sp_call *call);
void sp_cameras_tracks(struct sp_call *call);
void sp_cameras_frame(struct sp_call *call);
void sp_cameras_snapshot(struct sp_call *call);
void sp_cameras_stream(struct sp_call *call);
