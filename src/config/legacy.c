/* Settings of SpotOn. Its .env files stay readable: these keys are accepted and have no effect; the
 * log names what to use instead. */
#include "config/table.h"

#include <string.h>

#define NO_BOUNDS                                                                                  \
    "positions outside the calibrated area lower the association's weight; docs/SPACE.md"
#define NO_RADIUS "there is no radius; association accumulates evidence over time, docs/SPACE.md"
#define NO_TRAILS "trails are always kept; set their length with TRAIL_LENGTH"
#define NO_PRELOAD "everything is loaded at the start"
#define NO_TIMEOUT "a task of /api/v1 ends 12 s after its last viewer; its cameras keep running"
#define NO_STORE                                                                                   \
    "spoton does not store single frames; use `spoton run --video`, or the API for the newest "    \
    "frame"

static const struct {
    const char *key; /* a '*' at the end: any key with this prefix */
    const char *advice;
} replaced[] = {
    {"DETECTION_IMGSZ", "use YOLO_INPUT_SIZE"},
    {"DETECTION_HALF", "use PRECISION (f16, bf16)"},
    {"DETECTION_CONFIDENCE_THRESHOLD", "use YOLO_CONFIDENCE_THRESHOLD"},
    {"PERSON_CLASS_ID", "use CLASSES, which accepts numbers"},
    {"TRACK_CONFIDENCE_THRESHOLD", "use TRACK_HIGH_THRESHOLD"},
    {"TARGET_FPS", "cameras run at their own rate, files as fast as possible; reduce the load with "
                   "FRAME_SKIP"},
    {"LOCAL_VIDEOS_BASE_DIR", "set each camera's file: CAMERA_<NAME>=PATH"},
    {"DETECTOR_TYPE", "the head type is detected from the model file"},
    {"TRACKER_TYPE", "use TRACKER"},
    {"TRACKING_ENABLED", "tracking is always on"},
    {"TRACKER_PER_CLASS", "each class is tracked separately; select classes with CLASSES"},
    {"ENABLE_ENHANCED_VISUALIZATION", NO_TRAILS},
    {"TRAIL_MAX_AGE_SECONDS", NO_TRAILS},
    {"TRAIL_CLEANUP_*", NO_TRAILS},
    {"START_TRAIL_CLEANUP", NO_TRAILS},
    {"REID_ENABLED", "REID_MODEL_PATH turns re-identification on; empty: off"},
    {"REID_SIMILARITY_THRESHOLD", "the threshold is learned from the cameras; docs/SPACE.md"},
    {"REID_FEATURE_DIM", "read from the file REID_MODEL_PATH"},
    {"WORLD_BOUNDS_*", NO_BOUNDS},
    {"ENABLE_BOUNDS_VALIDATION", NO_BOUNDS},
    {"ENABLE_POINT_VALIDATION", NO_BOUNDS},
    {"ENABLE_DEBUG_REPROJECTION", NO_BOUNDS},
    {"ROI_*", NO_BOUNDS},
    {"SPATIAL_MATCH_THRESHOLD*", NO_RADIUS},
    {"SPATIAL_NO_MATCH_DISTANCE*", NO_RADIUS},
    {"SPATIAL_EDGE_MARGIN", NO_RADIUS},
    {"SPATIAL_VELOCITY_GATE", NO_RADIUS},
    {"SPATIAL_MATCH_MIN_OVERLAP_FRAMES", NO_RADIUS},
    {"SPATIAL_MATCH_SKIP_STATIC", NO_RADIUS},
    {"SPATIAL_BUFFER_FRAMES", NO_RADIUS},
    {"MIN_BBOX_OVERLAP_RATIO_IN_QUADRANT", NO_RADIUS},
    {"HANDOFF_ZONE_THRESHOLD", NO_RADIUS},
    {"DEBUG_DRAW_HANDOFF_ZONES", NO_RADIUS},
    {"STREAMING_CLIENT_*", NO_TIMEOUT},
    {"DETECTION_CLIENT_*", NO_TIMEOUT},
    {"MAX_CONCURRENT_DETECTION_TASKS",
     "all cameras always run; /api/v1 has one task per environment"},
    {"ENABLE_PLAYBACK_CONTROL",
     "pausing cameras and seeking in files over HTTP is always possible"},
    {"PLAYBACK_CONTROL_TIMEOUT_SECONDS", "pause and seek requests are answered immediately"},
    {"DB_ENABLED", "spoton writes files; it uses no database"},
    {"STORE_EXTRACTED_FRAMES", NO_STORE},
    {"FRAME_CACHE_*", NO_STORE},
    {"PRELOAD_*", NO_PRELOAD},
    {"VITE_*", "a setting of the front end"},
};

/* Old names of settings, accepted wherever the name is. */
static const struct {
    const char *key, *name;
} renamed[] = {
    {"MODEL_FAMILY", "MODEL_HEAD"},
};

static bool matches(const char *pattern, const char *key)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] == '*')
        return strncmp(pattern, key, n - 1) == 0;
    return strcmp(pattern, key) == 0;
}

const char *sp_setting_legacy(const char *key)
{
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++)
        if (matches(replaced[i].key, key))
            return replaced[i].advice;
    return NULL;
}

void sp_setting_each_legacy(void (*visit)(void *user, const char *key, const char *advice),
                            void *user)
{
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++)
        visit(user, replaced[i].key, replaced[i].advice);
}

const char *sp_setting_renamed(const char *key, size_t key_bytes)
{
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++)
        if (strlen(renamed[i].key) == key_bytes && memcmp(renamed[i].key, key, key_bytes) == 0)
            return renamed[i].name;
    return NULL;
}

void sp_setting_each_renamed(void (*visit)(void *user, const char *key, const char *name),
                             void *user)
{
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++)
        visit(user, renamed[i].key, renamed[i].name);
}
