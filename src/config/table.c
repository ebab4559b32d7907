#include "config/table.h"

#include "base/log.h"
#include "spoton/engine.h"

#include <string.h>

#define FIELD(name)                                                                                \
    .offset = offsetof(struct sp_settings, name), .bytes = sizeof(((struct sp_settings *)0)->name)

/* A setting that a camera may have, too: the field has the same name and type there. */
#define CAMERA_FIELD(name)                                                                         \
    FIELD(name), .per_camera = true, .camera_offset = offsetof(struct sp_camera_setting, name)

static const struct sp_setting_choice precisions[] = {
    {"auto", SPOTON_PRECISION_AUTO, false}, {"f32", SPOTON_PRECISION_F32, false},
    {"bf16", SPOTON_PRECISION_BF16, false}, {"f16", SPOTON_PRECISION_F16, false},
    {"int8", SPOTON_PRECISION_INT8, false}, {"fp32", SPOTON_PRECISION_F32, true},
    {"fp16", SPOTON_PRECISION_F16, true},   {0},
};

/* Values of the enums in detect/model.h, which config/ does not include; a unit test compares
 * them. */
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

static const struct sp_setting_choice inferences[] = {
    {"every", SP_INFERENCE_EVERY, false},
    {"need", SP_INFERENCE_NEED, false},
    {0},
};

static const struct sp_setting_choice decoders[] = {
    {"auto", SP_DECODER_AUTO, false},
    {"cpu", SP_DECODER_CPU, false},
    {"gpu", SP_DECODER_GPU, false},
    {0},
};

static const struct sp_setting_choice rtsp_transports[] = {
    {"auto", SP_RTSP_AUTO, false},
    {"tcp", SP_RTSP_TCP, false},
    {"udp", SP_RTSP_UDP, false},
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
#define FRAMES "Frame processing"
#define LIVE "Live cameras"
#define TRACKER "Tracker"
#define ASSOCIATION "Cross-camera association"
#define IMAGES "Images and logging"
#define SERVER "Server"
#define CLUSTER "Cluster"
#define STORE "History store"

const struct sp_setting_row sp_setting_table[] = {
    {"YOLO_MODEL_PATH", MODEL, "FILE", "",
     "Detection model: an ONNX, OpenVINO IR or TFLite file, or a bundle written by `spoton "
     "export`. "
     "Empty: the bundled models/person.onnx.",
     SP_SETTING_TEXT, FIELD(model_path), .yaml = "detector.model"},
    {"USE_TENSORRT", MODEL, NULL, "false",
     "Run the model with TensorRT on an NVIDIA GPU if the TensorRT library is installed. The first "
     "start builds the engine, which takes minutes; the result is cached.",
     SP_SETTING_SWITCH, FIELD(use_tensorrt), .yaml = "detector.tensorrt"},
    {"YOLO_MODEL_PATH_TENSORRT", MODEL, "FILE", "",
     "ONNX model for USE_TENSORRT (not an engine file). Empty: YOLO_MODEL_PATH.", SP_SETTING_TEXT,
     FIELD(tensorrt_model_path), .yaml = "detector.tensorrt_model"},
    {"MODEL_HEAD", MODEL, "TYPE", "auto",
     "Head type: how the model's outputs are decoded. auto: detected from the file; an ambiguous "
     "file is refused.",
     SP_SETTING_CHOICE, FIELD(head_type), .choices = head_types, .yaml = "detector.head"},
    {"MODEL_INPUT_RANGE", MODEL, "RANGE", "auto",
     "Range of the model's input values. auto: 0..255 for YOLOX, for 8-bit inputs and for models "
     "that scale the input themselves; otherwise 0..1.",
     SP_SETTING_CHOICE, FIELD(model_input_range), .choices = input_ranges,
     .yaml = "detector.input_range"},
    {"MODEL_INPUT_COLOR", MODEL, "ORDER", "auto",
     "Channel order of the model's input. auto: bgr for YOLOX, otherwise rgb.", SP_SETTING_CHOICE,
     FIELD(model_input_color), .choices = input_colors, .yaml = "detector.input_color"},
    {"INT8_REFERENCE", MODEL, "FILE", "",
     "f32 original of an INT8 model without a manifest. Both models are compared on camera frames "
     "before the INT8 model is used. Empty: no comparison.",
     SP_SETTING_TEXT, FIELD(int8_reference), .yaml = "detector.int8_reference"},
    {"ENGINE", MODEL, "NAME", "auto",
     "Inference engine; `spoton doctor` lists those installed. auto: the fastest that runs on this "
     "machine.",
     SP_SETTING_NAME, FIELD(engine), .yaml = "detector.engine"},
    {"PRECISION", MODEL, "TYPE", "auto",
     "Numeric precision of inference. auto: the fastest that keeps the results. int8 requires a "
     "quantized model.",
     SP_SETTING_CHOICE, FIELD(precision), .choices = precisions, .yaml = "detector.precision"},
    {"YOLO_INPUT_SIZE", MODEL, "PIXELS", "640",
     "Longest side of the model's input, in pixels. The other side follows the camera's aspect "
     "ratio.",
     SP_SETTING_INTEGER, CAMERA_FIELD(input_size_px), .low = 32, .high = 4096, .step = 32,
     .yaml = "detector.input_size"},
    {"SQUARE_INPUT", MODEL, NULL, "false",
     "Use a square model input regardless of the camera's aspect ratio. Slower; matches tools that "
     "always letterbox to a square.",
     SP_SETTING_SWITCH, FIELD(square_input), .yaml = "detector.square_input"},
    {"YOLO_CONFIDENCE_THRESHOLD", MODEL, "CONFIDENCE", "0.3",
     "Minimum confidence of a detection. Detections below it are dropped before tracking; 0.1 "
     "keeps the low-confidence detections that the second association of ByteTrack uses.",
     SP_SETTING_REAL, CAMERA_FIELD(confidence_threshold), .low = 0, .high = 1,
     .yaml = "detector.confidence"},
    {"YOLO_NMS_THRESHOLD", MODEL, "IOU", "0.7",
     "Non-maximum suppression: of two boxes of one class whose IoU exceeds this, the one with "
     "lower confidence is dropped.",
     SP_SETTING_REAL, FIELD(nms_iou), .low = 0, .high = 1, .yaml = "detector.nms_iou"},
    {"CLASSES", MODEL, "LIST", "person",
     "Classes to report: names or numbers, comma separated, or all. Case, blanks and underscores "
     "in names do not matter; `spoton doctor MODEL` lists a model's classes.",
     SP_SETTING_LIST, CAMERA_FIELD(classes), .yaml = "detector.classes", .list = true},
    {"DEVICES", MODEL, "LIST", "auto",
     "Engine devices to distribute cameras over: numbers from 0, comma separated. A device listed "
     "twice runs two detector instances. auto: all devices.",
     SP_SETTING_LIST, FIELD(devices), .yaml = "detector.devices", .list = true},
    {"THREADS", MODEL, "N", "auto",
     "Inference threads. auto: the number of CPU cores granted to the process (affinity and cgroup "
     "quota).",
     SP_SETTING_INTEGER, FIELD(threads), .low = 1, .high = 1024, .zero = "auto",
     .yaml = "detector.threads"},
    {"ENGINE_STREAMS", MODEL, "N", "auto",
     "Inference requests that run in parallel. auto: chosen by the engine.", SP_SETTING_INTEGER,
     FIELD(streams), .low = 1, .high = 256, .zero = "auto", .yaml = "detector.streams"},
    {"ENGINE_BATCH", MODEL, "N", "auto",
     "Batch size, in frames. auto: on a GPU the number of cameras times BATCH_ACCUMULATION_SIZE, "
     "at "
     "most 64; on a CPU 1, the fastest as measured.",
     SP_SETTING_INTEGER, FIELD(engine_batch), .low = 1, .high = 256, .zero = "auto",
     .yaml = "detector.batch"},
    {"ENGINE_OPTIONS", MODEL, "TEXT", "",
     "Backend options passed to the engine: key=value, separated by semicolons. Empty: none.",
     SP_SETTING_TEXT, FIELD(engine_options), .yaml = "detector.engine_options"},
    {"KSERVE_URL", MODEL, "LIST", "",
     "Models on KServe v2 servers, comma separated: http://host:8000/v2/models/person. With "
     "ENGINE=kserve they infer all frames, with another engine those of `spoton serve` that wait "
     "for it. Empty: none.",
     SP_SETTING_TEXT, FIELD(kserve_url), .yaml = "detector.kserve_url", .list = true},
    {"KSERVE_TOKEN", MODEL, "TOKEN", "",
     "Secret sent to the servers of KSERVE_URL as a bearer token. Empty: none.", SP_SETTING_TEXT,
     FIELD(kserve_token), .secret = true, .yaml = "detector.kserve_token"},
    {"KSERVE_CA_FILE", MODEL, "FILE", "",
     "Certificates, PEM, that a server of an https:// KSERVE_URL may present or be signed by. "
     "Empty: those of the system.",
     SP_SETTING_TEXT, FIELD(kserve_ca_file), .yaml = "detector.kserve_ca_file"},
    {"KSERVE_TIMEOUT_MS", MODEL, "MS", "1000",
     "Time for one inference on a server, in milliseconds. A frame that takes longer fails, and "
     "the server gets no others until it passes a check.",
     SP_SETTING_INTEGER, FIELD(kserve_timeout_ms), .low = 10, .high = 60000,
     .yaml = "detector.kserve_timeout_ms"},
    {"KSERVE_BUDGET_MS", MODEL, "MS", "100",
     "Spill-over (`spoton serve` with KSERVE_URL and another engine): round trip in milliseconds "
     "beyond which a server gets no frames.",
     SP_SETTING_INTEGER, FIELD(kserve_budget_ms), .low = 1, .high = 60000,
     .yaml = "detector.kserve_budget_ms"},
    {"KSERVE_REQUESTS", MODEL, "N", "4", "Requests in flight to each server of KSERVE_URL.",
     SP_SETTING_INTEGER, FIELD(kserve_requests), .low = 1, .high = 64,
     .yaml = "detector.kserve_requests"},
    {"ENGINE_CACHE_DIR", MODEL, "DIR", "",
     "Cache directory for compiled models. Empty: $XDG_CACHE_HOME/spoton; off: no cache.",
     SP_SETTING_TEXT, FIELD(cache_dir), .yaml = "detector.cache_dir"},

    {"BATCH_ACCUMULATION_SIZE", FRAMES, "N", "4",
     "Frames of one camera per batch, on engines that gain from batching (GPUs); determines "
     "ENGINE_BATCH=auto. auto: the engine's preferred batch. No effect on a CPU.",
     SP_SETTING_INTEGER, FIELD(batch_accumulation), .low = 1, .high = 32, .zero = "auto",
     .yaml = "detector.batch_accumulation"},
    {"FRAME_SKIP", FRAMES, "N", "1",
     "Infer every N-th frame; the frames in between get predicted boxes. 1: infer every frame.",
     SP_SETTING_INTEGER, CAMERA_FIELD(frame_skip), .low = 1, .high = 100,
     .yaml = "detector.frame_skip"},
    {"INFERENCE", FRAMES, "POLICY", "every",
     "Which frames are inferred. every: all, or those of FRAME_SKIP; need: those in which "
     "something "
     "new moves or a track may be wrong, and audits; see docs/INFERENCE.md.",
     SP_SETTING_CHOICE, CAMERA_FIELD(inference), .choices = inferences,
     .yaml = "detector.inference"},
    {"OUTPUT_FRAMES", FRAMES, "WHICH", "all",
     "Frames in the results: all, or inferred frames only. With inferred, other frames are not "
     "decoded where the codec allows it.",
     SP_SETTING_CHOICE, FIELD(output_frames), .choices = output_frames,
     .yaml = "video.output_frames"},
    {"DECODE_THREADS", FRAMES, "N", "auto", "Decoder threads per camera. auto: 1.",
     SP_SETTING_INTEGER, CAMERA_FIELD(decode_threads), .low = 1, .high = 64, .zero = "auto",
     .yaml = "video.decode_threads"},
    {"DECODER", FRAMES, "DEVICE", "auto",
     "Device that decodes video. auto: the engine's GPU if it supports the stream, otherwise the "
     "CPU.",
     SP_SETTING_CHOICE, CAMERA_FIELD(decoder), .choices = decoders, .yaml = "video.decoder"},

    {"MAX_CAMERAS", LIVE, "N", "64",
     "Maximum number of cameras in `spoton serve`; further cameras are refused. `spoton tune` "
     "measures what this machine can serve.",
     SP_SETTING_INTEGER, FIELD(max_cameras), .low = 1, .high = SP_CAMERAS_MAX,
     .yaml = "server.max_cameras"},
    {"STALL_TIMEOUT_MS", LIVE, "MS", "5000",
     "Milliseconds without a new frame until a camera is reported as stalled. After twice this "
     "time the camera is reconnected.",
     SP_SETTING_INTEGER, CAMERA_FIELD(stall_timeout_ms), .low = 100, .high = 600000,
     .yaml = "video.stall_timeout_ms"},
    {"SNAPSHOT_INTERVAL_MS", LIVE, "MS", "500",
     "Polling interval in milliseconds of still-image cameras in `spoton serve` (an image file, or "
     "a URL that returns one image).",
     SP_SETTING_INTEGER, CAMERA_FIELD(snapshot_interval_ms), .low = 20, .high = 3600000,
     .yaml = "video.snapshot_interval_ms"},
    {"RTSP_TRANSPORT", LIVE, "PROTOCOL", "auto",
     "Transport of RTSP streams. auto: TCP, and UDP for cameras that refuse TCP. A URL that ends "
     "in "
     "?tcp or ?udp takes precedence.",
     SP_SETTING_CHOICE, CAMERA_FIELD(rtsp_transport), .choices = rtsp_transports,
     .yaml = "video.rtsp_transport"},

    {"TRACKER", TRACKER, "NAME", "bytetrack",
     "Tracker. bytetrack: equal to the authors' implementation; spoton: usually fewer ID switches, "
     "predicted boxes through short gaps; see docs/TRACKING.md. Or a plugin (spoton/tracker.h): "
     "NAME or a path, with ?key=value for its options.",
     SP_SETTING_LIST, FIELD(tracker), .yaml = "tracker.name"},
    {"TRACK_BUFFER_SIZE", TRACKER, "FRAMES", "30",
     "Frames that a lost track is kept before it is removed.", SP_SETTING_INTEGER,
     CAMERA_FIELD(track_buffer_frames), .low = 1, .high = 10000, .yaml = "tracker.buffer_size"},
    {"TRACK_HIGH_THRESHOLD", TRACKER, "CONFIDENCE", "0.5",
     "Minimum confidence of a detection in the first association.", SP_SETTING_REAL,
     CAMERA_FIELD(track_high_thresh), .low = 0, .high = 1, .yaml = "tracker.high_threshold"},
    {"TRACK_LOW_THRESHOLD", TRACKER, "CONFIDENCE", "0.1",
     "Minimum confidence of a detection in the second association, which matches detections up to "
     "TRACK_HIGH_THRESHOLD with the remaining tracks.",
     SP_SETTING_REAL, CAMERA_FIELD(track_low_thresh), .low = 0, .high = 1,
     .yaml = "tracker.low_threshold"},
    {"TRACK_NEW_THRESHOLD", TRACKER, "CONFIDENCE", "0.6",
     "Minimum confidence of an unmatched detection to start a new track.", SP_SETTING_REAL,
     CAMERA_FIELD(track_new_thresh), .low = 0, .high = 1, .yaml = "tracker.new_threshold"},
    {"TRACK_MATCH_THRESHOLD", TRACKER, "COST", "0.8",
     "Maximum cost of a match in the first association: 1 - IoU, weighted by confidence.",
     SP_SETTING_REAL, CAMERA_FIELD(track_match_thresh), .low = 0, .high = 1,
     .yaml = "tracker.match_threshold"},
    {"TRACK_DT", TRACKER, "MODE", "auto",
     "Time step of the motion model. frames: one step per frame, as in the reference "
     "implementation; timestamps: the time between frames. The two are equal if every frame is "
     "inferred at a constant rate. auto: timestamps; frames for `spoton track` on MOT files, which "
     "have no timestamps.",
     SP_SETTING_CHOICE, FIELD(track_dt), .choices = track_dts, .yaml = "tracker.time_step"},

    {"SPATIAL_MATCH_ENABLED", ASSOCIATION, NULL, "true",
     "Assign one global id per person over all calibrated cameras of `spoton serve`; see "
     "docs/SPACE.md.",
     SP_SETTING_SWITCH, FIELD(spatial_match), .yaml = "association.enabled"},
    {"HOMOGRAPHY_FILE_PATH", ASSOCIATION, "FILE", "",
     "Camera calibrations: a JSON file or a folder of JSON files. Calibrations made in the "
     "dashboard are saved here. Empty: they are kept in memory only.",
     SP_SETTING_TEXT, FIELD(homography_file), .yaml = "association.calibrations"},
    {"REID_MODEL_PATH", ASSOCIATION, "FILE", "",
     "ONNX re-identification model (person crop to embedding), used by `spoton serve`. Empty: "
     "associate by position and time only.",
     SP_SETTING_TEXT, FIELD(reid_model), .yaml = "association.reid_model"},
    {"REID_MEAN", ASSOCIATION, "R,G,B", "0.485,0.456,0.406",
     "Mean per channel subtracted from the re-identification model's input, on a scale of 0 to 1. "
     "The default is that of ImageNet.",
     SP_SETTING_TEXT, FIELD(reid_mean), .yaml = "association.reid_mean", .list = true},
    {"REID_STD", ASSOCIATION, "R,G,B", "0.229,0.224,0.225",
     "Standard deviation per channel by which the re-identification model's input is divided, on a "
     "scale of 0 to 1. The default is that of ImageNet.",
     SP_SETTING_TEXT, FIELD(reid_std), .yaml = "association.reid_std", .list = true},
    {"REID_KEEP_SECONDS", ASSOCIATION, "S", "60",
     "Retention of appearance embeddings, in seconds. They are kept in memory only and never "
     "written to disk.",
     SP_SETTING_INTEGER, FIELD(reid_keep_s), .low = 1, .high = 3600,
     .yaml = "association.reid_keep_seconds"},
    {"TRAIL_LENGTH", ASSOCIATION, "POINTS", "3",
     "Length of a person's trail in API v1, in positions.", SP_SETTING_INTEGER, FIELD(trail_length),
     .low = 0, .high = 64, .yaml = "association.trail_length"},

    {"FRAME_JPEG_QUALITY", IMAGES, "N", "85", "JPEG quality of the frames sent to viewers.",
     SP_SETTING_INTEGER, FIELD(jpeg_quality), .low = 1, .high = 100, .yaml = "images.jpeg_quality"},
    {"JPEG_ENCODER", IMAGES, "DEVICE", "cpu",
     "Device that encodes JPEG. gpu: nvJPEG on the engine's GPU, which also draws on frames "
     "decoded "
     "there.",
     SP_SETTING_CHOICE, FIELD(jpeg_encoder), .choices = jpeg_encoders,
     .yaml = "images.jpeg_encoder"},
    {"STREAM_RESIZE_FACTOR", IMAGES, "FACTOR", "1",
     "Scale of the frames sent to viewers, relative to the camera's resolution.", SP_SETTING_REAL,
     FIELD(stream_resize_factor), .low = 0.1, .high = 1, .yaml = "images.resize_factor"},
    {"VIDEO_CRF", IMAGES, "N", "23",
     "Constant rate factor of the annotated MP4, as in x264: lower values give better quality and "
     "larger files.",
     SP_SETTING_INTEGER, FIELD(video_crf), .low = 0, .high = 51, .yaml = "images.video_crf"},
    {"STREAM_MAX_WIDTH", IMAGES, "PIXELS", "640",
     "Maximum width in pixels of the frames sent to viewers. The height follows the aspect ratio.",
     SP_SETTING_INTEGER, FIELD(stream_max_width_px), .low = 16, .high = 8192,
     .yaml = "images.max_width"},
    {"LOG_LEVEL", IMAGES, "LEVEL", "info", "Lowest severity that is logged.", SP_SETTING_CHOICE,
     FIELD(log_level), .choices = log_levels, .yaml = "log.level"},

    {"HTTP_HOST", SERVER, "HOST", "127.0.0.1",
     "Address that `spoton serve` listens on; 0.0.0.0: all IPv4 addresses. Addresses other than "
     "loopback require API_TOKEN.",
     SP_SETTING_LIST, FIELD(http_host), .yaml = "server.host"},
    {"HTTP_PORT", SERVER, "PORT", "3847",
     "TCP port that `spoton serve` listens on. 0: any free port, printed at the start.",
     SP_SETTING_INTEGER, FIELD(http_port), .low = 0, .high = 65535, .yaml = "server.port"},
    {"API_TOKEN", SERVER, "TOKEN", "",
     "Secret required by every request except health checks, the login and the page's own files. "
     "Empty: no authentication.",
     SP_SETTING_TEXT, FIELD(api_token), .secret = true, .yaml = "server.api_token"},
    {"ALLOW_INSECURE", SERVER, NULL, "false",
     "Allow listening on addresses other than loopback without API_TOKEN.", SP_SETTING_SWITCH,
     FIELD(allow_insecure), .yaml = "server.allow_insecure"},
    {"SHARE_ENGINE", SERVER, NULL, "false",
     "Infer for other machines by the KServe v2 protocol, at /v2/models/NAME; own cameras come "
     "first. See docs/KSERVE.md.",
     SP_SETTING_SWITCH, FIELD(share_engine), .yaml = "server.share_engine"},
    {"TLS_CERT", SERVER, "FILE", "",
     "Certificate chain for https and wss, PEM; requires TLS_KEY. Empty: http and ws.",
     SP_SETTING_TEXT, FIELD(tls_cert), .yaml = "server.tls_cert"},
    {"TLS_KEY", SERVER, "FILE", "", "Private key of TLS_CERT, PEM.", SP_SETTING_TEXT,
     FIELD(tls_key), .yaml = "server.tls_key"},
    {"STOP_TIMEOUT_S", SERVER, "SECONDS", "30",
     "Time in seconds from SIGTERM or Ctrl-C within which `spoton serve` ends. A part that does "
     "not "
     "close in time, as on a slow disk, is reported and abandoned.",
     SP_SETTING_INTEGER, FIELD(stop_timeout_s), .low = 1, .high = 3600,
     .yaml = "server.stop_timeout_s"},
    {"VIDEO_DIR", SERVER, "DIR", "",
     "Folder of video files that may be added as cameras over HTTP. Empty: no files.",
     SP_SETTING_TEXT, FIELD(video_dir), .yaml = "server.video_dir"},
    {"V4L2_DEVICES", SERVER, "LIST", "",
     "V4L2 devices that may be added as cameras over HTTP, comma separated: "
     "/dev/video0,/dev/video2. Empty: none.",
     SP_SETTING_TEXT, FIELD(v4l2_devices), .yaml = "server.v4l2_devices", .list = true},
    {"ALLOWED_ORIGINS", SERVER, "LIST", "",
     "Origins allowed to call the API and open WebSockets (CORS), comma separated: "
     "https://front.example.com,http://192.0.2.7:8080; *: all. Pages of this server and of "
     "loopback addresses are always allowed.",
     SP_SETTING_TEXT, FIELD(allowed_origins), .yaml = "server.allowed_origins", .list = true},
    {"OUTPUTS", SERVER, "LIST", "",
     "Output plugins of `spoton serve`, separated by blanks: NAME or the path of a "
     "spoton-output-NAME.so, then '?' and its options: jsonl?path=results.jsonl. Empty: none.",
     SP_SETTING_TEXT, FIELD(outputs), .secret = true, .yaml = "outputs.plugins"},
    {"SITE", SERVER, "NAME", "",
     "Name of the place of the cameras, in topics and messages of outputs. Empty: the name of the "
     "host.",
     SP_SETTING_TEXT, FIELD(site), .yaml = "server.site"},
    {"OUTBOX_DIR", SERVER, "DIR", "outbox",
     "Folder where messages are kept until outputs such as mqtt have delivered them. A relative "
     "path starts at the folder of the .env file.",
     SP_SETTING_LIST, FIELD(outbox_dir), .yaml = "outbox.dir"},
    {"OUTBOX_MAX_MB", SERVER, "MEGABYTES", "1024",
     "Size in MiB from which the oldest messages that are not delivered are deleted.",
     SP_SETTING_INTEGER, FIELD(outbox_max_mb), .low = 1, .high = 1 << 20, .yaml = "outbox.max_mb"},
    {"OUTBOX_MAX_AGE_H", SERVER, "HOURS", "72",
     "Age in hours, counted while the program runs, from which messages that are not delivered "
     "are deleted.",
     SP_SETTING_INTEGER, FIELD(outbox_max_age_h), .low = 1, .high = 87600,
     .yaml = "outbox.max_age_h"},
    {"OUTBOX_SYNC_MS", SERVER, "MILLISECONDS", "100",
     "Time in milliseconds between two syncs of the outbox to the disk; a power failure loses at "
     "most what came after the last one.",
     SP_SETTING_INTEGER, FIELD(outbox_sync_ms), .low = 10, .high = 10000, .yaml = "outbox.sync_ms"},
    {"ENVIRONMENTS_FILE", SERVER, "FILE", "",
     "JSON file with groups of cameras for API v1; see docs/MIGRATION.md. Empty: the groups of "
     "SpotOn.",
     SP_SETTING_TEXT, FIELD(environments_file), .yaml = "server.environments_file"},
    {"FEEDBACK_FILE", SERVER, "FILE", "feedback.jsonl",
     "JSON Lines file with the newest 1000 feedback records of API v1. A relative path starts at "
     "the folder of the .env file. Empty: records are kept in memory only.",
     SP_SETTING_TEXT, FIELD(feedback_file), .yaml = "server.feedback_file"},
    {"ANALYTICS_FILE", SERVER, "FILE", "analytics.json",
     "JSON file with the lines and zones edited in the dashboard or over the API; for a camera "
     "that "
     "it has, it replaces those of spoton.yaml. Empty: edits are kept in memory only.",
     SP_SETTING_TEXT, FIELD(analytics_file), .yaml = "server.analytics_file"},
    {"CLUSTER_URL", CLUSTER, "URLS", "",
     "NATS servers with JetStream that the nodes of a cluster share, separated by commas: "
     "nats://USER:PASSWORD@HOST:4222 or tls://. See docs/CLUSTER.md. Empty: no cluster.",
     SP_SETTING_TEXT, FIELD(cluster_url), .secret = true, .secret_in_url = true,
     .yaml = "cluster.url"},
    {"CLUSTER_CA_FILE", CLUSTER, "FILE", "",
     "Certificates, PEM, that the servers of a tls:// CLUSTER_URL may present or be signed by. "
     "Empty: those of the system.",
     SP_SETTING_TEXT, FIELD(cluster_ca_file), .yaml = "cluster.ca_file"},
    {"CLUSTER_SITE", CLUSTER, "NAME", "spoton",
     "Name of the cluster: nodes with the same name share their cameras.", SP_SETTING_NAME,
     FIELD(cluster_site), .yaml = "cluster.site"},
    {"CLUSTER_NODE", CLUSTER, "NAME", "",
     "Name of this node, unique within the cluster. Empty: the name of the host.", SP_SETTING_TEXT,
     FIELD(cluster_node), .yaml = "cluster.node"},
    {"CLUSTER_ADVERTISE", CLUSTER, "URL", "",
     "Address at which browsers and other nodes reach this node, as http://HOST:PORT. Empty: made "
     "of the name of the host and HTTP_PORT.",
     SP_SETTING_TEXT, FIELD(cluster_advertise), .yaml = "cluster.advertise"},
    {"CLUSTER_CAPACITY", CLUSTER, "CAMERAS", "0",
     "Cameras that this node can run, relative to the other nodes; `spoton tune --capacity` "
     "measures it. 0: MAX_CAMERAS.",
     SP_SETTING_REAL, FIELD(cluster_capacity), .low = 0, .high = 10000, .yaml = "cluster.capacity"},
    {"CLUSTER_LEASE_MS", CLUSTER, "MILLISECONDS", "2500",
     "Time without a sign of a node after which other nodes take its cameras; the same for all "
     "nodes.",
     SP_SETTING_INTEGER, FIELD(cluster_lease_ms), .low = 500, .high = 60000,
     .yaml = "cluster.lease_ms"},

    {"STORE", STORE, "PLACE", "",
     "Where `spoton serve` stores tracks, events and counts: a folder, or a URL of PostgreSQL, "
     "postgresql://USER:PASSWORD@HOST/DATABASE. A relative path starts at the folder of the .env "
     "file. Empty: nothing is stored. See docs/HISTORY.md.",
     SP_SETTING_TEXT, FIELD(store), .secret = true, .secret_in_url = true,
     .yaml = "store.location"},
    {"STORE_RETENTION_DAYS", STORE, "DAYS", "30",
     "Age in days after which stored tracks, events and counts are removed. unlimited: never.",
     SP_SETTING_INTEGER, FIELD(store_retention_days), .low = 1, .high = 36500, .zero = "unlimited",
     .yaml = "store.retention_days"},
    {"STORE_MAX_GB", STORE, "GB", "0",
     "Size of the store in gigabytes from which the oldest days are removed, first those of the "
     "camera that occupies most. 0: unlimited.",
     SP_SETTING_REAL, FIELD(store_max_gb), .low = 0, .high = 1000000, .yaml = "store.max_gb"},
    {"STORE_SNAPSHOTS", STORE, "N", "0",
     "Images of events that are stored per camera and minute: JPEG with boxes, the person's best "
     "moment so far. 0: none. Without STORE it has no effect.",
     SP_SETTING_INTEGER, CAMERA_FIELD(store_snapshots), .low = 0, .high = 600,
     .yaml = "store.snapshots"},
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

const char sp_setting_nested_section[] = "tracker";

uint32_t sp_setting_camera_bit(const struct sp_setting_row *row)
{
    unsigned before = 0;
    for (const struct sp_setting_row *r = sp_setting_table; r < row; r++)
        before += r->per_camera;
    return UINT32_C(1) << before;
}

const char *sp_setting_yaml_name(const struct sp_setting_row *row)
{
    return strchr(row->yaml, '.') + 1;
}

bool sp_setting_is_in(const struct sp_setting_row *row, const char *section)
{
    size_t n = strlen(section);
    return strncmp(row->yaml, section, n) == 0 && row->yaml[n] == '.';
}

const char *sp_setting_section(size_t index)
{
    static const char *const sections[] = {
        "server",  "detector",    "video",   sp_setting_nested_section,
        "images",  "association", "outputs", "outbox",
        "cluster", "store",       "log"};
    return index < sizeof sections / sizeof sections[0] ? sections[index] : NULL;
}

int sp_setting_camera_keys(bool nested, const char **keys, int most)
{
    int count = 0;
    for (size_t i = 0; i < sp_setting_count && count < most; i++)
        if (sp_setting_table[i].per_camera &&
            nested == sp_setting_is_in(&sp_setting_table[i], sp_setting_nested_section))
            keys[count++] = sp_setting_yaml_name(&sp_setting_table[i]);
    return count;
}
