/* The newest events of all cameras, and who is told of them.
 *
 * Data flow: sp_event_log_add -> a ring of SP_EVENT_LOG_MAX events, for readers that poll, and the
 * listener. Events of one camera keep their order. Any thread. */
#pragma once

#include "base/error.h"
#include "event.h"

#include <stddef.h>

enum { SP_EVENT_LOG_MAX = 1024 };

struct sp_event_log;

struct sp_event_log_options {
    /* Called for each event, in order, on the adding thread with the log locked; must not block.
     * NULL: none. */
    void (*listener)(void *user, const struct sp_event *event);
    void *user;
};

int sp_event_log_open(struct sp_event_log **out, const struct sp_event_log_options *options,
                      struct sp_error *err);
void sp_event_log_close(struct sp_event_log *log); /* NULL is allowed */

/* `camera_index` is below SP_CAMERAS_MAX, or that for an event of the program or of no single
 * camera, as on the map, whose `camera` is empty and whose ids begin with "server"; a new `epoch`
 * of it starts the numbers of ids again. `payload`: a JSON object; one that does not fit becomes
 * {}. */
void sp_event_log_add(struct sp_event_log *log, int camera_index, const char *camera,
                      uint64_t epoch, const char *kind, int64_t wall_us, const char *payload);

/* Copies the events after `since` (serial; 0: from the oldest), oldest first, at most `most`.
 * *newest: the last serial that exists; *oldest: the first one still kept (0: none). Returns the
 * number copied. */
size_t sp_event_log_read(struct sp_event_log *log, uint64_t since, struct sp_event *out,
                         size_t most, uint64_t *oldest, uint64_t *newest);
