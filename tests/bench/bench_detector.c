/* A detector by itself: batches of frames from the host to boxes on the host, beside the engine
 * alone, on what lies in its memory. Prints a JSON object.
 *
 *     bench_detector ENGINE MODEL WIDTH HEIGHT BATCH SECONDS [PRECISION|-] [OPTIONS|-]
 * [FRAME.yuv|-] [gpu]
 *
 * Frames are 1920x1080, as of a camera: noise over a gradient, or those of a raw I420 file. They
 * lie in memory that the engine need not copy, where it offers that; with `gpu` on the device,
 * where a decoder there leaves them. */
#include "base/clock.h"
#include "detect/detector.h"
#include "engine/loader.h"
#include "surface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    W = 1920,
    H = 1080,
    IMAGE_BYTES = W * H * 3 / 2,
    FRAMES = 32,
    REQUESTS = 3,
    TIMES_MAX = 100000
};

static struct sp_model model;
static struct sp_frame frames[FRAMES];
static double times[TIMES_MAX];

static void die(const char *text)
{
    fprintf(stderr, "bench_detector: %s\n", text);
    exit(1);
}

static void make_images(const struct spoton_engine_api *api, const char *path)
{
    FILE *file = path ? fopen(path, "rbe") : NULL;
    unsigned seed = 1;
    bool takes = spoton_engine_takes_images(api);
    for (int i = 0; i < FRAMES; ++i) {
        uint8_t *planes = takes ? api->device_api->host_alloc(IMAGE_BYTES) : malloc(IMAGE_BYTES);
        if (!planes)
            die("no memory for frames");
        if (!file || fread(planes, 1, IMAGE_BYTES, file) != IMAGE_BYTES)
            for (size_t k = 0; k < IMAGE_BYTES; ++k) {
                seed = seed * 1664525u + 1013904223u;
                planes[k] = (uint8_t)(k / 9000 % 200 + (seed >> 27));
            }
        frames[i] = (struct sp_frame){
            .plane = {planes, planes + W * H, planes + W * H * 5 / 4},
            .stride_bytes = {W, W / 2, W / 2},
            .width_px = W,
            .height_px = H,
            .matrix = SP_MATRIX_BT709,
            .pinned = takes,
        };
    }
    if (file)
        fclose(file);
}

static void move_to_gpu(const struct spoton_engine_api *api)
{
    struct sp_error err = {0};
    struct spoton_decoding *decoding;
    char text[200];
    void *context, *stream;
    if (!spoton_engine_decodes(api))
        die("the engine has no memory on a device for frames");
    if (api->device_api->decoding_open(&decoding, 0, NULL, &context, &stream, text, sizeof text) <
        0)
        die(text);
    for (int i = 0; i < FRAMES; ++i) {
        struct spoton_image image = sp_frame_image(&frames[i]);
        struct spoton_surface *surface;
        if (sp_surface_take(&surface, api, decoding, &image, &err) < 0)
            die(err.text);
        sp_frame_attach(&frames[i], api, surface);
    }
    api->device_api->decoding_close(decoding);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_ms(size_t count)
{
    qsort(times, count, sizeof *times, compare);
    return count ? times[count / 2] / 1e3 : 0;
}

static void begin(struct sp_detector *detector, struct sp_detector_request *request, int images,
                  int first)
{
    struct sp_error err = {0};
    request->images = 0;
    for (int i = 0; i < images; ++i)
        if (sp_detector_fill(detector, request, &frames[(first + i) % FRAMES], &err) < 0)
            die(err.text);
    if (sp_detector_submit(detector, request, &err) < 0)
        die(err.text);
}

static size_t end(struct sp_detector *detector, struct sp_detector_request *request)
{
    struct sp_error err = {0};
    size_t boxes = 0;
    if (sp_detector_collect(detector, request, &err) < 0)
        die(err.text);
    for (int i = 0; i < request->images; ++i)
        boxes += request->image[i].detection_count;
    return boxes;
}

/* One batch after the other: median. images 0: the engine alone. */
static double latency_ms(struct sp_detector *detector, int images, double seconds, double *boxes)
{
    struct sp_detector_request *request = sp_detector_acquire(detector);
    size_t count = 0, found = 0;
    for (int i = 0; i < 3; ++i) {
        begin(detector, request, images, i);
        end(detector, request);
    }
    int64_t start_us = sp_clock_us();
    while (count < TIMES_MAX && (double)(sp_clock_us() - start_us) < seconds * 1e6) {
        int64_t at_us = sp_clock_us();
        begin(detector, request, images, (int)(count * (size_t)images % FRAMES));
        found += end(detector, request);
        times[count++] = (double)(sp_clock_us() - at_us);
    }
    request->images = 0;
    sp_detector_release(detector, request);
    *boxes = images ? (double)found / (double)count / images : 0;
    return median_ms(count);
}

/* REQUESTS batches in flight: time over batches, from when each request has come round once, and
 * over whole rounds of the requests: a batch may take as long as `seconds`. */
static double steady_ms(struct sp_detector *detector, int images, double seconds)
{
    struct sp_detector_request *requests[REQUESTS];
    size_t count = 0;
    int64_t start_us = 0;
    for (int i = 0; i < REQUESTS; ++i)
        requests[i] = sp_detector_acquire(detector);
    for (int i = 0; i < REQUESTS; ++i)
        begin(detector, requests[i], images, i * images);
    do {
        struct sp_detector_request *request = requests[count % REQUESTS];
        end(detector, request);
        begin(detector, request, images, (int)(count * (size_t)images % FRAMES));
        if (++count == REQUESTS)
            start_us = sp_clock_us();
    } while (count < 3 * REQUESTS || count % REQUESTS != 0 ||
             (double)(sp_clock_us() - start_us) < seconds * 1e6);
    double spent_us = (double)(sp_clock_us() - start_us);
    for (int i = 0; i < REQUESTS; ++i) {
        struct sp_detector_request *request = requests[(count + (size_t)i) % REQUESTS];
        end(detector, request);
        request->images = 0;
        sp_detector_release(detector, request);
    }
    return spent_us / (double)(count - REQUESTS) / 1e3;
}

static enum spoton_precision precision_of(const char *word)
{
    for (enum spoton_precision p = SPOTON_PRECISION_AUTO; p <= SPOTON_PRECISION_INT8; ++p)
        if (strcmp(word, sp_precision_name(p)) == 0)
            return p;
    return SPOTON_PRECISION_AUTO;
}

int main(int argc, char **argv)
{
    const struct spoton_engine_api *api = NULL;
    struct sp_error err = {0};
    struct sp_detector *detector = NULL;
    if (argc < 7)
        die("ENGINE MODEL WIDTH HEIGHT BATCH SECONDS [PRECISION|-] [OPTIONS|-] [FRAME.yuv|-] "
            "[gpu]");
    bool on_gpu = argc > 10 && strcmp(argv[10], "gpu") == 0;
    int batch = atoi(argv[5]);
    double seconds = atof(argv[6]);
    const char *options_text = argc > 8 && strcmp(argv[8], "-") != 0 ? argv[8] : NULL;
    if (sp_engine_load(&api, argv[1], &err) < 0 ||
        sp_model_open(&model, api, argv[2], NULL, &err) < 0)
        die(err.text);
    struct sp_detector_options options = {
        .engine = api,
        .model = &model,
        .precision = precision_of(argc > 7 ? argv[7] : "-"),
        .batch = batch,
        .width_px = atoi(argv[3]),
        .height_px = atoi(argv[4]),
        .threads = 2,
        .backend_options = options_text,
        .head = {.confidence_threshold = 0.3, .nms_iou = 0.7},
    };
    int64_t start_us = sp_clock_us();
    if (sp_detector_open(&detector, &options, &err) < 0)
        die(err.text);
    double open_s = (double)(sp_clock_us() - start_us) / 1e6, boxes = 0, none = 0;
    make_images(api, argc > 9 && strcmp(argv[9], "-") != 0 ? argv[9] : NULL);
    if (on_gpu)
        move_to_gpu(api);
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_detector_describe(detector, &d);
    double latency = latency_ms(detector, batch, seconds, &boxes);
    double steady = steady_ms(detector, batch, seconds);
    double bare = latency_ms(detector, 0, seconds, &none);
    double bare_steady = steady_ms(detector, 0, seconds);
    double latency_again = latency_ms(detector, batch, seconds, &boxes);
    const char *name = strrchr(argv[2], '/');
    printf("{\"model\":\"%s\",\"input\":\"%sx%s\",\"batch\":%d,\"frames\":\"%s\",\"options\":\"%"
           "s\",\"precision\":"
           "\"%s\",\"device\":\"%s\",\"open_s\":%.2f,\"detect_ms\":%.3f,\"detect_again_ms\":%.3f,"
           "\"detect_steady_ms\":%.3f,\"engine_ms\":%.3f,\"engine_steady_ms\":%.3f,"
           "\"boxes\":%.2f}\n",
           name ? name + 1 : argv[2], argv[3], argv[4], batch, on_gpu ? "gpu" : "host",
           options_text ? options_text : "", sp_precision_name(d.precision), d.device, open_s,
           latency, latency_again, steady, bare, bare_steady, boxes);
    sp_detector_close(detector);
    return 0;
}
