/* The onnxruntime engine: ONNX Runtime's C API on CPUs.
 *
 * ONNX Runtime runs a session on the calling thread plus the session's own thread pool. A stream is
 * a thread of this engine, and the pool gets the remaining threads. Up to STREAMS_OF_ONE_THREAD
 * streams run without helper threads: there is no barrier to wait at while the cores also decode
 * and letterbox. For the same reason helper threads sleep instead of spinning. The stream's thread
 * converts the images; the graph is not changed. */
#include "convert.h"
#include "ort.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS_OF_ONE_THREAD = 4, STREAMS_MAX = 64, ERROR_BYTES = 300, ALIGNMENT_BYTES = 64 };

enum request_state { IDLE, QUEUED, DONE, FAILED };

struct tensor {
    void *data; /* in the model's element type */
    float *f32; /* outputs: converted to f32; the same as data if the model's output is f32 */
    OrtValue *value;
};

struct request {
    uint8_t *image;
    struct tensor input, output[SPOTON_TENSORS_MAX];
    enum request_state state;
    char error[ERROR_BYTES];
};

struct spoton_engine {
    const struct ort *ort;
    struct ort_session session;
    struct convert_table table[3]; /* one per channel of the model */
    int batch, height, width;
    enum spoton_layout layout, input_layout;
    bool swap_red_blue;
    bool direct; /* input() is the model's input tensor: nothing to convert */
    int streams, threads, requests;
    struct spoton_tensor output[SPOTON_TENSORS_MAX]; /* shapes as returned by a run */
    size_t output_count[SPOTON_TENSORS_MAX];         /* elements */
    struct request *request;

    pthread_mutex_t lock; /* guards the fields below and the requests' state */
    pthread_cond_t queued, done;
    int *queue; /* ring of request numbers; a request is in it at most once */
    int head, waiting;
    bool closing;
    pthread_t worker[STREAMS_MAX];
    int workers;
};

static void onnxruntime_probe(struct spoton_engine_probe *probe)
{
    const struct ort *ort = ort_get(probe->reason, sizeof probe->reason);
    if (!ort) {
        probe->preference = 0;
        return;
    }
    probe->preference = 50; /* below openvino, which is faster on CPUs */
    snprintf(probe->version, sizeof probe->version, "%s", ort->version);
    snprintf(probe->device, sizeof probe->device, "CPU");
    snprintf(probe->precisions, sizeof probe->precisions, "f32");
}

static int onnxruntime_inspect(const char *path, struct spoton_model_info *info, char *error,
                               size_t error_bytes)
{
    const struct ort *ort = ort_get(error, error_bytes);
    return ort ? ort_inspect(ort, path, NULL, info, error, error_bytes) : -1;
}

/* ---- running ---- */

static size_t image_bytes(const struct spoton_engine *engine)
{
    return (size_t)engine->height * (size_t)engine->width * 3;
}

static void fill_input(struct spoton_engine *engine, struct request *request)
{
    size_t bytes = image_bytes(engine);
    size_t numbers = bytes * ort_element_bytes(engine->table[0].element);
    for (size_t i = 0; !engine->direct && i < (size_t)engine->batch; ++i)
        convert_image(engine->table, request->image + i * bytes, engine->input_layout,
                      (char *)request->input.data + i * numbers, engine->layout,
                      engine->swap_red_blue, engine->height, engine->width);
}

static int run_session(struct spoton_engine *engine, struct request *request,
                       OrtValue *outputs[SPOTON_TENSORS_MAX], char *error, size_t error_bytes)
{
    const struct ort_session *session = &engine->session;
    const OrtValue *inputs[1] = {request->input.value};
    return ort_check(engine->ort,
                     engine->ort->api->Run(session->session, NULL, &session->input_name, inputs, 1,
                                           session->output_name, (size_t)session->info.output_count,
                                           outputs),
                     "inference", error, error_bytes);
}

static int run_request(struct spoton_engine *engine, struct request *request)
{
    OrtValue *outputs[SPOTON_TENSORS_MAX];
    int count = engine->session.info.output_count;
    for (int i = 0; i < count; ++i)
        outputs[i] = request->output[i].value;
    fill_input(engine, request);
    if (run_session(engine, request, outputs, request->error, sizeof request->error) < 0)
        return -1;
    for (int i = 0; i < count; ++i)
        if (engine->output[i].element != SPOTON_ELEMENT_F32)
            convert_to_f32(request->output[i].f32, request->output[i].data,
                           engine->output[i].element, engine->output_count[i]);
    return 0;
}

static void *run_worker(void *argument)
{
    struct spoton_engine *engine = argument;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        while (!engine->waiting && !engine->closing)
            pthread_cond_wait(&engine->queued, &engine->lock);
        if (!engine->waiting)
            break;
        struct request *request = &engine->request[engine->queue[engine->head]];
        engine->head = (engine->head + 1) % engine->requests;
        --engine->waiting;
        pthread_mutex_unlock(&engine->lock);
        int result = run_request(engine, request);
        pthread_mutex_lock(&engine->lock);
        request->state = result == 0 ? DONE : FAILED;
        pthread_cond_broadcast(&engine->done);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

/* ---- opening ---- */

static int check_precision(const struct spoton_engine_options *options,
                           const struct spoton_model_info *info, char *error, size_t error_bytes)
{
    switch (options->precision) {
    case SPOTON_PRECISION_BF16:
    case SPOTON_PRECISION_F16:
        return ort_fail(error, error_bytes,
                        "this engine computes in f32; use PRECISION=auto, or ENGINE=openvino for "
                        "bf16 and f16");
    case SPOTON_PRECISION_INT8:
        if (!info->quantized)
            return ort_fail(error, error_bytes,
                            "PRECISION=int8: the model file is not quantized; use auto or f32");
        break;
    case SPOTON_PRECISION_AUTO:
    case SPOTON_PRECISION_F32:
        break;
    }
    return 0;
}

static int set_backend_options(const struct ort *ort, OrtSessionOptions *settings,
                               const char *backend_options, char *error, size_t error_bytes)
{
    while (backend_options && *backend_options) {
        char pair[256];
        size_t length = strcspn(backend_options, ";");
        snprintf(pair, sizeof pair, "%.*s", (int)length, backend_options);
        char *equals = strchr(pair, '=');
        if (length >= sizeof pair || !equals)
            return ort_fail(error, error_bytes, "ENGINE_OPTIONS: must be KEY=VALUE;KEY=VALUE");
        *equals = '\0';
        if (ort_check(ort, ort->api->AddSessionConfigEntry(settings, pair, equals + 1), pair, error,
                      error_bytes) < 0)
            return -1;
        backend_options += length;
        backend_options += *backend_options == ';';
    }
    return 0;
}

static int configure(struct spoton_engine *engine, const struct spoton_engine_options *options,
                     OrtSessionOptions *settings, char *error, size_t error_bytes)
{
    const struct ort *ort = engine->ort;
    const OrtApi *api = ort->api;
    engine->threads = options->threads;
    engine->streams = options->streams;
    if (engine->streams <= 0)
        engine->streams =
            options->threads < STREAMS_OF_ONE_THREAD ? options->threads : STREAMS_OF_ONE_THREAD;
    if (engine->streams > STREAMS_MAX)
        engine->streams = STREAMS_MAX;
    int helpers = options->threads - engine->streams;
    if (ort_check(ort, api->SetIntraOpNumThreads(settings, helpers > 0 ? 1 + helpers : 1),
                  "threads", error, error_bytes) < 0 ||
        ort_check(ort, api->SetInterOpNumThreads(settings, 1), "threads", error, error_bytes) < 0 ||
        ort_check(ort, api->SetSessionExecutionMode(settings, ORT_SEQUENTIAL), "execution mode",
                  error, error_bytes) < 0 ||
        ort_check(ort, api->SetSessionGraphOptimizationLevel(settings, ORT_ENABLE_ALL),
                  "optimisation", error, error_bytes) < 0 ||
        ort_check(ort, api->AddSessionConfigEntry(settings, "session.intra_op.allow_spinning", "0"),
                  "spinning", error, error_bytes) < 0)
        return -1;
    return set_backend_options(ort, settings, options->backend_options, error, error_bytes);
}

static int prepare_tables(struct spoton_engine *engine, const struct spoton_engine_options *options,
                          char *error, size_t error_bytes)
{
    enum spoton_element element = engine->session.info.input[0].element;
    bool has = options->struct_bytes >= sizeof *options && options->deviation[0] > 0;
    for (int i = 0; i < 3; ++i) {
        if (!convert_prepare(&engine->table[i], element, options->scale))
            return ort_fail(error, error_bytes, "the model's input is not f32, f16, bf16 or u8");
        if (has && !convert_normalise(&engine->table[i], options->mean[i], options->deviation[i]))
            return ort_fail(error, error_bytes,
                            "mean and deviation are supported for f32 inputs only");
    }
    return 0;
}

static int open_session(struct spoton_engine *engine, const struct spoton_engine_options *options,
                        struct spoton_model_info *info, char *error, size_t error_bytes)
{
    const struct ort *ort = engine->ort;
    OrtSessionOptions *settings = NULL;
    int result =
        ort_check(ort, ort->api->CreateSessionOptions(&settings), "options", error, error_bytes);
    if (result == 0)
        result = configure(engine, options, settings, error, error_bytes);
    if (result == 0)
        result = ort_fix_shape(ort, settings, options, NULL, info, error, error_bytes);
    if (result == 0)
        result = check_precision(options, info, error, error_bytes);
    if (result == 0)
        result = ort_session_open(ort, &engine->session, options->model_path, settings, error,
                                  error_bytes);
    ort->api->ReleaseSessionOptions(settings);
    if (result == 0)
        result = prepare_tables(engine, options, error, error_bytes);
    engine->direct = engine->table[0].element == SPOTON_ELEMENT_U8 && options->scale == 1.0f &&
                     engine->layout == engine->input_layout && !engine->swap_red_blue;
    return result;
}

static void *allocate(size_t bytes)
{
    return aligned_alloc(ALIGNMENT_BYTES,
                         (bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES);
}

static int make_value(const struct ort *ort, struct tensor *tensor,
                      const struct spoton_tensor *shape, char *error, size_t error_bytes)
{
    size_t bytes = ort_element_bytes(shape->element);
    for (int i = 0; i < shape->rank; ++i)
        bytes *= (size_t)shape->dims[i];
    if (!tensor->data)
        tensor->data = allocate(bytes);
    if (!tensor->data)
        return ort_fail(error, error_bytes, "no memory for a tensor of %zu bytes", bytes);
    return ort_check(ort,
                     ort->api->CreateTensorWithDataAsOrtValue(
                         ort->cpu, tensor->data, bytes, shape->dims, (size_t)shape->rank,
                         ort_element_type(shape->element), &tensor->value),
                     "tensor", error, error_bytes);
}

/* What came out of the first run is what comes out of all: outputs that depend on what is in the
 * image are refused here or, with an error, when they change. */
static int keep_output(struct spoton_engine *engine, int index, const OrtValue *value, char *error,
                       size_t error_bytes)
{
    const struct ort *ort = engine->ort;
    OrtTensorTypeAndShapeInfo *shape = NULL;
    struct spoton_tensor *output = &engine->output[index];
    *output = engine->session.info.output[index];
    size_t rank = 0, count = 1;
    bool fixed = ort_element_bytes(output->element) > 0;
    if (fixed && ort_check(ort, ort->api->GetTensorTypeAndShape(value, &shape), "output", error,
                           error_bytes) < 0)
        return -1;
    if (fixed && ort_check(ort, ort->api->GetDimensionsCount(shape, &rank), "output", error,
                           error_bytes) < 0)
        fixed = false;
    fixed = fixed && rank >= 1 && rank <= SPOTON_RANK_MAX;
    if (fixed && ort_check(ort, ort->api->GetDimensions(shape, output->dims, rank), "output", error,
                           error_bytes) < 0)
        fixed = false;
    if (shape)
        ort->api->ReleaseTensorTypeAndShapeInfo(shape);
    output->rank = (int)rank;
    for (size_t i = 0; fixed && i < rank; ++i) {
        fixed = output->dims[i] > 0;
        count *= (size_t)output->dims[i];
    }
    engine->output_count[index] = count;
    if (!fixed)
        return ort_fail(error, error_bytes,
                        "the size of the model's output is not fixed by its input, or its "
                        "numbers are of another type");
    return 0;
}

static int learn_outputs(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    OrtValue *outputs[SPOTON_TENSORS_MAX] = {0};
    int count = engine->session.info.output_count;
    fill_input(engine, &engine->request[0]);
    int result = run_session(engine, &engine->request[0], outputs, error, error_bytes);
    for (int i = 0; i < count && result == 0; ++i)
        result = keep_output(engine, i, outputs[i], error, error_bytes);
    for (int i = 0; i < count; ++i)
        if (outputs[i])
            engine->ort->api->ReleaseValue(outputs[i]);
    return result;
}

static int open_input(struct spoton_engine *engine, struct request *request, char *error,
                      size_t error_bytes)
{
    size_t bytes = (size_t)engine->batch * image_bytes(engine);
    const int64_t nchw[4] = {engine->batch, 3, engine->height, engine->width};
    const int64_t nhwc[4] = {engine->batch, engine->height, engine->width, 3};
    struct spoton_tensor shape = {.element = engine->table[0].element, .rank = 4};
    memcpy(shape.dims, engine->layout == SPOTON_LAYOUT_NCHW ? nchw : nhwc, sizeof nchw);
    request->image = allocate(bytes);
    if (!request->image)
        return ort_fail(error, error_bytes, "out of memory for %zu bytes of images", bytes);
    memset(request->image, 0, bytes);
    if (engine->direct)
        request->input.data = request->image;
    return make_value(engine->ort, &request->input, &shape, error, error_bytes);
}

static int open_outputs(struct spoton_engine *engine, struct request *request, char *error,
                        size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < engine->session.info.output_count && result == 0; ++i) {
        struct tensor *output = &request->output[i];
        result = make_value(engine->ort, output, &engine->output[i], error, error_bytes);
        if (result == 0 && engine->output[i].element == SPOTON_ELEMENT_F32)
            output->f32 = output->data;
        else if (result == 0 &&
                 !(output->f32 = allocate(engine->output_count[i] * sizeof *output->f32)))
            result = ort_fail(error, error_bytes, "out of memory");
    }
    return result;
}

static int open_requests(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    engine->requests =
        engine->streams + 2; /* one being filled and one being read while all streams run */
    engine->request = calloc((size_t)engine->requests, sizeof *engine->request);
    engine->queue = calloc((size_t)engine->requests, sizeof *engine->queue);
    if (!engine->request || !engine->queue)
        return ort_fail(error, error_bytes, "out of memory");
    int result = 0;
    for (int i = 0; i < engine->requests && result == 0; ++i)
        result = open_input(engine, &engine->request[i], error, error_bytes);
    if (result == 0)
        result = learn_outputs(engine, error, error_bytes);
    for (int i = 0; i < engine->requests && result == 0; ++i)
        result = open_outputs(engine, &engine->request[i], error, error_bytes);
    while (result == 0 && engine->workers < engine->streams) {
        if (pthread_create(&engine->worker[engine->workers], NULL, run_worker, engine) != 0)
            result =
                ort_fail(error, error_bytes, "stream %d: cannot create a thread", engine->workers);
        else
            ++engine->workers;
    }
    return result;
}

static void close_tensor(const struct ort *ort, struct tensor *tensor, bool owned)
{
    if (tensor->value)
        ort->api->ReleaseValue(tensor->value);
    if (tensor->f32 != tensor->data)
        free(tensor->f32);
    if (owned)
        free(tensor->data);
}

static void onnxruntime_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    pthread_cond_broadcast(&engine->queued);
    pthread_mutex_unlock(&engine->lock);
    for (int i = 0; i < engine->workers; ++i)
        pthread_join(engine->worker[i], NULL);
    for (int i = 0; engine->request && i < engine->requests; ++i) {
        struct request *request = &engine->request[i];
        close_tensor(engine->ort, &request->input, request->input.data != request->image);
        for (int k = 0; k < SPOTON_TENSORS_MAX; ++k)
            close_tensor(engine->ort, &request->output[k], true);
        free(request->image);
    }
    if (engine->ort)
        ort_session_close(engine->ort, &engine->session);
    pthread_cond_destroy(&engine->queued);
    pthread_cond_destroy(&engine->done);
    pthread_mutex_destroy(&engine->lock);
    free(engine->request);
    free(engine->queue);
    free(engine);
}

static int onnxruntime_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                            char *error, size_t error_bytes)
{
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    struct spoton_model_info *info = calloc(1, sizeof *info);
    if (!engine || !info) {
        free(engine);
        free(info);
        return ort_fail(error, error_bytes, "out of memory");
    }
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->queued, NULL);
    pthread_cond_init(&engine->done, NULL);
    engine->batch = options->batch;
    engine->height = options->height;
    engine->width = options->width;
    engine->layout = options->layout;
    engine->input_layout = options->input_layout;
    engine->swap_red_blue = options->swap_red_blue != 0;
    engine->ort = ort_get(error, error_bytes);
    int result = engine->ort ? open_session(engine, options, info, error, error_bytes) : -1;
    if (result == 0)
        result = open_requests(engine, error, error_bytes);
    free(info);
    if (result == 0)
        *out = engine;
    else
        onnxruntime_close(engine);
    return result;
}

/* ---- the interface ---- */

static void onnxruntime_describe(struct spoton_engine *engine,
                                 struct spoton_engine_description *description)
{
    description->requests = engine->requests;
    description->streams = engine->streams;
    description->threads = engine->threads;
    description->output_count = engine->session.info.output_count;
    description->precision =
        engine->session.info.quantized ? SPOTON_PRECISION_INT8 : SPOTON_PRECISION_F32;
    snprintf(description->device, sizeof description->device, "CPU");
}

static uint8_t *onnxruntime_input(struct spoton_engine *engine, int request)
{
    return engine->request[request].image;
}

static int onnxruntime_submit(struct spoton_engine *engine, int request, char *error,
                              size_t error_bytes)
{
    int result = 0;
    pthread_mutex_lock(&engine->lock);
    if (engine->request[request].state == QUEUED) {
        result = ort_fail(error, error_bytes, "submit: the request is in flight");
    } else {
        engine->request[request].state = QUEUED;
        engine->queue[(engine->head + engine->waiting) % engine->requests] = request;
        ++engine->waiting;
        pthread_cond_signal(&engine->queued);
    }
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int onnxruntime_wait(struct spoton_engine *engine, int request, char *error,
                            size_t error_bytes)
{
    struct request *at = &engine->request[request];
    pthread_mutex_lock(&engine->lock);
    while (at->state == QUEUED)
        pthread_cond_wait(&engine->done, &engine->lock);
    enum request_state state = at->state;
    pthread_mutex_unlock(&engine->lock);
    if (state == DONE)
        return 0;
    return ort_fail(error, error_bytes, "%s",
                    state == FAILED ? at->error : "wait: nothing was submitted");
}

static int onnxruntime_output(struct spoton_engine *engine, int request, int index,
                              const float **data, int64_t dims[SPOTON_RANK_MAX], int *rank,
                              char *error, size_t error_bytes)
{
    if (index < 0 || index >= engine->session.info.output_count)
        return ort_fail(error, error_bytes, "no such output");
    *data = engine->request[request].output[index].f32;
    *rank = engine->output[index].rank;
    memcpy(dims, engine->output[index].dims, sizeof engine->output[index].dims);
    return 0;
}

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "onnxruntime",
        .probe = onnxruntime_probe,
        .inspect = onnxruntime_inspect,
        .open = onnxruntime_open,
        .close = onnxruntime_close,
        .describe = onnxruntime_describe,
        .input = onnxruntime_input,
        .submit = onnxruntime_submit,
        .wait = onnxruntime_wait,
        .output = onnxruntime_output,
    };
    return &api;
}
