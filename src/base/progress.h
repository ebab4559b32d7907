/* How far a run is, on stderr: on a terminal one line that is drawn again, elsewhere (a pipe, a
 * file, TERM=dumb) a plain line now and then.
 *
 * Data flow: any thread calls sp_progress_update as often as it likes; a terminal is drawn at most
 * 10 times a second, plain lines come at most every 5 seconds. Lines of the log (base/log.h) first
 * clear the bar and appear above it. One progress at a time in a process. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_progress;

/* Writes to `fd` (STDERR_FILENO, or a test's). SP_ERR_INVALID when one is open already. */
int sp_progress_open(struct sp_progress **out, int fd, struct sp_error *err);

/* frames_total 0: unknown. Thread-safe; cheap when nothing is due; allocates nothing. */
void sp_progress_update(struct sp_progress *progress, uint64_t frames_done, uint64_t frames_total);

/* Leaves a last line with the rate over the whole run. NULL is fine. No update may be running. */
void sp_progress_close(struct sp_progress *progress);

/* The line itself: pure. */
struct sp_progress_state {
    uint64_t frames_done, frames_total; /* total 0, or below done: unknown */
    double frames_per_s;                /* <= 0: not known yet */
    int64_t elapsed_us;
    bool finished; /* says how long it took, not how long it will */
};

/* One line of at most `columns` characters (ASCII), for a terminal; out_bytes > 0. Narrow terminals
 * get fewer items. Returns its length. */
size_t sp_progress_render(const struct sp_progress_state *state, int columns, char *out,
                          size_t out_bytes);

/* The plain form, without end of line. */
size_t sp_progress_render_plain(const struct sp_progress_state *state, char *out, size_t out_bytes);
