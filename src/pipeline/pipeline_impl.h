/* The pipeline's own struct, for the files of pipeline/. Data flow and threads: pipeline.h. */
#pragma once

#include "pipeline/camera.h"
#include "pipeline/embedding_worker.h"
#include "pipeline/model_choice.h"
#include "pipeline/reading.h"
#include "schedule/frame_scheduler.h"

struct sp_tracking_worker {
    struct sp_pipeline *pipeline;
    int index;
    pthread_t thread;
    struct sp_queue *tasks;
    /* Of the frame being finished. */
    struct sp_track_state states[SP_TRACKS_MAX];
    struct sp_track_earlier earlier[SP_TRACK_EARLIER_MAX];
};

struct sp_pipeline {
    struct sp_pipeline_options options;
    const struct sp_settings *settings;
    const struct spoton_engine_api *engine;
    struct sp_model_choice choice;
    struct sp_model model;
    bool *class_wanted;            /* [model.classes], or NULL: all */
    struct sp_head_options head;   /* of the instances: covers all cameras of the settings */
    bool *class_decoded;           /* [model.classes]: head's, unless that is NULL */
    char cache_dir[SP_PATH_BYTES]; /* empty: compiled models are not cached */
    int cores;
    bool timestamps; /* dt of the tracker */

    struct sp_camera *cameras;
    struct sp_ledger *ledgers; /* [camera_count] */
    int camera_count;          /* camera indices */
    struct sp_frame_pool *frames;
    struct sp_result_pool *results;
    struct sp_frame_scheduler *scheduler;

    struct sp_detector_instance instances[SP_DETECTORS_MAX];
    int instance_count; /* the dispatcher's */
    struct sp_device devices[SP_DEVICES_MAX];
    int device_count;
    pthread_cond_t instance_opened; /* with the mutex */
    atomic_bool pool_stopped;

    struct sp_queue *free_batches;
    struct sp_queue *free_tasks;
    struct sp_batch *batch_memory;
    struct sp_frame_task *task_memory;
    struct sp_speed_log speed_log;
    struct sp_batch_record *loose; /* the dispatcher's: frames of cameras without an instance */
    struct sp_map *map;            /* or NULL */
    struct sp_embedding_worker *embedding_worker; /* or NULL */
    struct sp_reading *reading;

    pthread_t dispatcher;
    bool dispatcher_started;
    atomic_int collectors_running; /* the last to end closes the workers' queues */
    struct sp_tracking_worker *workers;
    int worker_count, workers_started;
    atomic_int workers_running; /* the last to end sets `done` */

    atomic_int cameras_reading; /* the last to end closes the scheduler; live: and one until stop */
    atomic_bool broken;         /* by an error of the whole pipeline: no more inference */

    pthread_mutex_t mutex; /* guards the rest, and the use of camera indices */
    bool started, stopping, joined;
    pthread_cond_t done_changed;
    bool done;
    struct sp_error error;
};
