/* What FFmpeg has to say: into our log at debug level, never raw onto stderr, and its last error
 * line kept for our error texts. Secrets in URLs are struck out of every line. */
#pragma once

#include <stddef.h>

/* Takes over FFmpeg's log for the whole process; once is enough, any thread. */
void sp_libav_log_install(void);

/* The last error line that FFmpeg wrote on this thread since the last clear; "" when none. */
const char *sp_libav_log_last(void);
void sp_libav_log_clear(void);

/* Copies `text` with the secrets of every URL in it replaced. Always terminated. */
void sp_libav_redact_text(const char *text, char *out, size_t out_bytes);
