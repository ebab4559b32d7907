/* A compiled model at one input shape, with its requests.
 *
 * Data flow: acquire a request -> fill one image after the other (letterbox into the engine's
 * memory)
 * -> submit -> [any thread] collect: wait, decode -> read the detections -> release. A request
 * belongs to whoever acquired it until release. */
#pragma once

#include "detect/head.h"

struct sp_detector;

struct sp_detector_options {
    const struct spoton_engine_api *engine;
    const struct sp_model *model; /* outlives the detector */
    enum spoton_precision precision;
    int batch, width_px, height_px; /* a model with fixed ones uses its own */
    int threads, streams;           /* streams 0: the engine chooses */
    const char *cache_dir;          /* NULL: none */
    const char *backend_options;    /* engine specific, or NULL */
    struct sp_head_options head;    /* class_wanted outlives the detector */
    int device;                     /* the engine's */
};

struct sp_detector_request {
    int index;
    int images;                        /* filled so far */
    bool given;                        /* by sp_detector_fill_input() */
    int64_t submitted_us, finished_us; /* sp_clock_us() */
    struct {
        struct sp_letterbox_geometry geometry;
        struct sp_detection detections[SP_DETECTIONS_MAX];
        size_t detection_count;
    } * image; /* [batch] */
};

/* Compiles: takes seconds without a cache. Then runs a grey image: the first run is the slowest,
 * and its boxes tell what the file leaves open (detect/verify.h). SP_ERR_ENGINE, SP_ERR_INVALID (an
 * input size the model cannot have), SP_ERR_UNSUPPORTED, SP_ERR_NO_MEMORY, SP_ERR_DEVICE. */
int sp_detector_open(struct sp_detector **out, const struct sp_detector_options *options,
                     struct sp_error *err);
void sp_detector_close(struct sp_detector *detector); /* NULL is fine; no request may be out */

void sp_detector_describe(const struct sp_detector *detector,
                          struct spoton_engine_description *description);
/* With what the first run told. */
const struct sp_model *sp_detector_model(const struct sp_detector *detector);
int sp_detector_batch(const struct sp_detector *detector);
void sp_detector_input_size(const struct sp_detector *detector, int *width_px, int *height_px);

/* Waits for a free request. Never fails: requests come back as long as the collecting side runs. */
struct sp_detector_request *sp_detector_acquire(struct sp_detector *detector);
/* NULL: none is free in time. */
struct sp_detector_request *sp_detector_acquire_within(struct sp_detector *detector,
                                                       int64_t timeout_us);
void sp_detector_release(struct sp_detector *detector, struct sp_detector_request *request);

/* Appends one image; request->images < batch. Different requests from any threads. */
int sp_detector_fill(struct sp_detector *detector, struct sp_detector_request *request,
                     const struct sp_frame *frame, struct sp_error *err);

/* The same with a image that is letterboxed already, in the model's layout: its boxes come in
 * pixels of the input. */
void sp_detector_fill_input(struct sp_detector *detector, struct sp_detector_request *request,
                            const uint8_t *image);

/* A request without images runs what lies in its memory, for measuring: with engines that take
 * images the model alone, on the device. */
int sp_detector_submit(struct sp_detector *detector, struct sp_detector_request *request,
                       struct sp_error *err);

/* Waits for the results and decodes request->images of them. SP_ERR_DEVICE, of this and of filling
 * and submitting: the device does nothing any more. After an error the request holds no detections
 * and can be released or filled anew. */
int sp_detector_collect(struct sp_detector *detector, struct sp_detector_request *request,
                        struct sp_error *err);
