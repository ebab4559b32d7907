/* The devices of the engine and the cameras' assignment to them. Reports: pipeline.h. */
#pragma once

#include "pipeline/device.h"

struct sp_camera;

/* Opens the devices that DEVICES names. */
int sp_devices_open(struct sp_pipeline *pipeline, struct sp_error *err);

/* " on device 1 (NAME)", or empty if there is one only. For log lines. */
void sp_device_words(const struct sp_device *device, char out[SP_DEVICE_WORDS_BYTES]);

/* The camera's own device if that is usable; for a new camera the one that decodes it; else the one
 * with the most free capacity; NULL: none is usable. The dispatcher's, as the next two. */
struct sp_device *sp_device_choose(struct sp_camera *camera, const bool *usable, double load);
void sp_device_join(struct sp_camera *camera, struct sp_device *device, double load);
void sp_device_leave(struct sp_camera *camera);

/* Counts a finished batch; the collector's. */
void sp_device_count(struct sp_device *device, const struct sp_detector_request *request);
