/* An engine plugin that needs no inference runtime: it reports the bounding box of all bright
 * pixels as one person. It implements all functions that an engine must have.
 *
 * The program writes u8 RGB into input(), calls submit() and wait(), and reads output() as f32.
 * This engine answers like a YOLOv8 model: [batch][5][COLUMNS], rows cx, cy, w, h in input pixels
 * and a confidence, so spoton recognizes the head. A real engine would compile options->model_path.
 */
#include <spoton/engine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, COLUMNS = 8, BRIGHT = 200 };

struct spoton_engine {
    struct spoton_engine_options options;
    uint8_t *input; /* of the one request; several would work on several frames at once */
    float *output;
};

static void bright_probe(struct spoton_engine_probe *probe)
{
    probe->preference = 1; /* it runs everywhere, and every other engine is preferred */
    snprintf(probe->version, sizeof probe->version, "1");
    snprintf(probe->device, sizeof probe->device, "CPU");
    snprintf(probe->precisions, sizeof probe->precisions, "f32");
}

/* The dimensions that are -1 are free: open() states them. */
static int bright_inspect(const char *model_path, struct spoton_model_info *info, char *error,
                          size_t error_bytes)
{
    (void)model_path, (void)error, (void)error_bytes;
    info->input_count = info->output_count = 1;
    info->input[0] = (struct spoton_tensor){"images", SPOTON_ELEMENT_F32, 4, {-1, 3, -1, -1}};
    info->output[0] = (struct spoton_tensor){"output0", SPOTON_ELEMENT_F32, 3, {-1, ROWS, COLUMNS}};
    return 0;
}

static void bright_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    free(engine->input);
    free(engine->output);
    free(engine);
}

static int bright_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                       char *error, size_t error_bytes)
{
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    size_t pixels = (size_t)options->batch * options->height * options->width;
    if (engine) {
        engine->options = *options;
        engine->input = calloc(pixels, 3);
        engine->output = calloc((size_t)options->batch * ROWS * COLUMNS, sizeof *engine->output);
    }
    if (!engine || !engine->input || !engine->output) {
        bright_close(engine);
        snprintf(error, error_bytes, "engine bright: out of memory; use a smaller input");
        return SPOTON_NO_MEMORY;
    }
    *out = engine;
    return 0;
}

static void bright_describe(struct spoton_engine *engine,
                            struct spoton_engine_description *description)
{
    (void)engine;
    description->requests = description->streams = description->threads = 1;
    description->output_count = 1;
    description->precision = SPOTON_PRECISION_F32;
    snprintf(description->device, sizeof description->device, "CPU");
}

static uint8_t *bright_input(struct spoton_engine *engine, int request)
{
    (void)request;
    return engine->input;
}

/* Green alone, as it carries most of the luma: the second plane, or the second byte of a pixel. */
static void find_box(const struct spoton_engine *engine, const uint8_t *image, float *output)
{
    int width = engine->options.width, height = engine->options.height;
    int planar = engine->options.input_layout == SPOTON_LAYOUT_NCHW;
    int left = width, top = height, right = 0, bottom = 0;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            size_t at = (size_t)y * width + x;
            if (image[planar ? (size_t)width * height + at : 3 * at + 1] < BRIGHT)
                continue;
            left = x < left ? x : left;
            right = x + 1 > right ? x + 1 : right;
            top = y < top ? y : top;
            bottom = y + 1;
        }
    }
    if (right <= left)
        return;
    float column[ROWS] = {(left + right) / 2.0F, (top + bottom) / 2.0F, right - left, bottom - top,
                          0.9F};
    for (int row = 0; row < ROWS; row++)
        output[row * COLUMNS] = column[row];
}

static int bright_submit(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    (void)request, (void)error, (void)error_bytes;
    size_t image_bytes = (size_t)engine->options.width * engine->options.height * 3;
    memset(engine->output, 0,
           (size_t)engine->options.batch * ROWS * COLUMNS * sizeof *engine->output);
    for (int i = 0; i < engine->options.batch; i++)
        find_box(engine, engine->input + i * image_bytes,
                 engine->output + (size_t)i * ROWS * COLUMNS);
    return 0;
}

static int bright_wait(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    (void)engine, (void)request, (void)error, (void)error_bytes;
    return 0; /* submit() has done the work */
}

static int bright_output(struct spoton_engine *engine, int request, int index, const float **data,
                         int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    (void)request, (void)index, (void)error, (void)error_bytes;
    *data = engine->output;
    *rank = 3;
    dims[0] = engine->options.batch;
    dims[1] = ROWS;
    dims[2] = COLUMNS;
    return 0;
}

const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "bright",
        .probe = bright_probe,
        .inspect = bright_inspect,
        .open = bright_open,
        .close = bright_close,
        .describe = bright_describe,
        .input = bright_input,
        .submit = bright_submit,
        .wait = bright_wait,
        .output = bright_output,
    };
    return &api;
}
