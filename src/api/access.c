/* Access control: token, session cookie, and cross-origin requests. */
#include "api/access.h"

#include "api/reply.h"
#include "base/clock.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

/* The value and length of the next session cookie at or after `at`; NULL: none. */
static const char *next_session(const char **at, size_t *bytes)
{
    static const char key[] = "spoton_session=";
    while (**at) {
        *at += strspn(*at, " ;");
        const char *cookie = *at;
        size_t n = strcspn(cookie, ";");
        *at += n;
        if (n > sizeof key - 1 && strncmp(cookie, key, sizeof key - 1) == 0) {
            *bytes = n - (sizeof key - 1);
            return cookie + sizeof key - 1;
        }
    }
    return NULL;
}

static bool has_session(const struct sp_api *api, const char *cookies)
{
    size_t bytes;
    for (const char *id; (id = next_session(&cookies, &bytes));)
        if (sp_sessions_has(&api->sessions, sp_clock_us(), id, bytes))
            return true;
    return false;
}

static bool is_known(const struct sp_api *api, const struct sp_request *request)
{
    static const char bearer[] = "Bearer ";
    const char *token = request->authorization;
    if (strncasecmp(token, bearer, sizeof bearer - 1) == 0) {
        token += sizeof bearer - 1;
        token += strspn(token, " ");
        return sp_is_secret(token, strlen(token), api->settings.api_token);
    }
    return has_session(api, request->cookie);
}

/* The host in "https://host:port" or "host:port". */
static size_t host_of(const char *text, const char **host)
{
    const char *scheme = strstr(text, "://");
    *host = scheme ? scheme + 3 : text;
    const char *end = **host == '[' ? strchr(*host, ']') : *host;
    return end ? (size_t)(end - *host) + strcspn(end, ":/") : strlen(*host);
}

static bool is_made_of(const char *text, size_t n, const char *characters)
{
    return strspn(text, characters) >= n;
}

/* Digits and dots only: 127.example.com is not loopback. */
static bool is_loopback_name(const char *host, size_t n)
{
    return (n == 9 && strncasecmp(host, "localhost", 9) == 0) ||
           (n >= 4 && strncmp(host, "127.", 4) == 0 && is_made_of(host, n, "0123456789.")) ||
           (n == 5 && strncmp(host, "[::1]", 5) == 0);
}

static bool is_allowed_origin(const char *list, const char *origin)
{
    size_t length = strlen(origin);
    for (const char *at = list; *at;) {
        at += strspn(at, " ,");
        size_t n = strcspn(at, " ,");
        if ((n == 1 && *at == '*') || (n == length && strncasecmp(at, origin, n) == 0))
            return true;
        at += n;
    }
    return false;
}

/* The origin is this host or loopback (on any port, for front ends with their own server), or is
 * listed in ALLOWED_ORIGINS. */
static bool is_own_origin(const struct sp_api *api, const struct sp_request *request)
{
    const char *origin, *host;
    if (request->origin[0] == '\0')
        return true;
    size_t n = host_of(request->origin, &origin), m = host_of(request->host, &host);
    return is_allowed_origin(api->settings.allowed_origins, request->origin) ||
           is_loopback_name(origin, n) || (n == m && strncasecmp(origin, host, n) == 0);
}

/* Guards against DNS rebinding: the host must be a numeric address, localhost or HTTP_HOST, since
 * any other name may have been pointed at this machine by a foreign page. */
static bool is_own_host(const struct sp_api *api, const struct sp_request *request)
{
    const char *host, *own = api->settings.http_host;
    size_t n = host_of(request->host, &host);
    if (n == 0 || is_loopback_name(host, n) || is_made_of(host, n, "0123456789."))
        return request->host[0] == '\0' || n > 0;
    if (host[0] == '[')
        return host[n - 1] == ']' && is_made_of(host + 1, n - 2, "0123456789abcdefABCDEF:.");
    return n == strlen(own) && strncasecmp(host, own, n) == 0;
}

bool sp_access_cors(const struct sp_api *api, const struct sp_request *request, bool api_v1)
{
    return (api_v1 || api->settings.api_token[0] == '\0') && is_own_origin(api, request);
}

bool sp_access_is_known(const struct sp_api *api, const struct sp_request *request)
{
    return api->settings.api_token[0] == '\0' || is_known(api, request);
}

bool sp_access_allowed(struct sp_call *call, bool open_path)
{
    const struct sp_api *api = call->api;
    const struct sp_request *request = call->request;
    bool guarded = api->settings.api_token[0] != '\0';
    bool changes =
        request->method == SP_POST || request->method == SP_PUT || request->method == SP_DELETE;
    bool foreign = !is_own_origin(api, request);
    if (!guarded && !api->settings.allow_insecure && !is_own_host(api, request)) {
        sp_call_refuse(call, 403, "unknown host name; use the numeric address, or set API_TOKEN");
        return false;
    }
    if (foreign && changes) {
        sp_call_refuse(call, 403, "Origin of another host; add it to ALLOWED_ORIGINS");
        return false;
    }
    if (open_path || !guarded || is_known(api, request))
        return true;
    sp_call_header(call, "WWW-Authenticate: Bearer");
    sp_call_refuse(call, 401, "no valid token; send Authorization: Bearer TOKEN, or sign in");
    return false;
}

static void set_cookie(struct sp_call *call, const char *value, int max_age_s)
{
    sp_call_header(call,
                   "Set-Cookie: spoton_session=%s; HttpOnly; SameSite=Strict; Path=/; "
                   "Max-Age=%d%s",
                   value, max_age_s, call->request->secure ? "; Secure" : "");
    call->reply->status = 204;
}

static void begin_session(struct sp_call *call)
{
    char id[SP_SESSION_ID_BYTES];
    struct sp_error err = {0};
    if (sp_sessions_begin(&call->api->sessions, sp_clock_us(), id, &err) < 0)
        sp_call_refuse(call, 503, "%s", err.text);
    else
        set_cookie(call, id, SP_SESSION_S);
}

static void check_token(struct sp_call *call, const char *token)
{
    struct sp_sessions *sessions = &call->api->sessions;
    const char *secret = call->api->settings.api_token, *address = call->request->address;
    int64_t now_us = sp_clock_us();
    int wait_s;
    if (secret[0] == '\0') {
        call->reply->status = 204; /* without API_TOKEN no login is needed */
    } else if (!sp_sessions_may_try(sessions, now_us, address, &wait_s)) {
        sp_sessions_wrong(sessions, now_us, address, false);
        sp_call_header(call, "Retry-After: %d", wait_s);
        sp_call_refuse(call, 429, "too many failed logins from this address; wait %d s", wait_s);
    } else if (!sp_is_secret(token, strlen(token), secret)) {
        sp_sessions_wrong(sessions, now_us, address, true);
        sp_call_refuse(call, 401, "wrong token; use the value of API_TOKEN");
    } else {
        begin_session(call);
    }
}

void sp_access_login(struct sp_call *call)
{
    json_t *body = json_loadb(call->request->body, call->request->body_bytes, 0, NULL);
    const char *token = json_string_value(json_object_get(body, "token"));
    if (!token || json_object_size(body) != 1)
        sp_call_refuse(call, 400, "invalid body; send {\"token\": \"...\"}");
    else
        check_token(call, token);
    json_decref(body);
}

void sp_access_logout(struct sp_call *call)
{
    const char *cookies = call->request->cookie;
    size_t bytes;
    for (const char *id; (id = next_session(&cookies, &bytes));)
        sp_sessions_end(&call->api->sessions, id, bytes);
    set_cookie(call, "", 0);
}
