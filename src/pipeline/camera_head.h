/* Which detections a camera keeps: its confidence and classes, which may differ from those of the
 * other cameras that the same detector instance serves. */
#pragma once

#include "pipeline/camera.h"

/* From the completed setting. SP_ERR_INVALID: a class that the model does not have;
 * SP_ERR_NO_MEMORY. The camera index is free. */
int sp_camera_head_open(struct sp_camera *camera, const struct sp_camera_setting *setting,
                        struct sp_error *err);
void sp_camera_head_close(struct sp_camera *camera);

/* After the settings' cameras have been filled: what detector instances decode, so that every
 * camera finds its detections among theirs. */
int sp_pipeline_merge_heads(struct sp_pipeline *pipeline, struct sp_error *err);
