/* Sessions of the dashboard, and rate limiting of failed logins.
 *
 * Data flow: a valid token -> sp_sessions_begin creates an id, the value of the cookie ->
 * sp_sessions_has finds it for each request -> logout, expiry or a new API_TOKEN ends the session.
 * Each failed login consumes one try of its address: a bucket of SP_LOGIN_TRIES, refilled by one
 * every 60 / SP_LOGIN_TRIES seconds. All memory is allocated up front; a full table evicts the
 * oldest entry. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_SESSIONS_MAX = 64,
    SP_SESSION_ID_BYTES = 65, /* 64 hexadecimal digits */
    SP_SESSION_S = 30 * 24 * 3600,
    SP_LOGIN_TRIES = 10, /* per minute and address */
    SP_LOGIN_ADDRESSES = 256,
};

struct sp_session {
    char id[SP_SESSION_ID_BYTES];
    int64_t ends_us; /* sp_clock_us(); 0: a free entry */
};

struct sp_login_tries {
    unsigned char address[16]; /* IPv6: the /64 network, since a host may use any address in it */
    double left;
    int64_t at_us; /* when `left` was computed; 0: a free entry */
};

struct sp_sessions {
    struct sp_session session[SP_SESSIONS_MAX];
    struct sp_login_tries tries[SP_LOGIN_ADDRESSES];
    uint64_t wrong; /* failed logins since the last log line */
    int64_t logged_us;
    char latest[64]; /* address of the last failed login */
};

/* Creates a session with a random id. SP_ERR_IO: no random numbers are available. */
int sp_sessions_begin(struct sp_sessions *sessions, int64_t now_us, char id[SP_SESSION_ID_BYTES],
                      struct sp_error *err);

/* Constant time with respect to the ids. */
bool sp_sessions_has(const struct sp_sessions *sessions, int64_t now_us, const char *id,
                     size_t id_bytes);
void sp_sessions_end(struct sp_sessions *sessions, const char *id, size_t id_bytes);
void sp_sessions_end_all(struct sp_sessions *sessions);

/* False: the address must wait *wait_s seconds before its next login is checked. */
bool sp_sessions_may_try(struct sp_sessions *sessions, int64_t now_us, const char *address,
                         int *wait_s);
/* Records a failed login; counts: it consumes a try (false: it was refused unchecked). */
void sp_sessions_wrong(struct sp_sessions *sessions, int64_t now_us, const char *address,
                       bool counts);

/* Logs failed logins, at most once a minute. */
void sp_sessions_tick(struct sp_sessions *sessions, int64_t now_us);

/* Compares in a time that depends on given_bytes only. */
bool sp_is_secret(const char *given, size_t given_bytes, const char *secret);
