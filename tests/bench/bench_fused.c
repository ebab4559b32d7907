/* The fused executor by itself, on a GPU: whether each operation computes what it should, how long
 * a batch takes as one graph, and how long it takes to be ready.
 *
 *     bench_fused MODEL WIDTH HEIGHT CHECK|TIME|SWEEP SIZES [CACHE_DIR|-] [SWEEP_FILE]
 *
 * SIZES: numbers of images, such as 1,4,16. CHECK compares sampled numbers of every operation with
 * the CPU's, on what the device itself gave it, and says the worst. */
#include "../../src/engine/cuda/fused/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 400, TURNS = 60 };

static struct fused_engine *engine;
static struct fused_plan *plan;
static char error[400];
static uint16_t *input_host;
static void *input;
static float *outputs[FUSED_PORTS_MAX], *outputs_host[FUSED_PORTS_MAX];

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *text)
{
    printf("bench_fused: %s\n", text);
    exit(1);
}

static void must(cudaError_t status)
{
    if (status != cudaSuccess)
        die(cudaGetErrorString(status));
}

/* Smooth shapes and some noise, as images are. */
static void make_input(int images)
{
    size_t count = (size_t)images * (size_t)(plan->height * plan->width) * 3;
    unsigned seed = 5;
    input_host = calloc(count, sizeof *input_host);
    for (size_t i = 0; i < count; ++i) {
        seed = seed * 1664525u + 1013904223u;
        size_t column = i / 3 % (size_t)plan->width, row = i / 3 / (size_t)plan->width;
        double wave = 0.5 + 0.4 * sin((double)column / 17.0 + (double)row / 23.0);
        input_host[i] = fused_to_half((float)(wave * 0.9 + (double)(seed >> 24) / 2560.0));
    }
    must(cudaMalloc(&input, count * 2));
    must(cudaMemcpy(input, input_host, count * 2, cudaMemcpyHostToDevice));
    for (int i = 0; i < plan->output_count; ++i) {
        size_t bytes = plan->buffer[plan->output[i]].bytes * (size_t)images;
        must(cudaMalloc((void **)&outputs[i], bytes));
        must(cudaMemset(outputs[i], 0xff, bytes));
        outputs_host[i] = calloc(bytes, 1);
    }
}

static void fetch(int images, uint8_t *arena)
{
    must(cudaDeviceSynchronize());
    must(cudaMemcpy(arena, fused_engine_arena(engine), plan->arena_bytes * (size_t)images,
                    cudaMemcpyDeviceToHost));
    for (int i = 0; i < plan->output_count; ++i)
        must(cudaMemcpy(outputs_host[i], outputs[i],
                        plan->buffer[plan->output[i]].bytes * (size_t)images,
                        cudaMemcpyDeviceToHost));
}

static int check(int images)
{
    size_t bytes = plan->arena_bytes * (size_t)images;
    uint8_t *before = calloc(bytes + 1, 1), *after = calloc(bytes + 1, 1);
    static const char *const names[] = {"conv",  "stem", "depthwise", "head", "upsample",
                                        "pool",  "sppf", "attention", "add",  "copy",
                                        "dense", "tail", "topk"};
    double worst[sizeof names / sizeof *names] = {0};
    int bad = 0, checked = 0;
    fetch(images, before);
    for (int i = 0; i < plan->op_count; ++i) {
        const struct fused_op *op = &plan->op[i];
        struct fused_difference d;
        struct fused_copy a = {before, input_host, outputs_host, images, images - 1};
        struct fused_copy b = {after, input_host, outputs_host, images, images - 1};
        if (fused_engine_run_op(engine, images, i, input, outputs, NULL) != 0)
            die(op->name);
        fetch(images, after);
        if (fused_reference_compare(plan, op, &a, &b, SAMPLES, &d, error, sizeof error) < 0)
            die(error);
        double relative = sqrt(d.squares / (d.reference + 1e-20));
        worst[op->kind] =
            relative > worst[op->kind] || isnan(relative) ? relative : worst[op->kind];
        ++checked;
        if (!(relative < 2e-3) && ++bad < 10)
            printf("  BAD %d %s %s: relative %.3g, largest %.3g of %d\n", i, names[op->kind],
                   op->name, relative, d.largest, d.count);
        uint8_t *swap = before;
        before = after;
        after = swap;
    }
    printf("batch %d: %d operations checked, %d bad; worst:", images, checked, bad);
    for (size_t k = 0; k < sizeof names / sizeof *names; ++k)
        if (worst[k] > 0)
            printf(" %s %.2g", names[k], worst[k]);
    printf("\n");
    free(before);
    free(after);
    return bad;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void time_size(int images, const char *label)
{
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t begun, ended;
    float ms[TURNS], back = 0;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    must(cudaEventCreate(&begun));
    must(cudaEventCreate(&ended));
    if (fused_engine_run(engine, images, input, outputs, stream, error, sizeof error) < 0)
        die(error);
    must(cudaStreamSynchronize(stream));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    if (fused_engine_run(engine, images, input, outputs, stream, error, sizeof error) < 0)
        die(error);
    must(cudaStreamEndCapture(stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = -10; i < TURNS; ++i) {
        must(cudaEventRecord(begun, stream));
        must(cudaGraphLaunch(exec, stream));
        must(cudaEventRecord(ended, stream));
        must(cudaEventSynchronize(ended));
        if (i >= 0)
            must(cudaEventElapsedTime(&ms[i], begun, ended));
    }
    must(cudaEventRecord(begun, stream));
    for (int i = 0; i < 20; ++i)
        must(cudaGraphLaunch(exec, stream));
    must(cudaEventRecord(ended, stream));
    must(cudaEventSynchronize(ended));
    must(cudaEventElapsedTime(&back, begun, ended));
    qsort(ms, TURNS, sizeof *ms, compare);
    printf("batch %2d %s: median %.4f ms, least %.4f, back to back %.4f\n", images, label,
           (double)ms[TURNS / 2], (double)ms[0], (double)back / 20);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
}

/* Each operation alone, twenty in a graph. */
static void time_ops(int images)
{
    cudaStream_t stream;
    cudaEvent_t begun, ended;
    double sum = 0;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    must(cudaEventCreate(&begun));
    must(cudaEventCreate(&ended));
    for (int i = 0; i < plan->op_count; ++i) {
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        float ms = 0;
        must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        for (int k = 0; k < 20; ++k)
            fused_engine_run_op(engine, images, i, input, outputs, stream);
        must(cudaStreamEndCapture(stream, &graph));
        must(cudaGraphInstantiate(&exec, graph, 0));
        for (int k = 0; k < 3; ++k) {
            must(cudaEventRecord(begun, stream));
            must(cudaGraphLaunch(exec, stream));
            must(cudaEventRecord(ended, stream));
            must(cudaEventSynchronize(ended));
        }
        must(cudaEventElapsedTime(&ms, begun, ended));
        const struct fused_op *op = &plan->op[i];
        printf("op %3d kind %2d batch %2d %.4f ms  %d->%d@%dx%d k%d s%d %s\n", i, op->kind, images,
               (double)ms / 20, op->channels_in, op->channels_out,
               op->x.buffer >= 0 ? plan->buffer[op->x.buffer].height : 0,
               op->x.buffer >= 0 ? plan->buffer[op->x.buffer].width : 0, op->window.kernel[0],
               op->window.stride[0], op->name);
        sum += (double)ms / 20;
        cudaGraphExecDestroy(exec);
        cudaGraphDestroy(graph);
    }
    printf("op sum batch %d: %.4f ms\n", images, sum);
}

/* Whether a built plan can be kept as text, how long that is, and whether restoring it is faster.
 */
static void keep_plans(void)
{
    struct fused_cudnn *cudnn = NULL;
    int tried = 0;
    if (fused_cudnn_open(&cudnn, error, sizeof error) < 0)
        die(error);
    for (int i = 0; i < plan->op_count && tried < 4; ++i) {
        const struct fused_op *op = &plan->op[i];
        const struct fused_buffer *x = &plan->buffer[op->x.buffer < 0 ? 0 : op->x.buffer];
        struct fused_conv_plan *built = NULL, *restored = NULL;
        if (op->kind != FUSED_CONV)
            continue;
        struct fused_conv conv = {
            1,
            op->channels_in,
            op->channels_out,
            x->height,
            x->width,
            op->window,
            op->activation,
            op->low,
            op->high,
            op->residual.buffer >= 0,
            x->channels,
            plan->buffer[op->y.buffer].channels,
            op->residual.buffer >= 0 ? plan->buffer[op->residual.buffer].channels : 0};
        double start = now_ms();
        ++tried;
        if (fused_conv_plan_build(cudnn, &conv, FUSED_BY_HEURISTICS, 0, &built, error,
                                  sizeof error) < 0)
            die(error);
        double built_ms = now_ms() - start;
        char *text = fused_conv_plan_save(built);
        start = now_ms();
        int result =
            text ? fused_conv_plan_restore(cudnn, &conv, text, &restored, error, sizeof error) : -1;
        printf("keep %s: built in %.1f ms, %zu bytes, restored in %.1f ms: %s\n", op->name,
               built_ms, text ? strlen(text) : 0, now_ms() - start,
               result == 0 ? "yes"
               : text      ? error
                           : "no text");
        if (tried == 1 && text)
            printf("%.600s\n", text);
        free(text);
        fused_conv_plan_close(built);
        fused_conv_plan_close(restored);
    }
    fused_cudnn_close(cudnn);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        die("MODEL WIDTH HEIGHT CHECK|TIME|SWEEP|OPS SIZES [CACHE_DIR|-] [SWEEP_FILE]");
    int sizes[FUSED_SIZES_MAX] = {0}, count = 0, bad = 0;
    for (char *at = argv[5]; *at && count < FUSED_SIZES_MAX;
         at += strcspn(at, ","), at += *at == ',')
        sizes[count++] = atoi(at);
    if (count == 0)
        die("no sizes");
    struct fused_options options = {
        .path = argv[1],
        .width = atoi(argv[2]),
        .height = atoi(argv[3]),
        .images = sizes[count - 1],
        .input_scale = 1,
        .side_streams = getenv("ONE_STREAM") == NULL,
        .cache_dir = argc > 6 && strcmp(argv[6], "-") != 0 ? argv[6] : NULL,
    };
    double start = now_ms();
    if (fused_engine_open(&engine, &options, error, sizeof error) < 0)
        die(error);
    plan = fused_engine_plan(engine);
    printf("%s %sx%s: %d operations, %d buffers, %d streams, open %.0f ms\n", argv[1], argv[2],
           argv[3], plan->op_count, plan->buffer_count, plan->streams, now_ms() - start);
    if (strcmp(argv[4], "SWEEP") == 0) {
        int found = fused_engine_sweep(engine, sizes, count, 16, argc > 7 ? argv[7] : NULL);
        printf("sweep: %d chosen, %.1f s\n", found, (now_ms() - start) / 1e3);
    }
    if (strcmp(argv[4], "KEEP") == 0)
        keep_plans();
    for (int i = 0; i < count; ++i) {
        double at = now_ms();
        if (fused_engine_add_size(engine, sizes[i], error, sizeof error) < 0)
            die(error);
        struct fused_sources s = fused_engine_sources(engine);
        printf("size %d: %.0f ms (%.0f since the start; chosen %d, proposed %d, restored %d)\n",
               sizes[i], now_ms() - at, now_ms() - start, s.chosen, s.proposed, s.restored);
    }
    printf("device memory %.0f MB\n", (double)fused_engine_bytes(engine) / 1e6);
    make_input(sizes[count - 1]);
    if (fused_engine_check_range(engine, input, NULL, error, sizeof error) < 0)
        printf("range: %s\n", error);
    for (int i = 0; i < count; ++i) {
        if (strcmp(argv[4], "CHECK") == 0)
            bad += check(sizes[i]);
        if (strcmp(argv[4], "OPS") == 0)
            time_ops(sizes[i]);
        time_size(sizes[i], "as one graph");
    }
    fused_engine_close(engine);
    return bad > 0;
}
