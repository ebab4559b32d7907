#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { SWITCH, NUMBER };

static const struct {
    const char *key;
    enum kind kind;
    size_t offset;
} known[] = {
    {"device", NUMBER, offsetof(struct cuda_options, device)},
    {"tensorrt", SWITCH, offsetof(struct cuda_options, tensorrt)},
    {"graphs", SWITCH, offsetof(struct cuda_options, graphs)},
    {"nhwc", SWITCH, offsetof(struct cuda_options, nhwc)},
    {"search", SWITCH, offsetof(struct cuda_options, search)},
    {"workspace", SWITCH, offsetof(struct cuda_options, workspace)},
    {"fuse_bias", SWITCH, offsetof(struct cuda_options, fuse_bias)},
    {"fused", SWITCH, offsetof(struct cuda_options, fused)},
    {"sweep", SWITCH, offsetof(struct cuda_options, sweep)},
    {"one_size", SWITCH, offsetof(struct cuda_options, one_size)},
    {"memory_mib", NUMBER, offsetof(struct cuda_options, memory_mib)},
    {"workspace_mib", NUMBER, offsetof(struct cuda_options, workspace_mib)},
    {"break_after", NUMBER, offsetof(struct cuda_options, break_after)},
    {"break_device", NUMBER, offsetof(struct cuda_options, break_device)},
};

static int set(struct cuda_options *options, const char *key, const char *value, char *error,
               size_t error_bytes)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        if (strcmp(known[i].key, key) != 0)
            continue;
        char *end;
        long number = strtol(value, &end, 10);
        bool fits = *value && !*end && number >= 0 && number <= (known[i].kind ? 1 << 20 : 1);
        if (!fits) {
            snprintf(error, error_bytes, "option %s=%s: must be %s", key, value,
                     known[i].kind == SWITCH ? "0 or 1" : "a whole number");
            return -1;
        }
        char *field = (char *)options + known[i].offset;
        if (known[i].kind == SWITCH)
            *(bool *)field = number == 1;
        else
            *(int *)(void *)field = (int)number;
        return 0;
    }
    int used = snprintf(error, error_bytes, "option %s: not one of", key);
    for (size_t i = 0; i < sizeof known / sizeof *known && used > 0 && (size_t)used < error_bytes;
         ++i)
        used +=
            snprintf(error + used, error_bytes - (size_t)used, "%s %s", i ? "," : "", known[i].key);
    return -1;
}

int cuda_options_parse(struct cuda_options *options, const char *backend_options, char *error,
                       size_t error_bytes)
{
    *options = (struct cuda_options){.device = -1,
                                     .break_device = -1,
                                     .fused = true,
                                     .graphs = true,
                                     .nhwc = true,
                                     .search = true,
                                     .workspace = true,
                                     .capturable = true};
    while (backend_options && *backend_options) {
        char pair[256];
        size_t length = strcspn(backend_options, ";");
        snprintf(pair, sizeof pair, "%.*s", (int)length, backend_options);
        char *equals = strchr(pair, '=');
        if (length >= sizeof pair || !equals) {
            snprintf(error, error_bytes, "extra options must be KEY=VALUE;KEY=VALUE");
            return -1;
        }
        *equals = '\0';
        if (set(options, pair, equals + 1, error, error_bytes) < 0)
            return -1;
        backend_options += length;
        backend_options += *backend_options == ';';
    }
    return 0;
}

int cuda_options_device(const char *backend_options, int device, char *error, size_t error_bytes)
{
    struct cuda_options options;
    if (cuda_options_parse(&options, backend_options, error, error_bytes) < 0)
        return -1;
    if (options.device >= 0)
        device = options.device;
    if (device >= 0 && device < CUDA_DEVICES_MAX)
        return device;
    snprintf(error, error_bytes, "device %d: 0 to %d can be used", device, CUDA_DEVICES_MAX - 1);
    return -1;
}

__attribute__((format(printf, 3, 4))) static void add(struct cuda_provider *provider,
                                                      const char *key, const char *format, ...)
{
    va_list arguments;
    int at = provider->count++;
    va_start(arguments, format);
    /* The analyzer does not see va_start() in a file with these headers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    vsnprintf(provider->text[at], CUDA_OPTION_BYTES, format, arguments);
    va_end(arguments);
    provider->key[at] = key;
    provider->value[at] = provider->text[at];
}

void cuda_provider_options(struct cuda_provider *provider, const struct cuda_options *options,
                           enum spoton_precision precision)
{
    provider->count = 0;
    add(provider, "device_id", "%d", options->device);
    add(provider, "arena_extend_strategy", "kSameAsRequested");
    if (options->memory_mib > 0)
        add(provider, "gpu_mem_limit", "%lld", (long long)options->memory_mib << 20);
    add(provider, "cudnn_conv_algo_search", options->search ? "EXHAUSTIVE" : "HEURISTIC");
    add(provider, "cudnn_conv_use_max_workspace", options->workspace ? "1" : "0");
    add(provider, "do_copy_in_default_stream", "1");
    add(provider, "prefer_nhwc", options->nhwc ? "1" : "0");
    add(provider, "fuse_conv_bias", options->fuse_bias ? "1" : "0");
    add(provider, "use_tf32", precision == SPOTON_PRECISION_F32 ? "0" : "1");
    /* Its own capture would wait for the device after every replay, so it is left to us; but then
     * the provider refuses graphs that cannot be captured, and keeps what a replay needs. Without
     * it the provider (1.31) frees memory inside CUDA's call-backs, which can end the process: so
     * also where nothing is captured. */
    add(provider, "enable_cuda_graph", options->capturable ? "1" : "0");
}

static void add_profile(struct cuda_provider *provider, const char *key, const char *name,
                        const struct spoton_engine_options *engine, int batch)
{
    if (engine->layout == SPOTON_LAYOUT_NCHW)
        add(provider, key, "%s:%dx3x%dx%d", name, batch, engine->height, engine->width);
    else
        add(provider, key, "%s:%dx%dx%dx3", name, batch, engine->height, engine->width);
}

void cuda_tensorrt_options(struct cuda_provider *provider, const struct cuda_options *options,
                           const struct spoton_engine_options *engine, const char *input_name,
                           bool quantized)
{
    enum spoton_precision precision = engine->precision;
    bool f16 = precision == SPOTON_PRECISION_F16 || precision == SPOTON_PRECISION_AUTO ||
               precision == SPOTON_PRECISION_INT8;
    bool bf16 = precision == SPOTON_PRECISION_BF16;
    provider->count = 0;
    add(provider, "device_id", "%d", options->device);
    if (options->workspace_mib > 0)
        add(provider, "trt_max_workspace_size", "%lld", (long long)options->workspace_mib << 20);
    add(provider, "trt_fp16_enable", f16 ? "1" : "0");
    add(provider, "trt_bf16_enable", bf16 ? "1" : "0");
    add(provider, "trt_int8_enable", quantized ? "1" : "0");
    add_profile(provider, "trt_profile_min_shapes", input_name, engine, 1);
    add_profile(provider, "trt_profile_opt_shapes", input_name, engine, engine->batch);
    add_profile(provider, "trt_profile_max_shapes", input_name, engine, engine->batch);
    if (engine->cache_dir) {
        add(provider, "trt_engine_cache_enable", "1");
        add(provider, "trt_engine_cache_path", "%s", engine->cache_dir);
        add(provider, "trt_timing_cache_enable", "1");
        add(provider, "trt_timing_cache_path", "%s", engine->cache_dir);
    }
    add(provider, "trt_cuda_graph_enable", "0"); /* captured by us, with what is around it */
}

bool cuda_is_out_of_memory(const char *text)
{
    static const char *const words[] = {"out of memory", "failed to allocate", "alloc_failed",
                                        "not enough memory", "available memory"};
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}

int cuda_batch_sizes(int batch, bool one_size, int sizes[16])
{
    int count = 0;
    for (int size = 1; !one_size && size < batch && count < 15; size *= 2)
        sizes[count++] = size;
    sizes[count++] = batch;
    return count;
}
