#include "custom_op.h"

#include "kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X, BIAS, SUMMANDS }; /* inputs */
enum { RANK_MAX = 8 };

struct op {
    OrtCustomOp op; /* first: ONNX Runtime gives it back */
    const struct ort *ort;
    const char *name, *provider;
    bool f32_out;
};

struct kernel {
    const struct op *op;
    int64_t activation, before;
    float low, high;
};

static const struct op *op_of(const OrtCustomOp *op)
{
    return (const struct op *)(const void *)op;
}

static OrtStatus *refuse(const OrtApi *api, const char *text)
{
    return api->CreateStatus(ORT_INVALID_ARGUMENT, text);
}

/* ---- what it is ---- */

static const char *get_name(const OrtCustomOp *op)
{
    return op_of(op)->name;
}

static const char *get_provider(const OrtCustomOp *op)
{
    return op_of(op)->provider;
}

static ONNXTensorElementDataType get_input_type(const OrtCustomOp *op, size_t index)
{
    (void)op;
    return index == BIAS ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                         : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; /* any */
}

static ONNXTensorElementDataType get_output_type(const OrtCustomOp *op, size_t index)
{
    (void)index;
    return op_of(op)->f32_out ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                              : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

static size_t count_inputs(const OrtCustomOp *op)
{
    (void)op;
    return SUMMANDS + CUDA_SUMMANDS_MAX + 1;
}

static size_t count_outputs(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

static OrtCustomOpInputOutputCharacteristic get_input_kind(const OrtCustomOp *op, size_t index)
{
    (void)op;
    return index < SUMMANDS ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
}

static OrtCustomOpInputOutputCharacteristic get_output_kind(const OrtCustomOp *op, size_t index)
{
    (void)op;
    (void)index;
    return INPUT_OUTPUT_REQUIRED;
}

static OrtMemType get_memory(const OrtCustomOp *op, size_t index)
{
    (void)op;
    (void)index;
    return OrtMemTypeDefault;
}

static int get_first_version(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

static int get_last_version(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

/* ONNX Runtime hands an unknown dimension to us as -1 and would take -1 back for its size: each
 * gets a name of its own instead. */
static OrtStatus *name_unknown(const OrtApi *api, OrtTensorTypeAndShapeInfo *shape, size_t rank)
{
    static atomic_uint count;
    char made[RANK_MAX][32];
    const char *names[RANK_MAX];
    int64_t dims[RANK_MAX];
    OrtStatus *status = api->GetDimensions(shape, dims, rank);
    if (!status)
        status = api->GetSymbolicDimensions(shape, names, rank);
    if (status)
        return status;
    for (size_t i = 0; i < rank; ++i) {
        if (dims[i] >= 0 || (names[i] && names[i][0]))
            continue;
        snprintf(made[i], sizeof made[i], "spoton_%u", atomic_fetch_add(&count, 1));
        names[i] = made[i];
    }
    return api->SetSymbolicDimensions(shape, names, rank);
}

/* y like x; without it what computes shapes behind it could not be folded away. */
static OrtStatus *infer_shape(const OrtCustomOp *op, OrtShapeInferContext *context)
{
    const OrtApi *api = op_of(op)->ort->api;
    OrtTensorTypeAndShapeInfo *shape = NULL; /* stays the context's */
    size_t rank = 0;
    OrtStatus *status = api->ShapeInferContext_GetInputTypeShape(context, X, &shape);
    if (!status)
        status = api->GetDimensionsCount(shape, &rank);
    if (!status && (rank == 0 || rank > RANK_MAX))
        return NULL; /* nothing is known of x yet */
    if (!status)
        status = name_unknown(api, shape, rank);
    if (!status && op_of(op)->f32_out)
        status = api->SetTensorElementType(shape, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    if (!status)
        status = api->ShapeInferContext_SetOutputTypeShape(context, 0, shape);
    return status;
}

/* ---- in place ---- */

static int places[2] = {X, 0};

static size_t get_places(int **input, int **output)
{
    *input = &places[0];
    *output = &places[1];
    return 1;
}

static void release_places(int *input, int *output)
{
    (void)input;
    (void)output;
}

/* ---- running ---- */

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                         void **out)
{
    struct kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    OrtStatus *status = api->KernelInfoGetAttribute_int64(info, "activation", &kernel->activation);
    if (!status)
        status = api->KernelInfoGetAttribute_int64(info, "before", &kernel->before);
    if (!status)
        status = api->KernelInfoGetAttribute_float(info, "low", &kernel->low);
    if (!status)
        status = api->KernelInfoGetAttribute_float(info, "high", &kernel->high);
    if (!status && (kernel->before < 0 || kernel->before > CUDA_SUMMANDS_MAX ||
                    kernel->activation < 0 || kernel->activation > CUDA_ACTIVATION_CLIP))
        status = refuse(api, "BiasAct: unknown activation, or too many summands");
    if (status) {
        free(kernel);
        return status;
    }
    kernel->op = op_of(op);
    *out = kernel;
    return NULL;
}

static void destroy(void *kernel)
{
    free(kernel);
}

struct tensor {
    const void *data;
    ONNXTensorElementDataType type;
    size_t rank, count;
    int64_t dims[SPOTON_RANK_MAX];
};

/* data stays NULL where an optional input is left out. */
static OrtStatus *read_input(const OrtApi *api, const OrtKernelContext *context, size_t index,
                             struct tensor *tensor)
{
    const OrtValue *value = NULL;
    OrtTensorTypeAndShapeInfo *shape = NULL;
    memset(tensor, 0, sizeof *tensor);
    OrtStatus *status = api->KernelContext_GetInput(context, index, &value);
    if (status || !value)
        return status;
    status = api->GetTensorTypeAndShape(value, &shape);
    if (!status)
        status = api->GetTensorElementType(shape, &tensor->type);
    if (!status)
        status = api->GetDimensionsCount(shape, &tensor->rank);
    if (!status && (tensor->rank < 1 || tensor->rank > SPOTON_RANK_MAX))
        status = refuse(api, "BiasAct: an input of no or too many dimensions");
    if (!status)
        status = api->GetDimensions(shape, tensor->dims, tensor->rank);
    if (!status)
        status = api->GetTensorShapeElementCount(shape, &tensor->count);
    if (!status) { /* the API reads what is constant by the same call */
        union {
            const OrtValue *reads;
            OrtValue *writes;
        } same = {.reads = value};
        status = api->GetTensorMutableData(same.writes, (void **)&tensor->data);
    }
    if (shape)
        api->ReleaseTensorTypeAndShapeInfo(shape);
    return status;
}

static OrtStatus *read_summands(const OrtApi *api, const OrtKernelContext *context,
                                const struct kernel *kernel, const struct tensor *x,
                                struct cuda_bias_act *work)
{
    size_t count = 0, before = (size_t)kernel->before;
    OrtStatus *status = api->KernelContext_GetInputCount(context, &count);
    for (size_t i = SUMMANDS; !status && i < count; ++i) {
        struct tensor summand;
        size_t at = i - SUMMANDS;
        status = read_input(api, context, i, &summand);
        if (status || !summand.data)
            continue;
        if (summand.type != x->type || summand.rank != x->rank ||
            memcmp(summand.dims, x->dims, sizeof x->dims) != 0 || at > before)
            return refuse(api, "BiasAct: a summand is not like x");
        if (at < before)
            work->before[work->before_count++] = summand.data;
        else
            work->after = summand.data;
    }
    if (!status && work->before_count != kernel->before)
        status = refuse(api, "BiasAct: fewer summands than `before` says");
    return status;
}

static OrtStatus *compute(void *state, OrtKernelContext *context)
{
    const struct kernel *kernel = state;
    const OrtApi *api = kernel->op->ort->api;
    struct tensor x, bias;
    OrtValue *y = NULL;
    void *stream = NULL;
    OrtStatus *status = read_input(api, context, X, &x);
    if (!status)
        status = read_input(api, context, BIAS, &bias);
    if (status)
        return status;
    bool half = x.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    if ((!half && x.type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) || bias.rank != 1 ||
        bias.dims[0] != x.dims[x.rank - 1])
        return refuse(api, "BiasAct: x must be f16 or f32, the bias f32 of x's last dimension");
    struct cuda_bias_act work = {
        .x = x.data,
        .bias = bias.data,
        .half = half,
        .half_out = half && !kernel->op->f32_out,
        .activation = (enum cuda_activation)kernel->activation,
        .low = kernel->low,
        .high = kernel->high,
        .channels = (int)bias.dims[0],
        .count = x.count,
    };
    status = read_summands(api, context, kernel, &x, &work);
    if (!status)
        status = api->KernelContext_GetOutput(context, 0, x.dims, x.rank, &y);
    if (!status)
        status = api->GetTensorMutableData(y, &work.y);
    if (!status && kernel->op->provider)
        status = api->KernelContext_GetGPUComputeStream(context, &stream);
    if (!status && cuda_bias_act(&work, stream) != 0)
        status = api->CreateStatus(ORT_FAIL, "BiasAct: the kernel was not launched");
    return status;
}

/* ---- the domain ---- */

static struct op make_op(const struct ort *ort, const char *name, const char *provider,
                         bool f32_out)
{
    struct op op = {
        .op = {.version = ORT_API_VERSION,
               .GetName = get_name,
               .GetExecutionProviderType = get_provider,
               .GetInputType = get_input_type,
               .GetInputTypeCount = count_inputs,
               .GetOutputType = get_output_type,
               .GetOutputTypeCount = count_outputs,
               .KernelDestroy = destroy,
               .GetInputCharacteristic = get_input_kind,
               .GetOutputCharacteristic = get_output_kind,
               .GetInputMemoryType = get_memory,
               .CreateKernelV2 = create,
               .KernelComputeV2 = compute,
               .InferOutputShapeFn = infer_shape,
               .GetStartVersion = get_first_version,
               .GetEndVersion = get_last_version},
        .ort = ort,
        .name = name,
        .provider = provider,
        .f32_out = f32_out,
    };
    if (!f32_out) { /* the same size in and out */
        op.op.GetMayInplace = get_places;
        op.op.ReleaseMayInplace = release_places;
    }
    return op;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct op ops[2];
static OrtCustomOpDomain *domain; /* one for all sessions, kept as the library is */

static OrtStatus *make_domain(const struct ort *ort, const char *provider)
{
    OrtStatus *status = ort->api->CreateCustomOpDomain("spoton", &domain);
    if (status)
        return status;
    ops[0] = make_op(ort, "BiasAct", provider, false);
    ops[1] = make_op(ort, "BiasActF32", provider, true);
    for (int i = 0; i < 2 && !status; ++i)
        status = ort->api->CustomOpDomain_Add(domain, &ops[i].op);
    if (status) {
        ort->api->ReleaseCustomOpDomain(domain);
        domain = NULL;
    }
    return status;
}

int custom_ops_add(const struct ort *ort, OrtSessionOptions *settings, const char *provider,
                   char *error, size_t error_bytes)
{
    pthread_mutex_lock(&lock);
    OrtStatus *status = domain ? NULL : make_domain(ort, provider);
    pthread_mutex_unlock(&lock);
    if (!status)
        status = ort->api->AddCustomOpDomain(settings, domain);
    return ort_check(ort, status, "our operations", error, error_bytes);
}
