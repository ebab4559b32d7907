/* One server of the kserve engine: its health checks, its model as the engine wants it, and what is
 * counted. All of it belongs to the engine's thread, except for what the engine's lock guards. */
#pragma once

#include "breaker.h"
#include "options.h"
#include "transfer.h"
#include "wire.h"

enum kserve_check { KSERVE_CHECK_HEALTH, KSERVE_CHECK_MODEL, KSERVE_CHECK_METADATA };

/* What the engine requires of a server's model. */
struct kserve_need {
    int64_t dims[4];
    bool known;                /* the first server that was ready has set `model` */
    struct kserve_model model; /* same input type and same outputs for all servers */
};

struct kserve_server {
    const struct kserve_address *address;
    const struct kserve_options *options;
    char infer_url[KSERVE_URL_BYTES + 8];
    char json[KSERVE_JSON_BYTES]; /* of a request; valid once it was ready */
    size_t json_bytes;

    struct kserve_transfer check;
    enum kserve_check step;
    bool checking; /* the transfer is in the multi handle */

    /* The engine's lock guards the rest. */
    struct kserve_breaker breaker;
    bool checked; /* at least once */
    int in_flight;
    uint64_t requests, failures, busy, sent_bytes, received_bytes;
    char error[256];
};

/* False: out of memory. */
bool kserve_server_open(struct kserve_server *server, const struct kserve_address *address,
                        const struct kserve_options *options, int64_t budget_us);
void kserve_server_close(struct kserve_server *server);

/* Prepares the check's next step; a check begins with KSERVE_CHECK_HEALTH. False: out of memory. */
bool kserve_server_prepare_check(struct kserve_server *server);

/* After the step's exchange. True: the check is over, with *outcome; else the next step is to be
 * prepared. May set need->model. */
bool kserve_server_end_step(struct kserve_server *server, struct kserve_need *need, CURLcode code,
                            enum kserve_outcome *outcome, char *error, size_t error_bytes);

/* Fetches the metadata of the first server that answers. Blocks. */
int kserve_fetch_model(struct kserve_model *model, const struct kserve_options *options,
                       char *error, size_t error_bytes);
