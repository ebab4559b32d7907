/* From the dispatcher to the collectors: submitting requests, passing batches on, failing tasks. */
#pragma once

#include "pipeline/camera.h"

/* Passes the batch to the device's collector. */
void sp_batch_push(struct sp_device *device, struct sp_batch *batch);

/* Submits the instance's open request, if any. If the engine refuses it, its tasks fail. */
void sp_instance_submit(struct sp_pipeline *pipeline, struct sp_detector_instance *instance);

/* From now on the camera's tasks go through this device's collector. Waits for its tasks in flight
 * through another one, so that the order is kept. */
void sp_camera_route(struct sp_camera *camera, struct sp_device *device);

/* The task's frame is not inferred: an error of its camera. */
void sp_task_fail(struct sp_pipeline *pipeline, struct sp_frame_task *task,
                  const struct sp_error *err);

/* Each task of the batch that was due for inference is inferred again (sp_device_retries) or fails.
 */
void sp_batch_fail(struct sp_pipeline *pipeline, struct sp_batch *batch, int result,
                   const struct sp_error *err);
