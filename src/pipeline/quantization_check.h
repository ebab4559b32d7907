/* The quantization check: an INT8 model must have the detections of its f32 original.
 *
 * Data flow: images -> the original in f32 and the model under test as it will run (streams,
 * threads, precision) -> boxes matched image by image (eval/boxes.h) -> recall and precision,
 * over all and of every source -> passed, or a text with the figures. */
#pragma once

#include "detect/detector.h"
#include "eval/boxes.h"
#include "pipeline/calibration_frames.h"

struct sp_quantization_check_options {
    const struct spoton_engine_api *engine;
    const struct sp_model *reference, *tested;
    enum spoton_precision tested_precision;
    int batch, threads, streams; /* as the tested model will run */
    const char *cache_dir;       /* NULL: none */
    const char *backend_options;
    double confidence, iou, nms_iou;
    double required;                /* recall and precision, 0..1 */
    const char *const *source_name; /* [sources] of the images */
    int sources;
    bool (*interrupted)(void); /* or NULL */
};

struct sp_quantization_check_result {
    struct sp_agreement total, source[SP_CAMERAS_MAX];
    bool passed;
    char text[400]; /* the figures and the reason of a failure */
};

/* Also judges: a model that fails the check is not an error. SP_ERR_ENGINE etc.: the check could
 * not run; SP_ERR_INTERRUPTED. */
int sp_quantization_check_run(struct sp_quantization_check_result *result,
                              const struct sp_quantization_check_options *options,
                              const struct sp_images *images, struct sp_error *err);

/* The check without an original: several streams must give the same boxes as one, image by image,
 * and no image may be full of boxes. */
int sp_quantization_check_run_alone(struct sp_quantization_check_result *result,
                                    const struct sp_quantization_check_options *options,
                                    const struct sp_images *images, struct sp_error *err);

/* Sets `passed` and `text` from the sums. Pure. */
void sp_quantization_check_judge(struct sp_quantization_check_result *result,
                                 const struct sp_quantization_check_options *options);
