/* Which model file runs, on which engine, in which precision: from the settings, the cards beside
 * the files, and what this machine multiplies fast.
 *
 * Data flow: YOLO_MODEL_PATH (a file, a bundle, nothing: the bundled model) -> engine -> with
 * USE_TENSORRT on a GPU YOLO_MODEL_PATH_TENSORRT instead -> the file's
 * INT8 form instead, where that is asked for, or the CPU has neither bf16 nor f16 units and the
 * form passed its gate -> the model, opened -> [INT8 without a manifest: the gate, here and now].
 */
#pragma once

#include "config/settings.h"
#include "detect/manifest.h"
#include "detect/model.h"

enum { SP_ENGINE_OPTIONS_BYTES = 640 };

struct sp_model_choice {
    const struct spoton_engine_api *engine;
    struct sp_model model;
    struct sp_bundle bundle;
    enum spoton_precision precision;
    int input_size_px,
        batch;         /* what is asked for, or the engine's best; the file may fix another */
    bool int8_form;    /* the INT8 form beside the file that was named */
    bool check_needed; /* INT8, and no manifest tells how good */
    char engine_options[SP_ENGINE_OPTIONS_BYTES]; /* ENGINE_OPTIONS, and what USE_TENSORRT adds */
};

/* The engine's options as it takes them: NULL for none. Lives with the choice. */
static inline const char *sp_model_choice_backend_options(const struct sp_model_choice *choice)
{
    return choice->engine_options[0] ? choice->engine_options : NULL;
}

/* ENGINE_BATCH=auto. Where the engine gains by batches (its best is above 1: GPUs) cameras times
 * BATCH_ACCUMULATION_SIZE, within bounds; 1 where it does not (CPUs), whatever is set. */
enum { SP_BATCH_FOLLOWED_MAX = 64 };
int sp_model_choice_batch(int engine_best, int cameras, int accumulation);

/* Frames of one live camera that may wait for a batch: as many as a batch has room for, at most
 * `accumulation`; 1: the newest alone. So none waits for a batch that it would not be in. */
int sp_model_choice_gather(const struct sp_model_choice *choice, int cameras, int accumulation);

/* Says in the log what a user should know. SP_ERR_*: as the parts' own. */
int sp_model_choose(struct sp_model_choice *choice, const struct sp_settings *settings,
                    struct sp_error *err);

/* For INT8 without a manifest: a few frames of those of the settings' cameras that give any within
 * seconds, against INT8_REFERENCE when that is given. Refuses with figures; what could not be
 * checked is a warning in the log. SP_ERR_INTERRUPTED: as `interrupted`, which may be NULL, said.
 */
int sp_model_choice_check_quantization(const struct sp_model_choice *choice,
                                       const struct sp_settings *settings, int threads,
                                       const char *cache_dir, bool (*interrupted)(void),
                                       struct sp_error *err);
