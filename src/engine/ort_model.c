/* Model files and sessions of ONNX Runtime. */
#include "ort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcasecmp(path + length - tail, suffix) == 0;
}

static int check_file(const char *path, char *error, size_t error_bytes)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return ort_fail(error, error_bytes, "model %s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return ort_fail(error, error_bytes, "model %s: is a folder; give a .onnx file", path);
    if (!ends_with(path, ".onnx"))
        return ort_fail(error, error_bytes,
                        "model %s: the onnxruntime engine reads .onnx files; for OpenVINO IR and "
                        "TFLite use ENGINE=openvino",
                        path);
    if (status.st_size == 0)
        return ort_fail(error, error_bytes, "model %s: the file is empty", path);
    return 0;
}

/* The C API does not list operations, so this searches the file for their names. */
static bool file_holds(const char *path, const char *const *words, size_t count)
{
    struct stat status;
    bool found = false;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    void *data = MAP_FAILED;
    size_t size = 0;
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        size = (size_t)status.st_size;
        data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    }
    if (data && data != MAP_FAILED) {
        for (size_t i = 0; i < count && !found; ++i)
            found = memmem(data, size, words[i], strlen(words[i])) != NULL;
        munmap(data, size);
    }
    close(file);
    return found;
}

/* "DequantizeLinear" alone means stored integer weights only; its "quantizeLinear" does not match.
 */
static bool is_quantized(const char *path)
{
    static const char *const words[] = {"QuantizeLinear", "QLinear", "ConvInteger",
                                        "MatMulInteger"};
    return file_holds(path, words, sizeof words / sizeof *words);
}

bool ort_is_for_cuda(const char *path)
{
    static const char *const words[] = {"com.ms.internal.nhwc", "BiasAct"};
    return file_holds(path, words, sizeof words / sizeof *words);
}

static enum spoton_element element_of(ONNXTensorElementDataType type)
{
    for (enum spoton_element e = SPOTON_ELEMENT_F32; e <= SPOTON_ELEMENT_I64; ++e)
        if (ort_element_type(e) == type)
            return e;
    return SPOTON_ELEMENT_OTHER;
}

static int describe_type(const struct ort *ort, const OrtTypeInfo *type,
                         struct spoton_tensor *tensor, char *error, size_t error_bytes)
{
    const OrtApi *api = ort->api;
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    if (ort_check(ort, api->CastTypeInfoToTensorInfo(type, &shape), "type", error, error_bytes) < 0)
        return -1;
    tensor->element = SPOTON_ELEMENT_OTHER;
    tensor->rank = 0;
    if (!shape) /* a sequence or a map */
        return 0;
    if (ort_check(ort, api->GetTensorElementType(shape, &element), "type", error, error_bytes) <
            0 ||
        ort_check(ort, api->GetDimensionsCount(shape, &rank), "shape", error, error_bytes) < 0)
        return -1;
    tensor->element = element_of(element);
    if (rank > SPOTON_RANK_MAX)
        return 0;
    tensor->rank = (int)rank;
    return ort_check(ort, api->GetDimensions(shape, tensor->dims, rank), "shape", error,
                     error_bytes);
}

static int describe_tensor(const struct ort *ort, const OrtSession *session, bool input,
                           size_t index, struct spoton_tensor *tensor, char *error,
                           size_t error_bytes)
{
    const OrtApi *api = ort->api;
    OrtAllocator *allocator = NULL;
    OrtTypeInfo *type = NULL;
    char *name = NULL;
    if (ort_check(ort, api->GetAllocatorWithDefaultOptions(&allocator), "memory", error,
                  error_bytes) < 0 ||
        ort_check(ort,
                  input ? api->SessionGetInputName(session, index, allocator, &name)
                        : api->SessionGetOutputName(session, index, allocator, &name),
                  "name", error, error_bytes) < 0)
        return -1;
    int result = 0;
    if (strlen(name) >= sizeof tensor->name)
        result = ort_fail(error, error_bytes, "a tensor's name has %zu characters, at most %zu fit",
                          strlen(name), sizeof tensor->name - 1);
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    allocator->Free(allocator, name);
    if (result == 0)
        result = ort_check(ort,
                           input ? api->SessionGetInputTypeInfo(session, index, &type)
                                 : api->SessionGetOutputTypeInfo(session, index, &type),
                           "type", error, error_bytes);
    if (result == 0)
        result = describe_type(ort, type, tensor, error, error_bytes);
    api->ReleaseTypeInfo(type);
    return result;
}

static int describe_session(const struct ort *ort, const OrtSession *session,
                            struct spoton_model_info *info, char *error, size_t error_bytes)
{
    size_t inputs = 0, outputs = 0;
    int result = ort_check(ort, ort->api->SessionGetInputCount(session, &inputs), "inputs", error,
                           error_bytes);
    if (result == 0)
        result = ort_check(ort, ort->api->SessionGetOutputCount(session, &outputs), "outputs",
                           error, error_bytes);
    info->input_count = (int)inputs;
    info->output_count = (int)outputs;
    for (size_t i = 0; result == 0 && i < inputs && i < SPOTON_TENSORS_MAX; ++i)
        result = describe_tensor(ort, session, true, i, &info->input[i], error, error_bytes);
    for (size_t i = 0; result == 0 && i < outputs && i < SPOTON_TENSORS_MAX; ++i)
        result = describe_tensor(ort, session, false, i, &info->output[i], error, error_bytes);
    return result;
}

int ort_session_open(const struct ort *ort, struct ort_session *session, const char *path,
                     const OrtSessionOptions *settings, char *error, size_t error_bytes)
{
    char thing[300];
    *session = (struct ort_session){0};
    if (check_file(path, error, error_bytes) < 0)
        return -1;
    snprintf(thing, sizeof thing, "model %s: unreadable", path);
    if (ort_check(ort, ort->api->CreateSession(ort->env, path, settings, &session->session), thing,
                  error, error_bytes) < 0)
        return -1;
    if (describe_session(ort, session->session, &session->info, error, error_bytes) < 0) {
        ort_session_close(ort, session);
        return -1;
    }
    session->info.quantized = is_quantized(path);
    session->input_name = session->info.input[0].name;
    for (int i = 0; i < session->info.output_count && i < SPOTON_TENSORS_MAX; ++i)
        session->output_name[i] = session->info.output[i].name;
    return 0;
}

static atomic_bool sessions_stay;

void ort_keep_sessions(void)
{
    atomic_store(&sessions_stay, true);
}

bool ort_keeps_sessions(void)
{
    return atomic_load(&sessions_stay);
}

void ort_session_close(const struct ort *ort, struct ort_session *session)
{
    if (session->session && !ort_keeps_sessions())
        ort->api->ReleaseSession(session->session);
    session->session = NULL;
}

/* Opens a session for inspection: with basic optimizations and without threads. */
static int open_plain(const struct ort *ort, struct ort_session *session, const char *path,
                      ort_prepare_fn *prepare, char *error, size_t error_bytes)
{
    OrtSessionOptions *settings = NULL;
    if (!prepare && ort_is_for_cuda(path))
        return ort_fail(error, error_bytes,
                        "model %s: made by tools/cuda-model, which only ENGINE=cuda runs; use the "
                        "original model",
                        path);
    int result =
        ort_check(ort, ort->api->CreateSessionOptions(&settings), "options", error, error_bytes);
    if (result == 0)
        result =
            ort_check(ort, ort->api->SetSessionGraphOptimizationLevel(settings, ORT_ENABLE_BASIC),
                      "options", error, error_bytes);
    if (result == 0)
        result = ort_check(ort, ort->api->SetIntraOpNumThreads(settings, 1), "options", error,
                           error_bytes);
    if (result == 0 && prepare)
        result = prepare(ort, settings, error, error_bytes);
    if (result == 0)
        result = ort_session_open(ort, session, path, settings, error, error_bytes);
    ort->api->ReleaseSessionOptions(settings);
    return result;
}

/* ---- shapes of outputs ---- */

/* Trial sizes for dynamic dimensions: multiples of 32, large enough for heads that select the best
 * 300 of their anchors. */
static const int64_t trial_sizes[2][3] = {{1, 320, 320}, {2, 352, 384}};

static bool has_free_output(const struct spoton_model_info *info)
{
    for (int i = 0; i < info->output_count && i < SPOTON_TENSORS_MAX; ++i)
        for (int k = 0; k < info->output[i].rank; ++k)
            if (info->output[i].dims[k] < 0)
                return true;
    return false;
}

static bool can_try(const struct spoton_model_info *info)
{
    const struct spoton_tensor *input = &info->input[0];
    return info->input_count == 1 && info->output_count <= SPOTON_TENSORS_MAX && input->rank == 4 &&
           ort_element_bytes(input->element) > 0 && (input->dims[1] == 3 || input->dims[3] == 3);
}

/* Fills dims[output] with the shapes of the outputs. */
static bool read_shapes(const struct ort *ort, int count, OrtValue *const *values,
                        int64_t dims[SPOTON_TENSORS_MAX][SPOTON_RANK_MAX])
{
    bool done = true;
    for (int i = 0; i < count && done; ++i) {
        OrtTensorTypeAndShapeInfo *shape = NULL;
        char text[8];
        size_t rank = 0;
        done = ort_check(ort, ort->api->GetTensorTypeAndShape(values[i], &shape), "", text,
                         sizeof text) == 0 &&
               ort_check(ort, ort->api->GetDimensionsCount(shape, &rank), "", text, sizeof text) ==
                   0 &&
               rank <= SPOTON_RANK_MAX &&
               ort_check(ort, ort->api->GetDimensions(shape, dims[i], rank), "", text,
                         sizeof text) == 0;
        if (shape)
            ort->api->ReleaseTensorTypeAndShapeInfo(shape);
    }
    return done;
}

static bool try_size(const struct ort *ort, const struct ort_session *session,
                     const int64_t size[3], int64_t dims[SPOTON_TENSORS_MAX][SPOTON_RANK_MAX])
{
    const struct spoton_tensor *input = &session->info.input[0];
    bool nchw = input->dims[1] == 3;
    const int64_t wanted[4] = {size[0], nchw ? 3 : size[1], nchw ? size[1] : size[2],
                               nchw ? size[2] : 3};
    int64_t shape[4];
    size_t bytes = ort_element_bytes(input->element);
    for (int i = 0; i < 4; ++i) {
        shape[i] = input->dims[i] > 0 ? input->dims[i] : wanted[i];
        bytes *= (size_t)shape[i];
    }
    char text[8];
    OrtValue *value = NULL, *outputs[SPOTON_TENSORS_MAX] = {0};
    void *zeros = calloc(1, bytes);
    bool done = zeros && ort_check(ort,
                                   ort->api->CreateTensorWithDataAsOrtValue(
                                       ort->cpu, zeros, bytes, shape, 4,
                                       ort_element_type(input->element), &value),
                                   "", text, sizeof text) == 0;
    const OrtValue *const inputs[1] = {value};
    done = done && ort_check(ort,
                             ort->api->Run(session->session, NULL, &session->input_name, inputs, 1,
                                           session->output_name, (size_t)session->info.output_count,
                                           outputs),
                             "", text, sizeof text) == 0;
    done = done && read_shapes(ort, session->info.output_count, outputs, dims);
    for (int i = 0; i < session->info.output_count; ++i)
        if (outputs[i])
            ort->api->ReleaseValue(outputs[i]);
    if (value)
        ort->api->ReleaseValue(value);
    free(zeros);
    return done;
}

/* ONNX Runtime cannot infer many shapes of exported models, so dynamic outputs are determined by
 * two runs with different sizes: dimensions that are equal in both are fixed. */
static void find_output_shapes(const struct ort *ort, struct ort_session *session)
{
    int64_t dims[2][SPOTON_TENSORS_MAX][SPOTON_RANK_MAX];
    if (!can_try(&session->info) || !has_free_output(&session->info))
        return;
    for (int i = 0; i < 2; ++i)
        if (!try_size(ort, session, trial_sizes[i], dims[i]))
            return;
    for (int i = 0; i < session->info.output_count; ++i) {
        struct spoton_tensor *output = &session->info.output[i];
        for (int k = 0; k < output->rank; ++k)
            if (output->dims[k] < 0 && dims[0][i][k] == dims[1][i][k] && dims[0][i][k] > 0)
                output->dims[k] = dims[0][i][k];
    }
}

int ort_inspect(const struct ort *ort, const char *path, ort_prepare_fn *prepare,
                struct spoton_model_info *info, char *error, size_t error_bytes)
{
    struct ort_session *session = calloc(1, sizeof *session);
    if (!session)
        return ort_fail(error, error_bytes, "out of memory");
    int result = open_plain(ort, session, path, prepare, error, error_bytes);
    if (result == 0) {
        size_t struct_bytes = info->struct_bytes;
        find_output_shapes(ort, session);
        *info = session->info;
        info->struct_bytes = struct_bytes;
        ort_session_close(ort, session);
    }
    free(session);
    return result;
}

/* ---- fixed shapes ---- */

static int set_dimension(const struct ort *ort, OrtSessionOptions *settings, const char *name,
                         int64_t found, int64_t wanted, char *error, size_t error_bytes)
{
    if (found > 0 && found != wanted)
        return ort_fail(error, error_bytes,
                        "the model's input has a fixed side of %lld, but %lld is requested",
                        (long long)found, (long long)wanted);
    if (found > 0 || !name || !*name)
        return 0;
    return ort_check(ort, ort->api->AddFreeDimensionOverrideByName(settings, name, wanted), name,
                     error, error_bytes);
}

static int set_dimensions(const struct ort *ort, OrtSessionOptions *settings,
                          const struct spoton_engine_options *options, const OrtTypeInfo *type,
                          const struct spoton_tensor *input, char *error, size_t error_bytes)
{
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    const char *names[4] = {0};
    const int64_t nchw[4] = {options->batch, 3, options->height, options->width};
    const int64_t nhwc[4] = {options->batch, options->height, options->width, 3};
    const int64_t *wanted = options->layout == SPOTON_LAYOUT_NCHW ? nchw : nhwc;
    int result = ort_check(ort, ort->api->CastTypeInfoToTensorInfo(type, &shape), "type", error,
                           error_bytes);
    if (result == 0)
        result = ort_check(ort, ort->api->GetSymbolicDimensions(shape, names, 4), "shape", error,
                           error_bytes);
    for (int i = 0; result == 0 && i < 4; ++i)
        result =
            set_dimension(ort, settings, names[i], input->dims[i], wanted[i], error, error_bytes);
    return result;
}

int ort_fix_shape(const struct ort *ort, OrtSessionOptions *settings,
                  const struct spoton_engine_options *options, ort_prepare_fn *prepare,
                  struct spoton_model_info *info, char *error, size_t error_bytes)
{
    struct ort_session *plain = calloc(1, sizeof *plain);
    OrtTypeInfo *type = NULL;
    if (!plain)
        return ort_fail(error, error_bytes, "out of memory");
    int result = open_plain(ort, plain, options->model_path, prepare, error, error_bytes);
    if (result == 0) {
        *info = plain->info;
        if (info->input_count != 1 || info->output_count < 1 ||
            info->output_count > SPOTON_TENSORS_MAX || info->input[0].rank != 4)
            result =
                ort_fail(error, error_bytes, "only models with a single image input are supported");
        if (result == 0)
            result = ort_check(ort, ort->api->SessionGetInputTypeInfo(plain->session, 0, &type),
                               "type", error, error_bytes);
        if (result == 0)
            result =
                set_dimensions(ort, settings, options, type, &info->input[0], error, error_bytes);
        ort->api->ReleaseTypeInfo(type);
        ort_session_close(ort, plain);
    }
    free(plain);
    return result;
}
