/* A batch's memory on both sides, and what is enqueued for it. Private to the plugin.
 *
 * Memory of the host is pinned, so that copies run beside the model. Each slot has its own of
 * everything: pictures are brought on the upload stream while other slots run; the compute stream
 * then waits for them by an event and runs letterbox, model, head and the way back of the boxes,
 * which is one graph once it was captured. */
#pragma once

#include "kernels.h"
#include "session.h"

#include <pthread.h>

struct cuda_planes { /* one picture's, grows with the camera's size */
    uint8_t *host, *device;
    size_t capacity_bytes;
};

struct cuda_slot {
    /* pictures */
    struct cuda_planes *planes; /* [batch] */
    struct cuda_picture *picture_host, *picture_device;
    /* or u8 RGB, as engines without pictures take it */
    uint8_t *rgb_host, *rgb_device;

    void *input;
    void *output[SPOTON_TENSORS_MAX];
    float *f32_device[SPOTON_TENSORS_MAX], *f32_host[SPOTON_TENSORS_MAX]; /* of the RGB way */

    struct cuda_head head; /* with the slot's scratch and results */
    struct spoton_box *boxes;
    int *box_count;

    cudaEvent_t uploaded, done;
    cudaGraphExec_t graph[CUDA_SIZES_MAX], model_graph[CUDA_SIZES_MAX];
    int images; /* put since the last submit */
    bool in_flight, has_boxes, captured;
};

struct spoton_engine {
    const struct ort *ort;
    struct cuda_model model;
    cudaStream_t upload, compute;
    int slots, device;
    int bucket_count, bucket[CUDA_SIZES_MAX]; /* numbers of pictures that have a graph */
    enum spoton_layout input_layout;
    bool swap_red_blue;
    float scale;
    enum spoton_precision precision;
    struct spoton_head head; /* use_head() was called when boxes_max > 0 */
    uint8_t *class_wanted;   /* device */
    struct cuda_slot *slot;
    pthread_mutex_t lock; /* order on the compute stream; and the slots' planes */
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

int cuda_slots_open(struct spoton_engine *engine, char *error, size_t error_bytes);
void cuda_slots_close(struct spoton_engine *engine);

/* Memory and graphs for the head, of all slots. */
int cuda_slots_use_head(struct spoton_engine *engine, char *error, size_t error_bytes);

int cuda_slot_put(struct spoton_engine *engine, struct cuda_slot *slot, int image,
                  const struct spoton_picture *picture, char *error, size_t error_bytes);

/* The same with a picture that lies on a device: on the engine's own it is read in place. */
int cuda_slot_put_surface(struct spoton_engine *engine, struct cuda_slot *slot, int image,
                          const struct spoton_picture *picture,
                          const struct spoton_surface *surface, char *error, size_t error_bytes);

/* The caller holds the lock. */
int cuda_slot_submit_pictures(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                              size_t error_bytes);
int cuda_slot_submit_rgb(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                         size_t error_bytes);
int cuda_slot_submit_again(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                           char *error, size_t error_bytes);
