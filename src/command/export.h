/* What the files of `spoton export` share.
 *
 * Data flow: model file -> [INT8: images -> tools/quantize.py -> quantised file] -> compiled into
 * a cache -> [gate] -> manifest -> a folder that is renamed to its name when it is whole. */
#pragma once

#include "command/options.h"
#include "detect/manifest.h"
#include "pipeline/quantization_check.h"

#include <limits.h>

struct sp_export {
    const struct sp_options *options;
    bool (*interrupted)(void);
    const struct spoton_engine_api *engine;
    struct sp_model source; /* as given, or the reference of a quantised one */
    struct sp_model model;  /* that goes into the bundle */
    enum spoton_precision precision;
    int width_px, height_px, batch, threads;
    char out[PATH_MAX];  /* the bundle */
    char work[PATH_MAX]; /* its folder until it is whole: OUT.part */
    char file[PATH_MAX]; /* the model inside it */
    struct sp_calibration_frames samples;
    bool has_calibration_frames;
    struct sp_quantization_check_result check;
    struct sp_manifest manifest;
};

/* Writes e->file from e->source and e->samples.calibration. SP_ERR_NOT_FOUND (no Python, no NNCF),
 * SP_ERR_FORMAT with what the tool said. */
int sp_export_quantise(struct sp_export *e, struct sp_error *err);

/* "NAME (error 0.51), NAME (0.32)": where the quantised model leaves its original; empty when that
 * cannot be told. */
void sp_export_worst_layers(struct sp_export *e, char *out, size_t out_bytes);
