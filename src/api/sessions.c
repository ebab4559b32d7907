#include "api/sessions.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const int64_t MINUTE_US = 60000000;

bool sp_is_secret(const char *given, size_t given_bytes, const char *secret)
{
    size_t secret_bytes = strlen(secret);
    volatile unsigned different = given_bytes != secret_bytes;
    for (size_t i = 0; i < given_bytes; i++)
        different |=
            (unsigned char)given[i] ^ (unsigned char)secret[secret_bytes ? i % secret_bytes : 0];
    return !different;
}

/* --- sessions --------------------------------------------------------------------------------- */

int sp_sessions_begin(struct sp_sessions *sessions, int64_t now_us, char id[SP_SESSION_ID_BYTES],
                      struct sp_error *err)
{
    unsigned char random[32];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return sp_fail(err, SP_ERR_IO, "no random numbers: %s; sign in again", strerror(errno));
    struct sp_session *position = &sessions->session[0];
    for (int i = 1; i < SP_SESSIONS_MAX;
         i++) /* equal lifetimes: the first to expire is the oldest */
        if (sessions->session[i].ends_us < position->ends_us)
            position = &sessions->session[i];
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(position->id + 2 * i, 3, "%02x", random[i]);
    position->ends_us = now_us + SP_SESSION_S * INT64_C(1000000);
    memcpy(id, position->id, sizeof position->id);
    return SP_OK;
}

static int find(const struct sp_sessions *sessions, const char *id, size_t id_bytes)
{
    int found = -1;
    for (int i = 0; i < SP_SESSIONS_MAX; i++)
        if (sessions->session[i].ends_us != 0 &&
            sp_is_secret(id, id_bytes, sessions->session[i].id))
            found = i;
    return found;
}

bool sp_sessions_has(const struct sp_sessions *sessions, int64_t now_us, const char *id,
                     size_t id_bytes)
{
    int i = find(sessions, id, id_bytes);
    return i >= 0 && now_us < sessions->session[i].ends_us;
}

void sp_sessions_end(struct sp_sessions *sessions, const char *id, size_t id_bytes)
{
    int i = find(sessions, id, id_bytes);
    if (i >= 0)
        sessions->session[i] = (struct sp_session){0};
}

void sp_sessions_end_all(struct sp_sessions *sessions)
{
    memset(sessions->session, 0, sizeof sessions->session);
}

/* --- failed logins ---------------------------------------------------------------------------- */

static void read_address(const char *text, unsigned char address[16])
{
    unsigned char v6[16];
    memset(address, 0, 16);
    if (strncmp(text, "::ffff:", 7) == 0)
        text += 7;
    if (inet_pton(AF_INET, text, address + 8) == 1)
        address[15] = 4; /* marks IPv4: an IPv6 network has a zero here */
    else if (inet_pton(AF_INET6, text, v6) == 1)
        memcpy(address, v6, 8);
}

/* The entry of an address, refilled up to now; a new address reuses the least recently used entry.
 */
static struct sp_login_tries *tries_of(struct sp_sessions *sessions, int64_t now_us,
                                       const char *text)
{
    unsigned char address[16];
    struct sp_login_tries *position = &sessions->tries[0];
    read_address(text, address);
    for (int i = 0; i < SP_LOGIN_ADDRESSES; i++) {
        struct sp_login_tries *at = &sessions->tries[i];
        if (at->at_us != 0 && memcmp(at->address, address, sizeof address) == 0) {
            at->left += (double)(now_us - at->at_us) * SP_LOGIN_TRIES / (double)MINUTE_US;
            at->left = at->left > SP_LOGIN_TRIES ? SP_LOGIN_TRIES : at->left;
            at->at_us = now_us;
            return at;
        }
        if (at->at_us < position->at_us)
            position = at;
    }
    memcpy(position->address, address, sizeof address);
    position->left = SP_LOGIN_TRIES;
    position->at_us = now_us;
    return position;
}

bool sp_sessions_may_try(struct sp_sessions *sessions, int64_t now_us, const char *address,
                         int *wait_s)
{
    const struct sp_login_tries *tries = tries_of(sessions, now_us, address);
    *wait_s = tries->left >= 1 ? 0 : 1 + (int)((1 - tries->left) * 60 / SP_LOGIN_TRIES);
    return tries->left >= 1;
}

void sp_sessions_wrong(struct sp_sessions *sessions, int64_t now_us, const char *address,
                       bool counts)
{
    if (counts)
        tries_of(sessions, now_us, address)->left -= 1;
    sessions->wrong++;
    snprintf(sessions->latest, sizeof sessions->latest, "%s", address);
    sp_sessions_tick(sessions, now_us);
}

void sp_sessions_tick(struct sp_sessions *sessions, int64_t now_us)
{
    if (sessions->wrong == 0 ||
        (sessions->logged_us != 0 && now_us - sessions->logged_us < MINUTE_US))
        return;
    sp_log(SP_LOG_WARNING, "login: %llu failed or refused, the latest from %s",
           (unsigned long long)sessions->wrong, sessions->latest);
    sessions->wrong = 0;
    sessions->logged_us = now_us;
}
