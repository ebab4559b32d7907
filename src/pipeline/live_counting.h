/* Lines and zones over live cameras.
 *
 * Data flow: tracking workers -> sp_live_counting_frame copies an inferred frame's tracks into its
 * camera's short queue -> the counting thread takes frames of all cameras in the order of
 * their times -> sp_counting (analytics/analytics.h) -> events into the event log, counts for the
 * API and metrics.
 *
 * Times: a frame's pts plus the least delay between its pts and its arrival, so that the times of
 * all cameras are of one clock and jitter of the network is removed; nothing else of the machine's
 * clock decides. A frame waits for the other cameras until each has a later one, at most WAIT_US.
 * Tracking workers never wait: a frame that finds its queue full is not counted, and is reported as
 * missed.
 *
 * Lines and zones change at run time: counts, tracks and open visits of names that remain are kept
 * (sp_counting_inherit). All functions are thread-safe; frames of one camera come from one thread
 * at a time. */
#pragma once

#include "analytics/analytics.h"
#include "output/event_log.h"
#include "pipeline/counting_setup.h"
#include "publish/hub.h"

struct sp_json;
struct sp_live_counting;

/* A frame as it is counted: `counted` has the time since the Unix epoch. Valid during the call. */
struct sp_live_frame {
    int camera; /* camera index */
    const char *name;
    uint64_t epoch, sequence;
    const struct sp_counting_frame *counted;
};

struct sp_live_counting_options {
    const char *yaml_path;       /* of spoton.yaml; empty: none */
    const char *file;            /* ANALYTICS_FILE; empty: none */
    struct sp_event_log *events; /* outlives it */
    uint64_t epoch;              /* of events of no single camera */
    double units_per_m;          /* of the map; 0: there is none */
    bool y_up;
    /* Called for each inferred frame of all cameras, before it is counted, in the order of
     * counting, on one thread at a time; must not block for long. NULL: frames without lines are
     * not queued. */
    void (*frame)(void *user, const struct sp_live_frame *frame);
    void *user;
};

/* Errors as of sp_counting_setup_open and _read_yaml. */
int sp_live_counting_open(struct sp_live_counting **out,
                          const struct sp_live_counting_options *options, struct sp_error *err);
void sp_live_counting_close(struct sp_live_counting *lc); /* NULL is allowed */

/* The camera of this index was removed: its last frames are counted, and its visits end. */
void sp_live_counting_end_camera(struct sp_live_counting *lc, int camera);

/* An inferred frame; others are ignored. The first one of a camera may wait for a moment. */
void sp_live_counting_frame(struct sp_live_counting *lc, const struct sp_result *result);

/* Of the map, whenever it may have changed. */
void sp_live_counting_set_map(struct sp_live_counting *lc, double units_per_m, bool y_up);

/* Reads the lines and zones of spoton.yaml again. On an error nothing changes. */
int sp_live_counting_reload(struct sp_live_counting *lc, const char *yaml_path,
                            struct sp_error *err);

/* ---- for clients; `camera` NULL: the map ---- */

/* As sp_counting_setup_put and _remove, effective at once. width_px, height_px: of the camera's
 * frames, if known, for points in pixels. */
int sp_live_counting_put(struct sp_live_counting *lc, const char *camera, int width_px,
                         int height_px, const char *text, size_t bytes, bool *changed,
                         struct sp_error *err);
int sp_live_counting_remove(struct sp_live_counting *lc, const char *camera, bool *changed,
                            struct sp_error *err);

/* Adds "edited", "lines" and "zones" to the open object. */
void sp_live_counting_setup_json(struct sp_live_counting *lc, const char *camera,
                                 struct sp_json *json);

/* Adds "cameras", those that have lines or zones, and "map" to the open object. */
void sp_live_counting_setups_json(struct sp_live_counting *lc, struct sp_json *json);

/* Adds "version" (of the lines and zones; changes with them), "lines", "zones" and "missed" to the
 * open object: totals since the start, and sums since `since_us`. */
void sp_live_counting_counts_json(struct sp_live_counting *lc, int64_t since_us,
                                  struct sp_json *json);

/* For metrics: calls `line` and `zone` for each, with the counts locked. */
struct sp_live_counting_visitor {
    void (*line)(void *user, const struct sp_line_count *line);
    void (*zone)(void *user, const struct sp_zone_count *zone);
    void *user;
};
void sp_live_counting_visit(struct sp_live_counting *lc,
                            const struct sp_live_counting_visitor *visitor);
uint64_t sp_live_counting_missed(const struct sp_live_counting *lc); /* frames */
