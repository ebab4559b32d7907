/* A compiled model at one input shape, with its inference requests.
 *
 * Data flow: acquire a request -> fill: letterbox each image into the engine's memory -> submit ->
 * [any thread] collect: wait, decode -> read the detections -> release. From acquire to release a
 * request belongs to its caller. */
#pragma once

#include "detect/head.h"

struct sp_detector;

struct sp_detector_options {
    const struct spoton_engine_api *engine;
    const struct sp_model *model; /* outlives the detector */
    enum spoton_precision precision;
    int batch, width_px, height_px;        /* fixed sizes of the model take precedence */
    int threads, streams;                  /* streams 0: the engine chooses */
    const char *cache_dir;                 /* NULL: none */
    const char *backend_options;           /* engine-specific, or NULL */
    struct sp_head_options head;           /* class_wanted outlives the detector */
    int device;                            /* index of the engine's devices */
    const struct spoton_engine_api *spill; /* detect/spill.h: infers when requests wait; or NULL */
    const char *spill_options;
};

struct sp_detector_request {
    int index;
    int images;                        /* filled so far */
    bool given;                        /* by sp_detector_fill_input() */
    int64_t submitted_us, finished_us; /* sp_clock_us() */
    struct {
        struct sp_letterbox_geometry geometry;
        const struct sp_head_options *head; /* of this image, to be set after its fill; NULL: the
                                             * detector's, which on a device must cover it */
        struct sp_detection detections[SP_DETECTIONS_MAX];
        size_t detection_count;
    } * image; /* [batch] */
};

/* Compiles the model, which takes seconds without a cache, and runs it once on a grey image, as
 * warm-up and to verify the head type (detect/verify.h). SP_ERR_ENGINE, SP_ERR_INVALID (the model
 * does not support the input size), SP_ERR_UNSUPPORTED, SP_ERR_NO_MEMORY, SP_ERR_DEVICE. */
int sp_detector_open(struct sp_detector **out, const struct sp_detector_options *options,
                     struct sp_error *err);
void sp_detector_close(
    struct sp_detector *detector); /* NULL is fine; all requests must be released */

void sp_detector_describe(const struct sp_detector *detector,
                          struct spoton_engine_description *description);
/* The model as verified by the first inference. */
const struct sp_model *sp_detector_model(const struct sp_detector *detector);
int sp_detector_batch(const struct sp_detector *detector);
void sp_detector_input_size(const struct sp_detector *detector, int *width_px, int *height_px);

/* The shapes of the outputs for one image, without data; returns their number. */
int sp_detector_outputs(const struct sp_detector *detector,
                        struct sp_model_output outputs[SPOTON_TENSORS_MAX]);

/* How many requests the engine can process at once now; INT_MAX: it does not say. Any thread. */
int sp_detector_capacity(const struct sp_detector *detector);
/* The server `index` that the engine infers on. False: there is none. Any thread. */
bool sp_detector_server(const struct sp_detector *detector, int index,
                        struct spoton_server *server);

/* Waits for a free request. Never fails: the collecting side releases requests. */
struct sp_detector_request *sp_detector_acquire(struct sp_detector *detector);
/* NULL: timeout. */
struct sp_detector_request *sp_detector_acquire_within(struct sp_detector *detector,
                                                       int64_t timeout_us);
void sp_detector_release(struct sp_detector *detector, struct sp_detector_request *request);

/* Appends one image; request->images < batch. Any thread; one thread per request at a time. */
int sp_detector_fill(struct sp_detector *detector, struct sp_detector_request *request,
                     const struct sp_frame *frame, struct sp_error *err);

/* Appends an image that is already letterboxed, in the model's layout. Its boxes are in pixels of
 * the input. */
void sp_detector_fill_input(struct sp_detector *detector, struct sp_detector_request *request,
                            const uint8_t *image);

/* For measuring, a request without images runs the previous content of its memory; engines that
 * take images then run only the model, on the device. */
int sp_detector_submit(struct sp_detector *detector, struct sp_detector_request *request,
                       struct sp_error *err);

/* Waits for the results and decodes those of request->images. SP_ERR_DEVICE (also from fill and
 * submit): the device is lost. After an error the request has no detections; it can be released or
 * filled again. */
int sp_detector_collect(struct sp_detector *detector, struct sp_detector_request *request,
                        struct sp_error *err);

/* Instead of sp_detector_collect(), for images of sp_detector_fill_input(): the outputs as they
 * are, of all images one after the other, valid until the request is submitted again. */
int sp_detector_collect_outputs(struct sp_detector *detector, struct sp_detector_request *request,
                                struct sp_model_output outputs[SPOTON_TENSORS_MAX], int *count,
                                struct sp_error *err);
