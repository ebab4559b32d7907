/* Shared by the files of api/. Data flow and threads: api.h. */
#pragma once

#include "api/api.h"
#include "api/sessions.h"

#include <pthread.h>

enum { SP_TASK_ID_BYTES = 37, SP_RATE_SAMPLES = 6, SP_EVENTS_MAIL = 16 };

/* Totals at one time; two samples make a rate. */
struct sp_rate_sample {
    int64_t at_us;
    uint64_t frames, inferred;
    uint64_t images, batches; /* of the engine */
    uint64_t count[SP_STAGE_COUNT], sum_us[SP_STAGE_COUNT];
    uint64_t send_count, send_us;
};

struct sp_viewer_throttle {
    uint64_t received, dropped; /* of all cameras, at the last tick */
    int64_t dropped_us;         /* when frames were last dropped; 0: never */
    bool limited;
};

struct sp_api {
    struct sp_settings settings;
    struct sp_pipeline *pipeline;
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_event_log *events;
    struct sp_fan_out *outputs;
    struct sp_cluster *_Atomic cluster; /* NULL: a single machine */
    struct sp_peers *_Atomic peers;     /* NULL likewise */
    struct sp_live_counting *counting;
    struct sp_recorder *recorder;      /* NULL: nothing is stored */
    struct sp_history_worker *history; /* NULL likewise */
    struct sp_camera_edits *edits;     /* NULL: the API adds and removes cameras itself */
    struct sp_event *events_out;       /* [SP_EVENTS_MAIL], being sent */
    uint64_t event_sent;               /* serial of the last one */
    struct sp_server *server;
    int64_t started_us, started_wall_us;
    atomic_bool started;
    struct sp_sessions sessions;
    const struct sp_class_names *classes; /* the pipeline's */

    struct sp_v1 *v1;               /* v1/v1.h */
    struct sp_inference *inference; /* inference.h; NULL: the engine is not shared */

    struct sp_rate_sample sample[SP_RATE_SAMPLES]; /* a ring */
    uint64_t samples;
    struct sp_viewer_throttle throttle;
    struct sp_stage_stats *stages; /* [SP_STAGE_COUNT], over all cameras, of the last tick */
    struct sp_stage_stats *scratch;
    double percentile_ms[SP_STAGE_COUNT][3]; /* 0.5, 0.95, 0.99; of the last tick */
    struct spoton_engine_probe probe; /* probed once: it reads files and may start a runtime */

    pthread_mutex_t mutex; /* guards the next two */
    struct sp_settings *new_settings;
    bool has_new_settings;
};

struct sp_call {
    struct sp_api *api;
    const struct sp_request *request;
    struct sp_reply *reply;
    struct sp_json *json;                               /* the reply's body */
    char name[SP_TASK_ID_BYTES + SP_CAMERA_NAME_BYTES]; /* the first {} of the path */
    char second[SP_CAMERA_NAME_BYTES + 1];              /* the second {} */
};

enum sp_route_flags { SP_ROUTE_OPEN = 1 /* requires no token */ };

/* In a path, {} matches one segment. */
struct sp_route {
    enum sp_method method;
    const char *path;
    void (*answer)(struct sp_call *call);
    unsigned flags;
};
