/* The model manifest: what is known of a model file beyond what the file says, in JSON beside it;
 * and the bundle, a folder that a model travels in.
 *
 * A bundle holds manifest.json, the model file that it names, and cache/ with what the engine
 * compiled. It is portable: paths in it are names inside the folder. Beside a single file FOO.onnx
 * the manifest is FOO.json. A manifest speaks of the file whose SHA-256 it names and of no other.
 *
 * Data flow: path -> sp_bundle_resolve -> the model file to open, what its manifest says, and the
 * compiled cache when it is of this engine, version and device. Values; nothing to release. */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "spoton/engine.h"

#include <stdbool.h>
#include <stdint.h>

enum { SP_MANIFEST_NAME_BYTES = 256, SP_MANIFEST_SOURCES_MAX = 64 };

struct sp_manifest {
    char file[SP_MANIFEST_NAME_BYTES]; /* beside the manifest; no '/' */
    char sha256[SP_DIGEST_TEXT_BYTES];
    int64_t bytes;
    char source_file[SP_MANIFEST_NAME_BYTES]; /* the f32 original of a quantised file; else as above
                                               */
    char source_sha256[SP_DIGEST_TEXT_BYTES];
    char head_type[32];
    int classes, width_px, height_px, batch;
    enum spoton_precision precision;

    /* What it was compiled and measured with. */
    char engine[32], engine_version[64], device[128];
    int64_t cache_bytes; /* 0: no cache */
    double compile_s, ms_per_image;

    /* INT8. */
    int calibration_frames; /* 0: not quantised here */
    char calibration_method[64];
    struct sp_manifest_source {
        char name[SP_MANIFEST_NAME_BYTES];
        int frames, check_frames;
        double recall, precision; /* of the gate's frames of this source */
    } source[SP_MANIFEST_SOURCES_MAX];
    int source_count;

    /* The gate: agreement with the f32 original on frames that calibration did not see. */
    int check_frames; /* 0: not measured */
    int64_t check_boxes;
    double check_iou, check_score, check_required, check_recall, check_precision;
};

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT. */
int sp_manifest_read(struct sp_manifest *manifest, const char *path, struct sp_error *err);

/* Written beside its name and renamed. */
int sp_manifest_write(const struct sp_manifest *manifest, const char *path, struct sp_error *err);

/* Measured, and no less than was required. */
bool sp_manifest_passed_check(const struct sp_manifest *manifest);

struct sp_bundle {
    char model_path[4096];
    char cache_dir[4096]; /* empty: compile anew */
    bool is_folder, has_manifest;
    struct sp_manifest manifest;
    char notice[512]; /* empty, or what a user should know */
};

/* A file without a manifest is fine, and so is a folder that holds one model as other programs
 * export it. A folder without either is SP_ERR_NOT_FOUND, one with several models SP_ERR_INVALID,
 * one whose file is not the manifest's SP_ERR_FORMAT; beside a single file such a manifest only is
 * a notice. */
int sp_bundle_resolve(struct sp_bundle *bundle, const char *path, struct sp_error *err);

/* Whether what lies in cache/ was compiled by this engine on a machine like this; else leaves
 * cache_dir empty and puts why into the notice. */
void sp_bundle_check_cache(struct sp_bundle *bundle, const struct spoton_engine_api *engine);

/* The quantised form of an f32 model beside it: FOO-int8.json for FOO.onnx, whose source is that
 * very file and which passed its gate. False: none. */
bool sp_bundle_find_int8(struct sp_bundle *int8, const char *model_path);
