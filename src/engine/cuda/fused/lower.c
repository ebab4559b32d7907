/* Patterns of the graph to operations. First goes forward which values are images that this
 * executor can hold; then backward which of them a convolution still needs: the rest is the tail.
 */
#include "lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct fused_tensor *tensor(const struct lowering *l, int value)
{
    return &l->plan->graph.value[value];
}

/* For n < 0 some node: is_op() says that there is none. */
static struct fused_node *node_of(const struct lowering *l, int n)
{
    return &l->plan->graph.node[n > 0 ? n : 0];
}

static bool is_op(const struct lowering *l, int n, const char *op)
{
    return n >= 0 && !l->plan->gone[n] && strcmp(l->plan->graph.node[n].op, op) == 0;
}

static bool same_shape(const struct lowering *l, int a, int b)
{
    const struct fused_tensor *x = tensor(l, a), *y = tensor(l, b);
    return x->rank == y->rank && memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims) == 0;
}

static bool conv_window(const struct lowering *l, const struct fused_node *node,
                        struct fused_window *window)
{
    const struct fused_tensor *x = tensor(l, node->input[0]), *w = tensor(l, node->input[1]);
    if (fused_window_read(window, node, (int)w->dims[2], (int)w->dims[3], (int)x->dims[2],
                          (int)x->dims[3]) < 0)
        return false;
    bool each = window->groups > 1 && window->groups == x->dims[1] && w->dims[0] == x->dims[1];
    return window->dilation[0] == 1 && window->dilation[1] == 1 && (window->groups == 1 || each);
}

/* ---- what can be an image ---- */

static bool all_images(const struct lowering *l, const struct fused_node *node)
{
    for (int i = 0; i < node->input_count; ++i)
        if (node->input[i] < 0 || !l->image[node->input[i]] ||
            node->input[i] == l->plan->graph.input)
            return false;
    return true;
}

static bool conv_fits(const struct lowering *l, const struct fused_node *node)
{
    struct fused_window window;
    bool bias = node->input_count > 2 && node->input[2] >= 0;
    return l->image[node->input[0]] && fused_is_constant(l->plan, node->input[1]) &&
           (!bias || fused_is_constant(l->plan, node->input[2])) && conv_window(l, node, &window);
}

static bool clip_is_constant(const struct lowering *l, const struct fused_node *node)
{
    for (int i = 1; i < node->input_count; ++i)
        if (node->input[i] >= 0 && !fused_is_constant(l->plan, node->input[i]))
            return false;
    return true;
}

/* Mul(x, Sigmoid(x)): x, else -1. */
static int silu_of(const struct lowering *l, const struct fused_node *node)
{
    for (int i = 0; i < 2 && strcmp(node->op, "Mul") == 0; ++i) {
        int sigmoid = fused_maker(l->plan, node->input[i]);
        if (is_op(l, sigmoid, "Sigmoid") && node_of(l, sigmoid)->input[0] == node->input[1 - i])
            return node->input[1 - i];
    }
    return -1;
}

static bool channel_slice(const struct lowering *l, const struct fused_node *node, int *offset)
{
    int64_t begin[FUSED_RANK_MAX] = {0}, step[FUSED_RANK_MAX] = {0};
    int64_t size[FUSED_RANK_MAX] = {0};
    const struct fused_tensor *x = tensor(l, node->input[0]);
    if (fused_slice_read(&l->plan->graph, node, begin, step, size) < 0)
        return false;
    for (int i = 0; i < x->rank; ++i)
        if (step[i] != 1 || (i != 1 && size[i] != x->dims[i]))
            return false;
    *offset = (int)begin[1];
    return true;
}

static bool resize_fits(const struct lowering *l, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(l, node->input[0]), *y = tensor(l, node->output[0]);
    const struct fused_attribute *where = fused_attribute(node, "coordinate_transformation_mode");
    const struct fused_attribute *round = fused_attribute(node, "nearest_mode");
    bool corner = where && strncmp(where->s, "align_corners", 13) == 0;
    bool up = round && strcmp(round->s, "ceil") == 0;
    return y->dims[2] == 2 * x->dims[2] && y->dims[3] == 2 * x->dims[3] && !corner && !up;
}

static bool pool_fits(const struct lowering *l, const struct fused_node *node)
{
    struct fused_window window;
    const struct fused_attribute *kernel = fused_attribute(node, "kernel_shape");
    const struct fused_tensor *x = tensor(l, node->input[0]);
    return node->output_count == 1 && kernel && kernel->count == 2 &&
           fused_window_read(&window, node, (int)kernel->ints[0], (int)kernel->ints[1],
                             (int)x->dims[2], (int)x->dims[3]) == 0 &&
           window.dilation[0] == 1 && window.dilation[1] == 1;
}

static bool is_image(const struct lowering *l, const struct fused_node *node)
{
    int offset, axis = (int)fused_int(node, "axis", 0);
    if (node->output[0] < 0 || tensor(l, node->output[0])->rank != 4)
        return false;
    if (strcmp(node->op, "Conv") == 0)
        return conv_fits(l, node);
    if (strcmp(node->op, "Mul") == 0)
        return silu_of(l, node) >= 0 && l->image[silu_of(l, node)];
    if (node->input[0] < 0 || !l->image[node->input[0]] || node->input[0] == l->plan->graph.input)
        return false;
    if (strcmp(node->op, "Relu") == 0)
        return true;
    if (strcmp(node->op, "Clip") == 0)
        return clip_is_constant(l, node);
    if (strcmp(node->op, "Add") == 0)
        return all_images(l, node) && same_shape(l, node->input[0], node->input[1]);
    if (strcmp(node->op, "Concat") == 0)
        return axis == 1 && all_images(l, node);
    if (strcmp(node->op, "Split") == 0)
        return axis == 1;
    if (strcmp(node->op, "Slice") == 0)
        return channel_slice(l, node, &offset);
    if (strcmp(node->op, "Resize") == 0 || strcmp(node->op, "Upsample") == 0)
        return resize_fits(l, node);
    return strcmp(node->op, "MaxPool") == 0 && pool_fits(l, node);
}

/* ---- attention ---- */

static bool swaps_last(const struct fused_node *node)
{
    const struct fused_attribute *perm = fused_attribute(node, "perm");
    return strcmp(node->op, "Transpose") == 0 && perm && perm->count == 4 && perm->ints[0] == 0 &&
           perm->ints[1] == 1 && perm->ints[2] == 3 && perm->ints[3] == 2;
}

/* The third output of a Split of heads' queries, keys and values that an image was cut into. */
static bool find_heads(const struct lowering *l, int value, struct attention *a)
{
    int split = fused_maker(l->plan, value);
    const struct fused_node *s = node_of(l, split);
    if (!is_op(l, split, "Split") || s->output_count != 3 || s->output[2] != value ||
        tensor(l, value)->rank != 4)
        return false;
    int axis = (int)fused_int(s, "axis", 0), reshape = fused_maker(l->plan, s->input[0]);
    if ((axis != 2 && axis != -2) || !is_op(l, reshape, "Reshape"))
        return false;
    *a = (struct attention){
        .qkv = node_of(l, reshape)->input[0], .q = s->output[0], .k = s->output[1], .v = value};
    const struct fused_tensor *x = tensor(l, a->qkv), *v = tensor(l, value);
    a->heads = (int)v->dims[1];
    a->key = (int)tensor(l, a->q)->dims[2];
    a->head = (int)v->dims[2];
    return l->image[a->qkv] && x->rank == 4 && v->dims[3] == x->dims[2] * x->dims[3] &&
           tensor(l, a->k)->dims[2] == a->key && a->heads * (2 * a->key + a->head) == x->dims[1];
}

static bool match_weights(const struct lowering *l, int value, struct attention *a)
{
    int softmax = fused_maker(l->plan, value);
    int64_t axis = is_op(l, softmax, "Softmax") ? fused_int(node_of(l, softmax), "axis", -1) : 0;
    if (!is_op(l, softmax, "Softmax") || (axis != -1 && axis != 3))
        return false;
    int from = node_of(l, softmax)->input[0], scale = fused_maker(l->plan, from);
    a->scale = 1;
    if (is_op(l, scale, "Mul") || is_op(l, scale, "Div")) {
        const struct fused_node *s = node_of(l, scale);
        int constant = fused_is_constant(l->plan, s->input[0]) ? 0 : 1;
        const struct fused_tensor *by = tensor(l, s->input[constant]);
        bool divides = strcmp(s->op, "Div") == 0;
        if (!by->data || fused_count(by) != 1 || (divides && constant == 0))
            return false;
        a->scale = (float)(divides ? 1 / by->data[0] : by->data[0]);
        from = s->input[1 - constant];
    }
    int product = fused_maker(l->plan, from);
    if (!is_op(l, product, "MatMul") || node_of(l, product)->input[1] != a->k)
        return false;
    int turned = fused_maker(l->plan, node_of(l, product)->input[0]);
    return turned >= 0 && swaps_last(node_of(l, turned)) && node_of(l, turned)->input[0] == a->q;
}

/* Values times weights, back to an image. */
static bool match_attention(const struct lowering *l, const struct fused_node *node,
                            struct attention *a)
{
    int product = fused_maker(l->plan, node->input[0]);
    if (strcmp(node->op, "Reshape") != 0 || !is_op(l, product, "MatMul"))
        return false;
    const struct fused_node *p = node_of(l, product);
    int turned = fused_maker(l->plan, p->input[1]);
    const struct fused_tensor *y = tensor(l, node->output[0]);
    if (!find_heads(l, p->input[0], a) || turned < 0 || !swaps_last(node_of(l, turned)) ||
        !match_weights(l, node_of(l, turned)->input[0], a))
        return false;
    const struct fused_tensor *x = tensor(l, a->qkv);
    return y->rank == 4 && y->dims[1] == a->heads * a->head && y->dims[2] == x->dims[2] &&
           y->dims[3] == x->dims[3];
}

/* The values of all heads as an image. */
static bool match_values(const struct lowering *l, const struct fused_node *node,
                         struct attention *a)
{
    const struct fused_tensor *y = tensor(l, node->output[0]);
    if (strcmp(node->op, "Reshape") != 0 || y->rank != 4 || !find_heads(l, node->input[0], a))
        return false;
    return y->dims[1] == a->heads * a->head && y->dims[2] == tensor(l, a->qkv)->dims[2];
}

/* ---- forward and backward ---- */

static void mark_images(struct lowering *l)
{
    struct attention a;
    l->image[l->plan->graph.input] = true;
    for (int n = 0; n < l->plan->graph.node_count; ++n) {
        const struct fused_node *node = node_of(l, n);
        if (l->plan->gone[n])
            continue;
        bool image = is_image(l, node) || match_attention(l, node, &a) || match_values(l, node, &a);
        for (int i = 0; image && i < node->output_count; ++i)
            if (node->output[i] >= 0)
                l->image[node->output[i]] = true;
    }
}

static void mark_leading(struct lowering *l)
{
    struct attention a;
    for (int n = l->plan->graph.node_count - 1; n >= 0; --n) {
        const struct fused_node *node = node_of(l, n);
        bool leads = false;
        if (l->plan->gone[n] || node->output[0] < 0 || !l->image[node->output[0]])
            continue;
        for (int i = 0; i < node->output_count; ++i)
            leads = leads || (node->output[i] >= 0 && l->leads[node->output[i]]);
        if (strcmp(node->op, "Conv") == 0) {
            l->leads[node->input[0]] = true;
        } else if (leads && (match_attention(l, node, &a) || match_values(l, node, &a))) {
            l->leads[a.qkv] = true;
        } else if (leads) {
            for (int i = 0; i < node->input_count; ++i)
                if (node->input[i] >= 0)
                    l->leads[node->input[i]] = true;
        }
    }
}

/* ---- a convolution and what follows ---- */

static float *floats_of(const struct fused_tensor *t)
{
    int64_t count = fused_count(t);
    float *out = calloc((size_t)count + 1, sizeof *out);
    for (int64_t i = 0; out && i < count; ++i)
        out[i] = t->data ? (float)t->data[i] : t->weights[i];
    return out;
}

static int take_weights(struct lowering *l, struct fused_op *op, const struct fused_node *node)
{
    const struct fused_tensor *w = tensor(l, node->input[1]);
    int64_t out = w->dims[0], in = w->dims[1], area = w->dims[2] * w->dims[3];
    float *first = floats_of(w);
    op->weights = calloc((size_t)fused_count(w), sizeof *op->weights);
    op->bias = node->input_count > 2 && node->input[2] >= 0 ? floats_of(tensor(l, node->input[2]))
                                                            : calloc((size_t)out, sizeof(float));
    for (int64_t i = 0; first && op->weights && i < out * in * area; ++i)
        op->weights[(i / (in * area) * area + i % area) * in + i / area % in] =
            first[i] * (op->kind == FUSED_STEM ? l->plan->input_scale : 1);
    bool taken = first && op->weights && op->bias;
    free(first);
    return taken ? 0 : -1;
}

static float limit_of(const struct lowering *l, const struct fused_node *node, int port,
                      float otherwise)
{
    if (strcmp(node->op, "Relu") == 0)
        return port == 1 ? 0 : 3e38f;
    if (port < node->input_count && node->input[port] >= 0)
        return (float)tensor(l, node->input[port])->data[0];
    return fused_float(node, port == 1 ? "min" : "max", otherwise);
}

/* The activation that alone follows op's value; it becomes part of the operation. */
static void take_activation(struct lowering *l, struct fused_op *op)
{
    int users[2] = {0, 0}, count = fused_users(l->plan, op->y_value, users, 2);
    if (fused_is_output(l->plan, op->y_value))
        return;
    const struct fused_node *user = node_of(l, users[0]);
    if (count == 1 && (strcmp(user->op, "Relu") == 0 || strcmp(user->op, "Clip") == 0) &&
        l->image[user->output[0]] && l->leads[user->output[0]]) {
        op->activation = CUDA_ACTIVATION_CLIP;
        op->low = limit_of(l, user, 1, -3e38f);
        op->high = limit_of(l, user, 2, 3e38f);
        op->y_value = user->output[0];
        op->order = users[0];
        l->taken[users[0]] = true;
        return;
    }
    for (int i = 0; i < 2 && count == 2; ++i) {
        const struct fused_node *product = node_of(l, users[i]);
        if (silu_of(l, product) != op->y_value || !is_op(l, users[1 - i], "Sigmoid") ||
            fused_users(l->plan, node_of(l, users[1 - i])->output[0], NULL, 0) != 1 ||
            !l->leads[product->output[0]])
            continue;
        op->activation = CUDA_ACTIVATION_SILU;
        op->y_value = product->output[0];
        op->order = users[i];
        l->taken[users[0]] = l->taken[users[1]] = true;
    }
}

static bool is_activation(const struct lowering *l, int value)
{
    int users[2] = {0, 0}, count = fused_users(l->plan, value, users, 2);
    if (count == 1)
        return is_op(l, users[0], "Relu") || is_op(l, users[0], "Clip");
    return count == 2 && (is_op(l, users[0], "Sigmoid") || is_op(l, users[1], "Sigmoid"));
}

static void take_residual(struct lowering *l, struct fused_op *op)
{
    int user = -1;
    if (fused_is_output(l->plan, op->y_value) || fused_users(l->plan, op->y_value, &user, 1) != 1 ||
        !is_op(l, user, "Add") || l->taken[user])
        return;
    const struct fused_node *sum = node_of(l, user);
    int other = sum->input[0] == op->y_value ? sum->input[1] : sum->input[0];
    if (other == op->y_value || !l->image[sum->output[0]] || !l->leads[sum->output[0]] ||
        is_activation(l, sum->output[0]))
        return;
    op->residual_value = other;
    op->y_value = sum->output[0];
    op->order = user;
    l->taken[user] = true;
}

static int refuse(const struct lowering *l, const struct fused_node *node, const char *what)
{
    return fused_fail(l->error, l->error_bytes, "%s %s: %s", node->op, node->name ? node->name : "",
                      what);
}

static int lower_conv(struct lowering *l, int n)
{
    const struct fused_node *node = node_of(l, n);
    struct fused_window window;
    struct attention a;
    int x = node->input[0], y = node->output[0], maker = fused_maker(l->plan, x);
    conv_window(l, node, &window);
    bool grouped = maker >= 0 && match_values(l, node_of(l, maker), &a);
    enum fused_op_kind kind = !l->leads[y]                ? FUSED_HEAD
                              : x == l->plan->graph.input ? FUSED_STEM
                              : window.groups > 1         ? FUSED_DEPTHWISE
                                                          : FUSED_CONV;
    bool plain = window.kernel[0] == 1 && window.kernel[1] == 1 && window.stride[0] == 1 &&
                 window.stride[1] == 1 && window.before[0] == 0 && window.before[1] == 0 &&
                 window.after[0] == 0 && window.after[1] == 0;
    if (kind == FUSED_HEAD && (!plain || window.groups != 1 || x == l->plan->graph.input))
        return refuse(l, node, "a last convolution that is not 1x1");
    if (kind != FUSED_HEAD && tensor(l, y)->dims[1] % 8 != 0)
        return refuse(l, node, "channels that are no multiple of 8");
    if (grouped && kind != FUSED_DEPTHWISE)
        return refuse(l, node, "not of each channel of attention's values");
    struct fused_op *op = fused_add_op(l->plan, kind, n, node->name);
    if (!op || take_weights(l, op, node) < 0)
        return refuse(l, node, "out of memory");
    op->window = window;
    op->channels_in = (int)tensor(l, x)->dims[1];
    op->channels_out = (int)tensor(l, y)->dims[1];
    op->x_value = x;
    op->y_value = y;
    if (grouped) {
        op->x_value = a.qkv;
        op->group_stride = 2 * a.key + a.head;
        op->group_offset = 2 * a.key;
        op->group_width = a.head;
    }
    if (kind != FUSED_HEAD) {
        take_activation(l, op);
        take_residual(l, op);
    }
    return 0;
}

/* ---- the others ---- */

static int lower_other(struct lowering *l, int n)
{
    const struct fused_node *node = node_of(l, n);
    struct attention a;
    bool add = strcmp(node->op, "Add") == 0;
    if (match_values(l, node, &a))
        return 0; /* a view, which its convolution takes */
    if (strcmp(node->op, "Split") == 0 || strcmp(node->op, "Slice") == 0 ||
        strcmp(node->op, "Concat") == 0)
        return 0; /* placed, not computed */
    enum fused_op_kind kind = match_attention(l, node, &a)       ? FUSED_ATTENTION
                              : strcmp(node->op, "MaxPool") == 0 ? FUSED_POOL
                              : add                              ? FUSED_ADD
                              : strcmp(node->op, "Resize") == 0 || strcmp(node->op, "Upsample") == 0
                                  ? FUSED_UPSAMPLE
                                  : FUSED_TAIL;
    if (kind == FUSED_TAIL)
        return refuse(l, node, "an activation that follows no convolution");
    struct fused_op *op = fused_add_op(l->plan, kind, n, node->name);
    if (!op)
        return refuse(l, node, "too many operations");
    op->x_value = kind == FUSED_ATTENTION ? a.qkv : node->input[0];
    op->y_value = node->output[0];
    op->channels_in = (int)tensor(l, op->x_value)->dims[1];
    op->channels_out = (int)tensor(l, op->y_value)->dims[1];
    if (kind == FUSED_ATTENTION) {
        op->heads = a.heads;
        op->key = a.key;
        op->head = a.head;
        op->scale = a.scale;
    } else if (kind == FUSED_POOL) {
        const struct fused_attribute *kernel = fused_attribute(node, "kernel_shape");
        const struct fused_tensor *x = tensor(l, op->x_value);
        fused_window_read(&op->window, node, (int)kernel->ints[0], (int)kernel->ints[1],
                          (int)x->dims[2], (int)x->dims[3]);
    } else if (kind == FUSED_ADD) {
        op->residual_value = node->input[1];
        take_activation(l, op);
    }
    return 0;
}

static int lower_nodes(struct lowering *l)
{
    for (int n = 0; n < l->plan->graph.node_count; ++n) {
        const struct fused_node *node = node_of(l, n);
        if (l->plan->gone[n] || l->taken[n] || node->output[0] < 0 || !l->image[node->output[0]])
            continue;
        bool leads = false;
        for (int i = 0; i < node->output_count; ++i)
            leads = leads || (node->output[i] >= 0 && l->leads[node->output[i]]);
        int result = strcmp(node->op, "Conv") == 0 ? lower_conv(l, n)
                     : leads                       ? lower_other(l, n)
                                                   : 0;
        if (result < 0)
            return -1;
    }
    return 0;
}

static int by_order(const void *a, const void *b)
{
    const struct fused_op *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

void fused_sort(struct fused_plan *plan)
{
    qsort(plan->op, (size_t)plan->op_count, sizeof *plan->op, by_order);
}

int fused_lower(struct fused_plan *plan, char *error, size_t error_bytes)
{
    if (fused_join_sums(plan, error, error_bytes) < 0)
        return -1;
    size_t values = (size_t)plan->graph.value_count + 1, nodes = (size_t)plan->graph.node_count + 1;
    struct lowering l = {.plan = plan,
                         .error = error,
                         .error_bytes = error_bytes,
                         .image = calloc(values, sizeof(bool)),
                         .leads = calloc(values, sizeof(bool)),
                         .taken = calloc(nodes, sizeof(bool))};
    int result = -1;
    if (l.image && l.leads && l.taken) {
        mark_images(&l);
        mark_leading(&l);
        result = lower_nodes(&l);
        if (result == 0 && plan->op_count == 0)
            result = fused_fail(error, error_bytes, "no convolution of the input");
        fused_sort(plan);
        for (size_t i = 0; i + 1 < values; ++i)
            plan->image[i] = l.image[i] && l.leads[i];
    } else {
        fused_fail(error, error_bytes, "out of memory");
    }
    free(l.image);
    free(l.leads);
    free(l.taken);
    return result;
}
