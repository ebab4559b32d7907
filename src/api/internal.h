/* Shared by the files of api/. Data flow and threads: api.h. */
#pragma once

#include "api/api.h"
#include "api/sessions.h"

#include <pthread.h>

enum { SP_TASK_ID_BYTES = 37, SP_RATE_SAMPLES = 6 };

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
    struct sp_server *server;
    int64_t started_us, started_wall_us;
    atomic_bool started;
    struct sp_sessions sessions;
    const struct sp_class_names *classes; /* the pipeline's */

    struct sp_v1 *v1; /* v1/v1.h */

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

/* Replies with an error: {"detail": ...}. */
void sp_call_refuse(struct sp_call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends a header to the reply. */
void sp_call_header(struct sp_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* access.c */
bool sp_access_allowed(struct sp_call *call, bool open_path); /* false: refused */
bool sp_access_cors(const struct sp_api *api, const struct sp_request *request, bool api_v1);
void sp_access_login(struct sp_call *call);
void sp_access_logout(struct sp_call *call);

/* cameras.c */
int sp_api_find_camera(struct sp_api *api, const char *name, struct sp_camera_report *report);
void sp_json_ledger(struct sp_json *json, const struct sp_ledger_counts *ledger);
void sp_cameras_list(struct sp_call *call);
void sp_cameras_add(struct sp_call *call);
void sp_cameras_get(struct sp_call *call);
void sp_cameras_remove(struct sp_call *call);
void sp_cameras_pause(struct sp_call *call);
void sp_cameras_resume(struct sp_call *call);
void sp_cameras_tracks(struct sp_call *call);
void sp_cameras_frame(struct sp_call *call);
void sp_cameras_snapshot(struct sp_call *call);
void sp_cameras_stream(struct sp_call *call);
struct sp_stream_options sp_api_stream_options(const struct sp_api *api);
/* width, quality, annotated from the query; false: refused. */
bool sp_call_stream_options(struct sp_call *call, struct sp_stream_options *options);

/* system.c */
void sp_system_ledger(struct sp_call *call);
void sp_system_settings(struct sp_call *call);
void sp_system_stats(struct sp_call *call);
void sp_system_sample(struct sp_api *api); /* once a second */
uint64_t sp_system_memory_bytes(void);

/* viewer_throttle.c: once a second */
void sp_viewer_throttle_tick(struct sp_api *api);

/* people.c */
void sp_people_list(struct sp_call *call);
void sp_people_events(struct sp_call *call);
void sp_people_map(struct sp_call *call);
void sp_people_resize(struct sp_call *call);
void sp_people_calibrate(struct sp_call *call);
void sp_people_forget(struct sp_call *call);

/* metrics.c, health.c */
void sp_metrics(struct sp_call *call);
void sp_health_live(struct sp_call *call);
void sp_health_ready(struct sp_call *call);
/* True: the pipeline has failed. */
bool sp_health_is_broken(struct sp_api *api, char reason[300]);
/* Writes why the server is not ready; returns the number of reasons. */
int sp_health_reasons(struct sp_api *api, char reasons[3][300]);
