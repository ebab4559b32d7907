/* The backend options of the kserve engine: "url=...;token=...". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { KSERVE_SERVERS_MAX = 8, KSERVE_URL_BYTES = 512, KSERVE_NAME_BYTES = 128 };

struct kserve_address {
    char base[KSERVE_URL_BYTES];   /* http://host:8000 */
    char model[KSERVE_URL_BYTES];  /* http://host:8000/v2/models/NAME[/versions/N] */
    char shown[KSERVE_NAME_BYTES]; /* for messages: host:8000/NAME */
};

struct kserve_options {
    struct kserve_address server[KSERVE_SERVERS_MAX];
    int server_count;
    char token[512];    /* a secret; empty: none */
    char ca_file[1024]; /* empty: the system's certificates */
    int timeout_ms;     /* of an inference */
    int requests;       /* in flight to each server */
    int budget_ms;      /* a slower server gets no requests; 0: no limit */
    bool later;         /* open() succeeds although no server is ready */
};

/* The error contains neither the token nor a password. */
int kserve_read_options(struct kserve_options *options, const char *backend_options, char *error,
                        size_t error_bytes);
