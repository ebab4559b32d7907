/* The interface of tracker plugins: detections of one camera's frames in, tracks out.
 *
 * A plugin is a shared object named spoton-tracker-NAME.so that exports one function,
 * spoton_tracker_entry(), and depends only on this header. TRACKER=NAME (or a path) selects it.
 *
 * Data flow: open for each camera -> update for each frame with detections, predict for the frames
 * between (FRAME_SKIP) -> close.
 *
 * Ids: from 1; an id that was returned is never given to another object, also not after a new
 * scene. Memory: bounded; to be allocated in open, as update and predict are on the path of every
 * frame.
 *
 * Errors: a function that can fail returns a negative number and writes a message to
 * error[error_bytes]. An error of open() ends the camera's start; after an error of update() the
 * frame has no tracks. Threads: calls for one tracker one at a time, from any thread; those for
 * different trackers at once. */
#ifndef SPOTON_TRACKER_H
#define SPOTON_TRACKER_H

#include <stddef.h>
#include <stdint.h>

/* Incremented by every change other than an addition at the end of a struct or enum. */
#define SPOTON_TRACKER_ABI 1u

/* What a plugin requires. One that requires what the program does not have is refused. */
enum spoton_tracker_needs {
    SPOTON_TRACKER_NEEDS_FRAME = 1 /* spoton_tracker_input.frame; not in `spoton track` */
};

/* The settings TRACK_...; a plugin may ignore them. */
struct spoton_tracker_params {
    size_t struct_bytes;
    double high_threshold; /* confidence: first association */
    double low_threshold;  /* confidence: second association */
    double new_threshold;  /* confidence from which a track starts */
    double match_threshold;
    double buffer_frames; /* how long a lost track is kept */
    const char *options;  /* what follows '?' in TRACKER: "key=value&key=value"; never NULL */
};

/* Corners in pixels of the frame. */
struct spoton_tracker_detection {
    double x1, y1, x2, y2;
    double confidence; /* 0..1 */
    int class_id;
};

/* 8-bit YUV 4:2:0, chroma (w+1)/2 x (h+1)/2; read-only, valid during the call. */
struct spoton_tracker_frame {
    const uint8_t *plane[3]; /* Y, U, V; or Y, interleaved UV */
    int stride[3];
    int width, height;
    int interleaved_chroma;
};

struct spoton_tracker_input {
    size_t struct_bytes;
    const struct spoton_tracker_detection *detections;
    size_t detection_count; /* at most 300 */
    /* Since the last update; the first call's are to be ignored. dt_frames is in nominal frame
     * periods. Infinite: a new scene, all tracks end. */
    double dt_frames, dt_s;
    const struct spoton_tracker_frame *frame; /* NULL unless required */
};

struct spoton_tracker_output {
    uint32_t id;
    int class_id;
    int detection; /* 1 + the index of the matched detection; 0: predicted */
    double x1, y1, x2, y2;
    double confidence; /* of the last matched detection */
};

struct spoton_tracker_state; /* opaque */

struct spoton_tracker_api {
    uint32_t abi; /* SPOTON_TRACKER_ABI */
    size_t struct_bytes;
    const char *name;
    unsigned needs; /* bits of enum spoton_tracker_needs */

    int (*open)(struct spoton_tracker_state **out, const struct spoton_tracker_params *params,
                char *error, size_t error_bytes);
    void (*close)(struct spoton_tracker_state *tracker);

    /* Writes at most `capacity` active tracks and returns their number. */
    int (*update)(struct spoton_tracker_state *tracker, const struct spoton_tracker_input *input,
                  struct spoton_tracker_output *tracks, int capacity, char *error,
                  size_t error_bytes);

    /* The active tracks so long after the last update; changes nothing. */
    int (*predict)(const struct spoton_tracker_state *tracker, double dt_frames, double dt_s,
                   struct spoton_tracker_output *tracks, int capacity);
};

/* The plugin's only exported symbol; the result is valid while the plugin is loaded. */
typedef const struct spoton_tracker_api *spoton_tracker_entry_fn(void);
spoton_tracker_entry_fn spoton_tracker_entry;

#endif
