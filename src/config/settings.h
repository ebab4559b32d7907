/* All settings, typed, from one table.
 *
 * Data flow: defaults <- spoton.yaml <- .env file <- environment <- command-line flags
 * -> struct sp_settings. The table (config/table.c) holds for each key its flag, its place in
 * spoton.yaml, type, default, range and meaning; --help, docs/CONFIG.md and the JSON Schema are
 * printed from it. Errors on unknown keys and invalid values name the line, the key, the nearest
 * known key and the allowed values. */
#pragma once

#include "base/error.h"
#include "capacity.h"
#include "track.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    SP_CAMERA_NAME_BYTES = 64,
    SP_URL_BYTES = 2048,
    SP_PATH_BYTES = 4096,
};

enum sp_track_dt { SP_TRACK_DT_AUTO, SP_TRACK_DT_FRAMES, SP_TRACK_DT_TIMESTAMPS };
enum sp_jpeg_encoder { SP_JPEG_ENCODER_CPU, SP_JPEG_ENCODER_GPU };
/* INFERENCE */
enum sp_inference_policy { SP_INFERENCE_EVERY, SP_INFERENCE_NEED };
enum sp_decoder { SP_DECODER_AUTO, SP_DECODER_CPU, SP_DECODER_GPU };
enum sp_rtsp_transport { SP_RTSP_AUTO, SP_RTSP_TCP, SP_RTSP_UDP };
enum sp_output_frames { SP_OUTPUT_FRAMES_ALL, SP_OUTPUT_FRAMES_INFERRED };

/* A camera and its own settings. Fields without their bit in `own` follow the settings of all
 * cameras; sp_camera_setting_complete fills them in. */
struct sp_camera_setting {
    char name[SP_CAMERA_NAME_BYTES]; /* letters, digits, '.', '_', '-'; unique; safe as a file name
                                      */
    char url[SP_URL_BYTES];
    uint32_t own;  /* bits by sp_setting_camera_bit */
    bool replaced; /* its URL is that of a later source of settings */
    bool complete; /* by sp_camera_setting_complete, which then changes nothing more */
    int input_size_px;
    double confidence_threshold;
    char classes[256];
    int frame_skip;
    enum sp_inference_policy inference;
    int decode_threads;
    enum sp_decoder decoder;
    int stall_timeout_ms;
    int snapshot_interval_ms;
    enum sp_rtsp_transport rtsp_transport;
    int track_buffer_frames;
    double track_high_thresh;
    double track_low_thresh;
    double track_new_thresh;
    double track_match_thresh;
    int store_snapshots;
};

struct sp_settings {
    /* model and engine */
    char model_path[SP_PATH_BYTES];          /* YOLO_MODEL_PATH; empty: the bundled model */
    bool use_tensorrt;                       /* USE_TENSORRT: on an NVIDIA GPU, if installed */
    char tensorrt_model_path[SP_PATH_BYTES]; /* YOLO_MODEL_PATH_TENSORRT; empty: model_path */
    char int8_reference[SP_PATH_BYTES];      /* INT8_REFERENCE: f32 original of an INT8 model */
    int head_type;                           /* MODEL_HEAD: enum sp_head_type */
    int model_input_range;                   /* MODEL_INPUT_RANGE: enum sp_input_range */
    int model_input_color;                   /* MODEL_INPUT_COLOR: enum sp_input_color */
    char engine[32];                         /* ENGINE: auto, openvino, fake, ... */
    int precision;                           /* PRECISION: enum spoton_precision */
    int input_size_px;                       /* YOLO_INPUT_SIZE: the longest side */
    bool square_input;                       /* SQUARE_INPUT: size x size for any aspect ratio */
    double confidence_threshold;             /* YOLO_CONFIDENCE_THRESHOLD */
    double nms_iou;                          /* YOLO_NMS_THRESHOLD */
    char classes[256];                       /* CLASSES: names or numbers, comma separated; "all" */
    char devices[128];                       /* DEVICES: "auto", or numbers; may repeat */
    int threads;                             /* THREADS; 0: the cores granted to the process */
    int streams;                             /* ENGINE_STREAMS; 0: chosen by the engine */
    int engine_batch;                        /* ENGINE_BATCH: images per tensor; 0: auto */
    char engine_options[512];                /* ENGINE_OPTIONS: backend options, key=value;... */
    char kserve_url[2048];         /* KSERVE_URL: of models, comma separated; empty: none */
    char kserve_token[512];        /* KSERVE_TOKEN: a secret; empty: none */
    char kserve_ca_file[1024];     /* KSERVE_CA_FILE; empty: the system's certificates */
    int kserve_timeout_ms;         /* KSERVE_TIMEOUT_MS */
    int kserve_budget_ms;          /* KSERVE_BUDGET_MS: round trip of spill-over */
    int kserve_requests;           /* KSERVE_REQUESTS: in flight to each server */
    char cache_dir[SP_PATH_BYTES]; /* ENGINE_CACHE_DIR; empty: $XDG_CACHE_HOME/spoton; "off" */

    /* frame processing */
    int batch_accumulation; /* BATCH_ACCUMULATION_SIZE: frames of a camera per batch; 0: auto */
    int frame_skip;         /* FRAME_SKIP: every n-th frame is inferred */
    enum sp_inference_policy inference;  /* INFERENCE: every, need */
    enum sp_output_frames output_frames; /* OUTPUT_FRAMES: all, inferred */
    int decode_threads;                  /* DECODE_THREADS: per camera; 0: auto */
    enum sp_decoder decoder;             /* DECODER: auto, cpu, gpu */

    /* live cameras */
    int max_cameras;                       /* MAX_CAMERAS: limit of `serve` */
    int stall_timeout_ms;                  /* STALL_TIMEOUT_MS */
    int snapshot_interval_ms;              /* SNAPSHOT_INTERVAL_MS */
    enum sp_rtsp_transport rtsp_transport; /* RTSP_TRANSPORT: auto, tcp, udp */

    /* tracker */
    char tracker[1024];        /* TRACKER: bytetrack, spoton, or a plugin with its options */
    int track_buffer_frames;   /* TRACK_BUFFER_SIZE */
    double track_high_thresh;  /* TRACK_HIGH_THRESHOLD */
    double track_low_thresh;   /* TRACK_LOW_THRESHOLD */
    double track_new_thresh;   /* TRACK_NEW_THRESHOLD */
    double track_match_thresh; /* TRACK_MATCH_THRESHOLD */
    enum sp_track_dt track_dt; /* TRACK_DT: auto, frames, timestamps */

    /* cross-camera association */
    bool spatial_match;                  /* SPATIAL_MATCH_ENABLED */
    char homography_file[SP_PATH_BYTES]; /* HOMOGRAPHY_FILE_PATH: JSON file or folder */
    char reid_model[SP_PATH_BYTES];      /* REID_MODEL_PATH; empty: none */
    char reid_mean[64], reid_std[64];    /* REID_MEAN, REID_STD: three numbers */
    int reid_keep_s;                     /* REID_KEEP_SECONDS */
    int trail_length;                    /* TRAIL_LENGTH: of API v1 */

    /* images and logging */
    int jpeg_quality;                  /* FRAME_JPEG_QUALITY */
    enum sp_jpeg_encoder jpeg_encoder; /* JPEG_ENCODER: cpu, gpu */
    double stream_resize_factor;       /* STREAM_RESIZE_FACTOR */
    int video_crf;                     /* VIDEO_CRF: constant rate factor of the annotated MP4 */
    int stream_max_width_px;           /* STREAM_MAX_WIDTH */

    int log_level; /* LOG_LEVEL: enum sp_log_level */

    /* server */
    char http_host[256];          /* HTTP_HOST: a name or an address to bind to */
    int http_port;                /* HTTP_PORT; 0: any free port */
    char api_token[256];          /* API_TOKEN: a secret; empty: none */
    bool allow_insecure;          /* ALLOW_INSECURE: other than loopback without a token */
    bool share_engine;            /* SHARE_ENGINE: infer for other machines */
    char tls_cert[SP_PATH_BYTES]; /* TLS_CERT, TLS_KEY: files; both or neither */
    char tls_key[SP_PATH_BYTES];
    int stop_timeout_s;             /* STOP_TIMEOUT_S */
    char video_dir[SP_PATH_BYTES];  /* VIDEO_DIR: files that may be added over HTTP */
    char v4l2_devices[1024];        /* V4L2_DEVICES: may be added over HTTP, comma separated */
    char allowed_origins[1024];     /* ALLOWED_ORIGINS: CORS, comma separated, or "*" */
    char site[64];                  /* SITE; empty: the host's name */
    char outbox_dir[SP_PATH_BYTES]; /* OUTBOX_DIR */
    int outbox_max_mb;              /* OUTBOX_MAX_MB */
    int outbox_max_age_h;           /* OUTBOX_MAX_AGE_H */
    int outbox_sync_ms;             /* OUTBOX_SYNC_MS */
    char outputs[SP_PATH_BYTES];    /* OUTPUTS: a secret; plugins with their options, separated by
                                       blanks */
    char cluster_url[1024];      /* CLUSTER_URL: a secret; NATS servers; empty: a single machine */
    char cluster_ca_file[1024];  /* CLUSTER_CA_FILE; empty: the system's certificates */
    char cluster_site[64];       /* CLUSTER_SITE */
    char cluster_node[64];       /* CLUSTER_NODE; empty: the host's name */
    char cluster_advertise[256]; /* CLUSTER_ADVERTISE; empty: http://NODE:HTTP_PORT */
    double cluster_capacity;     /* CLUSTER_CAPACITY; 0: MAX_CAMERAS */
    int cluster_lease_ms;        /* CLUSTER_LEASE_MS */
    char store[SP_URL_BYTES];    /* STORE: a folder or a URL, which is a secret; empty: none */
    int store_retention_days;    /* STORE_RETENTION_DAYS; 0: unlimited */
    double store_max_gb;         /* STORE_MAX_GB; 0: unlimited */
    int store_snapshots;         /* STORE_SNAPSHOTS: a minute and camera; 0: none */
    char environments_file[SP_PATH_BYTES]; /* ENVIRONMENTS_FILE: JSON, groups of cameras */
    char feedback_file[SP_PATH_BYTES];     /* FEEDBACK_FILE; empty: memory only */
    char analytics_file[SP_PATH_BYTES];    /* ANALYTICS_FILE; empty: memory only */
    char folder[SP_PATH_BYTES];    /* of the .env file, else of the YAML file, ending in a slash;
                                    * empty: the current directory */
    char yaml_path[SP_PATH_BYTES]; /* the YAML file that was read; empty: none */

    struct sp_camera_setting camera[SP_CAMERAS_MAX]; /* CAMERA_<NAME>=URL, or of cameras: in YAML */
    int camera_count;
};

void sp_settings_default(struct sp_settings *settings);

/* KEY=VALUE lines; '#' comments; quotes as in a shell; "export " allowed. Refuses unknown keys,
 * invalid values, duplicate keys and malformed lines. A setting of SpotOn is a warning in the log.
 * SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_INVALID, SP_ERR_NO_MEMORY. */
int sp_settings_read_env_file(struct sp_settings *settings, const char *path, struct sp_error *err);

/* The same from memory: any bytes, not terminated. `name` is used in messages. */
int sp_settings_read_env_text(struct sp_settings *settings, const char *text, size_t bytes,
                              const char *name, struct sp_error *err);

/* spoton.yaml: maps of settings by section, and a list of cameras. `environment` is for ${NAME};
 * !secret NAME is read from secrets.yaml in the same folder. Refuses unknown keys and values of the
 * wrong type with file, line, column and key. Errors as of sp_yaml_read_file. */
int sp_settings_read_yaml_file(struct sp_settings *settings, const char *path,
                               char *const *environment, struct sp_error *err);

/* The same from memory: any bytes, not terminated. `name`: the file's path, for messages and
 * secrets.yaml. */
int sp_settings_read_yaml_text(struct sp_settings *settings, const char *text, size_t bytes,
                               const char *name, char *const *environment, struct sp_error *err);

/* Known keys in the process environment, and CAMERA_* ordered by name. An empty variable counts as
 * not set. */
int sp_settings_read_environment(struct sp_settings *settings, char *const *environment,
                                 struct sp_error *err);

/* Sets one key. `where` ("line 3 of .env", "--frame-skip") begins the error message. */
int sp_settings_set(struct sp_settings *settings, const char *key, const char *value,
                    const char *where, struct sp_error *err);

/* If argv[*at] is a flag of the table (--frame-skip 2, --frame-skip=2), sets it, moves *at to its
 * last word and returns 1. Returns 0 for any other word; negative on an error. */
int sp_settings_take_flag(struct sp_settings *settings, int argc, char **argv, int *at,
                          struct sp_error *err);

/* Refuses an invalid name, a duplicate name unless `replace` is set, and more than SP_CAMERAS_MAX
 * cameras. replace: the URL of an existing camera is overwritten; its own settings are kept. */
int sp_settings_add_camera(struct sp_settings *settings, const char *name, const char *url,
                           bool replace, const char *where, struct sp_error *err);

/* Validates a camera's name and URL. SP_ERR_INVALID. */
int sp_settings_check_camera(const char *name, const char *url, const char *where,
                             struct sp_error *err);

/* Sets one setting of one camera, by the key of the table or its name in spoton.yaml: FRAME_SKIP,
 * frame_skip. SP_ERR_INVALID, also for a setting that is not a camera's. */
int sp_camera_setting_set(struct sp_camera_setting *camera, const char *key, const char *value,
                          const char *where, struct sp_error *err);

/* Sets what a JSON object (of jansson) has besides name and url, with the keys and values of a
 * camera in spoton.yaml, except for lines and zones. SP_ERR_INVALID names the key. */
struct json_t;
int sp_camera_setting_read_json(struct sp_camera_setting *camera, const struct json_t *object,
                                struct sp_error *err);

/* Writes what the camera sets itself in that form, as an object without name and url. Secrets are
 * hidden. */
struct sp_json;
void sp_camera_setting_write_json(struct sp_json *json, const struct sp_camera_setting *camera);

/* Checks the constraints between values; `settings` completes the camera's. SP_ERR_INVALID. */
int sp_camera_setting_check(const struct sp_camera_setting *setting,
                            const struct sp_settings *settings, struct sp_error *err);

/* Fills the fields that the camera does not set itself from the settings of all cameras. */
void sp_camera_setting_complete(struct sp_camera_setting *camera,
                                const struct sp_settings *settings);

/* Whether both have the same URL and the same values; to be called with completed ones. */
bool sp_camera_setting_equal(const struct sp_camera_setting *a, const struct sp_camera_setting *b);

/* After all sources have been read: checks every value and the constraints between values.
 * SP_ERR_INVALID. */
int sp_settings_check(const struct sp_settings *settings, struct sp_error *err);

/* Visits all settings in the order of the table, then the cameras, as key and text; secrets are
 * hidden. */
void sp_settings_each(const struct sp_settings *settings,
                      void (*visit)(void *user, const char *key, const char *value), void *user);

void sp_settings_print_help(FILE *to);     /* for --help-settings */
void sp_settings_print_man(FILE *to);      /* for spoton-settings(5), man(7) */
void sp_settings_print_markdown(FILE *to); /* docs/CONFIG.md */
bool sp_settings_print_schema(FILE *to);   /* JSON Schema of spoton.yaml; false: out of memory */

/* One camera with its own settings, as a spoton.yaml of it alone. Includes secrets. */
void sp_camera_setting_print_yaml(const struct sp_camera_setting *camera, FILE *to);

/* The same as a text, to be freed by the caller. SP_ERR_NO_MEMORY. */
int sp_camera_setting_text(const struct sp_camera_setting *camera, char **text);

/* The settings that differ from their defaults, and the cameras, as spoton.yaml. Includes secrets.
 */
void sp_settings_print_yaml(const struct sp_settings *settings, FILE *to);
