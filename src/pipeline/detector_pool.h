/* The detector pool: one detector instance per input shape and device. */
#pragma once

#include "pipeline/device.h"

struct sp_camera;

int sp_detector_pool_start(struct sp_pipeline *pipeline, struct sp_error *err);
void sp_detector_pool_stop(struct sp_pipeline *pipeline);  /* opens no more; the dispatcher's end */
void sp_detector_pool_close(struct sp_pipeline *pipeline); /* joins and frees */

/* The index-th ready instance, or NULL. Any thread. */
struct sp_detector_instance *sp_instance_ready(struct sp_pipeline *pipeline, int index);

/* The instance for a frame of this size: chosen at the camera's first frame, live again when the
 * size changes. It is ready, or live it may still be opening; NULL: the pipeline has failed. The
 * dispatcher's. */
struct sp_detector_instance *sp_instance_for(struct sp_pipeline *pipeline, struct sp_camera *camera,
                                             int width_px, int height_px);
