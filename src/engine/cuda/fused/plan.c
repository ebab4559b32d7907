#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fused_op *fused_add_op(struct fused_plan *plan, enum fused_op_kind kind, int order,
                              const char *name)
{
    if (plan->op_count == FUSED_OPS_MAX)
        return NULL;
    struct fused_op *op = &plan->op[plan->op_count++];
    *op = (struct fused_op){
        .kind = kind,
        .order = order,
        .name = name ? name : "",
        .x_value = -1,
        .residual_value = -1,
        .y_value = -1,
        .y2_value = -1,
        .x.buffer = -1,
        .residual.buffer = -1,
        .y.buffer = -1,
        .y2.buffer = -1,
        .y3.buffer = -1,
    };
    return op;
}

int fused_add_buffer(struct fused_plan *plan, int height, int width, int channels)
{
    if (plan->buffer_count == FUSED_BUFFERS_MAX)
        return -1;
    struct fused_buffer *buffer = &plan->buffer[plan->buffer_count];
    *buffer = (struct fused_buffer){.height = height, .width = width, .channels = channels};
    buffer->count = (int64_t)height * width * channels;
    buffer->bytes = (size_t)buffer->count * 2;
    return plan->buffer_count++;
}

int fused_add_dense(struct fused_plan *plan, int value)
{
    if (plan->dense_of[value] >= 0)
        return plan->dense_of[value];
    int index = fused_add_buffer(plan, 0, 0, 0);
    if (index < 0)
        return -1;
    plan->buffer[index].dense = true;
    plan->buffer[index].count = fused_count(&plan->graph.value[value]);
    plan->buffer[index].bytes = (size_t)plan->buffer[index].count * sizeof(float);
    return plan->dense_of[value] = index;
}

int fused_users(const struct fused_plan *plan, int value, int *nodes, int room)
{
    int count = 0;
    for (int n = 0; n < plan->graph.node_count; ++n) {
        bool uses = false;
        for (int i = 0; i < plan->graph.node[n].input_count; ++i)
            uses = uses || plan->graph.node[n].input[i] == value;
        if (!uses || plan->gone[n])
            continue;
        if (count < room)
            nodes[count] = n;
        ++count;
    }
    return count + (fused_is_output(plan, value) ? 1 : 0);
}

int fused_maker(const struct fused_plan *plan, int value)
{
    for (int n = 0; n < plan->graph.node_count; ++n)
        for (int i = 0; i < plan->graph.node[n].output_count && !plan->gone[n]; ++i)
            if (plan->graph.node[n].output[i] == value)
                return n;
    return -1;
}

bool fused_is_output(const struct fused_plan *plan, int value)
{
    for (int i = 0; i < plan->graph.output_count; ++i)
        if (plan->graph.output[i] == value)
            return true;
    return false;
}

bool fused_is_constant(const struct fused_plan *plan, int value)
{
    return value >= 0 && (plan->graph.value[value].data || plan->graph.value[value].weights);
}

/* ---- folding ---- */

static void replace_value(struct fused_plan *plan, int from, int to)
{
    for (int n = 0; n < plan->graph.node_count; ++n)
        for (int i = 0; i < plan->graph.node[n].input_count; ++i)
            if (plan->graph.node[n].input[i] == from)
                plan->graph.node[n].input[i] = to;
}

/* Hands its input on as it is. */
static bool is_nothing(const struct fused_plan *plan, const struct fused_node *node)
{
    const struct fused_tensor *from = &plan->graph.value[node->input[0]];
    const struct fused_tensor *to = &plan->graph.value[node->output[0]];
    if (fused_is_output(plan, node->output[0]))
        return false;
    return strcmp(node->op, "Identity") == 0 ||
           (strcmp(node->op, "Cast") == 0 && from->type == FUSED_FLOAT && to->type == FUSED_FLOAT);
}

static void drop_unused(struct fused_plan *plan)
{
    for (int n = plan->graph.node_count - 1; n >= 0; --n) {
        bool used = false;
        for (int i = 0; i < plan->graph.node[n].output_count; ++i)
            used = used || (plan->graph.node[n].output[i] >= 0 &&
                            fused_users(plan, plan->graph.node[n].output[i], NULL, 0) > 0);
        plan->gone[n] = plan->gone[n] || !used;
    }
}

int fused_fold(struct fused_plan *plan, char *error, size_t error_bytes)
{
    struct fused_onnx *graph = &plan->graph;
    graph->value[graph->input] = (struct fused_tensor){
        .type = FUSED_FLOAT, .rank = 4, .dims = {1, 3, plan->height, plan->width}};
    for (int n = 0; n < graph->node_count; ++n) {
        const struct fused_node *node = &graph->node[n];
        if (fused_evaluate(graph, node, error, error_bytes) < 0)
            return -1;
        plan->gone[n] = true;
        for (int i = 0; i < node->output_count; ++i) {
            int value = node->output[i];
            if (value < 0 || fused_is_constant(plan, value))
                continue;
            plan->gone[n] = false;
            if (graph->value[value].rank < 1 || graph->value[value].dims[0] != 1)
                return fused_fail(error, error_bytes, "%s %s: mixes the batch's images", node->op,
                                  node->name ? node->name : "");
        }
        if (!plan->gone[n] && is_nothing(plan, node)) {
            replace_value(plan, node->output[0], node->input[0]);
            plan->gone[n] = true;
        }
    }
    for (int i = 0; i < graph->output_count; ++i)
        if (fused_is_constant(plan, graph->output[i]) || fused_maker(plan, graph->output[i]) < 0 ||
            graph->value[graph->output[i]].type != FUSED_FLOAT)
            return fused_fail(error, error_bytes, "output %d is not computed, or no floats", i);
    drop_unused(plan);
    return 0;
}

/* ---- opening ---- */

/* Steps add values and nodes: there is room for as many again. */
static bool allocate(struct fused_plan *plan)
{
    size_t values = (size_t)plan->graph.value_count * 2 + 256;
    int **const ints[] = {&plan->dense_of, &plan->home,    &plan->home_at,
                          &plan->part_of,  &plan->part_at, &plan->buffer_of};
    bool all = true;
    plan->op = calloc(FUSED_OPS_MAX, sizeof *plan->op);
    plan->buffer = calloc(FUSED_BUFFERS_MAX, sizeof *plan->buffer);
    plan->gone = calloc((size_t)plan->graph.node_count * 2 + 256, sizeof *plan->gone);
    plan->image = calloc(values, sizeof *plan->image);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; ++i) {
        *ints[i] = calloc(values, sizeof **ints[i]);
        for (size_t k = 0; *ints[i] && k < values; ++k)
            (*ints[i])[k] = -1;
        all = all && *ints[i];
    }
    return all && plan->op && plan->buffer && plan->gone && plan->image;
}

int fused_plan_open_graph(struct fused_plan **out, struct fused_onnx *graph, int height, int width,
                          float input_scale, char *error, size_t error_bytes)
{
    typedef int step_fn(struct fused_plan * plan, char *error, size_t error_bytes);
    static step_fn *const steps[] = {fused_fold,  fused_lower, fused_merge,
                                     fused_place, fused_tail,  fused_schedule};
    struct fused_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        fused_onnx_free(graph);
        return fused_fail(error, error_bytes, "out of memory");
    }
    plan->graph = *graph;
    memset(graph, 0, sizeof *graph);
    plan->height = height;
    plan->width = width;
    plan->input_scale = input_scale;
    int result = allocate(plan) ? 0 : fused_fail(error, error_bytes, "out of memory");
    for (size_t i = 0; i < sizeof steps / sizeof *steps && result == 0; ++i)
        result = steps[i](plan, error, error_bytes);
    if (result < 0)
        fused_plan_close(plan);
    else
        *out = plan;
    return result;
}

int fused_plan_open(struct fused_plan **out, const char *path, int height, int width,
                    float input_scale, char *error, size_t error_bytes)
{
    struct fused_onnx graph;
    if (fused_onnx_read(&graph, path, error, error_bytes) < 0)
        return -1;
    return fused_plan_open_graph(out, &graph, height, width, input_scale, error, error_bytes);
}

void fused_plan_close(struct fused_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; plan->op && i < plan->op_count; ++i) {
        free(plan->op[i].weights);
        free(plan->op[i].bias);
    }
    fused_onnx_free(&plan->graph);
    free(plan->op);
    free(plan->buffer);
    free(plan->gone);
    free(plan->image);
    free(plan->dense_of);
    free(plan->home);
    free(plan->home_at);
    free(plan->part_of);
    free(plan->part_at);
    free(plan->buffer_of);
    free(plan->source);
    free(plan->constants);
    free(plan);
}
