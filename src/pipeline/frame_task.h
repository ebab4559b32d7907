/* A frame on its way through the pipeline, and a batch of them. */
#pragma once

#include "detect/detector.h"
#include "pipeline/speed_log.h"
#include "schedule/policy.h"

struct sp_detector_instance;

/* One frame on its way from the dispatcher to its tracking worker. From a fixed pool. */
struct sp_frame_task {
    struct sp_frame *frame; /* NULL: the camera's end */
    int camera;
    int image;                       /* its index in the batch's request; -1: not inferred */
    enum sp_inference_reason reason; /* INFERENCE=need */
    bool failed;
    bool again;                    /* to be inferred again: its device was lost */
    struct sp_batch_record *batch; /* NULL for ends */
    struct sp_frame_task *next;    /* in its batch, in order */
    size_t detection_count;
    struct sp_detection detections[SP_DETECTIONS_MAX];
};

/* What a collector takes in one step: an inference request with the tasks of its images and of the
 * skipped frames between them, or skipped frames alone. */
struct sp_batch {
    struct sp_detector_instance *instance;
    struct sp_detector *detector; /* the instance's; NULL: no request */
    struct sp_detector_request *request;
    struct sp_frame_task *first, *last;
};
