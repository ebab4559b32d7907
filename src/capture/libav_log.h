/* FFmpeg's log: written to our log at debug level, never directly to stderr; the last error line is
 * kept for error messages. Secrets in URLs are redacted. */
#pragma once

#include <stddef.h>

/* Redirects FFmpeg's log for the whole process; idempotent, any thread. */
void sp_libav_log_install(void);

/* The last error line that FFmpeg logged on this thread since the last clear; "" when none. */
const char *sp_libav_log_last(void);
void sp_libav_log_clear(void);

/* Copies `text` and redacts every URL in it. Always terminated. */
void sp_libav_redact_text(const char *text, char *out, size_t out_bytes);

/* An AVERROR as text: the last error line that FFmpeg logged, else the error's description. */
const char *sp_libav_reason(int rc, char *buffer, size_t buffer_bytes);
