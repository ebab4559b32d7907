#include "cudnn.h"

#include "cudnn_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTORS_MAX = 64, PROPOSALS_MAX = 32, FIRST_VERSION = 90800 };
enum tensor_id { ID_X = 1, ID_WEIGHTS, ID_Y, ID_BIAS, ID_RESIDUAL, ID_BETWEEN };

struct fused_cudnn {
    cudnn_handle handle;
};

struct fused_conv_plan {
    cudnn_descriptor plan, made[DESCRIPTORS_MAX]; /* all that the plan was made of */
    int made_count;
    bool residual;
    size_t workspace;
    char name[48];
};

struct fused_binding {
    cudnn_descriptor pack;
};

/* ---- the library ---- */

static struct cudnn_api api;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool find_all(void *library)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"cudnnGetVersion", &api.version},
        {"cudnnGetErrorString", &api.error_string},
        {"cudnnGetLastErrorString", &api.last_error},
        {"cudnnCreate", &api.create},
        {"cudnnDestroy", &api.destroy},
        {"cudnnSetStream", &api.set_stream},
        {"cudnnBackendCreateDescriptor", &api.backend_create},
        {"cudnnBackendDestroyDescriptor", &api.backend_destroy},
        {"cudnnBackendFinalize", &api.backend_finalize},
        {"cudnnBackendSetAttribute", &api.backend_set},
        {"cudnnBackendGetAttribute", &api.backend_get},
        {"cudnnBackendExecute", &api.backend_execute},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i) {
        void *symbol = dlsym(library, wanted[i].name);
        memcpy(wanted[i].place, &symbol, sizeof symbol);
        if (!symbol)
            return false;
    }
    return true;
}

size_t fused_cudnn_version(char *error, size_t error_bytes)
{
    static void *library;
    size_t version = 0;
    pthread_mutex_lock(&lock);
    if (!library && (library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL)) &&
        !find_all(library)) {
        dlclose(library);
        library = NULL;
    }
    if (library)
        version = api.version();
    pthread_mutex_unlock(&lock);
    if (version == 0)
        fused_fail(error, error_bytes, "no libcudnn.so.9; run ./setup gpu");
    else if (version < FIRST_VERSION)
        fused_fail(error, error_bytes, "cuDNN %zu is older than 9.8; run ./setup gpu", version);
    return version < FIRST_VERSION ? 0 : version;
}

static int check(int status, const char *thing, char *error, size_t error_bytes)
{
    char text[256] = "";
    if (status == CUDNN_SUCCESS)
        return 0;
    api.last_error(text, sizeof text);
    for (char *c = text; *c; ++c)
        if (*c == '\n')
            *c = ' ';
    return fused_fail(error, error_bytes, "cuDNN %s: %s %s", thing, api.error_string(status), text);
}

int fused_cudnn_open(struct fused_cudnn **out, char *error, size_t error_bytes)
{
    if (fused_cudnn_version(error, error_bytes) == 0)
        return -1;
    struct fused_cudnn *cudnn = calloc(1, sizeof *cudnn);
    if (!cudnn)
        return fused_fail(error, error_bytes, "out of memory");
    if (check(api.create(&cudnn->handle), "does not start", error, error_bytes) < 0) {
        free(cudnn);
        return -1;
    }
    *out = cudnn;
    return 0;
}

void fused_cudnn_close(struct fused_cudnn *cudnn)
{
    if (!cudnn)
        return;
    api.destroy(cudnn->handle);
    free(cudnn);
}

/* ---- descriptors ---- */

/* Calls until one fails; then nothing more is done. */
struct maker {
    struct fused_conv_plan *plan;
    int status;
    const char *what;
};

static cudnn_descriptor make(struct maker *m, int type)
{
    cudnn_descriptor descriptor = NULL;
    if (m->status != CUDNN_SUCCESS || m->plan->made_count == DESCRIPTORS_MAX)
        return NULL;
    m->status = api.backend_create(type, &descriptor);
    if (m->status != CUDNN_SUCCESS)
        return NULL;
    m->plan->made[m->plan->made_count++] = descriptor;
    return descriptor;
}

static void set(struct maker *m, cudnn_descriptor to, int attribute, int type, int64_t count,
                const void *values)
{
    if (m->status == CUDNN_SUCCESS)
        m->status = api.backend_set(to, attribute, type, count, values);
}

static void set_int(struct maker *m, cudnn_descriptor to, int attribute, int64_t value)
{
    set(m, to, attribute, CUDNN_TYPE_INT64, 1, &value);
}

static void set_enum(struct maker *m, cudnn_descriptor to, int attribute, int type, int value)
{
    set(m, to, attribute, type, 1, &value);
}

static void set_pair(struct maker *m, cudnn_descriptor to, int attribute, const int values[2])
{
    int64_t wide[2] = {values[0], values[1]};
    set(m, to, attribute, CUDNN_TYPE_INT64, 2, wide);
}

static void set_part(struct maker *m, cudnn_descriptor to, int attribute, cudnn_descriptor part)
{
    set(m, to, attribute, CUDNN_TYPE_DESCRIPTOR, 1, &part);
}

static void finish(struct maker *m, cudnn_descriptor descriptor)
{
    if (m->status == CUDNN_SUCCESS)
        m->status = api.backend_finalize(descriptor);
}

/* [n][c][h][w] with channels last, `pitch` numbers a pixel. */
static cudnn_descriptor tensor(struct maker *m, int id, int type, const int64_t dims[4],
                               int64_t pitch, bool between)
{
    cudnn_descriptor t = make(m, CUDNN_TENSOR);
    int64_t strides[4] = {dims[2] * dims[3] * pitch, 1, dims[3] * pitch, pitch};
    set_enum(m, t, CUDNN_TENSOR_TYPE, CUDNN_TYPE_DATA_TYPE, type);
    set(m, t, CUDNN_TENSOR_SIZES, CUDNN_TYPE_INT64, 4, dims);
    set(m, t, CUDNN_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set_int(m, t, CUDNN_TENSOR_ID, id);
    set_int(m, t, CUDNN_TENSOR_ALIGNMENT, 16);
    set(m, t, CUDNN_TENSOR_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &between);
    finish(m, t);
    return t;
}

static cudnn_descriptor convolution(struct maker *m, const struct fused_conv *conv,
                                    cudnn_descriptor x, cudnn_descriptor w, cudnn_descriptor y)
{
    const struct fused_window *window = &conv->window;
    cudnn_descriptor how = make(m, CUDNN_CONVOLUTION), op;
    const int ones[2] = {1, 1};
    const float one = 1, zero = 0;
    set_enum(m, how, CUDNN_CONVOLUTION_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    set_enum(m, how, CUDNN_CONVOLUTION_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
    set_int(m, how, CUDNN_CONVOLUTION_DIMS, 2);
    set_pair(m, how, CUDNN_CONVOLUTION_DILATIONS, ones);
    set_pair(m, how, CUDNN_CONVOLUTION_STRIDES, window->stride);
    set_pair(m, how, CUDNN_CONVOLUTION_BEFORE, window->before);
    set_pair(m, how, CUDNN_CONVOLUTION_AFTER, window->after);
    finish(m, how);
    op = make(m, CUDNN_OPERATION_CONVOLUTION);
    set_part(m, op, CUDNN_FORWARD_DESCRIPTOR, how);
    set_part(m, op, CUDNN_FORWARD_X, x);
    set_part(m, op, CUDNN_FORWARD_W, w);
    set_part(m, op, CUDNN_FORWARD_Y, y);
    set(m, op, CUDNN_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    set(m, op, CUDNN_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    finish(m, op);
    return op;
}

static cudnn_descriptor pointwise(struct maker *m, int mode, const struct fused_conv *conv,
                                  cudnn_descriptor x, cudnn_descriptor b, cudnn_descriptor y)
{
    cudnn_descriptor how = make(m, CUDNN_POINTWISE), op;
    set_enum(m, how, CUDNN_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
    set_enum(m, how, CUDNN_POINTWISE_PRECISION, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (mode == CUDNN_POINTWISE_RELU) {
        double low = (double)conv->low, high = (double)conv->high;
        set(m, how, CUDNN_RELU_LOWER, CUDNN_TYPE_DOUBLE, 1, &low);
        if (conv->high < 1e30f)
            set(m, how, CUDNN_RELU_UPPER, CUDNN_TYPE_DOUBLE, 1, &high);
    }
    finish(m, how);
    op = make(m, CUDNN_OPERATION_POINTWISE);
    set_part(m, op, CUDNN_APPLY_DESCRIPTOR, how);
    set_part(m, op, CUDNN_APPLY_X, x);
    if (b)
        set_part(m, op, CUDNN_APPLY_B, b);
    set_part(m, op, CUDNN_APPLY_Y, y);
    finish(m, op);
    return op;
}

/* y = activation(x * w + bias) + residual, as operations on tensors of which those in between are
 * nowhere in memory. */
static cudnn_descriptor graph(struct maker *m, cudnn_handle handle, const struct fused_conv *c)
{
    const struct fused_window *w = &c->window;
    int64_t n = c->images, h = fused_window_size(w, 0, c->height);
    int64_t wide = fused_window_size(w, 1, c->width);
    const int64_t in[4] = {n, c->in, c->height, c->width}, out[4] = {n, c->out, h, wide};
    const int64_t weights[4] = {c->out, c->in, w->kernel[0], w->kernel[1]},
                  bias[4] = {1, c->out, 1, 1};
    cudnn_descriptor ops[4], value, next, result;
    int count = 0, id = ID_BETWEEN;
    bool activates = c->activation != CUDA_ACTIVATION_NONE;
    cudnn_descriptor x = tensor(m, ID_X, CUDNN_DATA_HALF, in, c->x_pitch, false);
    cudnn_descriptor f = tensor(m, ID_WEIGHTS, CUDNN_DATA_HALF, weights, c->in, false);
    cudnn_descriptor b = tensor(m, ID_BIAS, CUDNN_DATA_FLOAT, bias, c->out, false);
    cudnn_descriptor y = tensor(m, ID_Y, CUDNN_DATA_HALF, out, c->y_pitch, false);
    value = tensor(m, id++, CUDNN_DATA_FLOAT, out, c->out, true);
    ops[count++] = convolution(m, c, x, f, value);
    next = activates || c->residual ? tensor(m, id++, CUDNN_DATA_FLOAT, out, c->out, true) : y;
    ops[count++] = pointwise(m, CUDNN_POINTWISE_ADD, c, value, b, next);
    value = next;
    if (activates) {
        next = c->residual ? tensor(m, id++, CUDNN_DATA_FLOAT, out, c->out, true) : y;
        ops[count++] = pointwise(
            m, c->activation == CUDA_ACTIVATION_SILU ? CUDNN_POINTWISE_SWISH : CUDNN_POINTWISE_RELU,
            c, value, NULL, next);
        value = next;
    }
    if (c->residual) {
        cudnn_descriptor r = tensor(m, ID_RESIDUAL, CUDNN_DATA_HALF, out, c->residual_pitch, false);
        ops[count++] = pointwise(m, CUDNN_POINTWISE_ADD, c, value, r, y);
    }
    m->what = "graph";
    result = make(m, CUDNN_OPERATION_GRAPH);
    set(m, result, CUDNN_GRAPH_OPERATIONS, CUDNN_TYPE_DESCRIPTOR, count, ops);
    set(m, result, CUDNN_GRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    finish(m, result);
    return result;
}

/* ---- plans ---- */

static void plan_of(struct maker *m, cudnn_handle handle, cudnn_descriptor config)
{
    int64_t workspace = 0, count = 0;
    cudnn_descriptor plan = make(m, CUDNN_PLAN);
    m->what = "plan";
    set(m, plan, CUDNN_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set_part(m, plan, CUDNN_PLAN_CONFIG, config);
    finish(m, plan);
    if (m->status == CUDNN_SUCCESS)
        m->status =
            api.backend_get(plan, CUDNN_PLAN_WORKSPACE, CUDNN_TYPE_INT64, 1, &count, &workspace);
    m->plan->plan = plan;
    m->plan->workspace = (size_t)workspace;
}

static void plan_by_number(struct maker *m, cudnn_handle handle, cudnn_descriptor operations,
                           int kernel)
{
    cudnn_descriptor engine = make(m, CUDNN_ENGINE), knob, config;
    m->what = "engine";
    set_part(m, engine, CUDNN_ENGINE_GRAPH, operations);
    set_int(m, engine, CUDNN_ENGINE_INDEX, CUDNN_ENGINE_COMPILED);
    finish(m, engine);
    knob = make(m, CUDNN_KNOB_CHOICE);
    set_enum(m, knob, CUDNN_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, CUDNN_KNOB_KERNEL_CFG);
    set_int(m, knob, CUDNN_KNOB_VALUE, kernel);
    finish(m, knob);
    config = make(m, CUDNN_ENGINE_CONFIG);
    set_part(m, config, CUDNN_CONFIG_ENGINE, engine);
    set_part(m, config, CUDNN_CONFIG_KNOBS, knob);
    finish(m, config);
    plan_of(m, handle, config);
    snprintf(m->plan->name, sizeof m->plan->name, "%d", kernel);
}

/* What the heuristics of one mode propose, best first. */
static int propose(struct maker *m, cudnn_descriptor operations, int mode,
                   cudnn_descriptor configs[PROPOSALS_MAX])
{
    int64_t count = 0;
    cudnn_descriptor heuristics = make(m, CUDNN_HEURISTICS);
    m->what = "heuristics";
    set_part(m, heuristics, CUDNN_HEURISTICS_GRAPH, operations);
    set_enum(m, heuristics, CUDNN_HEURISTICS_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    finish(m, heuristics);
    for (int i = 0; i < PROPOSALS_MAX && m->status == CUDNN_SUCCESS; ++i)
        m->status = api.backend_create(CUDNN_ENGINE_CONFIG, &configs[i]);
    if (m->status == CUDNN_SUCCESS)
        m->status = api.backend_get(heuristics, CUDNN_HEURISTICS_RESULTS, CUDNN_TYPE_DESCRIPTOR,
                                    PROPOSALS_MAX, &count, (void *)configs);
    return m->status == CUDNN_SUCCESS ? (int)count : 0;
}

/* The rank-th of the proposals that can be built. */
static void plan_by_heuristics(struct maker *m, cudnn_handle handle, cudnn_descriptor operations,
                               int rank)
{
    static const int modes[] = {CUDNN_MODE_A, CUDNN_MODE_B};
    int built = 0, kept = m->plan->made_count;
    for (int k = 0; k < 2; ++k) {
        cudnn_descriptor configs[PROPOSALS_MAX] = {0};
        int count = propose(m, operations, modes[k], configs);
        bool found = false;
        for (int i = 0; i < count && !found; ++i) {
            m->status = CUDNN_SUCCESS;
            plan_of(m, handle, configs[i]);
            found = m->status == CUDNN_SUCCESS && built++ == rank;
            if (!found && m->plan->made_count > kept) {
                api.backend_destroy(m->plan->made[--m->plan->made_count]);
                m->plan->plan = NULL;
            }
        }
        for (int i = 0; i < PROPOSALS_MAX; ++i)
            if (configs[i])
                api.backend_destroy(configs[i]);
        snprintf(m->plan->name, sizeof m->plan->name, "heuristics %d", rank);
        if (found)
            return;
        m->status = CUDNN_SUCCESS;
        kept = m->plan->made_count;
    }
    m->status = -1;
}

int fused_conv_plan_build(struct fused_cudnn *cudnn, const struct fused_conv *conv, int kernel,
                          int rank, struct fused_conv_plan **out, char *error, size_t error_bytes)
{
    struct fused_conv_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return fused_fail(error, error_bytes, "out of memory");
    struct maker m = {.plan = plan, .what = "tensor"};
    plan->residual = conv->residual;
    cudnn_descriptor operations = graph(&m, cudnn->handle, conv);
    if (m.status == CUDNN_SUCCESS && kernel != FUSED_BY_HEURISTICS)
        plan_by_number(&m, cudnn->handle, operations, kernel);
    else if (m.status == CUDNN_SUCCESS)
        plan_by_heuristics(&m, cudnn->handle, operations, rank);
    if (m.status == CUDNN_SUCCESS && plan->plan) {
        *out = plan;
        return 0;
    }
    if (m.status == -1)
        fused_fail(error, error_bytes, "cuDNN: no more plans");
    else
        check(m.status, m.what, error, error_bytes);
    fused_conv_plan_close(plan);
    return -1;
}

char *fused_conv_plan_save(const struct fused_conv_plan *plan)
{
    int64_t count = 0;
    if (api.backend_get(plan->plan, CUDNN_PLAN_JSON, CUDNN_TYPE_CHAR, 0, &count, NULL) !=
            CUDNN_SUCCESS ||
        count <= 0)
        return NULL;
    char *text = calloc((size_t)count + 1, 1);
    if (text && api.backend_get(plan->plan, CUDNN_PLAN_JSON, CUDNN_TYPE_CHAR, count, &count,
                                text) != CUDNN_SUCCESS) {
        free(text);
        return NULL;
    }
    return text;
}

int fused_conv_plan_restore(struct fused_cudnn *cudnn, const struct fused_conv *conv,
                            const char *text, struct fused_conv_plan **out, char *error,
                            size_t error_bytes)
{
    struct fused_conv_plan *plan = calloc(1, sizeof *plan);
    int64_t workspace = 0, count = 0;
    if (!plan)
        return fused_fail(error, error_bytes, "out of memory");
    struct maker m = {.plan = plan, .what = "kept plan"};
    plan->residual = conv->residual;
    plan->plan = make(&m, CUDNN_PLAN);
    set(&m, plan->plan, CUDNN_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &cudnn->handle);
    set(&m, plan->plan, CUDNN_PLAN_JSON, CUDNN_TYPE_CHAR, (int64_t)strlen(text), text);
    finish(&m, plan->plan);
    if (m.status == CUDNN_SUCCESS)
        m.status = api.backend_get(plan->plan, CUDNN_PLAN_WORKSPACE, CUDNN_TYPE_INT64, 1, &count,
                                   &workspace);
    plan->workspace = (size_t)workspace;
    snprintf(plan->name, sizeof plan->name, "kept");
    if (check(m.status, m.what, error, error_bytes) == 0) {
        *out = plan;
        return 0;
    }
    fused_conv_plan_close(plan);
    return -1;
}

void fused_conv_plan_close(struct fused_conv_plan *plan)
{
    if (!plan)
        return;
    while (plan->made_count > 0)
        api.backend_destroy(plan->made[--plan->made_count]);
    free(plan);
}

size_t fused_conv_plan_workspace(const struct fused_conv_plan *plan)
{
    return plan->workspace;
}

const char *fused_conv_plan_name(const struct fused_conv_plan *plan)
{
    return plan->name;
}

/* ---- running ---- */

int fused_binding_open(struct fused_binding **out, const struct fused_conv_plan *plan,
                       const struct fused_conv_memory *memory)
{
    struct fused_binding *binding = calloc(1, sizeof *binding);
    int64_t ids[] = {ID_X, ID_WEIGHTS, ID_Y, ID_BIAS, ID_RESIDUAL};
    const void *places[] = {memory->x, memory->weights, memory->y, memory->bias, memory->residual};
    int64_t count = plan->residual ? 5 : 4;
    if (!binding)
        return -1;
    int status = api.backend_create(CUDNN_VARIANT_PACK, &binding->pack);
    if (status == CUDNN_SUCCESS)
        status = api.backend_set(binding->pack, CUDNN_PACK_POINTERS, CUDNN_TYPE_VOID_PTR, count,
                                 (const void *)places);
    if (status == CUDNN_SUCCESS)
        status = api.backend_set(binding->pack, CUDNN_PACK_IDS, CUDNN_TYPE_INT64, count, ids);
    if (status == CUDNN_SUCCESS)
        status = api.backend_set(binding->pack, CUDNN_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                                 (const void *)&memory->workspace);
    if (status == CUDNN_SUCCESS)
        status = api.backend_finalize(binding->pack);
    if (status != CUDNN_SUCCESS) {
        fused_binding_close(binding);
        return -1;
    }
    *out = binding;
    return 0;
}

void fused_binding_close(struct fused_binding *binding)
{
    if (!binding)
        return;
    if (binding->pack)
        api.backend_destroy(binding->pack);
    free(binding);
}

int fused_conv_run(struct fused_cudnn *cudnn, const struct fused_conv_plan *plan,
                   const struct fused_binding *binding, cudaStream_t stream)
{
    int status = api.set_stream(cudnn->handle, stream);
    if (status == CUDNN_SUCCESS)
        status = api.backend_execute(cudnn->handle, plan->plan, binding->pack);
    return status == CUDNN_SUCCESS ? 0 : -1;
}
