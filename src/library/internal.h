/* Shared by the files of libspoton's interface, include/spoton/spoton.h.
 *
 * Data flow: a call of the caller -> its structs are copied and checked -> rooms of the program ->
 * results and errors in the interface's structs. Every call that can log does so with the log sink
 * of its object, so that nothing is written to stderr. */
#pragma once

#include "base/log.h"
#include "config/settings.h"
#include "library/camera_events.h"
#include "library/live.h"
#include "library/planes.h"
#include "output/event_log.h"
#include "pipeline/pipeline.h"
#include "spoton/spoton.h"

#include <string.h>

struct spoton_settings {
    struct sp_settings values;
    struct sp_log_sink *mute; /* what reading files would log is dropped */
};

struct spoton_camera {
    struct spoton_pipeline *pipeline;
    int index;            /* of the settings' cameras and of the pipeline's */
    struct sp_push *push; /* NULL: frames come from the URL */
    char name[SP_CAMERA_NAME_BYTES];
    struct spoton_camera *next;
};

/* The camera that has an index, as results and events name it. */
struct sp_library_entry {
    char name[SP_CAMERA_NAME_BYTES];
    uint64_t epoch; /* 0: none */
};

struct spoton_pipeline {
    struct spoton_pipeline_options options; /* settings NULL */
    struct sp_settings settings;            /* cameras added before the start included */
    struct sp_log_sink *sink;
    struct sp_frame_memory *memory;
    struct sp_event_log *events;
    struct sp_camera_events *camera_events; /* live */
    struct sp_library_live *live;           /* NULL: no outputs and no analytics */
    _Atomic(struct sp_pipeline *) running;  /* NULL: not started */
    atomic_bool stopping;

    pthread_t watcher; /* polls camera_events */
    bool watcher_started;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    bool watcher_ends;
    struct spoton_camera *cameras;
    struct sp_library_entry entry[SP_CAMERAS_MAX];
    uint64_t last_epoch;
};

/* Copies *why to *err on an error; returns `result`. */
int sp_library_return(struct spoton_error *err, int result, const struct sp_error *why);

/* Copies a struct of the caller, as much of it as the caller knows; the rest is zero. */
int sp_library_copy(void *to, size_t to_bytes, const void *from, const char *what,
                    struct sp_error *err);

/* A sink for the caller's `log`. */
int sp_library_open_log(struct sp_log_sink **out, const struct sp_settings *settings,
                        void (*log)(void *user, int level, const char *text), void *user,
                        struct sp_error *err);

/* ---- result.c: what the pipeline's threads call ---- */

struct sp_pipeline_sink sp_library_sink(struct spoton_pipeline *pipeline);
void sp_library_event(void *user, const struct sp_event *event);
uint64_t sp_library_epoch(void *user, int camera);

/* Gives the index to a camera, unless one of that name has it. */
void sp_library_enter(struct spoton_pipeline *pipeline, int camera, const char *name);

struct spoton_detection sp_library_detection(const struct sp_detection *from,
                                             const struct sp_class_names *names);
struct spoton_track sp_library_track(const struct sp_track *from,
                                     const struct sp_world_position *position,
                                     const struct sp_class_names *names);

/* ---- camera.c ---- */

/* Handles of the settings' cameras. */
int sp_library_add_handles(struct spoton_pipeline *pipeline, struct sp_error *err);
void sp_library_free_handle(struct spoton_camera *camera);
