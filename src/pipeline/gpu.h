/* Decoding and JPEG on GPUs. */
#pragma once

#include "capture/source.h"

struct sp_camera;
struct sp_pipeline;

/* Checks DECODER and JPEG_ENCODER against the engine. */
int sp_gpu_check(const struct sp_pipeline *pipeline, struct sp_error *err);

struct sp_source_gpu sp_camera_gpu(struct sp_camera *camera); /* for its source's options */
void sp_camera_leave_gpu(struct sp_camera *camera);           /* its source is closed */
void sp_camera_count_decoded(struct sp_camera *camera, const struct sp_frame *frame);
