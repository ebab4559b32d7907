/* From a camera's source to the frame scheduler: what the threads of offline and of live cameras
 * share. */
#pragma once

#include "pipeline/camera.h"

/* One pass over a source, or one connection. Sequence numbers and times continue across them. */
struct sp_pass {
    uint64_t base_sequence, next_sequence;
    int64_t base_pts_us, last_pts_us;
};

int sp_camera_open_source(struct sp_camera *camera, struct sp_source **source,
                          struct sp_error *err);
void sp_camera_close_source(struct sp_camera *camera, struct sp_source *source);

/* The next pass begins where the last one ended. */
void sp_camera_begin_pass(struct sp_camera *camera, struct sp_pass *pass);

/* Counts the frame and pushes it to the scheduler. Takes the reference. False: the scheduler is
 * closed. */
bool sp_camera_push(struct sp_camera *camera, struct sp_frame *frame);

/* The camera has ended; the last one closes the scheduler. */
void sp_camera_end(struct sp_camera *camera);
