/* The tail's kernels: its source goes through NVRTC, whose library is opened at run time. */
#include "keep.h"
#include "run_private.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct nvrtc_program *nvrtc_program;

static struct {
    int (*create)(nvrtc_program *program, const char *source, const char *name, int headers,
                  const char *const *texts, const char *const *names);
    int (*compile)(nvrtc_program program, int count, const char *const *options);
    int (*cubin_size)(nvrtc_program program, size_t *bytes);
    int (*cubin)(nvrtc_program program, char *code);
    int (*log_size)(nvrtc_program program, size_t *bytes);
    int (*log)(nvrtc_program program, char *text);
    int (*destroy)(nvrtc_program *program);
} nvrtc;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool find_nvrtc(void)
{
    static void *library;
    static const struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"nvrtcCreateProgram", &nvrtc.create},       {"nvrtcCompileProgram", &nvrtc.compile},
        {"nvrtcGetCUBINSize", &nvrtc.cubin_size},    {"nvrtcGetCUBIN", &nvrtc.cubin},
        {"nvrtcGetProgramLogSize", &nvrtc.log_size}, {"nvrtcGetProgramLog", &nvrtc.log},
        {"nvrtcDestroyProgram", &nvrtc.destroy},
    };
    pthread_mutex_lock(&lock);
    if (!library && (library = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL)))
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i) {
            void *symbol = dlsym(library, wanted[i].name);
            memcpy(wanted[i].place, &symbol, sizeof symbol);
        }
    bool found = library && nvrtc.create && nvrtc.compile && nvrtc.cubin_size && nvrtc.cubin &&
                 nvrtc.log_size && nvrtc.log && nvrtc.destroy;
    pthread_mutex_unlock(&lock);
    return found;
}

static void first_line(nvrtc_program program, char *out, size_t out_bytes)
{
    size_t bytes = 0;
    char *text = NULL;
    out[0] = '\0';
    if (nvrtc.log_size(program, &bytes) == 0 && bytes > 1 && (text = calloc(bytes + 1, 1)) &&
        nvrtc.log(program, text) == 0)
        snprintf(out, out_bytes, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
}

static int compile(const struct fused_engine *e, char **code, size_t *bytes, char *error,
                   size_t error_bytes)
{
    nvrtc_program program = NULL;
    char target[32], why[160];
    const char *options[] = {target, "--std=c++17"};
    if (!find_nvrtc())
        return fused_fail(error, error_bytes, "no libnvrtc.so.13; run ./setup gpu");
    snprintf(target, sizeof target, "--gpu-architecture=sm_%d", e->architecture);
    if (nvrtc.create(&program, e->plan->source, "tail.cu", 0, NULL, NULL) != 0)
        return fused_fail(error, error_bytes, "NVRTC does not start");
    int result = nvrtc.compile(program, 2, options);
    if (result == 0)
        result = nvrtc.cubin_size(program, bytes);
    *code = result == 0 ? malloc(*bytes) : NULL;
    if (result == 0 && *code)
        result = nvrtc.cubin(program, *code);
    first_line(program, why, sizeof why);
    nvrtc.destroy(&program);
    if (result == 0 && *code)
        return 0;
    free(*code);
    *code = NULL;
    return fused_fail(error, error_bytes, "the tail does not compile: %s", why);
}

int fused_tail_open(struct fused_engine *e, char *error, size_t error_bytes)
{
    char *code = NULL;
    size_t bytes = 0;
    if (e->plan->kernel_count == 0)
        return 0;
    uint64_t key = fused_hash(FUSED_HASH_START, e->plan->source, strlen(e->plan->source));
    key = fused_hash(key, &e->architecture, sizeof e->architecture);
    code = (char *)fused_keep_read(e->cache_dir, "tail", key, &bytes);
    if (!code) {
        if (compile(e, &code, &bytes, error, error_bytes) < 0)
            return -1;
        fused_keep_write(e->cache_dir, "tail", key, code, bytes);
    }
    int result = fused_cuda(cudaLibraryLoadData(&e->tail, code, NULL, NULL, 0, NULL, NULL, 0),
                            "tail", error, error_bytes);
    for (int i = 0; i < e->plan->kernel_count && result == 0; ++i) {
        char name[24];
        snprintf(name, sizeof name, "tail%d", i);
        result = fused_cuda(cudaLibraryGetKernel(&e->tail_kernel[i], e->tail, name), "tail", error,
                            error_bytes);
    }
    free(code);
    return result;
}

int fused_tail_run(struct fused_engine *e, const struct fused_op *op, int images,
                   float *const *outputs, cudaStream_t stream)
{
    enum { THREADS = 256, FEW = 64, BLOCKS = 264 }; /* few threads a block where blocks are few */
    struct {                                        /* struct P of the source */
        float *dense[FUSED_DENSE_MAX];
        const float *constants;
    } places = {.constants = e->constants};
    void *arguments[] = {&places};
    int count = 0;
    for (int b = 0; b < e->plan->buffer_count; ++b)
        if (e->plan->buffer[b].dense)
            places.dense[count++] = fused_dense_of(e, b, images, outputs);
    int64_t all = e->plan->buffer[op->y.buffer].count;
    unsigned threads = all * images < (int64_t)BLOCKS * THREADS ? FEW : THREADS;
    int64_t each =
        op->count > 0 ? (int64_t)op->count : (int64_t)threads; /* numbers that a block makes */
    threads = op->count > 0 ? THREADS : threads;
    int64_t blocks = (all + each - 1) / each;
    cudaError_t status = cudaLaunchKernel((const void *)e->tail_kernel[op->best],
                                          (dim3){(unsigned)blocks, (unsigned)images, 1},
                                          (dim3){threads, 1, 1}, arguments, 0, stream);
    return (int)status;
}
