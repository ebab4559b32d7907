/* Chooses the model file, engine and precision from the settings, the model manifests beside the
 * files and the precisions that the machine computes fast.
 *
 * Data flow: YOLO_MODEL_PATH (a file, a bundle, nothing: the bundled model; with ENGINE=kserve
 * the names and the manifest of the server's model, if any) -> engine -> with
 * USE_TENSORRT on a GPU YOLO_MODEL_PATH_TENSORRT instead -> the INT8 model beside the file instead,
 * if PRECISION=int8, or if the CPU has neither bf16 nor f16 units and that model passed its
 * quantization check -> the opened model -> [INT8 without a manifest: the quantization check].
 */
#pragma once

#include "config/settings.h"
#include "detect/manifest.h"
#include "detect/model.h"

enum { SP_ENGINE_OPTIONS_BYTES = 5120 };

struct sp_model_choice {
    const struct spoton_engine_api *engine;
    struct sp_model model;
    struct sp_bundle bundle;
    enum spoton_precision precision;
    int input_size_px, batch; /* requested, or the engine's best; the file may fix another */
    bool int8_form;           /* the INT8 model beside the named file is used */
    const struct spoton_engine_api *spill;       /* infers for requests that wait; NULL: none */
    char spill_options[SP_ENGINE_OPTIONS_BYTES]; /* contains secrets */
    bool check_needed; /* INT8 without a quantization check in a manifest */
    char engine_options[SP_ENGINE_OPTIONS_BYTES]; /* ENGINE_OPTIONS and the additions of
                                                   * USE_TENSORRT and KSERVE_*: contains secrets */
};

/* The engine's options, NULL for none. Valid as long as the choice. */
static inline const char *sp_model_choice_backend_options(const struct sp_model_choice *choice)
{
    return choice->engine_options[0] ? choice->engine_options : NULL;
}

/* ENGINE_BATCH=auto: cameras times BATCH_ACCUMULATION_SIZE, at most SP_BATCH_FOLLOWED_MAX, if the
 * engine gains from batches (its best is above 1: GPUs); else 1 (CPUs). */
enum { SP_BATCH_FOLLOWED_MAX = 64 };
int sp_model_choice_batch(int engine_best, int cameras, int accumulation);

/* Frames of one live camera that may wait for a batch: as many as fit into one, at most
 * `accumulation`; 1: only the newest. */
int sp_model_choice_gather(const struct sp_model_choice *choice, int cameras, int accumulation);

/* How the settings say to read the model file. */
struct sp_model_wish sp_model_choice_wish(const struct sp_settings *settings);

/* Live with KSERVE_URL and another engine than kserve: sets `spill`. SP_ERR_UNSUPPORTED: the engine
 * takes images instead of tensors. */
int sp_model_choice_spill(struct sp_model_choice *choice, const struct sp_settings *settings,
                          struct sp_error *err);

/* The backend options of an engine: ENGINE_OPTIONS and, for the kserve engine, KSERVE_*. Contains
 * secrets. SP_ERR_INVALID: a value has a semicolon, or all are too long. */
int sp_model_choice_engine_options(char out[SP_ENGINE_OPTIONS_BYTES],
                                   const struct sp_settings *settings, const char *engine,
                                   struct sp_error *err);

/* Logs what the user should know. Errors: those of the steps. */
int sp_model_choose(struct sp_model_choice *choice, const struct sp_settings *settings,
                    struct sp_error *err);

/* The folder for compiled models (ENGINE_CACHE_DIR), created if missing; empty: none. */
int sp_model_choice_cache_dir(char out[SP_PATH_BYTES], const struct sp_settings *settings,
                              struct sp_error *err);

/* The quantization check of an INT8 model without a manifest: on a few frames of the cameras that
 * deliver within seconds, against INT8_REFERENCE if set. A failed check is an error with figures; a
 * check that could not run is a logged warning. SP_ERR_INTERRUPTED: `interrupted` (or NULL)
 * returned true. */
int sp_model_choice_check_quantization(const struct sp_model_choice *choice,
                                       const struct sp_settings *settings, int threads,
                                       const char *cache_dir, bool (*interrupted)(void),
                                       struct sp_error *err);
