/* The camera registry. Adding, removing, pausing and seeking: pipeline.h. */
#pragma once

#include "base/error.h"

struct sp_camera;

/* Starts the camera's thread. With the pipeline's mutex held. */
int sp_camera_start(struct sp_camera *camera, struct sp_error *err);
