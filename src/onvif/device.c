#include "onvif/device.h"

#include "base/clock.h"
#include "onvif/xml.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { TIMEOUT_MS = 5000, STATUS_OK = 200, STATUS_REFUSED = 401 };

#define DEVICE " xmlns=\"http://www.onvif.org/ver10/device/wsdl\""
#define MEDIA " xmlns=\"http://www.onvif.org/ver10/media/wsdl\""

static const char *const HTTP[] = {"http", "https", NULL};
static const char *const RTSP[] = {"rtsp", "rtsps", "http", "https", NULL};

struct conversation {
    const struct sp_onvif_ask *ask;
    CURL *curl;
    char *answer;
    size_t bytes;
    bool too_long;
    int login;        /* -1: none */
    bool accepted;    /* the current login is good: the next ones are not tried */
    bool digest;      /* the device asks for HTTP Digest */
    int64_t ahead_us; /* the device's clock compared with ours */
};

static size_t take(char *bytes, size_t size, size_t count, void *user)
{
    struct conversation *c = user;
    count *= size;
    if (count > SP_XML_BYTES_MAX - c->bytes) {
        c->too_long = true;
        return 0;
    }
    memcpy(c->answer + c->bytes, bytes, count);
    c->bytes += count;
    return count;
}

static int check_interrupted(void *user, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    struct conversation *c = user;
    (void)a;
    (void)b;
    (void)d;
    (void)e;
    return c->ask->interrupted && c->ask->interrupted();
}

static int fail(const struct conversation *c, CURLcode code, struct sp_error *err)
{
    const char *host = c->ask->host;
    if (c->too_long)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: its answer is longer than %d bytes; not an ONVIF device", host,
                       SP_XML_BYTES_MAX);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return sp_fail(err, SP_ERR_INTERRUPTED, "%s: interrupted", host);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return sp_fail(err, SP_ERR_TIMEOUT,
                       "%s: no answer in time; check that ONVIF is enabled there", host);
    if (code == CURLE_OUT_OF_MEMORY)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", host);
    return sp_fail(err, SP_ERR_IO, "%s: %s; check that ONVIF is enabled there", host,
                   curl_easy_strerror(code));
}

static void set_up(struct conversation *c, const char *url, const char *request)
{
    long timeout_ms = c->ask->timeout_ms > 0 ? c->ask->timeout_ms : TIMEOUT_MS;
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, request);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, check_interrupted);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
    /* Cameras sign their certificates themselves. What is sent is a digest. */
    curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYHOST, 0L);
}

/* One request; the answer is in c->answer. *status: of HTTP. */
static int post(struct conversation *c, const char *url, const char *request, bool digest,
                long *status, struct sp_error *err)
{
    struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/soap+xml; charset=utf-8");
    c->bytes = 0;
    c->too_long = false;
    set_up(c, url, request);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    if (digest) {
        curl_easy_setopt(c->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_DIGEST);
        curl_easy_setopt(c->curl, CURLOPT_USERNAME, c->ask->logins[c->login].user);
        curl_easy_setopt(c->curl, CURLOPT_PASSWORD, c->ask->logins[c->login].password);
    }
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return fail(c, code, err);
    long offered = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_getinfo(c->curl, CURLINFO_HTTPAUTH_AVAIL, &offered);
    if (*status == STATUS_REFUSED && (offered & CURLAUTH_DIGEST))
        c->digest = true;
    return SP_OK;
}

/* The body in an envelope, signed with the current login; by HTTP Digest too, if that is asked for.
 */
static int post_signed(struct conversation *c, const char *url, const char *body, long *status,
                       struct sp_error *err)
{
    static const struct sp_onvif_login none;
    char request[SP_ONVIF_REQUEST_BYTES];
    unsigned char nonce[SP_ONVIF_NONCE_BYTES];
    bool again;
    do {
        const struct sp_onvif_login *login = c->login >= 0 ? &c->ask->logins[c->login] : &none;
        bool digest = c->digest && c->login >= 0;
        if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
            return sp_fail(err, SP_ERR_IO, "%s: no random numbers", c->ask->host);
        int result =
            sp_onvif_request(body, login, nonce, sp_clock_wall_us() + c->ahead_us, request, err);
        if (result == SP_OK)
            result = post(c, url, request, digest, status, err);
        if (result < 0)
            return result;
        again = *status == STATUS_REFUSED && c->digest && !digest && c->login >= 0;
    } while (again);
    return SP_OK;
}

/* Reads an answer; the type of `out` depends on the function. */
typedef int read_answer(const char *bytes, size_t count, void *out, struct sp_error *err);

static int read_time(const char *bytes, size_t count, void *out, struct sp_error *err)
{
    return sp_onvif_read_time(bytes, count, out, err);
}

static int read_media(const char *bytes, size_t count, void *out, struct sp_error *err)
{
    return sp_onvif_read_media_address(bytes, count, out, err);
}

static int read_profiles(const char *bytes, size_t count, void *out, struct sp_error *err)
{
    return sp_onvif_read_profiles(bytes, count, out, err);
}

static int read_uri(const char *bytes, size_t count, void *out, struct sp_error *err)
{
    return sp_onvif_read_stream_uri(bytes, count, out, err);
}

/* Asks with the current login, and with the next ones while the device refuses. */
static int call(struct conversation *c, const char *url, const char *body, read_answer *read,
                void *out, struct sp_error *err)
{
    for (;;) {
        long status = 0;
        int result = post_signed(c, url, body, &status, err);
        if (result < 0)
            return result;
        if (status == STATUS_REFUSED)
            result = SP_ERR_UNAUTHORIZED;
        else
            result = read(c->answer, c->bytes, out, err);
        if (result < 0 && result != SP_ERR_UNAUTHORIZED)
            return sp_fail_prefix(err, result, "%s", c->ask->host);
        if (result == SP_OK || c->accepted || c->login + 1 >= c->ask->login_count)
            return result == SP_OK
                       ? SP_OK
                       : sp_fail(err, SP_ERR_UNAUTHORIZED,
                                 "%s: login refused; add its \"user:password\" to the file of "
                                 "--logins",
                                 c->ask->host);
        c->login++;
    }
}

static int read_streams(struct conversation *c, const char *media, struct sp_onvif_streams *out,
                        const struct sp_onvif_profiles *profiles, struct sp_error *err)
{
    int result = SP_OK;
    for (int i = 0; i < profiles->count && result == SP_OK && out->count < SP_ONVIF_STREAMS_MAX;
         i++) {
        const char *source = profiles->profile[i].source;
        bool seen = false;
        for (int k = 0; k < i && !seen; k++)
            seen = strcmp(profiles->profile[k].source, source) == 0;
        if (seen)
            continue;
        char body[SP_ONVIF_REQUEST_BYTES / 2], uri[SP_ONVIF_URL_BYTES];
        struct sp_onvif_stream *stream = &out->stream[out->count];
        stream->profile =
            profiles->profile[sp_onvif_choose(profiles, source, c->ask->input_size_px)];
        result = sp_onvif_stream_body(stream->profile.token, body, sizeof body, err);
        if (result == SP_OK)
            result = call(c, media, body, read_uri, uri, err);
        if (result == SP_OK &&
            !sp_onvif_with_host(uri, c->ask->host, RTSP, stream->url, sizeof stream->url))
            result = sp_fail(err, SP_ERR_FORMAT,
                             "%s: its stream has no address of rtsp:// or http://", c->ask->host);
        if (result == SP_OK)
            out->count++;
    }
    return result;
}

static int converse(struct conversation *c, struct sp_onvif_streams *out,
                    struct sp_onvif_profiles *profiles, struct sp_error *err)
{
    const struct sp_onvif_ask *ask = c->ask;
    char reported[SP_ONVIF_URL_BYTES], media[SP_ONVIF_URL_BYTES];
    struct sp_error problem = {0};
    int64_t time_us = 0;
    /* The clock is needed for the signatures, so it is asked without any. A device without gets
     * ours. */
    c->accepted = true;
    int result =
        call(c, ask->url, "<GetSystemDateAndTime" DEVICE "/>", read_time, &time_us, &problem);
    c->accepted = false;
    if (result == SP_OK)
        c->ahead_us = time_us - sp_clock_wall_us();
    else if (result != SP_ERR_FORMAT && result != SP_ERR_UNAUTHORIZED)
        return sp_fail(err, result, "%s", problem.text);
    result =
        call(c, ask->url, "<GetCapabilities" DEVICE "><Category>Media</Category></GetCapabilities>",
             read_media, reported, err);
    if (result == SP_OK && !sp_onvif_with_host(reported, ask->host, HTTP, media, sizeof media))
        result = sp_fail(err, SP_ERR_FORMAT, "%s: its media service has no address of http://",
                         ask->host);
    if (result == SP_OK)
        result = call(c, media, "<GetProfiles" MEDIA "/>", read_profiles, profiles, err);
    c->accepted = true;
    if (result == SP_OK)
        result = read_streams(c, media, out, profiles, err);
    if (result == SP_OK && c->login >= 0)
        out->login = ask->logins[c->login];
    return result;
}

int sp_onvif_ask(struct sp_onvif_streams *out, const struct sp_onvif_ask *ask, struct sp_error *err)
{
    struct conversation c = {.ask = ask, .login = -1};
    struct sp_onvif_profiles *profiles = malloc(sizeof *profiles);
    c.curl = curl_easy_init();
    c.answer = malloc(SP_XML_BYTES_MAX);
    memset(out, 0, sizeof *out);
    int result = SP_ERR_NO_MEMORY;
    if (profiles && c.curl && c.answer)
        result = converse(&c, out, profiles, err);
    else
        sp_fail(err, result, "%s: out of memory", ask->host);
    if (c.curl)
        curl_easy_cleanup(c.curl);
    free(c.answer);
    free(profiles);
    return result;
}

int sp_onvif_begin(struct sp_error *err)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? SP_OK
               : sp_fail(err, SP_ERR_NO_MEMORY, "libcurl: out of memory");
}

void sp_onvif_end(void)
{
    curl_global_cleanup();
}
