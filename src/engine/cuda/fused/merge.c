/* Convolutions that become one: those whose results are added, and pairs that read one input. */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

enum { LEAVES_MAX = 16 };

/* ---- sums ---- */

static bool same_window(const struct fused_window *a, const struct fused_window *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Collects the convolutions that an Add sums up; false: something else is among them. */
static bool collect(const struct fused_plan *plan, int value, bool top, int *leaves, int *count)
{
    int n = fused_maker(plan, value);
    const struct fused_node *node = n >= 0 ? &plan->graph.node[n] : NULL;
    if (!node)
        return false;
    if (!top && fused_users(plan, value, NULL, 0) != 1)
        return false;
    if (strcmp(node->op, "Add") == 0)
        return collect(plan, node->input[0], false, leaves, count) &&
               collect(plan, node->input[1], false, leaves, count);
    if (strcmp(node->op, "Conv") != 0 || !fused_is_constant(plan, node->input[1]) ||
        *count == LEAVES_MAX)
        return false;
    leaves[(*count)++] = n;
    return true;
}

static bool window_of(const struct fused_plan *plan, int n, struct fused_window *window)
{
    const struct fused_node *node = &plan->graph.node[n];
    const struct fused_tensor *x = &plan->graph.value[node->input[0]];
    const struct fused_tensor *w = &plan->graph.value[node->input[1]];
    memset(window, 0, sizeof *window);
    return x->rank == 4 && w->rank == 4 &&
           fused_window_read(window, node, (int)w->dims[2], (int)w->dims[3], (int)x->dims[2],
                             (int)x->dims[3]) == 0 &&
           window->groups == 1;
}

static bool can_join(const struct fused_plan *plan, const int *leaves, int count)
{
    struct fused_window first, other;
    const struct fused_onnx *graph = &plan->graph;
    if (count < 2 || !window_of(plan, leaves[0], &first))
        return false;
    const struct fused_tensor *x = &graph->value[graph->node[leaves[0]].input[0]];
    for (int i = 0; i < count; ++i) {
        const struct fused_node *node = &graph->node[leaves[i]];
        const struct fused_tensor *y = &graph->value[node->input[0]];
        bool bias = node->input_count > 2 && node->input[2] >= 0;
        if (!window_of(plan, leaves[i], &other) || !same_window(&first, &other) ||
            y->dims[2] != x->dims[2] || y->dims[3] != x->dims[3] ||
            node->input[0] == graph->input || (bias && !fused_is_constant(plan, node->input[2])))
            return false;
    }
    return true;
}

static double number(const struct fused_tensor *t, int64_t index)
{
    return t->data ? t->data[index] : (double)t->weights[index];
}

/* The weights side by side, along the inputs; and the biases' sum. */
static int join_weights(struct fused_plan *plan, const int *leaves, int count, int *bias)
{
    struct fused_onnx *graph = &plan->graph;
    int joined = fused_onnx_add_value(graph);
    *bias = fused_onnx_add_value(graph);
    if (joined < 0 || *bias < 0)
        return -1;
    struct fused_tensor *to = &graph->value[joined], *sum = &graph->value[*bias];
    *to = graph->value[graph->node[leaves[0]].input[1]];
    to->data = NULL;
    to->dims[1] = 0;
    for (int i = 0; i < count; ++i)
        to->dims[1] += graph->value[graph->node[leaves[i]].input[1]].dims[1];
    to->weights = calloc((size_t)fused_count(to) + 1, sizeof *to->weights);
    *sum = (struct fused_tensor){.type = FUSED_FLOAT, .rank = 1, .dims = {to->dims[0]}};
    sum->data = calloc((size_t)to->dims[0], sizeof *sum->data);
    if (!to->weights || !sum->data)
        return -1;
    int64_t area = to->dims[2] * to->dims[3], at = 0;
    for (int i = 0; i < count; ++i) {
        const struct fused_node *node = &graph->node[leaves[i]];
        const struct fused_tensor *from = &graph->value[node->input[1]];
        int64_t length = from->dims[1] * area;
        for (int64_t k = 0; k < from->dims[0] * length; ++k)
            to->weights[(k / length * to->dims[1] + at) * area + k % length] =
                (float)number(from, k);
        for (int64_t k = 0; k < to->dims[0] && node->input_count > 2 && node->input[2] >= 0; ++k)
            sum->data[k] += number(&graph->value[node->input[2]], k);
        at += from->dims[1];
    }
    return joined;
}

/* The Add becomes the convolution, the last of the leaves the concatenation before it. */
static int join(struct fused_plan *plan, int add, const int *leaves, int count)
{
    struct fused_onnx *graph = &plan->graph;
    int bias, inputs[LEAVES_MAX] = {0}, last = 0, side = fused_onnx_add_value(graph);
    int weights = join_weights(plan, leaves, count, &bias);
    if (side < 0 || weights < 0)
        return -1;
    for (int i = 0; i < count; ++i) {
        inputs[i] = graph->node[leaves[i]].input[0];
        last = leaves[i] > last ? leaves[i] : last;
        plan->gone[leaves[i]] = true;
    }
    struct fused_node *conv = &graph->node[add], *concat = &graph->node[last];
    int output = conv->output[0];
    *conv = graph->node[leaves[0]];
    conv->input_count = 3;
    conv->input[0] = side;
    conv->input[1] = weights;
    conv->input[2] = bias;
    conv->output[0] = output;
    conv->name = graph->value_name[output];
    const struct fused_tensor *x = &graph->value[inputs[0]];
    graph->value[side] =
        (struct fused_tensor){.type = FUSED_FLOAT,
                              .rank = 4,
                              .dims = {1, graph->value[weights].dims[1], x->dims[2], x->dims[3]}};
    *concat = (struct fused_node){.op = "Concat",
                                  .input_count = count,
                                  .output_count = 1,
                                  .output = {side},
                                  .attribute_count = 1,
                                  .attribute = {{.name = "axis", .i = 1, .tensor = -1}}};
    memcpy(concat->input, inputs, sizeof *inputs * (size_t)count);
    plan->gone[last] = false;
    return 0;
}

/* Adds in between go with what they sum up. */
static void drop_sums(struct fused_plan *plan, int value)
{
    int n = fused_maker(plan, value);
    if (n < 0 || strcmp(plan->graph.node[n].op, "Add") != 0)
        return;
    drop_sums(plan, plan->graph.node[n].input[0]);
    drop_sums(plan, plan->graph.node[n].input[1]);
    plan->gone[n] = true;
}

int fused_join_sums(struct fused_plan *plan, char *error, size_t error_bytes)
{
    for (int n = plan->graph.node_count - 1; n >= 0; --n) { /* the outermost first */
        const struct fused_node *node = &plan->graph.node[n];
        int leaves[LEAVES_MAX] = {0}, count = 0;
        if (plan->gone[n] || strcmp(node->op, "Add") != 0 ||
            !collect(plan, node->output[0], true, leaves, &count) || !can_join(plan, leaves, count))
            continue;
        drop_sums(plan, node->input[0]);
        drop_sums(plan, node->input[1]);
        if (join(plan, n, leaves, count) < 0)
            return fused_fail(error, error_bytes, "out of memory");
    }
    return 0;
}

/* ---- pairs ---- */

static int concats_of(const struct fused_plan *plan, int value, int *node, int *place)
{
    int count = 0;
    for (int n = 0; n < plan->graph.node_count; ++n)
        for (int i = 0; i < plan->graph.node[n].input_count; ++i)
            if (!plan->gone[n] && plan->graph.node[n].input[i] == value &&
                strcmp(plan->graph.node[n].op, "Concat") == 0) {
                *node = n;
                *place = i;
                ++count;
            }
    return count;
}

/* Their results can lie side by side: nowhere else wanted, neighbours of one concatenation, or the
 * second behind what the first becomes. Whether that can be written in place, place.c sees. */
static bool side_by_side(const struct fused_plan *plan, const struct fused_op *a,
                         const struct fused_op *b)
{
    int node_a = -1, node_b = -1, at_a = 0, at_b = 0;
    int in_a = concats_of(plan, a->y_value, &node_a, &at_a);
    int in_b = concats_of(plan, b->y_value, &node_b, &at_b);
    if (in_a == 0 && in_b == 0)
        return true;
    if (in_a == 1 && in_b == 1)
        return node_a == node_b && at_b == at_a + 1;
    if (in_a != 0 || in_b != 1 || at_b == 0)
        return false;
    int before = plan->graph.node[node_b].input[at_b - 1];
    return plan->graph.value[before].dims[1] == a->channels_out;
}

static bool alike(const struct fused_op *a, const struct fused_op *b)
{
    return a->kind == FUSED_CONV && b->kind == FUSED_CONV && a->x_value == b->x_value &&
           a->residual_value < 0 && b->residual_value < 0 && same_window(&a->window, &b->window) &&
           a->activation == b->activation &&
           (a->activation != CUDA_ACTIVATION_CLIP || (a->low == b->low && a->high == b->high));
}

static int merge(struct fused_plan *plan, struct fused_op *a, struct fused_op *b)
{
    struct fused_onnx *graph = &plan->graph;
    int value = fused_onnx_add_value(graph), out = a->channels_out + b->channels_out;
    size_t inner = (size_t)a->channels_in * (size_t)(a->window.kernel[0] * a->window.kernel[1]);
    size_t first = inner * (size_t)a->channels_out, second = inner * (size_t)b->channels_out;
    float *weights = realloc(a->weights, (first + second) * sizeof *weights);
    a->weights = weights ? weights : a->weights;
    float *bias = realloc(a->bias, (size_t)out * sizeof *bias);
    a->bias = bias ? bias : a->bias;
    if (value < 0 || !weights || !bias)
        return -1;
    memcpy(weights + first, b->weights, second * sizeof *weights);
    memcpy(bias + a->channels_out, b->bias, (size_t)b->channels_out * sizeof *bias);
    graph->value[value] = graph->value[a->y_value];
    graph->value[value].dims[1] = out;
    plan->part_of[a->y_value] = plan->part_of[b->y_value] = value;
    plan->part_at[a->y_value] = 0;
    plan->part_at[b->y_value] = a->channels_out;
    plan->image[value] = true;
    a->channels_out = out;
    a->y_value = value;
    free(b->weights);
    free(b->bias);
    b->weights = b->bias = NULL;
    *b = plan->op[--plan->op_count];
    return 0;
}

int fused_merge(struct fused_plan *plan, char *error, size_t error_bytes)
{
    for (int i = 0; i < plan->op_count; ++i)
        for (int k = i + 1; k < plan->op_count; ++k) {
            struct fused_op *a = &plan->op[i], *b = &plan->op[k];
            bool ready = plan->part_of[a->y_value] < 0 && plan->part_of[b->y_value] < 0;
            if (!ready || !alike(a, b) || !side_by_side(plan, a, b) ||
                fused_is_output(plan, a->y_value) || fused_is_output(plan, b->y_value))
                continue;
            if (merge(plan, a, b) < 0)
                return fused_fail(error, error_bytes, "out of memory");
            fused_sort(plan);
            break; /* one pair each: what it gives is no file's value */
        }
    return 0;
}
