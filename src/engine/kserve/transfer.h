/* One HTTP exchange by libcurl: a request of up to two parts that are not copied, and its reply.
 * A transfer can be used again and keeps its memory. One thread at a time. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kserve_transfer {
    CURL *easy;
    struct curl_slist *headers;
    const char *part[2]; /* of the body */
    size_t part_bytes[2], sent;
    char *reply;
    size_t reply_bytes, reply_room;
    size_t json_bytes;     /* Inference-Header-Content-Length, else reply_bytes */
    int64_t retry_after_s; /* 0: none */
    char problem[CURL_ERROR_SIZE];
};

/* False: out of memory. user: for CURLINFO_PRIVATE. */
bool kserve_transfer_open(struct kserve_transfer *transfer, void *user);
void kserve_transfer_close(struct kserve_transfer *transfer); /* zero is fine */

/* Prepares GET or, with a first part, POST; json_bytes of the parts: for the header. token and
 * ca_file may be empty. False: out of memory. */
struct kserve_target {
    const char *url, *token, *ca_file;
    long timeout_ms;
};
bool kserve_transfer_prepare(struct kserve_transfer *transfer, const struct kserve_target *target,
                             const char *json, size_t json_bytes, const void *data,
                             size_t data_bytes);

enum kserve_outcome {
    KSERVE_OK,
    KSERVE_BUSY,        /* 429, 503 */
    KSERVE_UNREACHABLE, /* not connected, or the connection broke */
    KSERVE_LATE,        /* timeout */
    KSERVE_ERROR,       /* 5xx, or an invalid reply */
    KSERVE_REFUSES,     /* 4xx: of the token, the model or the request */
};

/* After the exchange: its outcome, and the problem as text (unchanged if there is none). */
enum kserve_outcome kserve_transfer_result(struct kserve_transfer *transfer, CURLcode code,
                                           char *error, size_t error_bytes);
