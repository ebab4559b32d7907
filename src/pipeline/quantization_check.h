/* The gate: a quantised model must find what its original finds.
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
    int batch, threads, streams; /* of the tested; as it will run */
    const char *cache_dir;       /* NULL: none */
    const char *backend_options;
    double confidence, iou, nms_iou;
    double required;                /* recall and precision, 0..1 */
    const char *const *source_name; /* [sources] of the images */
    int sources;
    bool (*interrupted)(void); /* or NULL */
};

struct sp_quantization_check_result {
    struct sp_agreement total, source[SP_CALIBRATION_SOURCES_MAX];
    bool passed;
    char text[400]; /* the figures, and what failed */
};

/* Judges too: a model that does not pass is no error. SP_ERR_ENGINE and so on: it could not be
 * judged; SP_ERR_INTERRUPTED. */
int sp_quantization_check_run(struct sp_quantization_check_result *result,
                              const struct sp_quantization_check_options *options,
                              const struct sp_images *images, struct sp_error *err);

/* What can be asked of a model whose original is unknown: that several streams give the boxes that
 * one gives, image by image, and that it tells images apart. */
int sp_quantization_check_run_alone(struct sp_quantization_check_result *result,
                                    const struct sp_quantization_check_options *options,
                                    const struct sp_images *images, struct sp_error *err);

/* From sums to the verdict: pure. */
void sp_quantization_check_judge(struct sp_quantization_check_result *result,
                                 const struct sp_quantization_check_options *options);
