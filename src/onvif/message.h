/* ONVIF's messages: requests as text, answers as values.
 *
 * Data flow: sp_onvif_*_request fills a caller's buffer -> HTTP or UDP -> sp_onvif_read_* parses
 * the answer. Answers are bytes of an unknown device: every text is copied with a limit, addresses
 * may only have printable characters, and counts are limited. No state, no network; any thread.
 *
 * Requests carry a WS-UsernameToken digest (WSS UsernameToken Profile 1.1, section 3.1):
 * base64(SHA-1(nonce
 * + created + password)). Errors: SP_ERR_FORMAT for what is not such an answer, SP_ERR_UNAUTHORIZED
 * for a fault that refuses the login, SP_ERR_NO_MEMORY. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_ONVIF_REQUEST_BYTES = 4096,
    SP_ONVIF_URL_BYTES = 1024,
    SP_ONVIF_TEXT_BYTES = 96,
    SP_ONVIF_PROFILES_MAX = 64,
    SP_ONVIF_NONCE_BYTES = 16,
};

struct sp_onvif_login {
    char user[64], password[128]; /* user "": none */
};

struct sp_onvif_match {
    char address[2048]; /* service addresses, separated by blanks */
    char name[SP_ONVIF_TEXT_BYTES];
};

struct sp_onvif_profile {
    char token[SP_ONVIF_TEXT_BYTES], source[SP_ONVIF_TEXT_BYTES];
    char encoding[16];
    int width_px, height_px;
    double frame_rate; /* the limit of the encoder; 0: unknown */
};

struct sp_onvif_profiles {
    struct sp_onvif_profile profile[SP_ONVIF_PROFILES_MAX];
    int count;
};

/* --- requests --------------------------------------------------------------------------------- */

/* WS-Discovery's Probe for devices of `type`, "dn:NetworkVideoTransmitter" or "tds:Device". `id` is
 * a UUID. */
void sp_onvif_probe_request(const char *type, const char *id, char out[SP_ONVIF_REQUEST_BYTES]);

/* `body` in an envelope, signed for `login` unless its user is empty. created: UTC of the device,
 * microseconds since the epoch. SP_ERR_INVALID: does not fit. */
int sp_onvif_request(const char *body, const struct sp_onvif_login *login,
                     const unsigned char nonce[SP_ONVIF_NONCE_BYTES], int64_t created_us,
                     char out[SP_ONVIF_REQUEST_BYTES], struct sp_error *err);

/* base64(SHA-1(nonce + created + password)) */
void sp_onvif_digest(const unsigned char *nonce, size_t nonce_bytes, const char *created,
                     const char *password, char out[32]);

/* The body of GetStreamUri for a profile's token, which is escaped. SP_ERR_INVALID: does not fit.
 */
int sp_onvif_stream_body(const char *token, char *out, size_t out_bytes, struct sp_error *err);

/* --- answers ---------------------------------------------------------------------------------- */

int sp_onvif_read_match(const char *bytes, size_t count, struct sp_onvif_match *out,
                        struct sp_error *err);
/* *out: microseconds since the epoch. */
int sp_onvif_read_time(const char *bytes, size_t count, int64_t *out, struct sp_error *err);
int sp_onvif_read_media_address(const char *bytes, size_t count, char out[SP_ONVIF_URL_BYTES],
                                struct sp_error *err);
/* Profiles without a video encoder are left out. */
int sp_onvif_read_profiles(const char *bytes, size_t count, struct sp_onvif_profiles *out,
                           struct sp_error *err);
int sp_onvif_read_stream_uri(const char *bytes, size_t count, char out[SP_ONVIF_URL_BYTES],
                             struct sp_error *err);

/* --- choices ---------------------------------------------------------------------------------- */

/* The profile of a video source that suits a model of this input size: the smallest that is at
 * least as long, else the longest. Of equal ones the one with the higher rate, then the first. -1:
 * none. */
int sp_onvif_choose(const struct sp_onvif_profiles *profiles, const char *source,
                    int input_size_px);

/* Copies `url` without user part and with the host `host`, so that logins are sent to no other
 * machine than the one that answered. False: not a URL of one of the schemes (a NULL-terminated
 * list), or it does not fit. */
bool sp_onvif_with_host(const char *url, const char *host, const char *const *schemes, char *out,
                        size_t out_bytes);

/* The same with `login` as user part, percent-encoded. False: does not fit. */
bool sp_onvif_with_login(const char *url, const struct sp_onvif_login *login, char *out,
                         size_t out_bytes);
