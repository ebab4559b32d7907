/* Keys of the system that spoton replaces. Its .env files keep working: these keys are accepted
 * there, and the log says what to use instead. */
#include "config/table.h"

#include <string.h>

#define NO_BOUNDS "people are where they stand, and how sure that is counts; docs/SPACE.md"
#define NO_RADIUS "there is no radius: evidence over time decides; docs/SPACE.md"
#define NO_TRAILS "trails are always there; TRAIL_LENGTH says how long"
#define NO_PRELOAD "everything is loaded at the start"
#define NO_TIMEOUT "a task of /api/v1 ends 12 s after its last viewer left; the cameras go on"
#define NO_STORE                                                                                   \
    "spoton stores no single frames; `spoton run --video` writes a video, and the API gives the "  \
    "newest frame"

static const struct {
    const char *key; /* a '*' at the end: all keys that begin so */
    const char *advice;
} replaced[] = {
    {"DETECTION_IMGSZ", "use YOLO_INPUT_SIZE"},
    {"DETECTION_HALF", "use PRECISION (f16, bf16)"},
    {"DETECTION_CONFIDENCE_THRESHOLD", "use YOLO_CONFIDENCE_THRESHOLD"},
    {"PERSON_CLASS_ID", "use CLASSES, which takes numbers too"},
    {"TRACK_CONFIDENCE_THRESHOLD", "use TRACK_HIGH_THRESHOLD"},
    {"TARGET_FPS", "live cameras set the pace themselves and files run as fast as they can; to do "
                   "less work use FRAME_SKIP"},
    {"LOCAL_VIDEOS_BASE_DIR", "name each camera's file: CAMERA_<NAME>=PATH"},
    {"DETECTOR_TYPE", "the kind of detector is read from the model file"},
    {"TRACKER_TYPE", "the tracker is always ByteTrack"},
    {"TRACKING_ENABLED", "people are always tracked"},
    {"TRACKER_PER_CLASS",
     "each class is tracked apart from the others; choose classes with CLASSES"},
    {"ENABLE_ENHANCED_VISUALIZATION", NO_TRAILS},
    {"TRAIL_MAX_AGE_SECONDS", NO_TRAILS},
    {"TRAIL_CLEANUP_*", NO_TRAILS},
    {"START_TRAIL_CLEANUP", NO_TRAILS},
    {"REID_ENABLED", "REID_MODEL_PATH turns re-identification on; empty: off"},
    {"REID_SIMILARITY_THRESHOLD", "what similarities mean is learnt; docs/SPACE.md"},
    {"REID_FEATURE_DIM", "it is read from the file of REID_MODEL_PATH"},
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
     "all cameras always run; each environment has a task of its own in /api/v1"},
    {"ENABLE_PLAYBACK_CONTROL", "cameras can always be paused, and files be seeked in, over HTTP"},
    {"PLAYBACK_CONTROL_TIMEOUT_SECONDS", "requests to pause and seek are answered at once"},
    {"DB_ENABLED", "spoton writes files, not to a database"},
    {"STORE_EXTRACTED_FRAMES", NO_STORE},
    {"FRAME_CACHE_*", NO_STORE},
    {"PRELOAD_*", NO_PRELOAD},
    {"VITE_*", "it belongs to the front end"},
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
