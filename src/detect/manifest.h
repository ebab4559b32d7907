/* The model manifest: JSON beside a model file, with what was measured when it was exported; and
 * the bundle: a folder with a model and its manifest.
 *
 * A bundle contains manifest.json (card.json up to 0.2), the model file that it names, and cache/
 * with the compiled model. It can be moved: its paths are relative. The manifest of a single file
 * FOO.onnx is FOO.json. A manifest applies only to the file whose SHA-256 it contains.
 *
 * Data flow: path -> sp_bundle_resolve -> the model file to open, its manifest, and the compiled
 * cache if the engine, its version and the device are the same. Values; nothing to release. */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "capacity.h"
#include "spoton/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_MANIFEST_NAME_BYTES = 256 };

struct sp_manifest {
    char file[SP_MANIFEST_NAME_BYTES]; /* beside the manifest; no '/' */
    char sha256[SP_DIGEST_TEXT_BYTES];
    int64_t bytes;
    /* The f32 original of a quantized file; of any other the file itself. */
    char source_file[SP_MANIFEST_NAME_BYTES];
    char source_sha256[SP_DIGEST_TEXT_BYTES];
    char head_type[32];
    int classes, width_px, height_px, batch;
    enum spoton_precision precision;

    /* The engine that compiled and measured it. */
    char engine[32], engine_version[64], device[128];
    int64_t cache_bytes; /* 0: no cache */
    double compile_s, ms_per_image;

    /* INT8. */
    int calibration_frames; /* 0: not quantized by spoton */
    char calibration_method[64];
    struct sp_manifest_source {
        char name[SP_MANIFEST_NAME_BYTES];
        int frames, check_frames;
        double recall, precision; /* over the source's check frames */
    } source[SP_CAMERAS_MAX];
    int source_count;

    /* The quantization check: agreement with the f32 original on frames outside the calibration
     * set. */
    int check_frames; /* 0: not measured */
    int64_t check_boxes;
    double check_iou, check_confidence, check_required, check_recall, check_precision;
};

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT. */
int sp_manifest_read(struct sp_manifest *manifest, const char *path, struct sp_error *err);

/* Atomically: writes a temporary file and renames it. */
int sp_manifest_write(const struct sp_manifest *manifest, const char *path, struct sp_error *err);

/* The check was made, and recall and precision reach what it required. */
bool sp_manifest_passed_check(const struct sp_manifest *manifest);

/* Finds the manifest of a bundle. False: the folder is no bundle. */
bool sp_bundle_find_manifest(const char *folder, char *path, size_t path_bytes);

struct sp_bundle {
    char model_path[4096];
    char cache_dir[4096]; /* empty: compile anew */
    bool is_folder, has_manifest;
    struct sp_manifest manifest;
    char notice[512]; /* for the log; or empty */
};

/* Accepts a bundle, a model file with or without a manifest, and a folder with one exported model.
 * SP_ERR_NOT_FOUND: a folder without a model; SP_ERR_INVALID: with several; SP_ERR_FORMAT: the
 * bundle's file is not the one that its manifest describes. Beside a single file such a manifest is
 * ignored, with a notice. */
int sp_bundle_resolve(struct sp_bundle *bundle, const char *path, struct sp_error *err);

/* Clears cache_dir, with a notice, if cache/ was compiled by another engine, version or device. */
void sp_bundle_check_cache(struct sp_bundle *bundle, const struct spoton_engine_api *engine);

/* Finds the INT8 form of an f32 model: FOO-int8.json beside FOO.onnx, made from that very file and
 * with a passed quantization check. False: there is none. */
bool sp_bundle_find_int8(struct sp_bundle *int8, const char *model_path);
