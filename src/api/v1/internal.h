/* What the files of api/v1/ share. Data flow and threads: v1.h. */
#pragma once

#include "api/v1/v1.h"

enum { SP_TASKS_MAX = 32, SP_ENVIRONMENTS_MAX = 16 };

struct sp_environment {
    char name[SP_CAMERA_NAME_BYTES];
    char camera[SP_CAMERAS_MAX][SP_CAMERA_NAME_BYTES];
    int camera_count;
    bool all; /* every camera there is */
};

/* A viewer's session. */
struct sp_task {
    char id[SP_TASK_ID_BYTES]; /* empty: a free place */
    char environment[SP_CAMERA_NAME_BYTES];
    char status[16]; /* of one that is over: STOPPED, FAILED; else empty */
    char details[160];
    int64_t created_us, left_us; /* sp_clock_us(); left: since when there is no client */
    int64_t created_wall_us, transition_wall_us;
    int clients;
    bool paused;
    char focus[16]; /* "P3": whom its viewers look at; empty: nobody */
};

struct sp_v1 {
    struct sp_environment environments[SP_ENVIRONMENTS_MAX];
    int environment_count;
    struct sp_task tasks[SP_TASKS_MAX];
};

/* environments.c */
int sp_environments_read(struct sp_api *api, struct sp_error *err);
struct sp_environment *sp_environment_find(struct sp_api *api, const char *name);
/* True when the camera belongs to it. */
bool sp_environment_has(const struct sp_environment *environment, const char *camera);

/* tasks.c */
struct sp_task *sp_task_find(struct sp_api *api, const char *id);
const char *sp_task_status(struct sp_api *api, const struct sp_task *task);
/* False too when it is NULL. */
bool sp_task_is_active(struct sp_api *api, const struct sp_task *task);
void sp_tasks_tick(struct sp_api *api);
void sp_tasks_environments(struct sp_call *call);
void sp_tasks_list(struct sp_call *call);
void sp_tasks_start(struct sp_call *call);
void sp_tasks_status(struct sp_call *call);
void sp_tasks_cleanup(struct sp_call *call);

/* controls.c */
void sp_controls_status(struct sp_call *call);
void sp_controls_pause(struct sp_call *call);
void sp_controls_resume(struct sp_call *call);
void sp_controls_seek(struct sp_call *call);

/* stream.c */
void sp_v1_stream(struct sp_call *call);

/* health.c */
void sp_v1_health(struct sp_call *call);

/* sockets.c */
struct sp_task *sp_task_of(struct sp_api *api, const struct sp_ws_plan *plan);
