/* The state of a camera index. What belongs to one thread is reset before that thread's first frame
 * of the next camera with the index. */
#pragma once

#include "capture/camera_health.h"
#include "capture/push.h"
#include "detect/head.h"
#include "pipeline/device.h"
#include "pipeline/pipeline.h"
#include "pipeline/rate_window.h"
#include "schedule/policy.h"
#include "track/timestep.h"
#include "track/tracker.h"

/* The dispatcher's. */
struct sp_camera_scheduling {
    struct sp_detector_instance *instance;
    struct sp_device *device; /* of the instance, also while that opens; NULL: none yet */
    double load;              /* on that device */
    struct sp_device *route;  /* whose collector the tasks go through */
    int frame_width_px, frame_height_px; /* for which the instance was chosen */
    uint64_t next_due;                   /* live: the sequence number of the next inference */
    uint32_t epoch;                      /* of the last inferred frame */
};

/* The tracking worker's. */
struct sp_camera_tracking {
    struct sp_tracker *tracker;
    bool begun; /* the sink's begin was called */
    struct sp_timestep step;
    bool discarding; /* the sink failed: later frames are discarded */
    bool forget;     /* the next inferred frame begins a new scene */
    uint32_t epoch;
    int width_px, height_px; /* of the last frame */
    struct sp_rate_window latency;
};

/* On a GPU. */
struct sp_camera_decoding {
    atomic_int device; /* the index of the device that decodes it; -1: none */
    double load;       /* on that device; guarded by the pipeline's mutex */
};

/* Guarded by the camera's mutex. */
struct sp_camera_status {
    struct sp_camera_setting setting; /* complete; constant while in use */
    char shown_url[SP_CAMERA_SHOWN_URL_BYTES];
    bool busy;    /* in use, until its end has been processed */
    bool removed; /* and no longer reported */
    bool refused; /* ended by the sink or a damaged file; `error` is the reason */
    struct sp_source_info info;
    struct sp_error error;
    bool ended;

    /* Live. */
    bool paused;                  /* as requested */
    int64_t seek_frame;           /* requested and not done; -1: none */
    enum sp_camera_state link;    /* of the connection */
    enum sp_camera_health health; /* of the frames */
    uint64_t connections;         /* attempts after the first */
    int64_t last_frame_us;        /* 0: none */
    int64_t file_position;        /* -1: none */
    struct sp_rate received, inferred;

    struct sp_policy_report policy; /* after the last frame */
};

struct sp_camera {
    struct sp_pipeline *pipeline;
    int index;
    pthread_t thread; /* guarded by the pipeline's mutex */
    bool thread_started;
    struct sp_push *push;     /* whose frames these are, with a reference; NULL: the URL's */
    struct sp_ledger *ledger; /* the pipeline's */
    struct sp_stage_stats stages[SP_STAGE_COUNT];

    struct sp_camera_scheduling scheduling;
    struct sp_camera_tracking tracking;
    struct sp_camera_decoding decoding;
    int own_input_size_px; /* YOLO_INPUT_SIZE of this camera; 0: the pipeline's */
    /* INFERENCE=need, or NULL. The dispatcher's until it has taken a frame, then the tracking
     * worker's until it has finished that frame; the scheduler gives one credit. */
    struct sp_policy *policy;
    bool gate_warned;            /* the camera's thread's */
    struct sp_head_options head; /* constant while in use */
    bool *class_wanted;          /* head's, unless it is the pipeline's; or NULL */

    /* Any thread. */
    _Atomic uint64_t frames_done;
    _Atomic uint32_t active_tracks;
    atomic_int device_shown; /* scheduling.device's index; -1: none */
    atomic_int undelivered;  /* tasks between the dispatcher and the tracking worker */
    atomic_bool stop;
    atomic_bool interrupted; /* the source's flag */

    pthread_mutex_t mutex;
    pthread_cond_t wake; /* of a waiting live camera's thread; monotonic */
    struct sp_camera_status status;
};
