/* Shared by the files of `spoton export`.
 *
 * Data flow: model file -> [INT8: calibration set -> tools/quantize.py -> quantized file] ->
 * compiled into a cache -> [quantization check] -> manifest -> a folder, renamed when complete. */
#pragma once

#include "command/options.h"
#include "detect/manifest.h"
#include "pipeline/quantization_check.h"

#include <limits.h>

struct sp_export {
    const struct sp_options *options;
    bool (*interrupted)(void);
    const struct spoton_engine_api *engine;
    struct sp_model source; /* as given, or the reference of a quantized model */
    struct sp_model model;  /* the model of the bundle */
    enum spoton_precision precision;
    int width_px, height_px, batch, threads;
    char out[PATH_MAX];  /* the bundle */
    char work[PATH_MAX]; /* OUT.part, renamed to OUT when complete */
    char file[PATH_MAX]; /* the model inside it */
    struct sp_calibration_frames samples;
    bool has_calibration_frames;
    struct sp_quantization_check_result check;
    struct sp_manifest manifest;
};

/* Writes e->file from e->source and e->samples.calibration. SP_ERR_NOT_FOUND (no Python, no NNCF),
 * SP_ERR_FORMAT with the tool's message. */
int sp_export_quantize(struct sp_export *e, struct sp_error *err);

/* "NAME (off by 51 %), NAME (off by 32 %)": layers that deviate most from the original; empty if
 * unknown. */
void sp_export_worst_layers(struct sp_export *e, char *out, size_t out_bytes);
