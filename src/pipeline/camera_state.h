/* The state of a camera that its threads share: its life from init to release, its error, its stop.
 */
#pragma once

#include "pipeline/camera.h"

void sp_camera_init(struct sp_pipeline *pipeline, int index);
void sp_camera_release(struct sp_camera *camera);

/* Assigns a camera to this index, which is free. push: the source of its frames, or NULL. */
int sp_camera_fill(struct sp_camera *camera, const struct sp_camera_setting *setting,
                   struct sp_push *push, struct sp_error *err);

/* Tells the scheduler, once it is open, how many frames of the camera may be in flight. */
void sp_camera_set_credits(struct sp_camera *camera);

/* A removed camera has ended: its index may be used again. With the camera's mutex held. */
void sp_camera_free_index(struct sp_camera *camera);

/* Keeps and logs a camera's first error. Any thread. */
void sp_camera_fail(struct sp_camera *camera, const struct sp_error *err);

/* Makes the camera's thread stop reading. Any thread. */
void sp_camera_stop(struct sp_camera *camera);
bool sp_camera_should_stop(struct sp_camera *camera);

/* The interval between the frames of a still image; 0 for other cameras. With the mutex held. */
int64_t sp_camera_snapshot_us(const struct sp_camera *camera);
