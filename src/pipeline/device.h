/* A device of the engine, and a detector instance on it. */
#pragma once

#include "base/queue.h"
#include "detect/detector.h"
#include "pipeline/frame_task.h"

#include <pthread.h>
#include <stdatomic.h>

struct sp_pipeline;

enum { SP_REQUESTS_RESERVED_MAX = 16, SP_DEVICE_WORDS_BYTES = 128 };

struct sp_device {
    struct sp_pipeline *pipeline;
    int index, number; /* the pipeline's; the engine's */
    struct spoton_device about;
    struct sp_queue *to_open;     /* detector instances */
    struct sp_queue *batch_queue; /* dispatcher -> collector, in order */
    pthread_t opener, collector;
    bool opener_started, collector_started;
    atomic_bool lost;
    atomic_int failures;   /* failed batches in a row */
    double load;           /* of its cameras; the dispatcher's */
    double decoding;       /* of the cameras decoded on it; the pipeline's mutex */
    int64_t busy_until_us; /* the collector's */
    atomic_int cameras;
    _Atomic uint64_t batches, images, decoded, busy_us, flight_us;
    struct sp_error error; /* why it is lost */
    int capacity_frames;   /* processed at once; 0: unknown; the pipeline's mutex, as `error` */
};

enum sp_instance_state {
    SP_INSTANCE_UNUSED,
    SP_INSTANCE_OPENING,
    SP_INSTANCE_READY,
    SP_INSTANCE_REFUSED
};

struct sp_detector_instance { /* a detector on a device and its open request */
    atomic_int state;
    struct sp_device *device;
    int width_px, height_px;
    struct sp_error error;        /* why it was refused */
    bool refusal_logged;          /* the dispatcher's */
    struct sp_detector *detector; /* this and the rest are valid once it is ready */
    struct sp_batch *open;
    struct sp_batch_record *record; /* of the open batch; NULL: not logged */
    _Atomic uint64_t images;
    atomic_int in_flight; /* submitted requests, also those of other machines */
    struct sp_detector_request *reserved[SP_REQUESTS_RESERVED_MAX]; /* live: kept out of use */
    int reserved_count;
};
