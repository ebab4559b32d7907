/* The bodies of KServe v2 inference: reading a request, writing a reply. Pure functions; a request
 * may be anything. The protocol: JSON, followed by binary tensors (the binary tensor extension). */
#pragma once

#include "base/json.h"
#include "detect/model.h"

enum { SP_INFERENCE_ID_BYTES = 128, SP_INFERENCE_PIXELS_MAX = 64 * 1024 * 1024 };

struct sp_inference_request {
    char id[SP_INFERENCE_ID_BYTES]; /* empty: none */
    int images, width_px, height_px;
    bool binary;         /* of the reply */
    const uint8_t *data; /* u8 RGB, in the model's layout; within the body, or `numbers` */
    uint8_t *numbers;    /* to free; NULL if the tensor was binary */
    size_t bytes;
};

/* Reads a body whose first json_bytes are JSON. SP_ERR_INVALID: the text says what is supported. On
 * success release `numbers`. */
int sp_inference_read(struct sp_inference_request *request, const char *body, size_t bytes,
                      size_t json_bytes, enum spoton_layout layout, struct sp_error *err);

/* The reply's JSON, before the binary tensors if there are any. dims: without the batch. */
void sp_inference_write(struct sp_json *json, const char *model,
                        const struct sp_inference_request *request,
                        const struct sp_model_output *outputs, int count);

/* The bytes of one image of an output. */
size_t sp_inference_output_bytes(const struct sp_model_output *output);
