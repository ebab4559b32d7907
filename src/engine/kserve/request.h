/* An inference request of the kserve engine: its images, the tensor that is sent, its outputs.
 *
 * From submit() until it is done a request belongs to the engine's thread; `state` and what follows
 * are guarded by the engine's lock. */
#pragma once

#include "../convert.h"
#include "server.h"

enum { KSERVE_ERROR_BYTES = 300 };

/* How images become the servers' input. Set once, when the first server is ready. */
struct kserve_input {
    int batch, height, width;
    enum spoton_layout layout, image_layout; /* of the servers' tensor; of the images */
    bool swap_red_blue, has_deviation;
    float scale, mean[3], deviation[3];
    struct convert_table table[3];
};

enum kserve_request_state {
    KSERVE_IDLE,
    KSERVE_QUEUED,
    KSERVE_SENT,
    KSERVE_DONE,
    KSERVE_FAILED,
};

struct kserve_request {
    uint8_t *image;
    void *input; /* in the servers' type; image itself if nothing is to be converted */
    size_t input_bytes;
    struct kserve_result {
        float *data;
        size_t room;
        int rank;
        int64_t dims[SPOTON_RANK_MAX];
    } output[SPOTON_TENSORS_MAX];
    struct kserve_transfer transfer;

    enum kserve_request_state state;
    int server;     /* that it was sent to */
    unsigned tried; /* one bit a server */
    int64_t deadline_us, sent_us;
    char error[KSERVE_ERROR_BYTES];
};

/* False: out of memory. */
bool kserve_request_open(struct kserve_request *request, const struct kserve_input *input);
void kserve_request_close(struct kserve_request *request); /* zero is fine */

/* Fits the input to the servers' model. False: it cannot be converted. */
bool kserve_input_prepare(struct kserve_input *input, const struct kserve_model *model);
/* Allocates the tensor that is sent. False: out of memory. */
bool kserve_request_prepare(struct kserve_request *request, const struct kserve_input *input);

void kserve_request_fill(struct kserve_request *request, const struct kserve_input *input);

/* Converts the reply of the transfer. */
int kserve_request_keep(struct kserve_request *request, const struct spoton_model_info *info,
                        char *error, size_t error_bytes);
