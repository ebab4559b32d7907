/* Removes secrets from URLs before they are shown. */
#pragma once

#include <stddef.h>

/* Copies `url` to out[out_bytes] with "***" instead of the password of the user part, values of
 * query keys other than harmless ones, and tokens in the path. A plain path is unchanged. Truncates
 * to fit; always terminated. Thread-safe. */
void sp_redact_url(const char *url, char *out, size_t out_bytes);
