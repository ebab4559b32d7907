/* The KServe v2 protocol (Open Inference Protocol) over REST, with the binary tensor extension:
 * reading a model's metadata, writing the JSON of a request, reading a reply. Pure functions; what
 * they read comes from another machine and may be anything.
 *
 * A binary body is JSON, whose length is in the header Inference-Header-Content-Length, followed by
 * the tensors in the order in which the JSON names them, little endian. */
#pragma once

#include "spoton/engine.h"

#include <stdbool.h>

enum { KSERVE_JSON_BYTES = 8192, KSERVE_PLATFORM_BYTES = 64, KSERVE_REPLY_RANK = SPOTON_RANK_MAX };

struct kserve_model {
    struct spoton_model_info info;
    char platform[KSERVE_PLATFORM_BYTES];
    bool takes_rgb; /* spoton's own server: RGB bytes, whatever the model behind it takes */
};

/* The reply to GET /v2/models/NAME. */
int kserve_read_model(struct kserve_model *model, const char *json, size_t bytes, char *error,
                      size_t error_bytes);

/* The JSON of a request with one binary input of this shape, asking for the outputs as binary.
 * Returns its length. */
int kserve_write_request(char out[KSERVE_JSON_BYTES], const struct kserve_model *model,
                         const int64_t dims[4], size_t input_bytes, char *error,
                         size_t error_bytes);

/* An output of a reply; data is in the model's element type or, if `json` (converted from numbers
 * in the JSON), f32. */
struct kserve_output {
    bool found;
    enum spoton_element element;
    int rank;
    int64_t dims[KSERVE_REPLY_RANK];
    size_t count; /* elements */
    const void *data;
    float *numbers; /* the memory of data, if the numbers were in the JSON; to free */
};

/* Reads a reply of `bytes`, the first json_bytes of which are JSON, into
 * outputs[info.output_count]. The outputs point into the body. Release them with
 * kserve_free_outputs(), after errors too. */
int kserve_read_reply(struct kserve_output *outputs, const struct spoton_model_info *info,
                      const char *body, size_t bytes, size_t json_bytes, char *error,
                      size_t error_bytes);
void kserve_free_outputs(struct kserve_output *outputs, int count);

/* The text of {"error": "..."}, without control characters; empty: there is none. */
void kserve_read_error(char *out, size_t out_bytes, const char *body, size_t bytes);

size_t kserve_element_bytes(enum spoton_element element); /* 0: not supported */
const char *kserve_datatype(enum spoton_element element); /* "FP32" */

/* Writes an error and returns SPOTON_FAILED. */
__attribute__((format(printf, 3, 4))) int kserve_fail(char *error, size_t error_bytes,
                                                      const char *format, ...);
