#include "session.h"

#include "custom_op.h"
#include "fused_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int append_cuda(struct cuda_model *model, OrtSessionOptions *settings,
                       enum spoton_precision precision, char *error, size_t error_bytes)
{
    const struct ort *ort = model->ort;
    OrtCUDAProviderOptionsV2 *provider = NULL;
    struct cuda_provider *list = calloc(1, sizeof *list);
    if (!list)
        return ort_fail(error, error_bytes, "out of memory");
    cuda_provider_options(list, &model->options, precision);
    int result = ort_check(ort, ort->api->CreateCUDAProviderOptions(&provider), "CUDA provider",
                           error, error_bytes);
    if (result == 0)
        result = ort_check(ort,
                           ort->api->UpdateCUDAProviderOptions(provider, list->key, list->value,
                                                               (size_t)list->count),
                           "CUDA provider", error, error_bytes);
    if (result == 0 && model->stream)
        result = ort_check(ort,
                           ort->api->UpdateCUDAProviderOptionsWithValue(
                               provider, "user_compute_stream", model->stream),
                           "CUDA provider", error, error_bytes);
    if (result == 0)
        result = ort_check(
            ort, ort->api->SessionOptionsAppendExecutionProvider_CUDA_V2(settings, provider),
            "CUDA provider", error, error_bytes);
    if (provider)
        ort->api->ReleaseCUDAProviderOptions(provider);
    free(list);
    return result;
}

static int append_tensorrt(struct cuda_model *model, OrtSessionOptions *settings,
                           const struct spoton_engine_options *options, char *error,
                           size_t error_bytes)
{
    const struct ort *ort = model->ort;
    OrtTensorRTProviderOptionsV2 *provider = NULL;
    struct cuda_provider *list = calloc(1, sizeof *list);
    if (!list)
        return ort_fail(error, error_bytes, "out of memory");
    cuda_tensorrt_options(list, &model->options, options, model->input.name, model->quantized);
    int result = ort_check(ort, ort->api->CreateTensorRTProviderOptions(&provider),
                           "TensorRT provider", error, error_bytes);
    if (result == 0)
        result = ort_check(ort,
                           ort->api->UpdateTensorRTProviderOptions(provider, list->key, list->value,
                                                                   (size_t)list->count),
                           "TensorRT provider", error, error_bytes);
    if (result == 0)
        result = ort_check(ort,
                           ort->api->UpdateTensorRTProviderOptionsWithValue(
                               provider, "user_compute_stream", model->stream),
                           "TensorRT provider", error, error_bytes);
    if (result == 0)
        result = ort_check(
            ort, ort->api->SessionOptionsAppendExecutionProvider_TensorRT_V2(settings, provider),
            "TensorRT provider", error, error_bytes);
    if (provider)
        ort->api->ReleaseTensorRTProviderOptions(provider);
    free(list);
    return result;
}

static int append_providers(struct cuda_model *model, OrtSessionOptions *settings,
                            const struct spoton_engine_options *options, char *error,
                            size_t error_bytes)
{
    char why[200];
    model->tensorrt = false;
    if (model->options.tensorrt) {
        if (append_tensorrt(model, settings, options, why, sizeof why) == 0)
            model->tensorrt = true;
        else
            snprintf(model->notice, sizeof model->notice,
                     "without TensorRT, whose library (libnvinfer.so.10) does not load");
    }
    return append_cuda(model, settings, options->precision, error, error_bytes);
}

int cuda_provider_missing(const struct ort *ort, char *error, size_t error_bytes)
{
    char **names = NULL, text[8];
    int count = 0;
    bool found = false;
    if (ort_check(ort, ort->api->GetAvailableProviders(&names, &count), "", text, sizeof text) ==
        0) {
        for (int i = 0; i < count; ++i)
            found = found || strcmp(names[i], "CUDAExecutionProvider") == 0;
        ort_check(ort, ort->api->ReleaseAvailableProviders(names, count), "", text, sizeof text);
    }
    if (found)
        return 0;
    return ort_fail(error, error_bytes,
                    "ONNX Runtime %s has no CUDA provider; run ./setup gpu, or name the library of "
                    "the onnxruntime-gpu wheel in SPOTON_ONNXRUNTIME",
                    ort->version);
}

static int prepare_plain(const struct ort *ort, OrtSessionOptions *settings, char *error,
                         size_t error_bytes)
{
    struct cuda_model model = {.ort = ort};
    if (cuda_options_parse(&model.options, "graphs=0;search=0;workspace=0", error, error_bytes) < 0)
        return -1;
    model.options.capturable = false; /* with free sizes the CPU computes shapes */
    cudaGetDevice(&model.options.device);
    if (custom_ops_add(ort, settings, "CUDAExecutionProvider", error, error_bytes) < 0)
        return -1;
    return append_cuda(&model, settings, SPOTON_PRECISION_AUTO, error, error_bytes);
}

ort_prepare_fn *cuda_model_prepare(const char *path)
{
    return ort_is_for_cuda(path) ? prepare_plain : NULL;
}

/* One size, as model->options are now. */
static int open_size(struct cuda_model *model, const struct spoton_engine_options *options,
                     struct ort_session *session, char *error, size_t error_bytes)
{
    const struct ort *ort = model->ort;
    OrtSessionOptions *settings = NULL;
    struct spoton_model_info *info = calloc(1, sizeof *info);
    if (!info)
        return ort_fail(error, error_bytes, "out of memory");
    int result =
        ort_check(ort, ort->api->CreateSessionOptions(&settings), "options", error, error_bytes);
    if (result == 0)
        result =
            ort_check(ort, ort->api->SetSessionGraphOptimizationLevel(settings, ORT_ENABLE_ALL),
                      "options", error, error_bytes);
    if (result == 0)
        result = ort_check(ort, ort->api->SetIntraOpNumThreads(settings, 1), "options", error,
                           error_bytes);
    if (result == 0)
        result = ort_fix_shape(ort, settings, options, cuda_model_prepare(options->model_path),
                               info, error, error_bytes);
    if (result == 0)
        result = custom_ops_add(ort, settings, "CUDAExecutionProvider", error, error_bytes);
    if (result == 0) {
        const int64_t nchw[4] = {1, 3, options->height, options->width};
        const int64_t nhwc[4] = {1, options->height, options->width, 3};
        model->input = info->input[0];
        memcpy(model->input.dims, model->layout == SPOTON_LAYOUT_NCHW ? nchw : nhwc, sizeof nchw);
        model->quantized = info->quantized;
        result = append_providers(model, settings, options, error, error_bytes);
    }
    if (result == 0)
        result = ort_session_open(ort, session, options->model_path, settings, error, error_bytes);
    ort->api->ReleaseSessionOptions(settings);
    free(info);
    return result;
}

static int make_tensor(const struct cuda_model *model, const struct spoton_tensor *tensor,
                       int images, void *data, OrtValue **value, char *error, size_t error_bytes)
{
    int64_t dims[SPOTON_RANK_MAX];
    size_t bytes = ort_element_bytes(tensor->element);
    memcpy(dims, tensor->dims, sizeof dims);
    dims[0] = images;
    for (int i = 0; i < tensor->rank; ++i)
        bytes *= (size_t)dims[i];
    return ort_check(model->ort,
                     model->ort->api->CreateTensorWithDataAsOrtValue(
                         model->memory, data, bytes, dims, (size_t)tensor->rank,
                         ort_element_type(tensor->element), value),
                     "tensor", error, error_bytes);
}

/* outputs NULL: ONNX Runtime makes them, and `made` gets them. */
static int run_size(struct cuda_model *model, const struct ort_session *session, int images,
                    void *input, void *const *outputs, OrtValue ***made, size_t *made_count,
                    char *error, size_t error_bytes)
{
    const OrtApi *api = model->ort->api;
    OrtIoBinding *binding = NULL;
    OrtValue *value = NULL, *output[SPOTON_TENSORS_MAX] = {0};
    OrtAllocator *allocator = NULL;
    int result = ort_check(model->ort, api->CreateIoBinding(session->session, &binding), "binding",
                           error, error_bytes);
    if (result == 0)
        result = make_tensor(model, &model->input, images, input, &value, error, error_bytes);
    if (result == 0)
        result = ort_check(model->ort, api->BindInput(binding, session->input_name, value),
                           "binding", error, error_bytes);
    for (int i = 0; i < session->info.output_count && result == 0; ++i) {
        if (outputs)
            result = make_tensor(model, &model->output[i], images, outputs[i], &output[i], error,
                                 error_bytes);
        if (result == 0)
            result = ort_check(
                model->ort,
                outputs ? api->BindOutput(binding, session->output_name[i], output[i])
                        : api->BindOutputToDevice(binding, session->output_name[i], model->memory),
                "binding", error, error_bytes);
    }
    if (result == 0)
        result = ort_check(model->ort, api->RunWithBinding(session->session, model->run, binding),
                           "inference", error, error_bytes);
    if (result == 0 && made)
        result = ort_check(model->ort, api->GetAllocatorWithDefaultOptions(&allocator), "memory",
                           error, error_bytes);
    if (result == 0 && made)
        result =
            ort_check(model->ort, api->GetBoundOutputValues(binding, allocator, made, made_count),
                      "outputs", error, error_bytes);
    for (int i = 0; i < SPOTON_TENSORS_MAX; ++i)
        if (output[i])
            api->ReleaseValue(output[i]);
    if (value)
        api->ReleaseValue(value);
    if (binding)
        api->ReleaseIoBinding(binding);
    return result;
}

static int keep_output(struct cuda_model *model, const struct ort_session *session, int index,
                       int images, const OrtValue *value, char *error, size_t error_bytes)
{
    const struct ort *ort = model->ort;
    struct spoton_tensor *output = &model->output[index];
    OrtTensorTypeAndShapeInfo *shape = NULL;
    size_t rank = 0, count = 1;
    *output = session->info.output[index];
    if (ort_check(ort, ort->api->GetTensorTypeAndShape(value, &shape), "output", error,
                  error_bytes) < 0)
        return -1;
    int result =
        ort_check(ort, ort->api->GetDimensionsCount(shape, &rank), "output", error, error_bytes);
    if (result == 0 && rank >= 1 && rank <= SPOTON_RANK_MAX)
        result = ort_check(ort, ort->api->GetDimensions(shape, output->dims, rank), "output", error,
                           error_bytes);
    else if (result == 0)
        result = ort_fail(error, error_bytes, "an output of %zu dimensions", rank);
    ort->api->ReleaseTensorTypeAndShapeInfo(shape);
    output->rank = (int)rank;
    for (size_t i = 1; i < rank; ++i)
        count *= output->dims[i] > 0 ? (size_t)output->dims[i] : 0;
    bool is_number = output->element == SPOTON_ELEMENT_F32 || output->element == SPOTON_ELEMENT_F16;
    if (result == 0 && (count == 0 || output->dims[0] != images || !is_number))
        result = ort_fail(error, error_bytes,
                          "output %d is not f32 or f16 of a size that the input fixes, with the "
                          "batch first",
                          index);
    output->dims[0] = 1;
    model->output_count[index] = count;
    return result;
}

/* The first run is the slowest: algorithms are tried, memory is taken. */
static int first_run(struct cuda_model *model, const struct ort_session *session, int images,
                     char *error, size_t error_bytes)
{
    size_t bytes = (size_t)images * 3 * (size_t)model->height * (size_t)model->width *
                   ort_element_bytes(model->input.element);
    OrtValue **values = NULL;
    OrtAllocator *allocator = NULL;
    size_t count = 0;
    void *input = NULL;
    cudaError_t status = cudaMalloc(&input, bytes);
    if (status == cudaSuccess)
        status = cudaMemset(input, 0, bytes);
    if (status != cudaSuccess) {
        cudaGetLastError();
        return ort_fail(error, error_bytes, "%zu bytes of the device: %s", bytes,
                        cudaGetErrorString(status));
    }
    int result = run_size(model, session, images, input, NULL, &values, &count, error, error_bytes);
    if (result == 0)
        result = ort_check(model->ort, model->ort->api->GetAllocatorWithDefaultOptions(&allocator),
                           "memory", error, error_bytes);
    status = cudaStreamSynchronize(model->stream);
    if (result == 0 && status != cudaSuccess)
        result = ort_fail(error, error_bytes, "first run: %s", cudaGetErrorString(status));
    model->outputs = session->info.output_count;
    for (size_t i = 0; i < count; ++i) {
        if (result == 0)
            result = keep_output(model, session, (int)i, images, values[i], error, error_bytes);
        model->ort->api->ReleaseValue(values[i]);
    }
    if (values && allocator)
        allocator->Free(allocator, values);
    cudaFree(input);
    return result;
}

static int open_and_run(struct cuda_model *model, const struct spoton_engine_options *options,
                        struct ort_session *session, char *error, size_t error_bytes)
{
    int result = open_size(model, options, session, error, error_bytes);
    if (result == 0)
        result = first_run(model, session, options->batch, error, error_bytes);
    if (result < 0)
        ort_session_close(model->ort, session);
    return result;
}

/* A graph with operations that have no kernel on the device cannot be captured. */
static bool cannot_be_captured(const char *text)
{
    return strstr(text, "CUDA Graph") || strstr(text, "CUDAGraph") || strstr(text, "cuda graph");
}

static int open_sizes(struct cuda_model *model, const struct spoton_engine_options *options,
                      char *error, size_t error_bytes)
{
    int sizes[16], count = cuda_batch_sizes(options->batch, model->options.one_size, sizes);
    for (int i = 0; i < count; ++i) {
        struct spoton_engine_options one = *options;
        struct ort_session *session = &model->session[model->size_count];
        one.batch = sizes[i];
        int result = open_and_run(model, &one, session, error, error_bytes);
        if (result < 0 && model->options.capturable && cannot_be_captured(error)) {
            snprintf(model->notice, sizeof model->notice, "without graph replay: %.150s", error);
            model->options.graphs = model->options.capturable = false;
            result = open_and_run(model, &one, session, error, error_bytes);
        }
        if (result < 0 && cuda_is_out_of_memory(error) && model->options.workspace) {
            model->options.workspace = false;
            result = open_and_run(model, &one, session, error, error_bytes);
        }
        if (result < 0 && cuda_is_out_of_memory(error) && model->size_count > 0) {
            snprintf(model->notice, sizeof model->notice,
                     "%d images at once instead of %d, for want of the device's memory",
                     model->size[model->size_count - 1], options->batch);
            cudaGetLastError();
            return 0;
        }
        if (result < 0)
            return result;
        model->size[model->size_count++] = sizes[i];
    }
    return 0;
}

bool cuda_model_has(const struct cuda_model *model, int images)
{
    for (int i = 0; i < model->size_count; ++i)
        if (model->size[i] == images)
            return true;
    return false;
}

/* Where the user leaves the precision open, or wants f16, of a graph that the executor knows. */
static bool try_fused(struct cuda_model *model, const struct spoton_engine_options *options,
                      char *why, size_t why_bytes)
{
    bool half =
        options->precision == SPOTON_PRECISION_AUTO || options->precision == SPOTON_PRECISION_F16;
    *why = '\0';
    if (!model->options.fused || model->options.tensorrt || !half)
        return false;
    return fused_model_open(model, options, why, why_bytes) == 0;
}

int cuda_model_open(struct cuda_model *model, const struct ort *ort,
                    const struct spoton_engine_options *options, cudaStream_t stream, char *error,
                    size_t error_bytes)
{
    char why[180];
    model->ort = ort;
    model->stream = stream;
    model->layout = options->layout;
    model->height = options->height;
    model->width = options->width;
    model->batch = options->batch;
    if (try_fused(model, options, why, sizeof why)) {
        snprintf(model->notice, sizeof model->notice, "by fused kernels");
        return 0;
    }
    if (*why)
        snprintf(model->notice, sizeof model->notice, "by ONNX Runtime: %s", why);
    if (cuda_provider_missing(ort, error, error_bytes) < 0)
        return -1;
    int result =
        ort_check(ort,
                  ort->api->CreateMemoryInfo("Cuda", OrtDeviceAllocator, model->options.device,
                                             OrtMemTypeDefault, &model->memory),
                  "device memory", error, error_bytes);
    if (result == 0)
        result =
            ort_check(ort, ort->api->CreateRunOptions(&model->run), "options", error, error_bytes);
    /* Waiting is ours: by events. */
    if (result == 0)
        result = ort_check(
            ort,
            ort->api->AddRunConfigEntry(model->run, "disable_synchronize_execution_providers", "1"),
            "options", error, error_bytes);
    /* -1: no capture of its own. */
    if (result == 0)
        result = ort_check(ort, ort->api->AddRunConfigEntry(model->run, "gpu_graph_id", "-1"),
                           "options", error, error_bytes);
    if (result == 0)
        result = open_sizes(model, options, error, error_bytes);
    return result;
}

void cuda_model_close(struct cuda_model *model)
{
    if (!model->ort)
        return;
    fused_model_close(model);
    for (int i = 0; i < model->size_count; ++i)
        ort_session_close(model->ort, &model->session[i]);
    if (model->run)
        model->ort->api->ReleaseRunOptions(model->run);
    if (model->memory)
        model->ort->api->ReleaseMemoryInfo(model->memory);
    model->ort = NULL;
}

int cuda_model_run(struct cuda_model *model, int images, void *input,
                   void *const outputs[SPOTON_TENSORS_MAX], char *error, size_t error_bytes)
{
    size_t image_bytes = (size_t)3 * (size_t)model->height * (size_t)model->width *
                         ort_element_bytes(model->input.element);
    int index = model->size_count - 1, result = 0;
    for (int first = 0; first < images && result == 0; first += model->size[index]) {
        void *part[SPOTON_TENSORS_MAX] = {0};
        while (index > 0 && model->size[index] > images - first)
            --index;
        for (int i = 0; i < model->outputs; ++i)
            part[i] = (char *)outputs[i] + (size_t)first * model->output_count[i] *
                                               ort_element_bytes(model->output[i].element);
        void *from = (char *)input + (size_t)first * image_bytes;
        result = model->fused
                     ? fused_model_run(model, model->size[index], from, part, error, error_bytes)
                     : run_size(model, &model->session[index], model->size[index], from, part, NULL,
                                NULL, error, error_bytes);
    }
    return result;
}
