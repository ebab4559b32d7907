/* The interface of output plugins, which receive the results of live cameras.
 *
 * A plugin is a shared object named spoton-output-NAME.so that exports one function,
 * spoton_output_entry(), and depends only on this header.
 *
 * Data flow: tracking workers -> a bounded queue per output -> the output's own thread, which calls
 * open -> for each camera: camera_begin -> frame, frame, ... -> camera_end; event between them;
 * flush when the queue is empty, at most once a second, and before close -> close.
 *
 * A plugin may block: that delays neither the pipeline nor another output. While its queue is full,
 * frames for this output are dropped and counted. A call that does not return within a second of
 * the end of the program is abandoned.
 *
 * Errors: a function that can fail returns a negative number and writes a message to
 * error[error_bytes]. An error of open() ends the start of the program; others are counted and
 * logged, and the output continues. Threads: all calls of one output come from one thread at a
 * time. */
#ifndef SPOTON_OUTPUT_H
#define SPOTON_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* Incremented by every change other than an addition at the end of a struct. */
#define SPOTON_OUTPUT_ABI 1u

struct spoton_output_track {
    uint32_t id;        /* of the camera, from 1 */
    uint32_t global_id; /* the same in all cameras; 0: not known */
    int class_id;
    const char *class_name; /* NULL: the model has no name for it */
    double confidence;      /* of the last matched detection */
    double x1, y1, x2, y2;  /* px of the frame, clipped to it */
    int matched;            /* a detection of this frame; 0: predicted */
    int on_map;             /* map_x and map_y are valid */
    double map_x, map_y;    /* map units */
};

/* A finished frame. (camera, epoch, sequence) identifies it. */
struct spoton_output_frame {
    size_t struct_bytes;
    const char *camera;
    uint64_t epoch;    /* differs for a camera that was removed and added again */
    uint64_t sequence; /* of the frame in its camera; skips what was dropped */
    int64_t pts_us;
    int64_t wall_us;   /* since the Unix epoch, when the frame was decoded */
    int inferred;      /* 0: tracks are predicted */
    int width, height; /* px */
    size_t track_count;
    const struct spoton_output_track *tracks;
};

/* Something that happened, such as a change of a camera's state. */
struct spoton_output_event {
    size_t struct_bytes;
    const char *id;   /* "<camera>/<epoch>/<n>", n from 1 */
    const char *kind; /* "camera.state" */
    const char *camera;
    int64_t wall_us;     /* since the Unix epoch */
    const char *payload; /* a JSON object */
};

struct spoton_output; /* opaque */

struct spoton_output_api {
    uint32_t abi; /* SPOTON_OUTPUT_ABI */
    size_t struct_bytes;
    const char *name; /* "jsonl" */

    /* `options`: what follows '?' in OUTPUTS, "key=value&key=value"; never NULL. */
    int (*open)(struct spoton_output **out, const char *options, char *error, size_t error_bytes);
    void (*close)(struct spoton_output *output);

    /* All pointers are valid during the call only. */
    int (*frame)(struct spoton_output *output, const struct spoton_output_frame *frame, char *error,
                 size_t error_bytes);

    /* Optional: NULL, or past struct_bytes. */
    void (*camera_begin)(struct spoton_output *output, const char *camera, uint64_t epoch);
    void (*camera_end)(struct spoton_output *output, const char *camera, uint64_t epoch);
    int (*event)(struct spoton_output *output, const struct spoton_output_event *event, char *error,
                 size_t error_bytes);
    int (*flush)(struct spoton_output *output, char *error, size_t error_bytes);
};

/* The plugin's only exported symbol; the result is valid while the plugin is loaded. */
typedef const struct spoton_output_api *spoton_output_entry_fn(void);
spoton_output_entry_fn spoton_output_entry;

#endif
