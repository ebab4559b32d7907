/* The openvino engine: OpenVINO's C API on CPUs.
 *
 * Measured on 2 cores with AVX-512 and bf16: as many streams as threads on small machines
 * (single-threaded streams have no barrier to wait at while the cores also decode and letterbox),
 * and one request per stream plus two, so that one can be filled and one read while all streams
 * run. Threads are not pinned: the cores are shared with the rest of the pipeline, and under a
 * cgroup quota pinned threads starve each other. */
#include "model_file.h"
#include "openvino_graph.h"
#include "openvino_model.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAMS_OF_ONE_THREAD = 4, REQUESTS_MAX = 256 };

struct request {
    ov_infer_request_t *request;
    ov_tensor_t *input;
    ov_tensor_t *output[SPOTON_TENSORS_MAX];
    void *data;     /* the input tensor's memory */
    uint8_t *image; /* filled by the caller: data, or a separate buffer */
};

struct spoton_engine {
    ov_core_t *core;
    ov_compiled_model_t *compiled;
    struct request *request;
    int requests, streams, threads, output_count;
    enum ov_images images;
    bool swap_red_blue;
    size_t batch, pixels; /* pixels per image */
    enum spoton_precision precision;
    char device[128];
    struct {
        int64_t dims[SPOTON_RANK_MAX];
        int rank;
    } output[SPOTON_TENSORS_MAX];
};

/* Instruction sets of the CPU. The runtime's own list of precisions includes emulated ones. */
struct cpu {
    bool avx2, avx512, vnni, amx, bf16, f16, i8;
    char name[64];
};

static int fail(char *error, size_t error_bytes, const char *text)
{
    snprintf(error, error_bytes, "%s", text);
    return -1;
}

static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = line; (at = strstr(at, word)); at += length) {
        bool begins = at == line || at[-1] == ' ' || at[-1] == '\t';
        if (begins && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* The path of another machine's /proc/cpuinfo, for tests and diagnosis (src/base/cpu.h), or NULL.
 */
static const char *other_cpuinfo(void)
{
    const char *path = getenv("SPOTON_CPUINFO");
    return path && path[0] ? path : NULL;
}

/* Linux prints "flags" on x86 and "Features" on ARM. */
static void read_cpu(struct cpu *cpu)
{
    *cpu = (struct cpu){0};
    snprintf(cpu->name, sizeof cpu->name, "CPU");
    const char *other = other_cpuinfo();
    FILE *file = fopen(other ? other : "/proc/cpuinfo", "re");
    if (!file)
        return;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        ++value;
        if (strncmp(line, "model name", 10) == 0)
            snprintf(cpu->name, sizeof cpu->name, "%.*s",
                     (int)strcspn(value + strspn(value, " "), "\n"), value + strspn(value, " "));
        if (strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0)
            continue;
        cpu->avx2 = has_word(value, "avx2");
        cpu->avx512 = has_word(value, "avx512f");
        cpu->vnni = has_word(value, "avx512_vnni") || has_word(value, "avx_vnni");
        cpu->amx = has_word(value, "amx_tile");
        cpu->bf16 = has_word(value, "avx512_bf16") || has_word(value, "amx_bf16") ||
                    has_word(value, "bf16");
        /* Not avx512_fp16: OpenVINO 2026.2 takes 1.4 times as long in it as in f32. */
        cpu->f16 = has_word(value, "amx_fp16") || has_word(value, "asimdhp");
        cpu->i8 = cpu->vnni || has_word(value, "amx_int8") || has_word(value, "asimddp");
        break; /* the same for all cores */
    }
    free(line);
    fclose(file);
}

static void name_device(const struct cpu *cpu, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%s (%s%s%s%s%s)", cpu->name,
             cpu->avx512 ? "AVX-512" : (cpu->avx2 ? "AVX2" : "baseline"), cpu->amx ? ", AMX" : "",
             cpu->bf16 ? ", bf16" : "", cpu->f16 ? ", f16" : "", cpu->i8 ? ", int8" : "");
}

/* A precision must be supported by the runtime and the CPU. The runtime reports those of this
 * machine, so it is not consulted for another machine's cpuinfo. */
static bool get_capabilities(ov_core_t *core, struct cpu *cpu)
{
    char *list = NULL;
    read_cpu(cpu);
    if (ov_core_get_property(core, "CPU", "OPTIMIZATION_CAPABILITIES", &list) != OK)
        return false;
    if (!other_cpuinfo()) {
        cpu->bf16 = cpu->bf16 && has_word(list, "BF16");
        cpu->f16 = cpu->f16 && has_word(list, "FP16");
    }
    ov_free(list);
    return true;
}

static void openvino_probe(struct spoton_engine_probe *probe)
{
    ov_version_t version = {0};
    if (ov_get_openvino_version(&version) == OK) {
        snprintf(probe->version, sizeof probe->version, "%.*s",
                 (int)strcspn(version.buildNumber, "-"), version.buildNumber);
        ov_version_free(&version);
    }
    ov_core_t *core = NULL;
    struct cpu cpu;
    if (ov_core_create(&core) != OK || !get_capabilities(core, &cpu)) {
        probe->preference = 0;
        ov_fail(probe->reason, sizeof probe->reason, "OpenVINO has no CPU device here");
    } else {
        probe->preference = 100;
        name_device(&cpu, probe->device, sizeof probe->device);
        snprintf(probe->precisions, sizeof probe->precisions, "%s%s%sf32", cpu.i8 ? "int8," : "",
                 cpu.bf16 ? "bf16," : "", cpu.f16 ? "f16," : "");
    }
    ov_core_free(core);
}

static int openvino_inspect(const char *path, struct spoton_model_info *info, char *error,
                            size_t error_bytes)
{
    ov_core_t *core = NULL;
    ov_model_t *model = NULL;
    int result = -1;
    if (ov_core_create(&core) != OK)
        ov_fail(error, error_bytes, "OpenVINO does not start");
    else if (ov_read(core, path, &model, error, error_bytes) == 0)
        result = ov_describe_model(model, path, info, error, error_bytes);
    ov_model_free(model);
    ov_core_free(core);
    return result;
}

static int set_property(ov_core_t *core, const char *key, const char *value, char *error,
                        size_t error_bytes)
{
    if (ov_core_set_property(core, "CPU", key, value) == OK)
        return 0;
    char thing[320];
    snprintf(thing, sizeof thing, "openvino property %s=%s", key, value);
    return ov_fail(error, error_bytes, thing);
}

static int set_backend_options(ov_core_t *core, const char *backend_options, char *error,
                               size_t error_bytes)
{
    while (backend_options && *backend_options) {
        char pair[256];
        size_t length = strcspn(backend_options, ";");
        snprintf(pair, sizeof pair, "%.*s", (int)length, backend_options);
        char *equals = strchr(pair, '=');
        if (length >= sizeof pair || !equals)
            return fail(error, error_bytes, "ENGINE_OPTIONS: must be KEY=VALUE;KEY=VALUE");
        *equals = '\0';
        if (set_property(core, pair, equals + 1, error, error_bytes) < 0)
            return -1;
        backend_options += length;
        backend_options += *backend_options == ';';
    }
    return 0;
}

/* The precision hint for the requested precision; NULL, with a message: the CPU does not support
 * it. */
static const char *choose_hint(const struct cpu *cpu, enum spoton_precision precision,
                               bool quantized, char *error, size_t error_bytes)
{
    switch (precision) {
    case SPOTON_PRECISION_F32:
        return "f32";
    case SPOTON_PRECISION_BF16:
        if (!cpu->bf16)
            fail(error, error_bytes, "PRECISION=bf16: this CPU has no bf16 units; use auto or f32");
        return cpu->bf16 ? "bf16" : NULL;
    case SPOTON_PRECISION_F16:
        if (!cpu->f16)
            fail(error, error_bytes,
                 "PRECISION=f16: this CPU has no fast f16 instructions; use auto, bf16 or f32");
        return cpu->f16 ? "f16" : NULL;
    case SPOTON_PRECISION_INT8:
        if (!quantized) {
            fail(error, error_bytes,
                 "PRECISION=int8: the model file is not quantized; use auto or f32");
            return NULL;
        }
        break; /* layers that are not quantized run as with auto */
    case SPOTON_PRECISION_AUTO:
        break;
    }
    return cpu->bf16 ? "bf16" : (cpu->f16 ? "f16" : "f32");
}

static int configure(ov_core_t *core, const struct spoton_engine_options *options, const char *hint,
                     char *error, size_t error_bytes)
{
    char threads[16], streams[16];
    int stream_count = options->streams;
    if (stream_count <= 0 && options->threads <= STREAMS_OF_ONE_THREAD)
        stream_count = options->threads;
    /* OpenVINO 2026.2 builds the graphs of several streams in parallel; with integer weights that
     * it unpacks (such as TFLite files) about half of them are wrong, with confidences of 1.0 all
     * over. A single stream was always right and costs 3 %. */
    if (sp_model_file_unpacks_weights(options->model_path))
        stream_count = 1;
    snprintf(threads, sizeof threads, "%d", options->threads);
    snprintf(streams, sizeof streams, "%d", stream_count);
    const struct {
        const char *key, *value;
    } properties[] = {
        {"PERFORMANCE_HINT", "THROUGHPUT"},
        {"INFERENCE_NUM_THREADS", threads},
        {"INFERENCE_PRECISION_HINT", hint},
        {"ENABLE_CPU_PINNING", "NO"},
        /* Otherwise OpenVINO uses at most the number of physical cores; `threads` already respects
         * the cgroup quota. */
        {"ENABLE_HYPER_THREADING", "YES"},
        {"NUM_STREAMS", stream_count > 0 ? streams : NULL},
        {"CACHE_DIR", options->cache_dir},
    };
    for (size_t i = 0; i < sizeof properties / sizeof *properties; ++i) {
        if (properties[i].value &&
            set_property(core, properties[i].key, properties[i].value, error, error_bytes) < 0)
            return -1;
    }
    return set_backend_options(core, options->backend_options, error, error_bytes);
}

static int get_number(const ov_compiled_model_t *compiled, const char *key, int otherwise)
{
    char *text = NULL;
    int value = otherwise;
    if (ov_compiled_model_get_property(compiled, key, &text) == OK)
        value = atoi(text) > 0 ? atoi(text) : otherwise;
    ov_free(text);
    return value;
}

/* The runtime may use a lower precision than the hint and reports it after compiling. */
static enum spoton_precision real_precision(const ov_compiled_model_t *compiled, bool quantized)
{
    char *text = NULL;
    enum spoton_precision precision = SPOTON_PRECISION_F32;
    if (quantized)
        precision = SPOTON_PRECISION_INT8;
    else if (ov_compiled_model_get_property(compiled, "INFERENCE_PRECISION_HINT", &text) == OK)
        precision = strcmp(text, "bf16") == 0
                        ? SPOTON_PRECISION_BF16
                        : (strcmp(text, "f16") == 0 ? SPOTON_PRECISION_F16 : SPOTON_PRECISION_F32);
    ov_free(text);
    return precision;
}

/* All requests have the same output shapes; outputs whose shape depends on the image are refused.
 */
static int keep_output_shape(struct spoton_engine *engine, int index, const ov_tensor_t *tensor,
                             char *error, size_t error_bytes)
{
    ov_shape_t shape = {0};
    if (ov_tensor_get_shape(tensor, &shape) != OK)
        return ov_fail(error, error_bytes, "output shape");
    bool fixed = shape.rank > 0 && shape.rank <= SPOTON_RANK_MAX;
    for (int64_t i = 0; fixed && i < shape.rank; ++i) {
        engine->output[index].dims[i] = shape.dims[i];
        fixed = shape.dims[i] > 0;
    }
    engine->output[index].rank = (int)shape.rank;
    ov_shape_free(&shape);
    if (!fixed)
        return fail(
            error, error_bytes,
            "the size of the model's output depends on the image; export it with a fixed one");
    return 0;
}

static int open_request(struct spoton_engine *engine, struct request *request, char *error,
                        size_t error_bytes)
{
    size_t bytes = 0, numbers = engine->batch * engine->pixels * 3;
    bool bf16 = engine->images == OV_IMAGES_BF16;
    if (ov_compiled_model_create_infer_request(engine->compiled, &request->request) != OK ||
        ov_infer_request_get_input_tensor(request->request, &request->input) != OK ||
        ov_tensor_data(request->input, &request->data) != OK ||
        ov_tensor_get_byte_size(request->input, &bytes) != OK)
        return ov_fail(error, error_bytes, "inference request");
    if (bytes != numbers * (bf16 ? sizeof(uint16_t) : 1))
        return fail(error, error_bytes,
                    "the compiled model's input has another size than requested");
    request->image = bf16 ? malloc(numbers) : request->data;
    if (!request->image)
        return fail(error, error_bytes, "out of memory");
    for (int i = 0; i < engine->output_count; ++i) {
        if (ov_infer_request_get_output_tensor_by_index(request->request, (size_t)i,
                                                        &request->output[i]) != OK)
            return ov_fail(error, error_bytes, "output tensor");
        if (keep_output_shape(engine, i, request->output[i], error, error_bytes) < 0)
            return -1;
    }
    return 0;
}

static int open_requests(struct spoton_engine *engine, const struct spoton_engine_options *options,
                         char *error, size_t error_bytes)
{
    engine->streams = get_number(engine->compiled, "NUM_STREAMS", 1);
    engine->threads = get_number(engine->compiled, "INFERENCE_NUM_THREADS", options->threads);
    engine->requests = engine->streams + 2;
    if (engine->requests > REQUESTS_MAX)
        engine->requests = REQUESTS_MAX;
    engine->request = calloc((size_t)engine->requests, sizeof *engine->request);
    if (!engine->request)
        return fail(error, error_bytes, "out of memory");
    for (int i = 0; i < engine->requests; ++i) {
        if (open_request(engine, &engine->request[i], error, error_bytes) < 0)
            return -1;
    }
    return 0;
}

static int read_model(ov_model_t **model, struct spoton_engine *engine,
                      const struct spoton_engine_options *options, struct spoton_model_info *info,
                      char *error, size_t error_bytes)
{
    if (ov_read(engine->core, options->model_path, model, error, error_bytes) < 0 ||
        ov_describe_model(*model, options->model_path, info, error, error_bytes) < 0)
        return -1;
    if (info->input_count != 1 || info->output_count > SPOTON_TENSORS_MAX)
        return fail(error, error_bytes, "only models with one input are supported");
    engine->output_count = info->output_count;
    engine->swap_red_blue = options->swap_red_blue;
    engine->batch = (size_t)options->batch;
    engine->pixels = (size_t)options->height * (size_t)options->width;
    return 0;
}

static int prepare_model(ov_model_t **model, const struct spoton_engine *engine,
                         const struct spoton_engine_options *options, char *error,
                         size_t error_bytes)
{
    char thing[512];
    snprintf(thing, sizeof thing, "model %s at %d x %dx%d px", options->model_path, options->batch,
             options->width, options->height);
    if (!ov_set_shape(*model, options) ||
        !ov_add_conversions(model, options, engine->images, engine->output_count))
        return ov_fail(error, error_bytes, thing);
    return 0;
}

static void openvino_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    for (int i = 0; engine->request && i < engine->requests; ++i) {
        struct request *request = &engine->request[i];
        if (request->request)
            ov_infer_request_wait(request->request);
        for (int k = 0; k < engine->output_count; ++k)
            ov_tensor_free(request->output[k]);
        if (request->image != request->data)
            free(request->image);
        ov_tensor_free(request->input);
        ov_infer_request_free(request->request);
    }
    free(engine->request);
    ov_compiled_model_free(engine->compiled);
    ov_core_free(engine->core);
    free(engine);
}

/* Creates the folder and those above it; open() reports what failed. */
static void make_folders(const char *path)
{
    char part[4096];
    for (size_t i = 1; path[i - 1] && i < sizeof part; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf(part, i + 1, "%s", path);
        (void)mkdir(part, 0700);
    }
}

/* OpenVINO writes a compiled model in place and maps it into memory to read it: a process that
 * reads while another one writes is killed by SIGBUS. So one process at a time compiles or reads a
 * model. Waits for a minute at most, as the other process may be stopped. -1: not locked. */
static int lock_cache(const char *cache_dir, const char *model_path)
{
    enum { STEP_US = 20000, STEPS = 3000 };
    char path[4096];
    const char *slash = strrchr(model_path, '/');
    make_folders(cache_dir);
    int n = snprintf(path, sizeof path, "%s/%s.lock", cache_dir, slash ? slash + 1 : model_path);
    int file = n > 0 && n < (int)sizeof path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    for (int i = 0; file >= 0 && i < STEPS && flock(file, LOCK_EX | LOCK_NB) < 0; i++)
        usleep(STEP_US);
    return file;
}

/* If the cache cannot be written, compiles without it. */
static bool compile(struct spoton_engine *engine, const ov_model_t *model, const char *model_path,
                    const char *cache_dir)
{
    int lock = cache_dir ? lock_cache(cache_dir, model_path) : -1;
    ov_status_e status = ov_core_compile_model(engine->core, model, "CPU", 0, &engine->compiled);
    if (lock >= 0)
        close(lock);
    if (status == OK)
        return true;
    return cache_dir && ov_core_set_property(engine->core, "CPU", "CACHE_DIR", "") == OK &&
           ov_core_compile_model(engine->core, model, "CPU", 0, &engine->compiled) == OK;
}

/* The C API returns one status for all exceptions of a compilation. */
static bool says_no_memory(const char *text)
{
    static const char *const signs[] = {"bad_alloc", "out of memory", "annot allocate",
                                        "not enough memory"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; ++i) {
        if (strcasestr(text, signs[i]))
            return true;
    }
    return false;
}

static int openvino_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                         char *error, size_t error_bytes)
{
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    struct spoton_model_info *info = calloc(1, sizeof *info);
    ov_model_t *model = NULL;
    struct cpu cpu;
    int result = -1;
    if (!engine || !info) {
        fail(error, error_bytes, "out of memory");
    } else if (ov_core_create(&engine->core) != OK || !get_capabilities(engine->core, &cpu)) {
        ov_fail(error, error_bytes, "OpenVINO does not start");
    } else if (read_model(&model, engine, options, info, error, error_bytes) == 0) {
        const char *hint =
            choose_hint(&cpu, options->precision, info->quantized, error, error_bytes);
        if (hint)
            engine->images = ov_choose_images(options, info, hint);
        if (hint && configure(engine->core, options, hint, error, error_bytes) == 0 &&
            prepare_model(&model, engine, options, error, error_bytes) == 0) {
            if (!compile(engine, model, options->model_path, options->cache_dir))
                ov_fail(error, error_bytes, "the model does not compile");
            else
                result = open_requests(engine, options, error, error_bytes);
        }
    }
    if (result == 0) {
        engine->precision = real_precision(engine->compiled, info->quantized);
        name_device(&cpu, engine->device, sizeof engine->device);
        *out = engine;
    } else {
        openvino_close(engine);
        result = says_no_memory(error) ? SPOTON_NO_MEMORY : SPOTON_FAILED;
    }
    ov_model_free(model);
    free(info);
    return result;
}

static void openvino_describe(struct spoton_engine *engine,
                              struct spoton_engine_description *description)
{
    description->requests = engine->requests;
    description->streams = engine->streams;
    description->threads = engine->threads;
    description->output_count = engine->output_count;
    description->precision = engine->precision;
    snprintf(description->device, sizeof description->device, "%s", engine->device);
}

static uint8_t *openvino_input(struct spoton_engine *engine, int request)
{
    return engine->request[request].image;
}

static int openvino_submit(struct spoton_engine *engine, int request, char *error,
                           size_t error_bytes)
{
    const struct request *s = &engine->request[request];
    for (size_t i = 0; engine->images == OV_IMAGES_BF16 && i < engine->batch; ++i)
        ov_fill_bf16((uint16_t *)s->data + i * engine->pixels * 3,
                     s->image + i * engine->pixels * 3, engine->swap_red_blue, engine->pixels);
    if (ov_infer_request_start_async(s->request) == OK)
        return 0;
    return ov_fail(error, error_bytes, "start");
}

static int openvino_wait(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    if (ov_infer_request_wait(engine->request[request].request) == OK)
        return 0;
    return ov_fail(error, error_bytes, "inference");
}

static int openvino_output(struct spoton_engine *engine, int request, int index, const float **data,
                           int64_t dims[SPOTON_RANK_MAX], int *rank, char *error,
                           size_t error_bytes)
{
    if (index < 0 || index >= engine->output_count)
        return fail(error, error_bytes, "no such output");
    void *memory = NULL;
    if (ov_tensor_data(engine->request[request].output[index], &memory) != OK)
        return ov_fail(error, error_bytes, "output");
    *data = memory;
    *rank = engine->output[index].rank;
    memcpy(dims, engine->output[index].dims, sizeof engine->output[index].dims);
    return 0;
}

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "openvino",
        .probe = openvino_probe,
        .inspect = openvino_inspect,
        .open = openvino_open,
        .close = openvino_close,
        .describe = openvino_describe,
        .input = openvino_input,
        .submit = openvino_submit,
        .wait = openvino_wait,
        .output = openvino_output,
    };
    return &api;
}
