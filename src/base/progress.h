/* Progress of a run on stderr: on a terminal one line that is redrawn, otherwise (pipe, file,
 * TERM=dumb) a plain line at intervals.
 *
 * Data flow: any thread calls sp_progress_update at any rate; a terminal is redrawn at most 10
 * times per second, plain lines are written at most every 5 seconds. Log lines (base/log.h) clear
 * the bar and appear above it. One progress per process at a time. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_progress;

/* Writes to `fd`. SP_ERR_INVALID if a progress is already open. */
int sp_progress_open(struct sp_progress **out, int fd, struct sp_error *err);

/* frames_total 0: unknown. Thread-safe, cheap, no allocation. */
void sp_progress_update(struct sp_progress *progress, uint64_t frames_done, uint64_t frames_total);

/* Writes a last line with the rate over the whole run. NULL is allowed. No update may be running.
 */
void sp_progress_close(struct sp_progress *progress);

/* The line itself: pure. */
struct sp_progress_state {
    uint64_t frames_done, frames_total; /* total 0 or below done: unknown */
    double frames_per_s;                /* <= 0: unknown */
    int64_t elapsed_us;
    bool finished; /* show the elapsed instead of the remaining time */
};

/* One line of at most `columns` characters (ASCII), for a terminal; out_bytes > 0. Narrow terminals
 * show fewer items. Returns its length. */
size_t sp_progress_render(const struct sp_progress_state *state, int columns, char *out,
                          size_t out_bytes);

/* The plain form, without end of line. */
size_t sp_progress_render_plain(const struct sp_progress_state *state, char *out, size_t out_bytes);
