/* A deterministic engine for tests, without a model: detects bright rectangles.
 *
 * Blocks of 8x8 px with a mean luma of 200 or more that share an edge are one detection; its
 * confidence is the bright fraction of its bounding box. The output is that of a YOLOv8 head,
 * [batch][5][100]: cx, cy, w, h in input pixels, confidence; unused columns are 0.
 *
 * Streams are threads, so requests run in parallel as in real engines. Backend options: delay_us=N
 * (minimum time of a run), fail_every=N (every N-th run fails), fail_after=N (the N-th and all
 * following ones fail), break_after=N (the same with a lost device), open_ms=N (minimum time of
 * open), open_together=N (open returns once N calls are in progress, and fails after a minute),
 * open_file=PATH (open returns once the file exists), refuse_height=N (open fails for this input
 * height), memory_images=N (out of memory for a larger batch), devices=N (number of devices),
 * only_device=N (the other options apply to this device only). Surfaces "on a device" are in host
 * memory. Any existing file is a model, and so is the word "fake". Mean and deviation are not
 * supported. */
#include "spoton/device.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_PX = 8, BRIGHT = 200, ROWS = 5, COLUMNS = 100, STREAMS_MAX = 32, FILE_BYTES = 256 };

static const int64_t POLL_US = 2000, TOGETHER_LIMIT_US = 60000000;

struct options {
    int delay_us, fail_every, fail_after, open_ms, refuse_height, memory_images, break_after;
    int devices, only_device, open_together;
    char open_file[FILE_BYTES]; /* empty: none */
};

enum request_state { IDLE, QUEUED, DONE };

struct request {
    uint8_t *input;
    float *output;
    uint8_t *bright;  /* [rows of blocks][columns of blocks] */
    int32_t *pending; /* blocks of a component still to visit */
    enum request_state state;
    bool failed, lost;
};

struct spoton_engine {
    int batch, height_px, width_px, streams, requests, threads;
    enum spoton_precision precision;
    bool planar; /* layout of the requests' memory */
    struct options options;
    int device;
    struct request *request;

    pthread_mutex_t lock; /* guards the fields below and the requests' state */
    pthread_cond_t queued, done;
    int *queue; /* ring of request numbers; a request is in it at most once */
    int head, waiting;
    long submits;
    bool closing;
    pthread_t worker[STREAMS_MAX];
    int workers;
};

static int fail(char *error, size_t error_bytes, const char *thing, const char *text)
{
    snprintf(error, error_bytes, "%s: %s", thing, text);
    return -1;
}

static void fake_probe(struct spoton_engine_probe *probe)
{
    probe->preference = 0;
    snprintf(probe->version, sizeof probe->version, "1");
    snprintf(probe->device, sizeof probe->device, "none");
    snprintf(probe->precisions, sizeof probe->precisions, "f32,bf16,f16,int8");
    snprintf(probe->reason, sizeof probe->reason, "for tests; used only if named");
    const char *count = getenv("SPOTON_FAKE_PROBES"); /* each probe appends a byte to this file */
    FILE *file = count ? fopen(count, "ae") : NULL;
    if (file) {
        fputc('.', file);
        fclose(file);
    }
    const char *batch = getenv("SPOTON_FAKE_BATCH"); /* the recommended batch size to report */
    probe->batch = batch ? (int)strtol(batch, NULL, 10) : 0;
}

static int check_path(const char *path, char *error, size_t error_bytes)
{
    if (strcmp(path, "fake") != 0 && access(path, R_OK) != 0)
        return fail(error, error_bytes, path, "no such file");
    return 0;
}

static int fake_inspect(const char *path, struct spoton_model_info *info, char *error,
                        size_t error_bytes)
{
    if (check_path(path, error, error_bytes) < 0)
        return -1;
    info->input_count = info->output_count = 1;
    info->input[0] = (struct spoton_tensor){
        .name = "images", .element = SPOTON_ELEMENT_F32, .rank = 4, .dims = {-1, 3, -1, -1}};
    info->output[0] = (struct spoton_tensor){
        .name = "output0", .element = SPOTON_ELEMENT_F32, .rank = 3, .dims = {-1, ROWS, -1}};
    info->quantized = 0;
    return 0;
}

/* Distances between rows, pixels and channels, of a planar or an interleaved image. */
struct steps {
    size_t row_bytes, pixel_bytes, color_bytes;
};

static bool block_is_bright(const uint8_t *input, const struct steps *step, int width_px,
                            int height_px)
{
    long sum = 0;
    for (int y = 0; y < height_px; ++y) {
        for (int x = 0; x < width_px; ++x) {
            const uint8_t *rgb =
                input + (size_t)y * step->row_bytes + (size_t)x * step->pixel_bytes;
            sum +=
                (77 * rgb[0] + 150 * rgb[step->color_bytes] + 29 * rgb[2 * step->color_bytes]) >> 8;
        }
    }
    return sum >= (long)BRIGHT * width_px * height_px;
}

/* Clears one connected component and writes its column of the output. */
static void take_component(struct request *request, int columns, int rows, int start, float *out)
{
    int left = columns, right = -1, top = rows, bottom = -1, count = 0;
    int pending = 0;
    request->pending[pending++] = start;
    request->bright[start] = 0;
    while (pending > 0) {
        int at = request->pending[--pending];
        int x = at % columns, y = at / columns;
        ++count;
        left = x < left ? x : left;
        right = x > right ? x : right;
        top = y < top ? y : top;
        bottom = y > bottom ? y : bottom;
        const int near[4] = {x > 0 ? at - 1 : -1, x + 1 < columns ? at + 1 : -1,
                             y > 0 ? at - columns : -1, y + 1 < rows ? at + columns : -1};
        for (int i = 0; i < 4; ++i) {
            if (near[i] >= 0 && request->bright[near[i]]) {
                request->bright[near[i]] = 0;
                request->pending[pending++] = near[i];
            }
        }
    }
    int width = right - left + 1, height = bottom - top + 1;
    out[0 * COLUMNS] = ((float)left + (float)width / 2) * BLOCK_PX;
    out[1 * COLUMNS] = ((float)top + (float)height / 2) * BLOCK_PX;
    out[2 * COLUMNS] = (float)(width * BLOCK_PX);
    out[3 * COLUMNS] = (float)(height * BLOCK_PX);
    out[4 * COLUMNS] = 0.5f + 0.45f * (float)count / (float)(width * height);
}

static void detect(const struct spoton_engine *engine, struct request *request)
{
    int columns = (engine->width_px + BLOCK_PX - 1) / BLOCK_PX;
    int rows = (engine->height_px + BLOCK_PX - 1) / BLOCK_PX;
    size_t width = (size_t)engine->width_px, image_bytes = width * (size_t)engine->height_px * 3;
    struct steps step = {width * 3, 3, 1};
    if (engine->planar)
        step = (struct steps){width, 1, width * (size_t)engine->height_px};
    memset(request->output, 0, sizeof(float) * (size_t)engine->batch * ROWS * COLUMNS);
    for (int image_index = 0; image_index < engine->batch; ++image_index) {
        const uint8_t *input = request->input + (size_t)image_index * image_bytes;
        for (int y = 0; y < rows; ++y) {
            for (int x = 0; x < columns; ++x) {
                int wide = engine->width_px - x * BLOCK_PX, high = engine->height_px - y * BLOCK_PX;
                request->bright[y * columns + x] = block_is_bright(
                    input + (size_t)y * BLOCK_PX * step.row_bytes +
                        (size_t)x * BLOCK_PX * step.pixel_bytes,
                    &step, wide < BLOCK_PX ? wide : BLOCK_PX, high < BLOCK_PX ? high : BLOCK_PX);
            }
        }
        float *out = request->output + (size_t)image_index * ROWS * COLUMNS;
        int found = 0;
        for (int at = 0; at < rows * columns && found < COLUMNS; ++at) {
            if (request->bright[at])
                take_component(request, columns, rows, at, out + found++);
        }
    }
}

static void *run_worker(void *argument)
{
    struct spoton_engine *engine = argument;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        while (!engine->waiting && !engine->closing)
            pthread_cond_wait(&engine->queued, &engine->lock);
        if (!engine->waiting)
            break;
        struct request *request = &engine->request[engine->queue[engine->head]];
        engine->head = (engine->head + 1) % engine->requests;
        --engine->waiting;
        pthread_mutex_unlock(&engine->lock);
        detect(engine, request);
        if (engine->options.delay_us > 0)
            usleep((useconds_t)engine->options.delay_us);
        pthread_mutex_lock(&engine->lock);
        request->state = DONE;
        pthread_cond_broadcast(&engine->done);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void fake_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    pthread_cond_broadcast(&engine->queued);
    pthread_mutex_unlock(&engine->lock);
    for (int i = 0; i < engine->workers; ++i)
        pthread_join(engine->worker[i], NULL);
    for (int i = 0; engine->request && i < engine->requests; ++i) {
        free(engine->request[i].input);
        free(engine->request[i].output);
        free(engine->request[i].bright);
        free(engine->request[i].pending);
    }
    pthread_cond_destroy(&engine->queued);
    pthread_cond_destroy(&engine->done);
    pthread_mutex_destroy(&engine->lock);
    free(engine->request);
    free(engine->queue);
    free(engine);
}

static int parse_backend_options(struct options *options, const char *backend_options, char *error,
                                 size_t error_bytes)
{
    *options = (struct options){.devices = 1, .only_device = -1};
    const struct {
        const char *name;
        int *value;
    } known[] = {
        {"delay_us=", &options->delay_us},           {"fail_every=", &options->fail_every},
        {"fail_after=", &options->fail_after},       {"open_ms=", &options->open_ms},
        {"refuse_height=", &options->refuse_height}, {"memory_images=", &options->memory_images},
        {"break_after=", &options->break_after},     {"devices=", &options->devices},
        {"only_device=", &options->only_device},     {"open_together=", &options->open_together},
    };
    while (backend_options && *backend_options) {
        int used = 0;
        if (sscanf(backend_options, "open_file=%255[^;]%n", options->open_file, &used) != 1)
            used = 0;
        for (size_t i = 0; i < sizeof known / sizeof known[0] && used == 0; ++i) {
            size_t bytes = strlen(known[i].name);
            if (strncmp(backend_options, known[i].name, bytes) == 0 &&
                sscanf(backend_options + bytes, "%d%n", known[i].value, &used) == 1)
                used += (int)bytes;
        }
        if (used == 0)
            return fail(error, error_bytes, backend_options,
                        "not an option of this engine, which has delay_us=N, fail_every=N, "
                        "fail_after=N, open_ms=N, refuse_height=N, memory_images=N, break_after=N, "
                        "devices=N, only_device=N, open_together=N and open_file=PATH");
        backend_options += used;
        backend_options += *backend_options == ';';
    }
    return 0;
}

static int fake_device(int index, const char *backend_options, struct spoton_device *device)
{
    struct options options;
    char error[256];
    if (parse_backend_options(&options, backend_options, error, sizeof error) < 0)
        options.devices = 1; /* open() says what is wrong */
    if (index < 0 || index >= options.devices)
        return -1;
    snprintf(device->name, sizeof device->name, "fake %d", index);
    device->power = 1;
    return 0;
}

static bool allocate_requests(struct spoton_engine *engine)
{
    size_t pixels = (size_t)engine->width_px * (size_t)engine->height_px;
    size_t blocks = (size_t)((engine->width_px + BLOCK_PX - 1) / BLOCK_PX) *
                    (size_t)((engine->height_px + BLOCK_PX - 1) / BLOCK_PX);
    engine->queue = calloc((size_t)engine->requests, sizeof *engine->queue);
    engine->request = calloc((size_t)engine->requests, sizeof *engine->request);
    if (!engine->queue || !engine->request)
        return false;
    for (int i = 0; i < engine->requests; ++i) {
        struct request *request = &engine->request[i];
        request->input = calloc((size_t)engine->batch, pixels * 3);
        request->output = calloc((size_t)engine->batch, sizeof(float) * ROWS * COLUMNS);
        request->bright = calloc(blocks, 1);
        request->pending = calloc(blocks, sizeof *request->pending);
        if (!request->input || !request->output || !request->bright || !request->pending)
            return false;
    }
    return true;
}

/* As open_ms, open_file and open_together ask for; false: the others did not come. */
static bool wait_to_open(const struct options *options)
{
    static atomic_int under_way;
    usleep((useconds_t)options->open_ms * 1000);
    while (options->open_file[0] && access(options->open_file, F_OK) != 0)
        usleep(POLL_US);
    int64_t waited_us = 0;
    atomic_fetch_add(&under_way, options->open_together > 0);
    while (atomic_load(&under_way) < options->open_together && waited_us < TOGETHER_LIMIT_US) {
        usleep(POLL_US);
        waited_us += POLL_US;
    }
    return waited_us < TOGETHER_LIMIT_US; /* stay counted for those that still wait */
}

static int fake_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                     char *error, size_t error_bytes)
{
    if (check_path(options->model_path, error, error_bytes) < 0)
        return -1;
    if (options->struct_bytes >= sizeof *options && options->deviation[0] > 0)
        return fail(error, error_bytes, "fake engine", "mean and deviation are not supported");
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return fail(error, error_bytes, "fake engine", "out of memory");
    engine->planar = options->input_layout == SPOTON_LAYOUT_NCHW;
    engine->batch = options->batch;
    engine->height_px = options->height;
    engine->width_px = options->width;
    engine->threads = options->threads;
    engine->streams = options->streams > 0 ? options->streams : options->threads;
    engine->streams = engine->streams > STREAMS_MAX ? STREAMS_MAX : engine->streams;
    engine->requests = engine->streams + 2;
    engine->precision =
        options->precision == SPOTON_PRECISION_AUTO ? SPOTON_PRECISION_F32 : options->precision;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->queued, NULL);
    pthread_cond_init(&engine->done, NULL);
    struct options *own = &engine->options;
    if (parse_backend_options(own, options->backend_options, error, error_bytes) < 0) {
        fake_close(engine);
        return -1;
    }
    engine->device = options->device;
    if (engine->device < 0 || engine->device >= own->devices) {
        fake_close(engine);
        return fail(error, error_bytes, "fake engine", "no such device");
    }
    if (own->only_device >= 0 && own->only_device != engine->device)
        *own = (struct options){.devices = own->devices};
    if (own->refuse_height == engine->height_px) {
        fake_close(engine);
        return fail(error, error_bytes, "fake engine", "refused, because of refuse_height");
    }
    if (own->memory_images > 0 && engine->batch > own->memory_images) {
        fake_close(engine);
        fail(error, error_bytes, "fake engine", "out of memory, because of memory_images");
        return SPOTON_NO_MEMORY;
    }
    if (!wait_to_open(own)) {
        fake_close(engine);
        return fail(error, error_bytes, "fake engine",
                    "no other open in progress, because of open_together");
    }
    bool ready = allocate_requests(engine);
    while (ready && engine->workers < engine->streams) {
        ready = pthread_create(&engine->worker[engine->workers], NULL, run_worker, engine) == 0;
        engine->workers += ready;
    }
    if (!ready) {
        fake_close(engine);
        return fail(error, error_bytes, "fake engine", "out of memory");
    }
    *out = engine;
    return 0;
}

static void fake_describe(struct spoton_engine *engine,
                          struct spoton_engine_description *description)
{
    description->requests = engine->requests;
    description->streams = engine->streams;
    description->threads = engine->threads;
    description->output_count = 1;
    description->precision = engine->precision;
    if (engine->options.devices > 1)
        snprintf(description->device, sizeof description->device, "fake %d", engine->device);
    else
        snprintf(description->device, sizeof description->device, "none");
}

static uint8_t *fake_input(struct spoton_engine *engine, int request)
{
    return engine->request[request].input;
}

static int fake_submit(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    int result = 0;
    const struct options *options = &engine->options;
    pthread_mutex_lock(&engine->lock);
    if (engine->request[request].state == QUEUED) {
        result = fail(error, error_bytes, "submit", "the request is in flight");
    } else {
        ++engine->submits;
        engine->request[request].failed =
            (options->fail_every > 0 && engine->submits % options->fail_every == 0) ||
            (options->fail_after > 0 && engine->submits >= options->fail_after);
        engine->request[request].lost =
            options->break_after > 0 && engine->submits >= options->break_after;
        engine->request[request].state = QUEUED;
        engine->queue[(engine->head + engine->waiting) % engine->requests] = request;
        ++engine->waiting;
        pthread_cond_signal(&engine->queued);
    }
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int fake_wait(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    pthread_mutex_lock(&engine->lock);
    while (engine->request[request].state == QUEUED)
        pthread_cond_wait(&engine->done, &engine->lock);
    bool failed = engine->request[request].failed || engine->request[request].state != DONE;
    bool lost = engine->request[request].lost;
    pthread_mutex_unlock(&engine->lock);
    if (lost) {
        fail(error, error_bytes, "run", "the device is lost, because of break_after");
        return SPOTON_DEVICE_LOST;
    }
    return failed ? fail(error, error_bytes, "run", "failed, because of fail_every or fail_after")
                  : 0;
}

static int fake_output(struct spoton_engine *engine, int request, int index, const float **data,
                       int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    if (index != 0)
        return fail(error, error_bytes, "output", "there is only output 0");
    *data = engine->request[request].output;
    *rank = 3;
    dims[0] = engine->batch;
    dims[1] = ROWS;
    dims[2] = COLUMNS;
    return 0;
}

/* ---- decoding, in host memory ---- */

struct spoton_decoding {
    int device;
};

struct spoton_surface {
    size_t bytes;
    uint8_t planes[];
};

static int fake_decoding_open(struct spoton_decoding **out, int device, const char *backend_options,
                              void **context, void **stream, char *error, size_t error_bytes)
{
    struct spoton_device about;
    if (fake_device(device, backend_options, &about) < 0)
        return fail(error, error_bytes, "fake engine", "no such device");
    struct spoton_decoding *decoding = calloc(1, sizeof *decoding);
    if (!decoding)
        return fail(error, error_bytes, "fake engine", "out of memory");
    decoding->device = device;
    *context = *stream = NULL;
    *out = decoding;
    return 0;
}

static void fake_decoding_close(struct spoton_decoding *decoding)
{
    free(decoding);
}

static int fake_surface_take(struct spoton_decoding *decoding, const struct spoton_image *image,
                             struct spoton_surface **out, char *error, size_t error_bytes)
{
    size_t half = ((size_t)image->width + 1) / 2, rows = ((size_t)image->height + 1) / 2;
    size_t luma = (size_t)image->width * (size_t)image->height;
    int planes = image->interleaved_chroma ? 2 : 3;
    struct spoton_surface *surface = malloc(sizeof *surface + luma + 2 * half * rows);
    if (!surface) {
        fail(error, error_bytes, "fake engine", "out of memory");
        return SPOTON_NO_MEMORY;
    }
    (void)decoding;
    surface->bytes = luma + 2 * half * rows;
    uint8_t *to = surface->planes;
    for (int i = 0; i < planes; ++i) {
        size_t width = i == 0 ? (size_t)image->width : (planes == 2 ? 2 * half : half);
        size_t height = i == 0 ? (size_t)image->height : rows;
        for (size_t y = 0; y < height; ++y, to += width)
            memcpy(to, image->plane[i] + (ptrdiff_t)y * image->stride_bytes[i], width);
    }
    *out = surface;
    return 0;
}

static int fake_surface_read(struct spoton_surface *surface, uint8_t *planes, char *error,
                             size_t error_bytes)
{
    (void)error, (void)error_bytes;
    memcpy(planes, surface->planes, surface->bytes);
    return 0;
}

static void fake_surface_free(struct spoton_surface *surface)
{
    free(surface);
}

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_device_api device_api = {
        .struct_bytes = sizeof device_api,
        .decoding_open = fake_decoding_open,
        .decoding_close = fake_decoding_close,
        .surface_take = fake_surface_take,
        .surface_read = fake_surface_read,
        .surface_free = fake_surface_free,
    };
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "fake",
        .probe = fake_probe,
        .inspect = fake_inspect,
        .open = fake_open,
        .close = fake_close,
        .describe = fake_describe,
        .input = fake_input,
        .submit = fake_submit,
        .wait = fake_wait,
        .output = fake_output,
        .device = fake_device,
        .device_api = &device_api,
    };
    return &api;
}
