#include "config/table.h"

#include "base/log.h"
#include "spoton/engine.h"

#include <string.h>

#define FIELD(name)                                                                                \
    .offset = offsetof(struct sp_settings, name), .bytes = sizeof(((struct sp_settings *)0)->name)

static const struct sp_setting_choice precisions[] = {
    {"auto", SPOTON_PRECISION_AUTO, false}, {"f32", SPOTON_PRECISION_F32, false},
    {"bf16", SPOTON_PRECISION_BF16, false}, {"f16", SPOTON_PRECISION_F16, false},
    {"int8", SPOTON_PRECISION_INT8, false}, {"fp32", SPOTON_PRECISION_F32, true},
    {"fp16", SPOTON_PRECISION_F16, true},   {0},
};

/* The numbers of the enums of detect/model.h, which settings do not see; a test compares them. */
static const struct sp_setting_choice head_types[] = {
    {"auto", 0, false},
    {"yolov5", 1, false},
    {"yolov8", 2, false},
    {"end-to-end", 3, false},
    {"yolox", 4, false},
    {"rtdetr", 5, false},
    {"yolov6", 6, false},
    {"rfdetr", 7, false},
    {"yolov7", 1, true},
    {"yolo11", 2, true},
    {"yolov10", 3, true},
    {"yolo26", 3, true},
    {0},
};

static const struct sp_setting_choice input_ranges[] = {
    {"auto", 0, false}, {"0..1", 1, false}, {"0..255", 2, false}, {0}};

static const struct sp_setting_choice input_colors[] = {
    {"auto", 0, false}, {"rgb", 1, false}, {"bgr", 2, false}, {0}};

static const struct sp_setting_choice output_frames[] = {
    {"all", SP_OUTPUT_FRAMES_ALL, false},
    {"inferred", SP_OUTPUT_FRAMES_INFERRED, false},
    {0},
};

static const struct sp_setting_choice decoders[] = {
    {"auto", SP_DECODER_AUTO, false},
    {"cpu", SP_DECODER_CPU, false},
    {"gpu", SP_DECODER_GPU, false},
    {0},
};

static const struct sp_setting_choice jpeg_encoders[] = {
    {"cpu", SP_JPEG_ENCODER_CPU, false},
    {"gpu", SP_JPEG_ENCODER_GPU, false},
    {0},
};

static const struct sp_setting_choice track_dts[] = {
    {"auto", SP_TRACK_DT_AUTO, false},
    {"frames", SP_TRACK_DT_FRAMES, false},
    {"timestamps", SP_TRACK_DT_TIMESTAMPS, false},
    {0},
};

static const struct sp_setting_choice log_levels[] = {
    {"error", SP_LOG_ERROR, false},
    {"warning", SP_LOG_WARNING, false},
    {"info", SP_LOG_INFO, false},
    {"debug", SP_LOG_DEBUG, false},
    {"critical", SP_LOG_ERROR, true},
    {"warn", SP_LOG_WARNING, true},
    {0},
};

#define MODEL "Model and engine"
#define FRAMES "The way of the frames"
#define LIVE "Live cameras"
#define TRACKER "Tracker"
#define MAP "Map of all cameras"
#define PICTURES "Frames and log"
#define SERVER "Server"

const struct sp_setting_row sp_setting_table[] = {
    {"YOLO_MODEL_PATH", MODEL, "FILE", "",
     "Model file (ONNX, OpenVINO IR or TFLite) or a bundle of `spoton export`. Empty: the bundled "
     "models/person.onnx.",
     SP_SETTING_TEXT, FIELD(model_path)},
    {"USE_TENSORRT", MODEL, NULL, "false",
     "On an NVIDIA GPU: the model runs by TensorRT where its library is found. The first start "
     "then "
     "takes minutes, what it built is kept.",
     SP_SETTING_SWITCH, FIELD(use_tensorrt)},
    {"YOLO_MODEL_PATH_TENSORRT", MODEL, "FILE", "",
     "The model file that USE_TENSORRT takes instead of YOLO_MODEL_PATH: ONNX, not an engine file.",
     SP_SETTING_TEXT, FIELD(tensorrt_model_path)},
    {"MODEL_HEAD", MODEL, "WORD", "auto",
     "Head type: how the model's outputs are decoded. auto: recognized from the file; a file that "
     "fits none, or several, is refused.",
     SP_SETTING_CHOICE, FIELD(head_type), .choices = head_types},
    {"MODEL_INPUT_RANGE", MODEL, "WORD", "auto",
     "The values of pixels that the model wants. auto: 0..255 for YOLOX, for bytes and where the "
     "graph itself brings them down; else 0..1.",
     SP_SETTING_CHOICE, FIELD(model_input_range), .choices = input_ranges},
    {"MODEL_INPUT_COLOR", MODEL, "WORD", "auto",
     "The order of colours that the model wants. auto: bgr for YOLOX, else rgb.", SP_SETTING_CHOICE,
     FIELD(model_input_color), .choices = input_colors},
    {"INT8_REFERENCE", MODEL, "FILE", "",
     "The f32 original of an INT8 model that has no manifest: the two are compared on frames of "
     "the "
     "cameras before it is used.",
     SP_SETTING_TEXT, FIELD(int8_reference)},
    {"ENGINE", MODEL, "NAME", "auto",
     "Inference engine: auto takes the best one on this machine; `spoton doctor` lists them.",
     SP_SETTING_NAME, FIELD(engine)},
    {"PRECISION", MODEL, "WORD", "auto",
     "Arithmetic of the model. auto: the fastest that keeps the results; int8 wants a quantised "
     "file.",
     SP_SETTING_CHOICE, FIELD(precision), .choices = precisions},
    {"YOLO_INPUT_SIZE", MODEL, "PIXELS", "640",
     "Longest side of the model's input. The other side follows the cameras' aspect.",
     SP_SETTING_INTEGER, FIELD(input_size_px), .low = 32, .high = 4096, .step = 32},
    {"SQUARE_INPUT", MODEL, NULL, "false",
     "Square model input whatever the cameras' aspect: slower, as other programs do it.",
     SP_SETTING_SWITCH, FIELD(square_input)},
    {"YOLO_CONFIDENCE_THRESHOLD", MODEL, "SCORE", "0.3",
     "Detections that score less are dropped, before the tracker too: 0.1 gives its second "
     "matching "
     "the weak ones.",
     SP_SETTING_REAL, FIELD(confidence_threshold), .low = 0, .high = 1},
    {"YOLO_NMS_THRESHOLD", MODEL, "IOU", "0.7",
     "Of two boxes of one class that overlap more, the weaker is dropped.", SP_SETTING_REAL,
     FIELD(nms_iou), .low = 0, .high = 1},
    {"CLASSES", MODEL, "LIST", "person",
     "Classes to report, by name or number, comma separated; all: every class of the model. Names: "
     "in any case, with blanks or underscores; `spoton doctor MODEL` lists them.",
     SP_SETTING_LIST, FIELD(classes)},
    {"DEVICES", MODEL, "LIST", "auto",
     "Devices of the engine that cameras are spread over, by number from 0 on, comma separated; "
     "one "
     "that is named twice runs two engines. auto: all there are.",
     SP_SETTING_LIST, FIELD(devices)},
    {"THREADS", MODEL, "N", "auto", "Cores to use. auto: those that are really granted.",
     SP_SETTING_INTEGER, FIELD(threads), .low = 1, .high = 1024, .zero = "auto"},
    {"ENGINE_STREAMS", MODEL, "N", "auto",
     "Inferences that run side by side. auto: the engine chooses.", SP_SETTING_INTEGER,
     FIELD(streams), .low = 1, .high = 256, .zero = "auto"},
    {"ENGINE_BATCH", MODEL, "N", "auto",
     "Frames in one batch. auto: on a GPU cameras times BATCH_ACCUMULATION_SIZE, at most 64; on a "
     "CPU "
     "1, the fastest as measured.",
     SP_SETTING_INTEGER, FIELD(engine_batch), .low = 1, .high = 256, .zero = "auto"},
    {"ENGINE_OPTIONS", MODEL, "TEXT", "",
     "Options of the engine itself, key=value, separated by semicolons.", SP_SETTING_TEXT,
     FIELD(engine_options)},
    {"ENGINE_CACHE_DIR", MODEL, "DIR", "",
     "Where compiled models are kept. Empty: $XDG_CACHE_HOME/spoton; off: nowhere.",
     SP_SETTING_TEXT, FIELD(cache_dir)},

    {"BATCH_ACCUMULATION_SIZE", FRAMES, "N", "4",
     "Frames of one camera that may gather for a batch, on engines that gain by batches (GPUs): "
     "cameras times this is ENGINE_BATCH=auto. auto: the engine's best batch. No effect on a CPU.",
     SP_SETTING_INTEGER, FIELD(batch_accumulation), .low = 1, .high = 32, .zero = "auto"},
    {"FRAME_SKIP", FRAMES, "N", "1",
     "Only every N-th frame is inferred; the frames between carry predicted boxes.",
     SP_SETTING_INTEGER, FIELD(frame_skip), .low = 1, .high = 100},
    {"OUTPUT_FRAMES", FRAMES, "WORD", "all",
     "Frames in the results: all, or only the inferred ones (then the others need no decoding "
     "where the codec allows).",
     SP_SETTING_CHOICE, FIELD(output_frames), .choices = output_frames},
    {"DECODE_THREADS", FRAMES, "N", "auto", "Decoding threads of one camera.", SP_SETTING_INTEGER,
     FIELD(decode_threads), .low = 1, .high = 64, .zero = "auto"},
    {"DECODER", FRAMES, "WORD", "auto",
     "Where videos are decoded. auto: on the engine's GPU where there is one and it can, else on "
     "the CPU.",
     SP_SETTING_CHOICE, FIELD(decoder), .choices = decoders},

    {"MAX_CAMERAS", LIVE, "N", "64",
     "Cameras that this machine can serve, as `spoton tune` measures it; one more is refused.",
     SP_SETTING_INTEGER, FIELD(max_cameras), .low = 1, .high = SP_CAMERAS_MAX},
    {"STALL_TIMEOUT_MS", LIVE, "MS", "5000",
     "A camera without a new frame for that long is stalled; for twice that long, it is "
     "connected "
     "anew.",
     SP_SETTING_INTEGER, FIELD(stall_timeout_ms), .low = 100, .high = 600000},
    {"SNAPSHOT_INTERVAL_MS", LIVE, "MS", "500",
     "Interval at which `spoton serve` reads a camera that is a still image (an image file, or a "
     "URL that returns one image).",
     SP_SETTING_INTEGER, FIELD(snapshot_interval_ms), .low = 20, .high = 3600000},

    {"TRACK_BUFFER_SIZE", TRACKER, "FRAMES", "30", "How long a lost person may come back.",
     SP_SETTING_INTEGER, FIELD(track_buffer_frames), .low = 1, .high = 10000},
    {"TRACK_HIGH_THRESHOLD", TRACKER, "SCORE", "0.5",
     "Detections above it are matched with tracks first.", SP_SETTING_REAL,
     FIELD(track_high_thresh), .low = 0, .high = 1},
    {"TRACK_LOW_THRESHOLD", TRACKER, "SCORE", "0.1",
     "Detections above it, up to TRACK_HIGH_THRESHOLD, are matched with the tracks that are left.",
     SP_SETTING_REAL, FIELD(track_low_thresh), .low = 0, .high = 1},
    {"TRACK_NEW_THRESHOLD", TRACKER, "SCORE", "0.6",
     "A detection that matches no track starts one from this score.", SP_SETTING_REAL,
     FIELD(track_new_thresh), .low = 0, .high = 1},
    {"TRACK_MATCH_THRESHOLD", TRACKER, "COST", "0.8",
     "Highest cost (1 - IoU, weighted by score) of a first match.", SP_SETTING_REAL,
     FIELD(track_match_thresh), .low = 0, .high = 1},
    {"TRACK_DT", TRACKER, "WORD", "auto",
     "Time steps of the motion model: frames counts frames, as the reference does; timestamps "
     "uses real time, and is the same where every frame is inferred at an even rate. auto: "
     "timestamps; frames for `spoton track` on MOT files, which hold no times.",
     SP_SETTING_CHOICE, FIELD(track_dt), .choices = track_dts},

    {"SPATIAL_MATCH_ENABLED", MAP, NULL, "true",
     "One number for a person in all cameras of `spoton serve` that have a map; docs/SPACE.md.",
     SP_SETTING_SWITCH, FIELD(spatial_match)},
    {"HOMOGRAPHY_FILE_PATH", MAP, "FILE", "",
     "The cameras' calibrations: a JSON file, or a folder of them. What is calibrated in the "
     "dashboard is written to the file. Empty: that is kept until the end.",
     SP_SETTING_TEXT, FIELD(homography_file)},
    {"REID_MODEL_PATH", MAP, "FILE", "",
     "An ONNX model that makes a row of numbers of a person's crop, so that `spoton serve` knows "
     "people again who were out of sight. Empty: by place and time alone.",
     SP_SETTING_TEXT, FIELD(reid_model)},
    {"REID_MEAN", MAP, "R,G,B", "0.485,0.456,0.406",
     "Mean that this model wants taken off the colours, where white is 1.", SP_SETTING_TEXT,
     FIELD(reid_mean)},
    {"REID_STD", MAP, "R,G,B", "0.229,0.224,0.225",
     "Deviation that it wants the colours divided by.", SP_SETTING_TEXT, FIELD(reid_std)},
    {"REID_KEEP_SECONDS", MAP, "S", "60",
     "What people look like is forgotten after so long; it is never written anywhere.",
     SP_SETTING_INTEGER, FIELD(reid_keep_s), .low = 1, .high = 3600},
    {"TRAIL_LENGTH", MAP, "POINTS", "3", "Points of a person's trail in API v1.",
     SP_SETTING_INTEGER, FIELD(trail_length), .low = 0, .high = 64},

    {"FRAME_JPEG_QUALITY", PICTURES, "N", "85", "Quality of JPEG frames.", SP_SETTING_INTEGER,
     FIELD(jpeg_quality), .low = 1, .high = 100},
    {"JPEG_ENCODER", PICTURES, "WORD", "cpu",
     "Where JPEG frames are compressed. gpu: by nvJPEG on the engine's GPU, which takes work "
     "from "
     "the CPU.",
     SP_SETTING_CHOICE, FIELD(jpeg_encoder), .choices = jpeg_encoders},
    {"STREAM_RESIZE_FACTOR", PICTURES, "FACTOR", "1",
     "Size of the frames shown, as a part of the camera's.", SP_SETTING_REAL,
     FIELD(stream_resize_factor), .low = 0.1, .high = 1},
    {"VIDEO_CRF", PICTURES, "N", "23",
     "Quality of the annotated MP4, on the scale of x264: lower is better and larger.",
     SP_SETTING_INTEGER, FIELD(video_crf), .low = 0, .high = 51},
    {"STREAM_MAX_WIDTH", PICTURES, "PIXELS", "640",
     "Frames for viewers are at most that wide; their height follows.", SP_SETTING_INTEGER,
     FIELD(stream_max_width_px), .low = 16, .high = 8192},
    {"LOG_LEVEL", PICTURES, "WORD", "info", "The least important messages that are logged.",
     SP_SETTING_CHOICE, FIELD(log_level), .choices = log_levels},

    {"HTTP_HOST", SERVER, "HOST", "127.0.0.1",
     "Address that `spoton serve` listens on; 0.0.0.0: all. Another one than this machine's own "
     "wants API_TOKEN.",
     SP_SETTING_LIST, FIELD(http_host)},
    {"HTTP_PORT", SERVER, "PORT", "3847", "Its port; 0: any free one, which the start prints.",
     SP_SETTING_INTEGER, FIELD(http_port), .low = 0, .high = 65535},
    {"API_TOKEN", SERVER, "TOKEN", "",
     "Secret that all requests must carry, but those for health. Empty: none is needed.",
     SP_SETTING_TEXT, FIELD(api_token), .secret = true},
    {"ALLOW_INSECURE", SERVER, NULL, "false",
     "Listen on other addresses than this machine's own without API_TOKEN.", SP_SETTING_SWITCH,
     FIELD(allow_insecure)},
    {"TLS_CERT", SERVER, "FILE", "",
     "Certificate chain in PEM for https and wss; with TLS_KEY. Empty: http and ws.",
     SP_SETTING_TEXT, FIELD(tls_cert)},
    {"TLS_KEY", SERVER, "FILE", "", "Private key of TLS_CERT, in PEM.", SP_SETTING_TEXT,
     FIELD(tls_key)},
    {"VIDEO_DIR", SERVER, "DIR", "",
     "Cameras that are added over HTTP may be files in this folder. Empty: no files.",
     SP_SETTING_TEXT, FIELD(video_dir)},
    {"V4L2_DEVICES", SERVER, "LIST", "",
     "Devices that cameras added over HTTP may be, comma separated: /dev/video0,/dev/video2.",
     SP_SETTING_TEXT, FIELD(v4l2_devices)},
    {"ALLOWED_ORIGINS", SERVER, "LIST", "",
     "Origins of pages of other hosts that may call the API and open WebSockets, comma separated: "
     "https://front.example.com,http://192.0.2.7:8080. *: all. Pages of this machine may always.",
     SP_SETTING_TEXT, FIELD(allowed_origins)},
    {"ENVIRONMENTS_FILE", SERVER, "FILE", "",
     "JSON with groups of cameras for API v1; see docs/MIGRATION.md.", SP_SETTING_TEXT,
     FIELD(environments_file)},
    {"FEEDBACK_FILE", SERVER, "FILE", "feedback.jsonl",
     "JSON Lines with the newest 1000 records of API v1's feedback. A relative name is looked for "
     "beside the .env file. Empty: they are kept until the end.",
     SP_SETTING_TEXT, FIELD(feedback_file)},
};

const size_t sp_setting_count = sizeof sp_setting_table / sizeof sp_setting_table[0];

const struct sp_setting_row *sp_setting_find(const char *key, size_t key_bytes)
{
    const char *name = sp_setting_renamed(key, key_bytes);
    if (name) {
        key = name;
        key_bytes = strlen(name);
    }
    for (size_t i = 0; i < sp_setting_count; i++)
        if (strlen(sp_setting_table[i].key) == key_bytes &&
            memcmp(sp_setting_table[i].key, key, key_bytes) == 0)
            return &sp_setting_table[i];
    return NULL;
}
