/* The interface of output plugins, which receive the results of live cameras.
 *
 * A plugin is a shared object named spoton-output-NAME.so that exports one function,
 * spoton_output_entry(), and depends only on this header. There are two types: one that receives
 * frames and events as structs and may miss some, described next, and one that delivers messages
 * (struct spoton_output_api, `connect`), described there.
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

/* Something that happened: a change of a camera's state, a crossed line, a visit to a zone. */
struct spoton_output_event {
    size_t struct_bytes;
    const char *id;      /* "<camera>/<epoch>/<n>", n from 1 */
    const char *kind;    /* "camera.state", "line.crossed" */
    const char *camera;  /* empty: of no single camera, as a line on the map */
    int64_t wall_us;     /* since the Unix epoch */
    const char *payload; /* a JSON object */
};

struct spoton_output; /* opaque */

/* A message in the format and with the topic that the output's options select. */
struct spoton_output_message {
    size_t struct_bytes;
    const char *id;           /* "<camera>/<epoch>/<n>"; a repeated message has the same id */
    const char *camera;       /* messages of one camera are in order */
    const char *kind;         /* "tracks", "events", "health" */
    const char *topic;        /* levels separated by '/' */
    const char *content_type; /* "application/json" */
    const char *type;         /* of CloudEvents: "dev.spoton.tracks.v1" */
    const char *source;       /* of CloudEvents: "/<site>/<camera>" */
    const void *payload;
    size_t payload_bytes;
    int64_t wall_us; /* since the Unix epoch */
    int retain;      /* the state of its topic: new subscribers receive the newest one */
};

/* What a delivering output is opened with. Valid until close. */
struct spoton_output_setup {
    size_t struct_bytes;
    const char *options;      /* as for open */
    const char *name;         /* of the output, unique in the program: "mqtt-2" */
    const char *client_id;    /* the same at each start of this program, unique among others */
    const char *status_topic; /* retained "online" while connected, then "offline"; NULL: none */
    const char *const *subscriptions; /* topics to receive, ended by NULL; NULL: none */
    void *user;                       /* of the next two */
    void (*received)(void *user, const char *topic, const void *payload, size_t payload_bytes);
    int (*stopping)(void *user); /* not 0: return from a call soon; any thread */
};

struct spoton_output_outcome {
    size_t struct_bytes;
    size_t delivered; /* so many messages, from the first on, were accepted or rejected */
    size_t rejected;  /* of these: refused for good by the other side, which an error describes */
};

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

    /* Delivering outputs have these four instead of open and frame. The program keeps what they
     * have to send in its outbox on disk, and repeats what was not delivered, with a back-off.
     *
     * Data flow: outbox -> the output's thread: connect -> deliver, or poll while there is nothing
     * to deliver -> close. */

    /* Reads the options; makes no connection, so that the program starts without the other side. */
    int (*connect)(struct spoton_output **out, const struct spoton_output_setup *setup, char *error,
                   size_t error_bytes);

    /* Sends the messages, connecting first if necessary, and waits until the other side has
     * accepted them. Negative, with `outcome` filled: the messages after the delivered ones are
     * repeated later. Returns within 30 s, and soon after stopping(). */
    int (*deliver)(struct spoton_output *output, const struct spoton_output_message *messages,
                   size_t count, struct spoton_output_outcome *outcome, char *error,
                   size_t error_bytes);

    /* Keeps the connection alive; connects if there is none. May wait up to `wait_ms` for what the
     * other side sends. Negative: there is no connection. */
    int (*poll)(struct spoton_output *output, int wait_ms, char *error, size_t error_bytes);

    /* The topic used if the options have none, with {site}, {camera} and {kind}. */
    const char *default_topic;
};

/* The plugin's only exported symbol; the result is valid while the plugin is loaded. */
typedef const struct spoton_output_api *spoton_output_entry_fn(void);
spoton_output_entry_fn spoton_output_entry;

#endif
