/* URLs as they may be shown: without the secrets in them. */
#pragma once

#include <stddef.h>

/* Copies `url` to out[out_bytes] with the user part's password replaced by "***", and the values of
 * query keys that commonly hold secrets (password, pwd, pass, token, key, secret, auth) too.
 * A plain path comes back unchanged. Cuts to fit; always terminated. Thread-safe. */
void sp_redact_url(const char *url, char *out, size_t out_bytes);
