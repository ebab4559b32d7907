/* libspoton: person detection and tracking over many cameras, in a program of one's own.
 *
 * Data flow: settings -> a pipeline with cameras, which are URLs or frames that the caller pushes
 * -> one call of `result` for each finished frame, with detections, tracks and the frame; calls of
 * `event` when a camera's state changes. The detector alone takes images, a tracker alone takes the
 * caller's detections.
 *
 *     struct spoton_pipeline_options options = {sizeof options, .result = on_result};
 *     struct spoton_camera_options camera = {sizeof camera, .name = "gate", .url = "gate.mp4"};
 *     spoton_pipeline_open(&pipeline, &options, &err);
 *     spoton_camera_add(NULL, pipeline, &camera, &err);
 *     spoton_pipeline_start(pipeline, &err);
 *     spoton_pipeline_wait(pipeline, -1, &err);
 *     spoton_pipeline_close(pipeline);
 *
 * Offline (the default) every frame of every camera is processed, the caller's and the callbacks'
 * time included, and the pipeline ends when all cameras have ended. `live`: cameras reconnect, can
 * be added and removed, frames that are late are dropped, and the pipeline runs until it is
 * stopped.
 *
 * Ownership: what open or add returns belongs to the caller, who closes it; cameras are closed with
 * their pipeline. Pointers in a callback's argument are valid during the call.
 *
 * Errors: a function that can fail returns SPOTON_OK or a negative SPOTON_ERR_*, and fills *err,
 * which may be NULL, with a line "<thing>: <problem>; <what to do>". No function ends the process,
 * installs a signal handler, or writes to stdout or stderr.
 *
 * Threads: functions may be called by any thread, for one object by one at a time unless stated
 * otherwise. Any number of pipelines, detectors and trackers may be in use at once; they share
 * nothing but loaded engine plugins. FFmpeg's log callback is of the whole process: the first
 * camera that has a URL sets it.
 *
 * Versions: structs of the caller begin with struct_bytes = sizeof of the struct, and are zeroed
 * otherwise; zero means the default. They grow at their end only, as the structs that callbacks
 * get. SPOTON_API_VERSION changes, and with it the library's name, when that is not enough. */
#ifndef SPOTON_SPOTON_H
#define SPOTON_SPOTON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPOTON_API __attribute__((visibility("default")))

#define SPOTON_API_VERSION 1

SPOTON_API int spoton_api_version(void);     /* SPOTON_API_VERSION of the library */
SPOTON_API const char *spoton_version(void); /* "0.2.0" */

/* ---- errors ---- */

enum spoton_status {
    SPOTON_OK = 0,
    SPOTON_ERR_INVALID = -1,
    SPOTON_ERR_NOT_FOUND = -2,
    SPOTON_ERR_IO = -3,
    SPOTON_ERR_NO_SPACE = -4,
    SPOTON_ERR_NO_MEMORY = -5,
    SPOTON_ERR_UNSUPPORTED = -6,
    SPOTON_ERR_FORMAT = -7,
    SPOTON_ERR_ENGINE = -8,
    SPOTON_ERR_CLOSED = -9,
    SPOTON_ERR_END = -10,
    SPOTON_ERR_TIMEOUT = -11,
    SPOTON_ERR_INTERRUPTED = -12,
    SPOTON_ERR_DEVICE = -13,
    SPOTON_ERR_UNAUTHORIZED = -14
};

struct spoton_error {
    int code; /* enum spoton_status */
    char text[512];
};

/* ---- settings ---- */

/* The settings of docs/CONFIG.md, at first their defaults. The environment and .env are not read.
 */
struct spoton_settings;

SPOTON_API int spoton_settings_open(struct spoton_settings **out, struct spoton_error *err);
SPOTON_API void spoton_settings_close(struct spoton_settings *settings); /* NULL is allowed */

/* "FRAME_SKIP", "2"; CAMERA_<NAME> adds a camera. */
SPOTON_API int spoton_settings_set(struct spoton_settings *settings, const char *key,
                                   const char *value, struct spoton_error *err);

/* A spoton.yaml. Its cameras are those that a pipeline begins with. ${NAME} is read from the
 * environment. Its outputs, lines and zones are those of a pipeline that asks for them. */
SPOTON_API int spoton_settings_read_yaml(struct spoton_settings *settings, const char *path,
                                         struct spoton_error *err);

/* ---- frames ---- */

enum spoton_format {
    SPOTON_FORMAT_I420, /* planes Y, U, V; chroma (w+1)/2 x (h+1)/2 */
    SPOTON_FORMAT_NV12, /* planes Y, interleaved UV */
    SPOTON_FORMAT_BGR   /* one plane, 3 bytes per pixel */
};

enum spoton_matrix { SPOTON_MATRIX_BT601, SPOTON_MATRIX_BT709, SPOTON_MATRIX_BT2020 };

/* An image of 8 bits per channel. */
struct spoton_planes {
    size_t struct_bytes;
    int format;        /* enum spoton_format */
    int width, height; /* px, 1..16384 */
    const uint8_t *plane[3];
    int stride[3];  /* bytes per row */
    int matrix;     /* enum spoton_matrix; not of BGR */
    int full_range; /* luma 0..255 instead of 16..235; not of BGR */
    /* Input: NULL: the planes are copied. Otherwise they are read in place and must not change
     * until release(owner), which is called once, on any thread, if the frame was accepted. */
    void (*release)(void *owner);
    void *owner;
};

/* A frame of a result, shared by reference and never changed. Any thread. */
struct spoton_frame;

/* Keeps a frame beyond its callback, until unref; also beyond the close of its pipeline. Frames
 * that are kept hold memory of their decoder: few at a time. */
SPOTON_API struct spoton_frame *spoton_frame_ref(const struct spoton_frame *frame);
SPOTON_API void spoton_frame_unref(struct spoton_frame *frame); /* NULL is allowed */

/* The frame's own planes, I420 or NV12, valid as long as the frame. A frame that was decoded on a
 * GPU is copied from there by the first call. */
SPOTON_API int spoton_frame_planes(const struct spoton_frame *frame, struct spoton_planes *out,
                                   struct spoton_error *err);

/* Converts into height rows of `stride` bytes, at least 3 * width. */
SPOTON_API int spoton_frame_bgr(const struct spoton_frame *frame, uint8_t *to, int stride,
                                struct spoton_error *err);

/* ---- detections and tracks ---- */

enum { SPOTON_DETECTIONS_MAX = 300, SPOTON_TRACKS_MAX = 512 };

/* Boxes are corners in pixels of the frame. */
struct spoton_detection {
    double x1, y1, x2, y2;
    double confidence; /* 0..1 */
    int32_t class_id;
    int32_t reserved;
    const char *class_name; /* NULL: it has none; valid until the close of what returned it */
};

struct spoton_track {
    uint32_t id;        /* of its camera, from 1, never used again */
    uint32_t global_id; /* the same in all cameras; 0: not known */
    int32_t class_id;
    int32_t detection;      /* 1 + the index of its detection in this frame; 0: predicted */
    double x1, y1, x2, y2;  /* may extend beyond the frame */
    double confidence;      /* of its last detection */
    double map_x, map_y;    /* map units, if on_map */
    const char *class_name; /* as in spoton_detection */
    int32_t on_map;
    int32_t reserved;
};

/* A finished frame. (camera, epoch, sequence) identifies it. */
struct spoton_result {
    size_t struct_bytes;
    const char *camera;
    uint64_t epoch;    /* differs for a camera that was removed and added again */
    uint64_t sequence; /* of the frame in its camera, from 0 */
    int64_t time_us;   /* of the frame in its camera; of a pushed frame, the caller's */
    int64_t wall_us;   /* since the Unix epoch, when it was decoded or pushed */
    int inferred;      /* 0: between inferred frames (FRAME_SKIP); tracks are predicted */
    int failed;        /* its inference failed */
    int width, height; /* px */
    size_t detection_count, track_count;
    const struct spoton_detection *detections;
    const struct spoton_track *tracks;
    const struct spoton_frame *frame;
};

/* Kinds: camera.added, camera.state, camera.removed (live only; a state that lasts less than 100 ms
 * may be missing), camera.ended (after its last result; with "reason" if it failed); those of lines
 * and zones, as line.crossed (docs/ANALYTICS.md), whose camera is "" on the map. */
struct spoton_event {
    size_t struct_bytes;
    const char *id; /* "<camera>/<epoch>/<n>", n from 1 */
    const char *kind;
    const char *camera;
    int64_t wall_us;
    const char *payload; /* a JSON object */
};

enum spoton_log_level { SPOTON_LOG_ERROR, SPOTON_LOG_WARNING, SPOTON_LOG_INFO, SPOTON_LOG_DEBUG };

/* ---- the pipeline ---- */

struct spoton_pipeline;
struct spoton_camera;

/* Callbacks may be NULL, and run on the pipeline's threads. They may call any function except
 * start, wait and close of the same pipeline, and `event` not set_analytics. A slow `result` delays
 * its camera: offline it waits, live its frames are dropped. */
struct spoton_pipeline_options {
    size_t struct_bytes;
    const struct spoton_settings *settings; /* copied; NULL: the defaults */
    int live;
    int loop; /* files start again at their end */
    void *user;
    /* Several threads at once, but for one camera one at a time and in the order of its frames. */
    void (*result)(void *user, const struct spoton_result *result);
    void (*event)(void *user, const struct spoton_event *event); /* one at a time */
    /* What LOG_LEVEL of the settings selects; enum spoton_log_level; one at a time. */
    void (*log)(void *user, int level, const char *text);
    /* Live only. The outputs of the settings (OUTPUTS) get results and events; each has a queue and
     * a thread, and none delays the pipeline. They send no snapshots. */
    int outputs;
    /* Live only. Lines and zones, of the settings' spoton.yaml and of spoton_camera_set_analytics,
     * are counted; what happens is an event. */
    int analytics;
};

SPOTON_API int spoton_pipeline_open(struct spoton_pipeline **out,
                                    const struct spoton_pipeline_options *options,
                                    struct spoton_error *err);

/* Loads the engine and the model, which can take seconds, and starts the cameras. */
SPOTON_API int spoton_pipeline_start(struct spoton_pipeline *pipeline, struct spoton_error *err);

/* SPOTON_OK: everything is finished. SPOTON_ERR_TIMEOUT: not yet, after timeout_us (negative: no
 * limit). Another error ended the whole pipeline; errors of single cameras are in their status. */
SPOTON_API int spoton_pipeline_wait(struct spoton_pipeline *pipeline, int64_t timeout_us,
                                    struct spoton_error *err);

/* Cameras stop reading; what was decoded is finished. Returns at once. Any thread. */
SPOTON_API void spoton_pipeline_stop(struct spoton_pipeline *pipeline);

/* Stops, waits and frees. No callback runs after it returns. NULL is allowed. */
SPOTON_API void spoton_pipeline_close(struct spoton_pipeline *pipeline);

/* The name of a class of the model; NULL: it has none, or the pipeline was not started. */
SPOTON_API const char *spoton_pipeline_class_name(const struct spoton_pipeline *pipeline,
                                                  int class_id);

/* ---- cameras ---- */

struct spoton_camera_options {
    size_t struct_bytes;
    const char *name;  /* letters, digits, '.', '_', '-'; unique */
    const char *url;   /* a file, a stream, a device; NULL: frames are pushed */
    double frame_rate; /* nominal, of pushed frames; 0: unknown */
    /* Settings of this camera alone: key, value, key, value, ..., NULL. NULL: none. */
    const char *const *settings;
};

/* Offline before the start only; live at any time, without an effect on other cameras. *out may be
 * NULL. */
SPOTON_API int spoton_camera_add(struct spoton_camera **out, struct spoton_pipeline *pipeline,
                                 const struct spoton_camera_options *options,
                                 struct spoton_error *err);

/* The camera of this name, also one of the settings; NULL: none. */
SPOTON_API struct spoton_camera *spoton_camera_find(struct spoton_pipeline *pipeline,
                                                    const char *name);

/* Live, after the start: its decoded frames are finished; the handle is freed on success. No other
 * thread may use it. */
SPOTON_API int spoton_camera_remove(struct spoton_camera *camera, struct spoton_error *err);

/* Live, after the start, and not if its frames are pushed. A file keeps its position; a stream is
 * disconnected, and resumes with its newest frame. Both return at once, and may be repeated. Any
 * thread. SPOTON_ERR_INVALID: the camera has ended. */
SPOTON_API int spoton_camera_pause(struct spoton_camera *camera, struct spoton_error *err);
SPOTON_API int spoton_camera_resume(struct spoton_camera *camera, struct spoton_error *err);

/* Replaces the lines and zones of the camera's name, before the start or at any time after it:
 * {"lines": [...], "zones": [...]}, as in spoton.yaml. Counting goes on for names that remain.
 * NULL: those of the settings. Any thread. SPOTON_ERR_INVALID: the text says what is wrong, and
 * nothing has changed. SPOTON_ERR_UNSUPPORTED: the pipeline was opened without `analytics`. */
SPOTON_API int spoton_camera_set_analytics(struct spoton_camera *camera, const char *json,
                                           struct spoton_error *err);

/* The time of a pushed frame that has none: live the clock's, offline one frame period later. */
#define SPOTON_NO_TIME INT64_MIN

/* Pushes a frame, from any thread. A few frames wait for the camera; timeout_us: for room among
 * them (negative: no limit). *sequence, which may be NULL: the sequence of its result.
 * SPOTON_ERR_TIMEOUT: no room, the frame was not accepted. SPOTON_ERR_INVALID: also if time_us,
 * which starts anywhere, is not after that of the previous frame. SPOTON_ERR_CLOSED: the camera has
 * ended. */
SPOTON_API int spoton_camera_push(struct spoton_camera *camera, const struct spoton_planes *planes,
                                  int64_t time_us, int64_t timeout_us, uint64_t *sequence,
                                  struct spoton_error *err);

/* No more frames will be pushed. Any thread. */
SPOTON_API void spoton_camera_end(struct spoton_camera *camera);

struct spoton_camera_status {
    size_t struct_bytes;
    char state[16]; /* live: "live", "offline", "stalled", "black", ... */
    int ended;
    /* received = inferred + skipped + dropped + failed + in flight; skipped: by FRAME_SKIP or
     * INFERENCE=need */
    uint64_t received, inferred, skipped, dropped, failed, in_flight;
    uint64_t results;
    int width, height;         /* 0: not known yet */
    double frame_rate;         /* nominal; 0: unknown */
    struct spoton_error error; /* code 0: none */
};

/* Any thread. Before the start all is zero. */
SPOTON_API void spoton_camera_status(const struct spoton_camera *camera,
                                     struct spoton_camera_status *out);

/* ---- the detector alone ---- */

struct spoton_detector;

struct spoton_detector_options {
    size_t struct_bytes;
    const struct spoton_settings *settings; /* copied; NULL: the defaults */
    void *user;
    void (*log)(void *user, int level, const char *text); /* NULL: none */
};

/* Loads the engine and recognises the model; compiles it with the first image of each aspect. */
SPOTON_API int spoton_detector_open(struct spoton_detector **out,
                                    const struct spoton_detector_options *options,
                                    struct spoton_error *err);
SPOTON_API void spoton_detector_close(struct spoton_detector *detector); /* NULL is allowed */

/* Writes the `capacity` detections with the highest confidence and sets *count. At most
 * SPOTON_DETECTIONS_MAX exist. The planes are not kept, `release` is ignored. Several threads may
 * call it at once. */
SPOTON_API int spoton_detector_run(struct spoton_detector *detector,
                                   const struct spoton_planes *image,
                                   struct spoton_detection *detections, size_t capacity,
                                   size_t *count, struct spoton_error *err);

/* ---- a tracker alone ---- */

struct spoton_tracker;

struct spoton_tracker_options {
    size_t struct_bytes;
    const struct spoton_settings *settings; /* TRACKER, TRACK_...; NULL: the defaults */
    double frame_rate; /* nominal, to which times refer; 0: unknown, frames are counted */
};

SPOTON_API int spoton_tracker_open(struct spoton_tracker **out,
                                   const struct spoton_tracker_options *options,
                                   struct spoton_error *err);
SPOTON_API void spoton_tracker_close(struct spoton_tracker *tracker); /* NULL is allowed */

/* The detections of the next frame; class_name is ignored, and of more than SPOTON_DETECTIONS_MAX
 * those with the highest confidence are used. time_us: of the frame, rising; SPOTON_NO_TIME: one
 * frame period after the previous frame. Writes at most `capacity` tracks (SPOTON_TRACKS_MAX is
 * always enough) and sets *count. SPOTON_ERR_INVALID: a box or confidence that is not a finite
 * number. */
SPOTON_API int spoton_tracker_update(struct spoton_tracker *tracker,
                                     const struct spoton_detection *detections,
                                     size_t detection_count, int64_t time_us,
                                     struct spoton_track *tracks, size_t capacity, size_t *count,
                                     struct spoton_error *err);

/* Drops all tracks; their ids are not used again. */
SPOTON_API void spoton_tracker_reset(struct spoton_tracker *tracker);

#ifdef __cplusplus
}
#endif

#endif
