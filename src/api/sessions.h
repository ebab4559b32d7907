/* Sessions of the dashboard, and the brake on guessing.
 *
 * Data flow: a right token -> sp_sessions_begin makes an id, the value of the cookie -> each
 * request with that cookie is found again -> logout, time or a new API_TOKEN ends it. A wrong token
 * takes from what its address may still try: SP_LOGIN_TRIES at once, then one every 60 /
 * SP_LOGIN_TRIES seconds. All memory is here from the start; when there is no room the oldest goes.
 * One thread at a time. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_SESSIONS_MAX = 64,
    SP_SESSION_ID_BYTES = 65, /* 64 hexadecimal digits */
    SP_SESSION_S = 30 * 24 * 3600,
    SP_LOGIN_TRIES = 10, /* a minute and address */
    SP_LOGIN_ADDRESSES = 256,
};

struct sp_session {
    char id[SP_SESSION_ID_BYTES];
    int64_t ends_us; /* sp_clock_us(); 0: a free place */
};

struct sp_login_tries {
    unsigned char address[16]; /* of version 6 the network alone: a host has as many as it likes */
    double left;
    int64_t at_us; /* when `left` was so; 0: a free place */
};

struct sp_sessions {
    struct sp_session session[SP_SESSIONS_MAX];
    struct sp_login_tries tries[SP_LOGIN_ADDRESSES];
    uint64_t wrong; /* logins since the last line about them */
    int64_t told_us;
    char latest[64]; /* address of a wrong one */
};

/* Makes an id that cannot be guessed. SP_ERR_IO: there are no random numbers. */
int sp_sessions_begin(struct sp_sessions *sessions, int64_t now_us, char id[SP_SESSION_ID_BYTES],
                      struct sp_error *err);

/* The time that it takes tells nothing of the ids. */
bool sp_sessions_has(const struct sp_sessions *sessions, int64_t now_us, const char *id,
                     size_t id_bytes);
void sp_sessions_end(struct sp_sessions *sessions, const char *id, size_t id_bytes);
void sp_sessions_end_all(struct sp_sessions *sessions);

/* False: this address has to wait *wait_s seconds before its next try is looked at. */
bool sp_sessions_may_try(struct sp_sessions *sessions, int64_t now_us, const char *address,
                         int *wait_s);
/* A try was wrong, or not looked at. */
void sp_sessions_wrong(struct sp_sessions *sessions, int64_t now_us, const char *address,
                       bool counts);

/* Writes the line about wrong logins into the log, at most once a minute. */
void sp_sessions_tick(struct sp_sessions *sessions, int64_t now_us);

/* The time depends on the length of what was given alone, and tells nothing of the secret. */
bool sp_is_secret(const char *given, size_t given_bytes, const char *secret);
