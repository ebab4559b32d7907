#include "embed/embedder.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX_PX = 1024, NUMBERS_MAX = 4096, TEXT_BYTES = 400, GREY = 114 };

struct sp_embedder {
    const struct spoton_engine_api *api;
    struct spoton_engine *engine;
    int batch, width_px, height_px, numbers;
    float *embeddings; /* [SP_EMBEDDER_BATCH][numbers] */
};

static int refuse(const struct sp_embedder_options *options, const char *found,
                  struct sp_error *err)
{
    return sp_fail(err, SP_ERR_UNSUPPORTED,
                   "REID_MODEL_PATH: %s: %s; use a model with an input [batch,3,height,width] of "
                   "fixed size and an output [batch,length]",
                   options->model_path, found);
}

/* An output [b,n], possibly with trailing dimensions of 1. */
static bool is_row(const struct spoton_tensor *t, int64_t *numbers)
{
    *numbers = t->rank >= 2 ? t->dims[1] : 0;
    for (int i = 2; i < t->rank; i++)
        if (t->dims[i] != 1)
            return false;
    return *numbers >= 2 && *numbers <= NUMBERS_MAX;
}

static int read_shape(struct sp_embedder *e, const struct sp_embedder_options *options,
                      struct sp_error *err)
{
    struct spoton_model_info info = {.struct_bytes = sizeof info};
    char text[TEXT_BYTES] = "", found[TEXT_BYTES];
    int64_t numbers = 0;
    if (e->api->inspect(options->model_path, &info, text, sizeof text) < 0)
        return sp_fail(err, SP_ERR_FORMAT, "REID_MODEL_PATH: %s", text);
    const struct spoton_tensor *in = &info.input[0];
    if (info.input_count != 1 || in->rank != 4 || in->dims[1] != 3) {
        snprintf(found, sizeof found, "it has %d inputs, the first of rank %d", info.input_count,
                 info.input_count > 0 ? in->rank : 0);
        return refuse(options, found, err);
    }
    if (in->dims[2] < 8 || in->dims[2] > SIDE_MAX_PX || in->dims[3] < 8 ||
        in->dims[3] > SIDE_MAX_PX) {
        snprintf(found, sizeof found, "its input is %lldx%lld px", (long long)in->dims[3],
                 (long long)in->dims[2]);
        return refuse(options, found, err);
    }
    if (info.output_count < 1 || !is_row(&info.output[0], &numbers))
        return refuse(options, "its output is not one vector per image", err);
    e->batch = in->dims[0] > 0 ? (int)in->dims[0] : SP_EMBEDDER_BATCH;
    e->height_px = (int)in->dims[2];
    e->width_px = (int)in->dims[3];
    e->numbers = (int)numbers;
    return SP_OK;
}

int sp_embedder_open(struct sp_embedder **out, const struct sp_embedder_options *options,
                     struct sp_error *err)
{
    struct sp_embedder *e = calloc(1, sizeof *e);
    char text[TEXT_BYTES] = "";
    if (!e)
        return sp_fail(err, SP_ERR_NO_MEMORY, "embedder: out of memory");
    e->api = options->engine;
    int result = read_shape(e, options, err);
    if (result == SP_OK) {
        assert(e->numbers > 0);
        e->embeddings = calloc((size_t)SP_EMBEDDER_BATCH * (size_t)e->numbers, sizeof(float));
        if (!e->embeddings)
            result = sp_fail(err, SP_ERR_NO_MEMORY, "embedder: out of memory");
    }
    if (result == SP_OK) {
        /* One thread: the model is small, and its time is then its CPU time. */
        struct spoton_engine_options engine = {.struct_bytes = sizeof engine,
                                               .model_path = options->model_path,
                                               .precision = SPOTON_PRECISION_F32,
                                               .batch = e->batch,
                                               .height = e->height_px,
                                               .width = e->width_px,
                                               .layout = SPOTON_LAYOUT_NCHW,
                                               .input_layout = SPOTON_LAYOUT_NCHW,
                                               .scale = 255,
                                               .threads = 1,
                                               .streams = 1,
                                               .cache_dir = options->cache_dir};
        memcpy(engine.mean, options->mean, sizeof engine.mean);
        memcpy(engine.deviation, options->deviation, sizeof engine.deviation);
        if (e->api->open(&e->engine, &engine, text, sizeof text) < 0)
            result =
                sp_fail(err, SP_ERR_ENGINE, "REID_MODEL_PATH: engine %s: %s", e->api->name, text);
    }
    if (result < 0) {
        sp_embedder_close(e);
        return result;
    }
    memset(e->api->input(e->engine, 0), GREY,
           (size_t)e->batch * 3 * (size_t)e->width_px * (size_t)e->height_px);
    *out = e;
    return SP_OK;
}

void sp_embedder_close(struct sp_embedder *embedder)
{
    if (!embedder)
        return;
    if (embedder->engine)
        embedder->api->close(embedder->engine);
    free(embedder->embeddings);
    free(embedder);
}

int sp_embedder_numbers(const struct sp_embedder *embedder)
{
    return embedder->numbers;
}

void sp_embedder_crop_size(const struct sp_embedder *embedder, int *width_px, int *height_px)
{
    *width_px = embedder->width_px;
    *height_px = embedder->height_px;
}

/* count: at most the model's batch. */
static int run_batch(struct sp_embedder *e, const uint8_t *crops, int count, float *to,
                     struct sp_error *err)
{
    char text[TEXT_BYTES] = "";
    const float *data;
    int64_t dims[SPOTON_RANK_MAX];
    int rank;
    memcpy(e->api->input(e->engine, 0), crops,
           (size_t)count * 3 * (size_t)e->width_px * (size_t)e->height_px);
    if (e->api->submit(e->engine, 0, text, sizeof text) < 0 ||
        e->api->wait(e->engine, 0, text, sizeof text) < 0 ||
        e->api->output(e->engine, 0, 0, &data, dims, &rank, text, sizeof text) < 0)
        return sp_fail(err, SP_ERR_ENGINE, "engine %s: %s", e->api->name, text);
    if (rank < 2 || dims[0] < count || dims[1] != e->numbers)
        return sp_fail(err, SP_ERR_ENGINE,
                       "engine %s: embeddings of another size than the model declares",
                       e->api->name);
    memcpy(to, data, (size_t)count * (size_t)e->numbers * sizeof *to);
    return SP_OK;
}

int sp_embedder_run(struct sp_embedder *e, const uint8_t *crops, int count,
                    const float **embeddings, struct sp_error *err)
{
    size_t bytes = 3 * (size_t)e->width_px * (size_t)e->height_px;
    int result = SP_OK;
    for (int at = 0; at < count && result == SP_OK; at += e->batch) {
        int batch = count - at < e->batch ? count - at : e->batch;
        result = run_batch(e, crops + (size_t)at * bytes, batch,
                           e->embeddings + (size_t)at * (size_t)e->numbers, err);
    }
    *embeddings = e->embeddings;
    return result;
}
