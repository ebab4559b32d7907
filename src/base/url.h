/* URLs as people type them: schemes in any case, and user parts that were never percent-encoded.
 *
 * "rtsp://admin:p@ss/w#rd@10.0.0.5/live" is no URL of RFC 3986, and every camera's owner expects it
 * to work. So each '@' is a candidate for the end of the user part, and the text behind it is rated
 * as a host: an address over a dotted name over a bare label. Of equals the last one counts, unless
 * the URL is well-formed without a user part. Thread-safe, no allocation. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* True for "scheme://...", the scheme in any case. */
bool sp_url_has_scheme(const char *url, const char *scheme);

/* The bytes of the user part, '@' included, of a text that begins behind "://"; 0: there is none.
 */
size_t sp_url_user_bytes(const char *rest);

/* The same for a reader that must not see a secret: in doubt, more. */
size_t sp_url_secret_bytes(const char *rest);

/* The host's name or address, without brackets. False: there is none, or it does not fit. */
bool sp_url_host(const char *url, char *out, size_t out_bytes);

/* Whether both name the same scheme, host and port. */
bool sp_url_same_server(const char *a, const char *b);

/* The URL as libraries read it: scheme in lower case, blanks encoded, and in the user part every
 * byte that would end it ('%' before two hexadecimal digits is an encoding already). What begins
 * with no "scheme://" is copied, and so is the path of file://. SP_ERR_INVALID: it does not fit. */
int sp_url_normalise(const char *url, char *out, size_t out_bytes, struct sp_error *err);
