/* The pipeline: wires the stages, owns their threads, starts and stops them.
 *
 * Data flow, each arrow a bounded queue:
 *
 *     camera threads ─► frame scheduler ─► dispatcher ─► engine ─► collector ─► tracking workers ─►
 * sink
 *
 * Camera threads open and decode; the frame scheduler holds their mailboxes; the dispatcher
 * letterboxes frames into inference requests; the collector decodes the engine's outputs into
 * detections; tracking workers track; the sink draws, encodes, publishes and writes files.
 *
 * Each camera is pinned to one tracking worker, so its frames reach the sink in order, predicted
 * frames between the inferred ones. Stopping closes the queues from upstream to downstream: every
 * decoded frame is finished and none is dropped. Memory is allocated and threads are started by
 * open, start and the first frames; after that nothing is allocated. */
#pragma once

#include "capture/push.h"
#include "capture/source.h"
#include "config/settings.h"
#include "detect/detector.h"
#include "detection.h"
#include "pipeline/map.h"
#include "render/jpeg.h"
#include "result.h"
#include "schedule/ledger.h"
#include "schedule/policy.h"
#include "stage.h"
#include "track.h"
#include "world_position.h"

/* What a result was made of, and by whom; valid during the sink's call only. */
struct sp_result_source {
    int worker;                   /* index of the calling thread, 0..sp_pipeline_workers()-1 */
    const struct sp_frame *frame; /* to keep it: sp_frame_ref((struct sp_frame *)frame) */
    const struct sp_detection *detections;
    size_t detection_count;                 /* 0 if the frame was not inferred */
    const struct sp_track_earlier *earlier; /* boxes of new tracks in earlier frames; offline */
    size_t earlier_count;
    struct sp_stage_stats *stages; /* [SP_STAGE_COUNT] of this camera; the sink adds its own */
};

/* Called on tracking workers; calls for one camera are serialised and in order. An error from
 * `result` ends that camera only: its source is interrupted and its later frames are discarded. */
struct sp_pipeline_sink {
    void *user;
    /* Before a camera's first result; its source is open. */
    int (*begin)(void *user, int camera, const struct sp_source_info *info, struct sp_error *err);
    /* The sink may change the result, keep it by a reference, and share it (result.h). */
    int (*result)(void *user, struct sp_result *result, const struct sp_result_source *source,
                  struct sp_error *err);
    /* After the last result; also for a camera that never opened. `why` is NULL at a normal end. */
    void (*end)(void *user, int camera, const struct sp_error *why);
};

/* Live: mailboxes keep the newest frame, cameras reconnect, files are paced by their timestamps,
 * cameras can be added and removed (the settings may name none), and the pipeline runs until it is
 * stopped. Offline: every source is read once and no frame is dropped. */
struct sp_pipeline_options {
    const struct sp_settings *settings; /* outlives the pipeline */
    bool live;
    struct sp_pipeline_sink sink;
    const char *environment;   /* for the speed log */
    uint64_t frame_limit;      /* of each camera; 0: none */
    bool loop;                 /* files start again at their end */
    bool by_time;              /* offline: frames of all cameras in the order of their pts */
    bool (*interrupted)(void); /* true ends opening early; may be NULL */
    /* [camera_count of the settings]: the frames of a camera come from there, not from its URL;
     * NULL, or an entry that is NULL: from the URL. References are taken by open. */
    struct sp_push *const *push;
};

struct sp_pipeline;

/* Loads the engine and recognises the model. SP_ERR_INTERRUPTED: `interrupted` returned true. */
int sp_pipeline_open(struct sp_pipeline **out, const struct sp_pipeline_options *options,
                     struct sp_error *err);
int sp_pipeline_start(struct sp_pipeline *pipeline, struct sp_error *err);

/* Cameras stop reading; decoded frames are finished. Any thread, but not from a signal handler. */
void sp_pipeline_stop(struct sp_pipeline *pipeline);

/* True when everything is finished; waits at most timeout_us. */
bool sp_pipeline_wait(struct sp_pipeline *pipeline, int64_t timeout_us);

/* Stops and joins all threads; reports stay readable until the pipeline is closed. NULL is fine.
 * The thread that closes. */
void sp_pipeline_join(struct sp_pipeline *pipeline);

/* Stops, joins and frees. NULL is allowed. */
void sp_pipeline_close(struct sp_pipeline *pipeline);

/* The functions below may be called from any thread between open and close. */

/* The state of a live camera, from its connection and from the frames themselves. */
#define SP_CAMERA_STATES(X)                                                                        \
    X(SP_CAMERA_CONNECTING, "connecting")                                                          \
    X(SP_CAMERA_LIVE, "live")                                                                      \
    X(SP_CAMERA_STALLED, "stalled") /* connected, and no frame for STALL_TIMEOUT_MS */             \
    X(SP_CAMERA_FROZEN, "frozen")   /* the same frame repeats */                                   \
    X(SP_CAMERA_BLACK, "black")                                                                    \
    X(SP_CAMERA_OFFLINE, "offline")           /* not connected; retried after a back-off */        \
    X(SP_CAMERA_UNAUTHORIZED, "unauthorized") /* login refused; retried after minutes */           \
    X(SP_CAMERA_PAUSED, "paused")                                                                  \
    X(SP_CAMERA_ENDED, "ended") /* no more frames: end of file, or the sink failed */

enum sp_camera_state {
#define X(id, name) id,
    SP_CAMERA_STATES(X)
#undef X
};

const char *sp_camera_state_name(enum sp_camera_state state); /* "live" */

enum { SP_CAMERA_SHOWN_URL_BYTES = 512 };

struct sp_camera_report {
    bool used; /* else the camera index is free and the rest is zero */
    char name[SP_CAMERA_NAME_BYTES];
    char url[SP_CAMERA_SHOWN_URL_BYTES]; /* secrets redacted, truncated */
    enum sp_camera_state state;
    uint64_t reconnects;       /* connection attempts after the first, failed ones included */
    int64_t last_frame_age_us; /* since the last frame arrived; -1: none yet */
    double camera_fps;         /* frames received, last 5 s; live only */
    double inferred_fps;       /* frames inferred, last 5 s; live only */
    double latency_p50_us, latency_p95_us; /* decoded to done, last 10-20 s; offline: whole run */
    uint32_t active_tracks;                /* in the last result */
    int mailbox_depth;                     /* waiting frames */
    int snapshots;                         /* STORE_SNAPSHOTS of this camera */
    int64_t file_position;                 /* the last frame's number in the file; -1: not a file */
    struct sp_source_info info;            /* zero until opened; the size follows the frames */
    struct sp_ledger_counts ledger;
    bool by_need;                   /* INFERENCE=need */
    struct sp_policy_report policy; /* by_need */
    uint64_t frames_done;           /* passed to the sink */
    struct sp_error error;          /* code 0: none; live: why it is not live */
    bool ended;
    bool paused; /* requested; `state` follows */
    int device;  /* index into sp_pipeline_devices(); -1: none yet */
};

/* The number of camera indices, to iterate over. Offline: the settings' cameras; live:
 * SP_CAMERAS_MAX, most of them unused. */
int sp_pipeline_camera_capacity(const struct sp_pipeline *pipeline);

void sp_pipeline_camera(struct sp_pipeline *pipeline, int camera, struct sp_camera_report *report);

/* Its settings, complete, with secrets in the URL. False: the index is not in use. */
bool sp_pipeline_camera_setting(struct sp_pipeline *pipeline, int camera,
                                struct sp_camera_setting *setting);

/* Live only (else SP_ERR_UNSUPPORTED), between start and stop. They return at once, take effect
 * asynchronously and disturb no other camera. SP_ERR_NOT_FOUND: the camera index is not in use. */

/* Copies the setting; what the camera does not set itself comes from the pipeline's settings.
 * SP_ERR_INVALID: a bad name, one in use, an empty address; SP_ERR_NO_SPACE:
 * all camera indices are in use; SP_ERR_CLOSED: stopping; SP_ERR_NO_MEMORY. */
int sp_pipeline_add_camera(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           int *index, struct sp_error *err);

/* The same, for a camera whose frames come from `push` (capture/push.h; a reference is taken). Its
 * URL is only shown. Times and sequence numbers are those of `push`. */
int sp_pipeline_add_pushed(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           struct sp_push *push, int *index, struct sp_error *err);

/* Whether a camera with this setting could run in this pipeline: its classes and its decoder.
 * SP_ERR_INVALID, SP_ERR_UNSUPPORTED, SP_ERR_NO_MEMORY. */
int sp_pipeline_check_camera(const struct sp_pipeline *pipeline,
                             const struct sp_camera_setting *setting, struct sp_error *err);

/* Decoded frames are finished, then sink.end is called, then the camera index is free. */
int sp_pipeline_remove_camera(struct sp_pipeline *pipeline, int index, struct sp_error *err);

/* A file keeps its position; a camera is disconnected, so that it resumes with the newest frame.
 * Idempotent. SP_ERR_INVALID: the camera has ended. */
int sp_pipeline_pause_camera(struct sp_pipeline *pipeline, int index, bool paused,
                             struct sp_error *err);

/* The file resumes at this frame (by time: its number divided by the nominal rate), also when it
 * was paused. sequence and pts_us of its frames keep rising. SP_ERR_UNSUPPORTED: not a file;
 * SP_ERR_INVALID: the frame is out of range, or the camera is not open yet or has ended. */
int sp_pipeline_seek_camera(struct sp_pipeline *pipeline, int index, int64_t frame_index,
                            struct sp_error *err);

/* Adds one stage's durations of one camera to *to. */
int sp_pipeline_stage_histogram(struct sp_pipeline *pipeline, int camera, enum sp_stage stage,
                                struct sp_histogram *to);

/* Sums over the cameras. stages[SP_STAGE_COUNT], zeroed by the caller. */
void sp_pipeline_stages(struct sp_pipeline *pipeline, struct sp_stage_stats *stages);

/* The same without histograms. */
void sp_pipeline_stage_sums(struct sp_pipeline *pipeline, struct sp_stage_sum sums[SP_STAGE_COUNT]);

/* The error that ended the whole pipeline, such as a model that does not compile; code 0: none. */
void sp_pipeline_error(struct sp_pipeline *pipeline, struct sp_error *error);

/* World positions and calibrations. NULL: offline, or SPATIAL_MATCH_ENABLED is off. */
struct sp_map *sp_pipeline_map(const struct sp_pipeline *pipeline);

int sp_pipeline_workers(const struct sp_pipeline *pipeline);
const struct sp_model *sp_pipeline_model(const struct sp_pipeline *pipeline);
/* Offline, after the end. True: no detection was made, and other model input settings would give
 * some; `text` names them (pipeline/reading.h). Takes seconds if no detection was made. */
bool sp_pipeline_other_reading(struct sp_pipeline *pipeline, char *text, size_t bytes);
/* Whether CLASSES includes this class. */
bool sp_pipeline_reports_class(const struct sp_pipeline *pipeline, int class_id);
/* The class names drawn on labels; NULL: people are the only class, so labels name none. */
const struct sp_class_names *sp_pipeline_label_names(const struct sp_pipeline *pipeline);
const struct spoton_engine_api *sp_pipeline_engine(const struct sp_pipeline *pipeline);

/* The device on which encoder thread number `thread` compresses JPEG (JPEG_ENCODER). user: the
 * pipeline, which outlives the caller. */
struct sp_jpeg_device sp_pipeline_jpeg_device(void *user, int thread);

/* The engine's devices, in the order of DEVICES. */
enum { SP_DEVICES_MAX = 16 };
struct sp_device_report {
    int number;            /* the engine's */
    char name[96];         /* may be empty */
    bool lost;             /* it failed, and its cameras moved to other devices */
    struct sp_error error; /* why */
    int cameras;           /* assigned to it now */
    uint64_t batches, images;
    uint64_t decoded;  /* frames decoded on it */
    int64_t busy_us;   /* with at least one batch in flight */
    int64_t flight_us; /* summed over batches; more than busy_us when they overlap */
};
int sp_pipeline_devices(struct sp_pipeline *pipeline,
                        struct sp_device_report reports[SP_DEVICES_MAX]);

/* The detectors compiled so far, one per input shape and device. */
enum { SP_DETECTORS_MAX = 5 * SP_DEVICES_MAX };
struct sp_detector_report {
    int device; /* index into sp_pipeline_devices() */
    int width_px, height_px, batch;
    uint64_t images;
    struct spoton_engine_description description;
};
int sp_pipeline_detectors(struct sp_pipeline *pipeline,
                          struct sp_detector_report reports[SP_DETECTORS_MAX]);

/* The inference servers (KSERVE_URL), summed over the detectors. Any thread. */
enum { SP_SERVERS_MAX = 8 };
int sp_pipeline_servers(struct sp_pipeline *pipeline, struct spoton_server reports[SP_SERVERS_MAX]);
const char *sp_server_state_name(enum spoton_server_state state); /* "ready" */

/* Runs the engine of detector `index` alone for duration_us, with all inference requests in flight,
 * on whatever its input memory holds; images per second. Only while nothing else runs (after
 * sp_pipeline_wait). */
int sp_pipeline_engine_alone(struct sp_pipeline *pipeline, int index, int64_t duration_us,
                             double *images_per_s, struct sp_error *err);
