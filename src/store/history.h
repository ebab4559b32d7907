/* Answers to questions about the past, as JSON of docs/HISTORY.md.
 *
 * Data flow: struct sp_history_query -> SQL or stored tracks -> JSON, or the bytes of an image.
 * Work is bounded: by `deadline_us`, by the number of items, and by the size of the reply. Reading
 * beside a running recorder is possible. One thread at a time per store.
 *
 * Errors: SP_ERR_INVALID: the query, the text names the member; SP_ERR_TIMEOUT: the deadline;
 * SP_ERR_NOT_FOUND: no such person or camera in the time. */
#pragma once

#include "base/json.h"
#include "store/store.h"

enum sp_history_kind {
    SP_HISTORY_COUNTS,
    SP_HISTORY_EVENTS,
    SP_HISTORY_VISITS,
    SP_HISTORY_PEOPLE,
    SP_HISTORY_TRACKS,
    SP_HISTORY_HEATMAP,
    SP_HISTORY_EVALUATE,
    SP_HISTORY_CAMERAS,
    SP_HISTORY_SNAPSHOT,
};

enum { SP_HISTORY_EVENTS_MAX = 1000, SP_HISTORY_POINTS_MAX = 20000, SP_HISTORY_COLUMNS_MAX = 128 };

struct sp_history_query {
    enum sp_history_kind kind;
    int64_t from_us, to_us;
    int64_t bucket_us;
    char line[SP_STORED_NAME_BYTES], zone[SP_STORED_NAME_BYTES], camera[SP_STORED_NAME_BYTES];
    char event_kind[32];
    uint32_t person; /* 0: any */
    int limit;
    int64_t before_us, before_serial; /* of the page before; 0: the first page */
    int64_t number;                   /* of a snapshot */
    int columns;
    bool png;
    char *body; /* of evaluate: YAML or JSON; of the caller */
    size_t body_bytes;
    double units_per_m; /* of the map; 0: there is none */
    bool y_up;
    int64_t deadline_us;         /* sp_clock_us() */
    bool (*stopped)(void *user); /* asked now and then; NULL: never */
    void *user;
};

struct sp_history_reply {
    struct sp_json *json;
    uint8_t *image; /* PNG or JPEG: allocated, for the caller to free */
    size_t image_bytes;
};

int sp_history_answer(struct sp_store *store, const struct sp_history_query *query,
                      struct sp_history_reply *reply, struct sp_error *err);

/* Parses "2026-01-31T12:00:00.123Z", also without a fraction or with +01:00 for Z, or a date, into
 * microseconds since the epoch. False: none of these. */
bool sp_history_read_time(const char *text, int64_t *time_us);
void sp_history_put_time(struct sp_json *json, const char *key, int64_t time_us);

/* Whether the work is to end: the deadline, or `stopped`. */
bool sp_history_is_over(const struct sp_history_query *query);

/* evaluate.c, heatmap.c, paths.c */
int sp_history_evaluate(struct sp_store *store, const struct sp_history_query *query,
                        struct sp_json *json, struct sp_error *err);
int sp_history_heatmap(struct sp_store *store, const struct sp_history_query *query,
                       struct sp_history_reply *reply, struct sp_error *err);
int sp_history_paths(struct sp_store *store, const struct sp_history_query *query,
                     struct sp_json *json, struct sp_error *err);
