/* The detector alone: images in, detections out, without cameras and threads of its own.
 *
 * Data flow: image -> the detector for its input shape, opened with the first image of that shape
 * -> a request: letterbox, inference, head -> detections in pixels of the image.
 *
 * Threads: run may be called by several threads at once; an image whose shape is new makes the
 * others wait while the model is compiled, which takes seconds without a cache. */
#pragma once

#include "config/settings.h"
#include "detect/model.h"
#include "detection.h"
#include "frame.h"

struct sp_single_detector;

/* Loads the engine and recognises the model. The settings are those of the pipeline; cameras are
 * ignored. Errors of sp_model_choose and CLASSES. */
int sp_single_detector_open(struct sp_single_detector **out, const struct sp_settings *settings,
                            struct sp_error *err);
void sp_single_detector_close(struct sp_single_detector *detector); /* NULL is allowed */

const struct sp_model *sp_single_detector_model(const struct sp_single_detector *detector);

/* Errors of sp_detector_open, _fill, _submit and _collect. */
int sp_single_detector_run(struct sp_single_detector *detector, const struct sp_frame *frame,
                           struct sp_detection detections[SP_DETECTIONS_MAX], size_t *count,
                           struct sp_error *err);
