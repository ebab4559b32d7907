/* Tolerant URL parsing: schemes in any case, and user parts without percent-encoding.
 *
 * "rtsp://admin:p@ss/w#rd@10.0.0.5/live" is not a URL of RFC 3986, but users
 * expect it to work. So each '@' is a candidate for the end of the user part, and the text behind
 * it is rated as a host: address over dotted name over bare label. The last of equal candidates is
 * used, unless the URL is well-formed without a user part. Thread-safe, no allocation. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* True for "scheme://...", the scheme in any case. */
bool sp_url_has_scheme(const char *url, const char *scheme);

/* Length of the user part including '@' of the text behind "://"; 0: none. */
size_t sp_url_user_bytes(const char *rest);

/* The same for redaction: if ambiguous, the longer one. */
size_t sp_url_secret_bytes(const char *rest);

/* The host's name or address without brackets. False: no host, or it does not fit. */
bool sp_url_host(const char *url, char *out, size_t out_bytes);

/* Whether scheme, host and port are equal. */
bool sp_url_same_server(const char *a, const char *b);

/* Normalises for libraries: scheme in lower case, blanks encoded, and in the user part every byte
 * that would end it ('%' before two hexadecimal digits is kept). Text without "scheme://" and the
 * path of file:// are copied. SP_ERR_INVALID: does not fit. */
int sp_url_normalise(const char *url, char *out, size_t out_bytes, struct sp_error *err);
