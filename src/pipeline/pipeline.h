/* The pipeline: wires the stages, owns their threads, starts and stops them.
 *
 * Data flow, each arrow a bounded queue:
 *
 *     camera threads ─► scheduler ─► scheduler ─► engine ─► collector ─► post workers ─► sink
 *
 * Camera threads open and decode; the scheduler has their mailboxes; the scheduler letterboxes into
 * an engine's camera index; the collector makes detections of its outputs; post workers track; the
 * sink draws, encodes, publishes, writes files.
 *
 * A camera is pinned to one post worker, so its frames reach the sink in order, predicted ones
 * between the inferred ones. Stopping closes the queues from upstream to downstream: what was
 * decoded is finished, nothing is dropped. Memory and threads are taken in open and by the first
 * frames; the healthy state allocates nothing. */
#pragma once

#include "capture/source.h"
#include "config/settings.h"
#include "detect/detector.h"
#include "detection.h"
#include "pipeline/map.h"
#include "render/jpeg.h"
#include "schedule/ledger.h"
#include "stage.h"
#include "track.h"
#include "world_position.h"

/* One frame, finished. All pointers are valid during the call only. */
struct sp_result {
    int camera;
    int worker;                   /* index of the calling thread, 0..sp_pipeline_workers()-1 */
    const struct sp_frame *frame; /* to keep it: sp_frame_ref((struct sp_frame *)frame) */
    bool inferred;                /* else the tracks are predicted and there are no detections */
    bool failed;                  /* it should have been inferred, and the engine failed on it */
    const struct sp_detection *detections;
    size_t detection_count;
    const struct sp_track *tracks;
    size_t track_count;
    const struct sp_world_position *positions; /* [track_count]; live only: offline NULL */
    struct sp_stage_stats *stages; /* [SP_STAGE_COUNT] of this camera: the sink adds its own */
};

/* Called on post workers; calls for one camera come one after the other, in order. An error from
 * `result` ends that camera (its source is interrupted, its later frames are not given out) and no
 * other. */
struct sp_pipeline_sink {
    void *user;
    /* Before a camera's first result, when its source is open. */
    int (*begin)(void *user, int camera, const struct sp_source_info *info, struct sp_error *err);
    int (*result)(void *user, const struct sp_result *result, struct sp_error *err);
    /* After its last; also for a camera that never opened. `why` NULL: it ended well. */
    void (*end)(void *user, int camera, const struct sp_error *why);
};

/* Live: mailboxes keep the newest frame, cameras reconnect, files are paced by their timestamps,
 * cameras come and go (the settings' are the first ones, and may be none), and the pipeline runs
 * until it is stopped. Else everything is read once, and nothing is dropped. */
struct sp_pipeline_options {
    const struct sp_settings *settings; /* outlives the pipeline */
    bool live;
    struct sp_pipeline_sink sink;
    const char *environment;   /* for the speed log */
    uint64_t frame_limit;      /* of each camera; 0: none */
    bool loop;                 /* files start again at their end */
    bool by_time;              /* offline: frames of all cameras in the order of their pts */
    bool (*interrupted)(void); /* opening ends early; or NULL */
};

struct sp_pipeline;

/* What the settings say about the model file. */
struct sp_model_wish sp_pipeline_model_wish(const struct sp_settings *settings);

/* Loads the engine and recognises the model. SP_ERR_INTERRUPTED: as `interrupted` said. */
int sp_pipeline_open(struct sp_pipeline **out, const struct sp_pipeline_options *options,
                     struct sp_error *err);
int sp_pipeline_start(struct sp_pipeline *pipeline, struct sp_error *err);

/* Cameras stop reading; what is decoded is finished. Any thread, not a signal handler. */
void sp_pipeline_stop(struct sp_pipeline *pipeline);

/* True when everything is finished; waits at most timeout_us for it. */
bool sp_pipeline_wait(struct sp_pipeline *pipeline, int64_t timeout_us);

/* Stops and joins all threads; reports stay readable until the pipeline is closed. NULL is fine.
 * The thread that closes. */
void sp_pipeline_join(struct sp_pipeline *pipeline);

/* Stops, joins, frees. NULL is fine. */
void sp_pipeline_close(struct sp_pipeline *pipeline);

/* The rest: any thread, any time between open and close. */

/* What a live camera really does; told by its connection and by the frames themselves. */
#define SP_CAMERA_STATES(X)                                                                        \
    X(SP_CAMERA_CONNECTING, "connecting")                                                          \
    X(SP_CAMERA_LIVE, "live")                                                                      \
    X(SP_CAMERA_STALLED, "stalled") /* connected, and no frame for STALL_TIMEOUT_MS */             \
    X(SP_CAMERA_FROZEN, "frozen")   /* the same frame again and again */                           \
    X(SP_CAMERA_BLACK, "black")                                                                    \
    X(SP_CAMERA_OFFLINE, "offline")           /* not connected; it is tried again */               \
    X(SP_CAMERA_UNAUTHORIZED, "unauthorized") /* refused the login; tried again after minutes */   \
    X(SP_CAMERA_PAUSED, "paused")                                                                  \
    X(SP_CAMERA_ENDED, "ended") /* nothing more comes: a file is over, or the sink refused */

enum sp_camera_state {
#define X(id, name) id,
    SP_CAMERA_STATES(X)
#undef X
};

const char *sp_camera_state_name(enum sp_camera_state state); /* "live" */

enum { SP_CAMERA_SHOWN_URL_BYTES = 512 };

struct sp_camera_report {
    bool used; /* else the camera index is free, and the rest is zero */
    char name[SP_CAMERA_NAME_BYTES];
    char url[SP_CAMERA_SHOWN_URL_BYTES]; /* without secrets, cut to fit */
    enum sp_camera_state state;
    uint64_t reconnects;       /* connections after the first one, tried and failed ones too */
    int64_t last_frame_age_us; /* since the last frame came; -1: none yet */
    double camera_fps;         /* frames that came, lately; live only */
    double inferred_fps;       /* frames that were inferred, lately; live only */
    double latency_p50_us, latency_p95_us; /* decoded to done, lately; offline: of the whole run */
    uint32_t active_tracks;                /* in the last result */
    int mailbox_depth;                     /* frames that wait */
    int64_t file_position;                 /* number in the file of the last frame; -1: no file */
    struct sp_source_info info;            /* zeroed until opened; its size follows the frames */
    struct sp_ledger_counts ledger;
    uint64_t frames_done;  /* given to the sink */
    struct sp_error error; /* code 0: none; live: why it is not live now */
    bool ended;
    bool paused; /* asked for: `state` follows */
    int device;  /* index into sp_pipeline_devices(); -1: none yet */
};

/* Slots of cameras, to iterate over; a camera's index is its camera index. Offline: the settings'
 * cameras; live: SP_CAMERAS_MAX, most of them unused. */
int sp_pipeline_camera_capacity(const struct sp_pipeline *pipeline);

void sp_pipeline_camera(struct sp_pipeline *pipeline, int camera, struct sp_camera_report *report);

/* Live only (else SP_ERR_UNSUPPORTED), between start and stop. They return at once and disturb no
 * other camera; what they ask for follows. A camera index that is not in use is SP_ERR_NOT_FOUND.
 */

/* Copies the setting. SP_ERR_INVALID: a bad name, one in use, an empty address; SP_ERR_NO_SPACE:
 * all camera indices are taken; SP_ERR_CLOSED: stopping; SP_ERR_NO_MEMORY. */
int sp_pipeline_add_camera(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           int *index, struct sp_error *err);

/* What it has decoded is finished, then sink.end is called, then the camera index is free. */
int sp_pipeline_remove_camera(struct sp_pipeline *pipeline, int index, struct sp_error *err);

/* A file stays where it is; a camera is disconnected, so that it goes on with the newest frame.
 * Idempotent. SP_ERR_INVALID: it has ended. */
int sp_pipeline_pause_camera(struct sp_pipeline *pipeline, int index, bool paused,
                             struct sp_error *err);

/* The file goes on from this frame (by time: its number over the nominal rate) and is paused no
 * more. sequence and pts_us of its frames keep rising. SP_ERR_UNSUPPORTED: not a file;
 * SP_ERR_INVALID: before the first or behind the last frame, not opened yet, or ended. */
int sp_pipeline_seek_camera(struct sp_pipeline *pipeline, int index, int64_t frame_index,
                            struct sp_error *err);

/* Adds one stage's durations of one camera to *to. */
int sp_pipeline_stage_histogram(struct sp_pipeline *pipeline, int camera, enum sp_stage stage,
                                struct sp_histogram *to);

/* Adds up the cameras. stages[SP_STAGE_COUNT], zeroed by the caller. */
void sp_pipeline_stages(struct sp_pipeline *pipeline, struct sp_stage_stats *stages);

/* The same as sums alone. */
void sp_pipeline_stage_sums(struct sp_pipeline *pipeline, struct sp_stage_sum sums[SP_STAGE_COUNT]);

/* The error that ended the whole pipeline (an engine that does not compile, say); code 0: none. */
void sp_pipeline_error(struct sp_pipeline *pipeline, struct sp_error *error);

/* Who is where, and the calibrations behind it. NULL: SPATIAL_MATCH_ENABLED is off, or offline. */
struct sp_map *sp_pipeline_map(const struct sp_pipeline *pipeline);

int sp_pipeline_workers(const struct sp_pipeline *pipeline);
const struct sp_model *sp_pipeline_model(const struct sp_pipeline *pipeline);
/* Offline, after the end: true: nothing was found, and the model read in another way would find
 * something; the text says what to try (pipeline/reading.h). Takes seconds where nothing was found.
 */
bool sp_pipeline_other_reading(struct sp_pipeline *pipeline, char *text, size_t bytes);
/* Whether this class is reported: CLASSES. */
bool sp_pipeline_reports_class(const struct sp_pipeline *pipeline, int class_id);
/* The names that labels are drawn with; NULL: people alone are reported, which needs no word. */
const struct sp_class_names *sp_pipeline_label_names(const struct sp_pipeline *pipeline);
const struct spoton_engine_api *sp_pipeline_engine(const struct sp_pipeline *pipeline);

/* Where the thread-th of several compresses frames: JPEG_ENCODER. user: the pipeline, which
 * outlives who asks. */
struct sp_jpeg_device sp_pipeline_jpeg_device(void *user, int thread);

/* What the engine runs on, in the order of DEVICES. */
enum { SP_DEVICES_MAX = 16 };
struct sp_device_report {
    int number;            /* the engine's */
    char name[96];         /* may be empty */
    bool lost;             /* it failed, and its cameras went on elsewhere */
    struct sp_error error; /* why */
    int cameras;           /* that are on it now */
    uint64_t batches, images;
    uint64_t decoded;  /* frames whose video it decoded */
    int64_t busy_us;   /* at least one batch was on it */
    int64_t flight_us; /* of all batches together: above busy_us, they overlap */
};
int sp_pipeline_devices(struct sp_pipeline *pipeline,
                        struct sp_device_report reports[SP_DEVICES_MAX]);

/* Detectors that were compiled so far, one an input shape and device. */
enum { SP_DETECTORS_MAX = 5 * SP_DEVICES_MAX };
struct sp_detector_report {
    int device; /* index into sp_pipeline_devices() */
    int width_px, height_px, batch;
    uint64_t images;
    struct spoton_engine_description description;
};
int sp_pipeline_detectors(struct sp_pipeline *pipeline,
                          struct sp_detector_report reports[SP_DETECTORS_MAX]);

/* Runs the engine of detector `index` alone for duration_us, all camera indices in flight, on what
 * lies in its input memory; images a second. Only while nothing else runs (after sp_pipeline_wait).
 */
int sp_pipeline_engine_alone(struct sp_pipeline *pipeline, int index, int64_t duration_us,
                             double *images_per_s, struct sp_error *err);
