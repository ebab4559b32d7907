/* The gate: a quantised model must find what its original finds.
 *
 * Data flow: pictures -> the original in f32 and the model under test as it will run (streams,
 * threads, precision) -> boxes matched picture by picture (eval/boxes.h) -> recall and precision,
 * over all and of every source -> passed, or a text with the figures. */
#pragma once

#include "detect/detector.h"
#include "eval/boxes.h"
#include "pipeline/samples.h"

struct sp_gate_options {
    const struct spoton_engine_api *engine;
    const struct sp_model *reference, *tested;
    enum spoton_precision tested_precision;
    int batch, threads, streams; /* of the tested; as it will run */
    const char *cache_dir;       /* NULL: none */
    const char *extra;
    double score, iou, nms_iou;
    double required;                /* recall and precision, 0..1 */
    const char *const *source_name; /* [sources] of the pictures */
    int sources;
    bool (*interrupted)(void); /* or NULL */
};

struct sp_gate_result {
    struct sp_agreement total, source[SP_SAMPLE_SOURCES_MAX];
    bool passed;
    char text[400]; /* the figures, and what failed */
};

/* Judges too: a model that does not pass is no error. SP_ERR_ENGINE and so on: it could not be
 * judged; SP_ERR_INTERRUPTED. */
int sp_gate_run(struct sp_gate_result *result, const struct sp_gate_options *options,
                const struct sp_pictures *pictures, struct sp_error *err);

/* What can be asked of a model whose original is unknown: that several streams give the boxes that
 * one gives, picture by picture, and that it tells pictures apart. */
int sp_gate_run_alone(struct sp_gate_result *result, const struct sp_gate_options *options,
                      const struct sp_pictures *pictures, struct sp_error *err);

/* From sums to the verdict: pure. */
void sp_gate_judge(struct sp_gate_result *result, const struct sp_gate_options *options);
