/* The log: one line per message on stderr, "2026-01-31 12:00:00,123 - [LEVEL] text", or to the sink
 * of the thread that logs.
 *
 * A library must not write to stderr, and a process may have several pipelines: so a thread may
 * have a sink, which threads started by it inherit (base/thread.h). Thread-safe: a line is one
 * write(), or one call of the sink. Callers redact secrets (base/redact.h). */
#pragma once

#include "base/error.h"

#include <stdbool.h>

enum sp_log_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

/* Messages above `level` are dropped, of threads without a sink. Default SP_LOG_INFO. */
void sp_log_set_level(enum sp_log_level level);
bool sp_log_enabled(enum sp_log_level level); /* on this thread */

/* Shared by reference: by its owner and by each thread that has it. */
struct sp_log_sink;

/* `line` gets the level (enum sp_log_level) and the text without level, time and newline; calls of
 * one sink do not overlap. NULL: messages are dropped. SP_ERR_NO_MEMORY. */
int sp_log_sink_open(struct sp_log_sink **out, enum sp_log_level level,
                     void (*line)(void *user, int level, const char *text), void *user,
                     struct sp_error *err);

/* Releases the owner's reference. `line` is not called after it returns: what threads that still
 * have the sink log is dropped. NULL is allowed. */
void sp_log_sink_close(struct sp_log_sink *sink);

struct sp_log_sink *sp_log_sink_ref(struct sp_log_sink *sink); /* NULL is allowed, here and below */
void sp_log_sink_unref(struct sp_log_sink *sink);

/* Makes the sink that of this thread, without a reference; NULL: stderr. Returns the previous one.
 */
struct sp_log_sink *sp_log_use(struct sp_log_sink *sink);
struct sp_log_sink *sp_log_used(void);

/* Called before each line; a progress bar uses it to clear the terminal's last line. */
void sp_log_set_before_line(void (*hook)(void));

void sp_log(enum sp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with `tag` instead of the level's name in the brackets: "[SPEED_DEBUG]". */
void sp_log_tagged(enum sp_log_level level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
