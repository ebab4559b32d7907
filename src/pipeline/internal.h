/* What the files of pipeline/ share. Data flow and threads: pipeline.h. */
#pragma once

#include "base/queue.h"
#include "capture/camera_health.h"
#include "pipeline/embedding_worker.h"
#include "pipeline/model_choice.h"
#include "pipeline/pipeline.h"
#include "pipeline/rate_window.h"
#include "pipeline/reading.h"
#include "pipeline/speed_log.h"
#include "schedule/frame_scheduler.h"
#include "track/bytetrack.h"
#include "track/timestep.h"

#include <pthread.h>
#include <stdatomic.h>

/* One frame on its way from the scheduler to its post worker. Jobs come from a fixed pool. */
struct sp_frame_task {
    struct sp_frame *frame; /* NULL: the camera's end */
    int camera;
    int image; /* in its batch's request, or -1: not inferred */
    bool failed;
    bool again;                    /* its device was lost before it was inferred */
    struct sp_batch_record *batch; /* NULL for ends */
    struct sp_frame_task *next;    /* in its batch, in order */
    size_t detection_count;
    struct sp_detection detections[SP_DETECTIONS_MAX];
};

/* What the collector takes in one step: a request with its images' tasks and the skipped frames
 * between them, or skipped frames alone. */
struct sp_batch {
    struct sp_detector_instance *instance;
    struct sp_detector *detector; /* the instance's; NULL: no request */
    struct sp_detector_request *request;
    struct sp_frame_task *first, *last;
};

enum { SP_REQUESTS_RESERVED_MAX = 16, SP_DEVICE_WORDS_BYTES = 128 };

struct sp_device {
    struct sp_pipeline *pipeline;
    int index, number; /* in the pipeline; the engine's */
    struct spoton_device about;
    struct sp_queue *to_open;     /* instances */
    struct sp_queue *batch_queue; /* scheduler -> collector, in order */
    pthread_t opener, collector;
    bool opener_started, collector_started;
    atomic_bool lost;
    atomic_int failures;   /* batches, one after the other */
    double load;           /* the scheduler's: of its cameras */
    double decoding;       /* of the cameras that are decoded there; the pipeline's mutex */
    int64_t busy_until_us; /* the collector's */
    atomic_int cameras;
    _Atomic uint64_t batches, images, decoded, busy_us, flight_us;
    struct sp_error error; /* why it is lost */
    int capacity_frames; /* that it works on at once; 0: none yet; the pipeline's mutex guards both
                          */
};

enum sp_instance_state {
    SP_INSTANCE_UNUSED,
    SP_INSTANCE_OPENING,
    SP_INSTANCE_READY,
    SP_INSTANCE_REFUSED
};

struct sp_detector_instance { /* a detector on a device, and its request that is being filled */
    atomic_int state;
    struct sp_device *device;
    int width_px, height_px;
    struct sp_error error;        /* why it was refused */
    bool told;                    /* and that this was said; the scheduler's */
    struct sp_detector *detector; /* this and the rest: once it is ready */
    struct sp_batch *open;
    struct sp_batch_record *record; /* of what is in it; NULL: none is logged */
    _Atomic uint64_t images;
    struct sp_detector_request *reserved[SP_REQUESTS_RESERVED_MAX]; /* live: never filled */
    int reserved_count;
};

/* A request for a camera. What belongs to a thread is set anew before that thread's first frame of
 * the next camera in the request. */
struct sp_camera {
    struct sp_pipeline *pipeline;
    int index;
    pthread_t thread; /* guarded by the pipeline's mutex */
    bool thread_started;
    struct sp_ledger *ledger; /* pipeline's */
    struct sp_stage_stats stages[SP_STAGE_COUNT];

    /* Scheduler's. */
    struct sp_detector_instance *instance;
    struct sp_device *device; /* that the instance is on, or is opened on; NULL: none yet */
    double load;              /* what it costs there */
    struct sp_device *route;  /* whose collector its tasks go through */
    int instance_width_px, instance_height_px; /* of the frame that it was chosen for */
    uint64_t next_wanted;                      /* live: the number from which a frame is inferred */
    uint32_t scheduled_epoch;

    /* Post worker's. */
    struct sp_tracker *tracker;
    bool begun;
    struct sp_timestep step;
    bool discarding; /* the sink refused: later frames are not given out */
    bool forget;     /* the next inferred frame begins a new scene */
    uint32_t tracked_epoch;
    int tracked_width_px, tracked_height_px;
    struct sp_rate_window latency;

    _Atomic uint64_t frames_done;
    _Atomic uint32_t active_tracks;
    atomic_int device_shown; /* its index; -1: none */
    atomic_int decoded_on;   /* the device that decodes it; -1: none */
    double decoding_load;    /* what it costs there; the pipeline's mutex */
    atomic_int undelivered;  /* tasks between the scheduler and the post worker */
    atomic_bool stop;
    atomic_bool interrupted; /* the source's flag */

    pthread_mutex_t mutex;            /* guards the rest */
    pthread_cond_t wake;              /* of a live camera's thread that waits; monotonic */
    struct sp_camera_setting setting; /* constant while in use */
    char shown_url[SP_CAMERA_SHOWN_URL_BYTES];
    bool busy;    /* in use, until its end is finished */
    bool removed; /* and not to be shown any more */
    bool refused; /* by the sink, or a damaged file is over: `error` is why it ends */
    struct sp_source_info info;
    struct sp_error error;
    bool ended;

    /* Live. */
    bool paused;                  /* as asked for */
    int64_t seek_frame;           /* asked for and not done; -1: none */
    enum sp_camera_state link;    /* by the connection */
    enum sp_camera_health health; /* by the frames */
    uint64_t connections;         /* after the first, tried */
    int64_t last_frame_us;        /* 0: none */
    int64_t file_position;        /* -1: none */
    struct sp_rate came, inferred;
};

struct sp_tracking_worker {
    struct sp_pipeline *pipeline;
    int index;
    pthread_t thread;
    struct sp_queue *tasks;
};

struct sp_pipeline {
    struct sp_pipeline_options options;
    const struct sp_settings *settings;
    const struct spoton_engine_api *engine;
    struct sp_model_choice choice;
    struct sp_model model;
    bool *class_wanted;            /* [model.classes], or NULL: all */
    char cache_dir[SP_PATH_BYTES]; /* empty: compiled models are not kept */
    int cores;
    int frame_skip;
    bool timestamps; /* dt of the tracker */

    struct sp_camera *cameras;
    struct sp_ledger *ledgers; /* [camera_count] */
    int camera_count;          /* requests */
    struct sp_frame_pool *frames;
    struct sp_frame_scheduler *scheduler;

    struct sp_detector_instance instances[SP_DETECTORS_MAX];
    int instance_count; /* the scheduler's */
    struct sp_device devices[SP_DEVICES_MAX];
    int device_count;
    pthread_cond_t instance_opened; /* with the mutex */
    atomic_bool pool_stopped;

    struct sp_queue *free_batches;
    struct sp_queue *free_tasks;
    struct sp_batch *batch_memory;
    struct sp_frame_task *task_memory;
    struct sp_speed_log speed_log;
    struct sp_batch_record *loose; /* the scheduler's: frames of cameras without a instance */
    struct sp_map *map;            /* or NULL */
    struct sp_embedding_worker *embedding_worker; /* or NULL */
    struct sp_reading *reading;

    pthread_t dispatcher;
    bool dispatcher_started;
    atomic_int collectors_running; /* the last to end closes the workers' queues */
    struct sp_tracking_worker *workers;
    int worker_count, workers_started;
    atomic_int workers_running; /* the last to end says done */

    atomic_int cameras_reading; /* the last to end closes the scheduler; live: and one until stop */
    atomic_bool broken;         /* by an error of the whole pipeline: nothing more is inferred */

    pthread_mutex_t mutex; /* guards the rest, and who comes into which request */
    bool started, stopping, joined;
    pthread_cond_t done_changed;
    bool done;
    struct sp_error error;
};

/* Numbers and times go on where the last connection, or pass over a looped file, ended. */
struct sp_pass {
    uint64_t base_sequence, next_sequence;
    int64_t base_pts_us, last_pts_us;
};

/* Thread bodies. */
void *sp_camera_main(void *argument);          /* struct sp_camera; camera.c: offline */
void *sp_supervisor_main(void *argument);      /* struct sp_camera; supervisor.c: live */
void *sp_dispatcher_main(void *argument);      /* struct sp_pipeline; dispatcher.c */
void *sp_collector_main(void *argument);       /* struct sp_device; collector.c */
void *sp_tracking_worker_main(void *argument); /* struct sp_tracking_worker; tracking_worker.c */

/* dispatcher.c */
void sp_instance_submit(struct sp_pipeline *pipeline,
                        struct sp_detector_instance *instance); /* its open request, if any */
/* The camera's tasks go through this device's collector from now on; waits for those that are on
 * their way through another one, so that none is overtaken. */
void sp_camera_route(struct sp_camera *camera, struct sp_device *device);

/* detector_pool.c. Between start and stop. */
int sp_detector_pool_start(struct sp_pipeline *pipeline, struct sp_error *err);
void sp_detector_pool_stop(
    struct sp_pipeline *pipeline); /* opens no more; the scheduler's, at its end */
void sp_detector_pool_close(struct sp_pipeline *pipeline); /* joins and frees */
/* The index-th one that is ready, or NULL. Any thread. */
struct sp_detector_instance *sp_instance_ready(struct sp_pipeline *pipeline, int index);
/* For a frame of this size: by the camera's first one; live also anew when the size changes. It
 * is ready, or live perhaps being opened; NULL when the pipeline has failed. The scheduler's. */
struct sp_detector_instance *sp_instance_for(struct sp_pipeline *pipeline, struct sp_camera *camera,
                                             int width_px, int height_px);

/* devices.c. Between open and close. */
int sp_devices_open(struct sp_pipeline *pipeline, struct sp_error *err); /* as DEVICES says */
void sp_device_words(const struct sp_device *device, char out[SP_DEVICE_WORDS_BYTES]);
/* The camera's own where that is usable, a new camera's the one that decodes it, else the one with
 * the most room; NULL: none is usable. The
 * scheduler's, as the next two. */
struct sp_device *sp_device_choose(struct sp_camera *camera, const bool *usable, double load);
void sp_device_join(struct sp_camera *camera, struct sp_device *device, double load);
void sp_device_leave(struct sp_camera *camera);
/* What became of a batch; when it is lost by that, it is logged. Any thread. */
void sp_device_note(struct sp_device *device, int result, const struct sp_error *why);
void sp_device_lose(struct sp_device *device, const struct sp_error *why);
/* A batch that is done; the collector's. */
void sp_device_count(struct sp_device *device, const struct sp_detector_request *request);

/* gpu.c */
/* DECODER and JPEG_ENCODER. */
int sp_gpu_check(const struct sp_pipeline *pipeline, struct sp_error *err);
struct sp_source_gpu sp_camera_gpu(struct sp_camera *camera); /* for its source's options */
void sp_camera_leave_gpu(struct sp_camera *camera);           /* its source is closed */
/* A frame that was read. */
void sp_camera_count_decoded(struct sp_camera *camera, const struct sp_frame *frame);

/* Keeps the first error of the whole pipeline and stops it. */
void sp_pipeline_fail(struct sp_pipeline *pipeline, const struct sp_error *err);

void sp_pipeline_worker_done(struct sp_pipeline *pipeline);

/* Keeps and logs a camera's first error. */
void sp_camera_fail(struct sp_camera *camera, const struct sp_error *err);

/* What is to become of what was to be inferred on the device, after the error: offline it is
 * inferred elsewhere, if the device is lost and another one is not. */
bool sp_device_retries(struct sp_device *device, int result);
/* Every task of the batch that was to be inferred: it is to be inferred again, or is failed, with
 * its camera. */
void sp_batch_fail(struct sp_pipeline *pipeline, struct sp_batch *batch, int result,
                   const struct sp_error *err);

/* Makes the camera's thread stop reading. */
void sp_camera_stop(struct sp_camera *camera);

/* For the camera's own thread. */
bool sp_camera_should_stop(struct sp_camera *camera);
int sp_camera_open_source(struct sp_camera *camera, struct sp_source **source,
                          struct sp_error *err);
void sp_camera_close_source(struct sp_camera *camera, struct sp_source *source);
/* How far apart a still image's frames are; 0 of every other camera. With the mutex held. */
int64_t sp_camera_snapshot_us(const struct sp_camera *camera);
void sp_camera_begin_pass(struct sp_camera *camera, struct sp_pass *pass);
void sp_camera_end(struct sp_camera *camera);

/* camera_registry.c */
void sp_camera_init(struct sp_pipeline *pipeline, int index);
void sp_camera_release(struct sp_camera *camera);
/* Puts a camera into a request that is free. */
int sp_camera_fill(struct sp_camera *camera, const struct sp_camera_setting *setting,
                   struct sp_error *err);
/* A camera that was removed is at its end: the request may be filled again. With the camera's mutex
 * held. */
void sp_slot_leave(struct sp_camera *camera);
/* Starts its thread; with the pipeline's mutex held. */
int sp_camera_start(struct sp_camera *camera, struct sp_error *err);
