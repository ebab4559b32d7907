/* Shared by the files of api/v1/. Data flow and threads: v1.h. */
#pragma once

#include "api/v1/v1.h"

#include <jansson.h>

enum {
    SP_TASKS_MAX = 32,
    SP_ENVIRONMENTS_MAX = 16,
    SP_FOCUS_DETAILS_BYTES = 4096,
    SP_PAGES_MAX = 256,
    SP_INDEXES_MAX = 2 * SP_CAMERAS_MAX,
};

struct sp_environment {
    char name[SP_CAMERA_NAME_BYTES];
    char camera[SP_CAMERAS_MAX][SP_CAMERA_NAME_BYTES];
    int camera_count;
    bool all; /* all cameras of the server */
};

/* The person that the viewers of a task focus on: by global id, or by a camera's track. */
struct sp_focus {
    bool active;
    uint32_t person; /* 0: the client named none */
    char camera[SP_CAMERA_NAME_BYTES];
    int64_t track;                        /* -1: none */
    char details[SP_FOCUS_DETAILS_BYTES]; /* JSON, as the client sent it; empty: none */
};

/* A viewer's session. */
struct sp_task {
    char id[SP_TASK_ID_BYTES]; /* empty: a free entry */
    char environment[SP_CAMERA_NAME_BYTES];
    char status[16]; /* STOPPED or FAILED once ended; else empty */
    char details[160];
    int64_t created_us, left_us; /* sp_clock_us(); left: when the last client disconnected */
    int64_t created_wall_us, transition_wall_us;
    int clients;
    bool paused; /* at the last sp_task_update */
    struct sp_focus focus;
};

/* Frame indices of one camera name, which keep increasing when the camera is added again. */
struct sp_index {
    char name[SP_HUB_NAME_BYTES];
    int camera;
    uint64_t generation;
    int64_t base, highest;
    uint64_t used; /* sp_v1.turn of its last use */
};

/* A connected page. */
struct sp_page {
    char client[160]; /* of sp_ws_plan; empty: a free entry */
    char task[SP_TASK_ID_BYTES];
    char peer[64];
    uint64_t turn; /* increases with each opened page */
};

struct sp_v1 {
    struct sp_environment environments[SP_ENVIRONMENTS_MAX];
    int environment_count;
    struct sp_task tasks[SP_TASKS_MAX];
    struct sp_index indexes[SP_INDEXES_MAX];
    struct sp_page pages[SP_PAGES_MAX];
    uint64_t turn;
    struct sp_analytics *analytics;
    struct sp_feedback *feedback;
    int64_t archived_us; /* sp_clock_us() */
};

/* reply.c: FastAPI's reply to an invalid request: 422 and
 * {"detail": [{"loc": [where, name], "msg": ..., "type": ...}, ...]}. */
struct sp_invalid {
    struct sp_call *call;
    int count;
};
void sp_invalid_add(struct sp_invalid *invalid, const char *where, const char *name,
                    const char *type, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
bool sp_invalid_end(struct sp_invalid *invalid); /* true: refused */
/* A number of the query from low to high; `value` if it is not there. */
int sp_invalid_query_int(struct sp_invalid *invalid, const char *name, int low, int high,
                         int value);
/* The body as an object, to be freed by the caller; NULL: an error was added. */
json_t *sp_invalid_body(struct sp_invalid *invalid);
/* Checks that the {} of the path is a UUID. False: refused. */
bool sp_call_has_task_id(struct sp_call *call);

/* Write {"status": "success", "data": {...}, "timestamp": ...} around the data. */
void sp_data_begin(struct sp_json *json);
void sp_data_end(struct sp_json *json);
void sp_json_member_time(struct sp_json *json, const char *key, int64_t wall_us);

enum { SP_UUID_BYTES = 37 };
void sp_uuid_make(char id[SP_UUID_BYTES]);
bool sp_uuid_is(const char *text);

/* environments.c */
int sp_environments_read(struct sp_api *api, struct sp_error *err);
struct sp_environment *sp_environment_find(struct sp_api *api, const char *name);
/* True when the camera belongs to it. */
bool sp_environment_has(const struct sp_environment *environment, const char *camera);
/* True for the front end's built-in environments, even without cameras. */
bool sp_environment_is_known(const char *name);
/* The cameras of an environment that exist, with their indices and reports. */
struct sp_members {
    int count;
    int camera[SP_CAMERAS_MAX];
    struct sp_camera_report report[SP_CAMERAS_MAX];
};
void sp_environment_members(struct sp_api *api, const struct sp_environment *environment,
                            struct sp_members *members);

/* task_lookup.c: NULL: not found */
struct sp_task *sp_task_find(struct sp_api *api, const char *id);
struct sp_task *sp_task_of(struct sp_api *api, const struct sp_ws_plan *plan);
/* False for NULL. */
bool sp_task_is_active(struct sp_api *api, const struct sp_task *task);

/* tasks.c */
const char *sp_task_status(struct sp_api *api, const struct sp_task *task);
/* Updates task->paused: true when all of its cameras are paused. */
void sp_task_update(struct sp_api *api, struct sp_task *task);
void sp_tasks_tick(struct sp_api *api);
void sp_tasks_environments(struct sp_call *call);
void sp_tasks_list(struct sp_call *call);
void sp_tasks_start(struct sp_call *call);
void sp_tasks_get(struct sp_call *call);
void sp_tasks_status(struct sp_call *call);
void sp_tasks_stop(struct sp_call *call);
void sp_tasks_cleanup(struct sp_call *call);

/* controls.c */
void sp_controls_status(struct sp_call *call);
void sp_controls_pause(struct sp_call *call);
void sp_controls_resume(struct sp_call *call);
void sp_controls_seek(struct sp_call *call);

/* stream.c */
void sp_v1_stream(struct sp_call *call);

/* focus.c */
bool sp_focus_shows(const struct sp_focus *focus, const struct sp_result *result, size_t track);
void sp_focus_message(const struct sp_focus *focus, struct sp_json *json);

/* analytics.c, dashboard.c; collect: once a second and before an answer */
struct sp_analytics;
int sp_analytics_open(struct sp_analytics **out, struct sp_error *err);
void sp_analytics_close(struct sp_analytics *analytics); /* NULL is allowed */
void sp_analytics_collect(struct sp_api *api);
void sp_analytics_dashboard(struct sp_call *call);
void sp_analytics_statistics(struct sp_call *call);

/* archive.c: reads from the store at the start; writes once in a while; writes a record */
void sp_archive_read(struct sp_api *api, const char *location);
void sp_archive_tick(struct sp_api *api);
void sp_archive_feedback(struct sp_api *api, const json_t *record);

/* feedback_api.c */
struct sp_feedback;
void sp_feedback_post(struct sp_call *call);
void sp_feedback_list(struct sp_call *call);

/* health.c */
void sp_v1_health(struct sp_call *call);
void sp_v1_health_live(struct sp_call *call);
void sp_v1_health_ready(struct sp_call *call);
void sp_v1_health_deep(struct sp_call *call);

/* sockets.c */
/* The client of the page that connected last from this address for the task; NULL: none. */
const char *sp_page_find(const struct sp_v1 *v1, const struct sp_task *task, const char *peer);
/* The client of streams from an address that no page has connected from yet. */
void sp_page_missing(const char *peer, char *client, size_t bytes);
/* Ends the streams and closes the WebSockets of the task. */
void sp_task_disconnect(struct sp_api *api, const struct sp_task *task);
