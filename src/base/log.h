/* The log: one line per message on stderr, "2026-01-31 12:00:00,123 - [LEVEL] text".
 *
 * Thread-safe: a line is one write(). Callers redact secrets (base/redact.h). */
#pragma once

#include <stdbool.h>

enum sp_log_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

/* Messages above `level` are dropped. Default SP_LOG_INFO. */
void sp_log_set_level(enum sp_log_level level);
bool sp_log_enabled(enum sp_log_level level);

/* Called before each line; a progress bar uses it to clear the terminal's last line. */
void sp_log_set_before_line(void (*hook)(void));

void sp_log(enum sp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with `tag` instead of the level's name in the brackets: "[SPEED_DEBUG]". */
void sp_log_tagged(enum sp_log_level level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
