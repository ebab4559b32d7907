/* A batch's memory on both sides, and what is enqueued for it. Private to the plugin.
 *
 * Memory of the host is pinned, so that copies run beside the model. Each request has its own of
 * everything: images are brought on the upload stream while other requests run; the compute stream
 * then waits for them by an event and runs letterbox, model, head and the way back of the boxes,
 * which is one graph once it was captured. */
#pragma once

#include "kernels.h"
#include "session.h"

#include <pthread.h>

struct cuda_planes { /* one image's, grows with the camera's size */
    uint8_t *host, *device;
    size_t capacity_bytes;
};

struct cuda_request {
    /* images */
    struct cuda_planes *planes; /* [batch] */
    struct cuda_image *image_host, *image_device;
    /* or u8 RGB, as engines without images take it */
    uint8_t *rgb_host, *rgb_device;

    void *input;
    void *output[SPOTON_TENSORS_MAX];
    float *f32_device[SPOTON_TENSORS_MAX], *f32_host[SPOTON_TENSORS_MAX]; /* of the RGB way */

    struct cuda_head head; /* with the request's scratch and results */
    struct spoton_box *boxes;
    int *box_count;

    cudaEvent_t uploaded, done;
    cudaGraphExec_t graph[CUDA_SIZES_MAX], model_graph[CUDA_SIZES_MAX];
    int images;                   /* put since the last submit */
    int captures[CUDA_SIZES_MAX]; /* tried while batches already ran */
    bool in_flight, has_boxes;
};

struct spoton_engine {
    const struct ort *ort;
    struct cuda_model model;
    cudaStream_t upload, compute;
    int requests, device;
    int bucket_count, bucket[CUDA_SIZES_MAX]; /* numbers of images that have a graph */
    enum spoton_layout input_layout;
    bool swap_red_blue;
    float scale;
    enum spoton_precision precision;
    struct spoton_head head; /* use_head() was called when boxes_max > 0 */
    uint8_t *class_wanted;   /* device */
    struct cuda_request *request;
    pthread_mutex_t lock; /* order on the compute stream; and the requests' planes */
    bool planes_reserved;
    struct spoton_engine *next_left; /* of those that closing had to leave */
    long batches;
    char device_name[128];
};

/* 0, or negative and "THING: what CUDA said". */
int cuda_check(cudaError_t status, const char *thing, char *error, size_t error_bytes);

/* What a failure on the stream was: that the device is lost is also told where ONNX Runtime met it
 * first. */
int cuda_failure(cudaStream_t stream, int result);

int cuda_requests_open(struct spoton_engine *engine, char *error, size_t error_bytes);
void cuda_requests_close(struct spoton_engine *engine);

/* Memory and graphs for the head, of all requests. */
int cuda_requests_use_head(struct spoton_engine *engine, char *error, size_t error_bytes);

int cuda_request_put(struct spoton_engine *engine, struct cuda_request *request, int image_index,
                     const struct spoton_image *image, char *error, size_t error_bytes);

/* The same with a image that lies on a device: on the engine's own it is read in place. */
int cuda_request_put_surface(struct spoton_engine *engine, struct cuda_request *request,
                             int image_index, const struct spoton_image *image,
                             const struct spoton_surface *surface, char *error, size_t error_bytes);

/* The caller holds the lock. */
int cuda_request_submit_images(struct spoton_engine *engine, struct cuda_request *request,
                               char *error, size_t error_bytes);
int cuda_request_submit_rgb(struct spoton_engine *engine, struct cuda_request *request, char *error,
                            size_t error_bytes);
int cuda_request_submit_again(struct spoton_engine *engine, struct cuda_request *request,
                              int images, char *error, size_t error_bytes);
