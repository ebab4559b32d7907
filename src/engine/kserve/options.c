#include "options.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 1000, TIMEOUT_MS_MAX = 60000, REQUESTS = 4, REQUESTS_MAX = 64 };

/* "http://host:8000/v2/models/person": base, model and what messages show. */
static int read_url(struct kserve_address *address, const char *url, size_t bytes, char *error,
                    size_t error_bytes)
{
    static const char path[] = "/v2/models/";
    char text[KSERVE_URL_BYTES];
    if (bytes == 0 || bytes >= sizeof text - 8)
        return kserve_fail(error, error_bytes,
                           "KSERVE_URL: empty or longer than %d characters; use "
                           "http://HOST:8000/v2/models/NAME",
                           KSERVE_URL_BYTES - 8);
    snprintf(text, sizeof text, "%.*s", (int)bytes, url);
    while (bytes > 0 && text[bytes - 1] == '/')
        text[--bytes] = '\0';
    bool scheme = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
    const char *host = scheme ? strstr(text, "://") + 3 : text;
    const char *found = strstr(host, path);
    if (strchr(host, '@'))
        return kserve_fail(error, error_bytes,
                           "KSERVE_URL: contains a user or a password; use KSERVE_TOKEN");
    if (!scheme || !found || found == host || !found[sizeof path - 1] || strpbrk(text, "?# "))
        return kserve_fail(error, error_bytes,
                           "KSERVE_URL=%.100s: not the URL of a model; use "
                           "http://HOST:8000/v2/models/NAME",
                           text);
    snprintf(address->model, sizeof address->model, "%s", text);
    snprintf(address->base, sizeof address->base, "%.*s", (int)(found - text), text);
    snprintf(address->shown, sizeof address->shown, "%.*s/%s", (int)(found - host), host,
             found + sizeof path - 1);
    return 0;
}

static int read_urls(struct kserve_options *options, const char *list, size_t bytes, char *error,
                     size_t error_bytes)
{
    for (size_t at = 0; at < bytes;) {
        const char *comma = memchr(list + at, ',', bytes - at);
        size_t n = comma ? (size_t)(comma - list) - at : bytes - at;
        if (options->server_count == KSERVE_SERVERS_MAX)
            return kserve_fail(error, error_bytes, "KSERVE_URL: more than %d servers",
                               KSERVE_SERVERS_MAX);
        if (read_url(&options->server[options->server_count++], list + at, n, error, error_bytes) <
            0)
            return SPOTON_FAILED;
        at += n + 1;
    }
    return 0;
}

static int read_number(int *out, const char *name, const char *text, size_t bytes, int most,
                       char *error, size_t error_bytes)
{
    char copy[16];
    char *end;
    snprintf(copy, sizeof copy, "%.*s", (int)bytes, text);
    long value = strtol(copy, &end, 10);
    if (bytes >= sizeof copy || end == copy || *end || value < 1 || value > most)
        return kserve_fail(error, error_bytes, "engine option %s: must be 1 to %d", name, most);
    *out = (int)value;
    return 0;
}

static int read_text(char *out, size_t out_bytes, const char *name, const char *text, size_t bytes,
                     char *error, size_t error_bytes)
{
    if (bytes >= out_bytes)
        return kserve_fail(error, error_bytes, "engine option %s: longer than %zu characters", name,
                           out_bytes - 1);
    snprintf(out, out_bytes, "%.*s", (int)bytes, text);
    return 0;
}

static int read_pair(struct kserve_options *options, const char *key, size_t key_bytes,
                     const char *value, size_t bytes, char *error, size_t error_bytes)
{
    static const char *const names[] = {"url",      "token", "ca",       "timeout_ms",
                                        "requests", "later", "budget_ms"};
    int found = -1, flag = 0, result = 0;
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); ++i)
        if (strlen(names[i]) == key_bytes && memcmp(names[i], key, key_bytes) == 0)
            found = i;
    switch (found) {
    case 0:
        return read_urls(options, value, bytes, error, error_bytes);
    case 1:
        return read_text(options->token, sizeof options->token, "token", value, bytes, error,
                         error_bytes);
    case 2:
        return read_text(options->ca_file, sizeof options->ca_file, "ca", value, bytes, error,
                         error_bytes);
    case 3:
        return read_number(&options->timeout_ms, "timeout_ms", value, bytes, TIMEOUT_MS_MAX, error,
                           error_bytes);
    case 4:
        return read_number(&options->requests, "requests", value, bytes, REQUESTS_MAX, error,
                           error_bytes);
    case 5:
        result = read_number(&flag, "later", value, bytes, 1, error, error_bytes);
        options->later = flag == 1;
        return result;
    case 6:
        return read_number(&options->budget_ms, "budget_ms", value, bytes, TIMEOUT_MS_MAX, error,
                           error_bytes);
    default:
        return kserve_fail(error, error_bytes,
                           "engine option %.*s: unknown; the kserve engine has url, token, ca, "
                           "timeout_ms, requests, budget_ms and later",
                           (int)(key_bytes < 40 ? key_bytes : 40), key);
    }
}

int kserve_read_options(struct kserve_options *options, const char *backend_options, char *error,
                        size_t error_bytes)
{
    const char *text = backend_options;
    *options = (struct kserve_options){.timeout_ms = TIMEOUT_MS, .requests = REQUESTS};
    while (text && *text) {
        size_t bytes = strcspn(text, ";");
        const char *equals = memchr(text, '=', bytes);
        if (!equals)
            return kserve_fail(error, error_bytes, "ENGINE_OPTIONS: must be KEY=VALUE;KEY=VALUE");
        size_t key_bytes = (size_t)(equals - text);
        if (read_pair(options, text, key_bytes, equals + 1, bytes - key_bytes - 1, error,
                      error_bytes) < 0)
            return SPOTON_FAILED;
        text += bytes;
        text += *text == ';';
    }
    for (size_t i = 0; options->token[i]; ++i)
        if (options->token[i] <= ' ' || options->token[i] > '~')
            return kserve_fail(error, error_bytes,
                               "KSERVE_TOKEN: has a blank or a control character; remove it");
    if (options->server_count == 0)
        return kserve_fail(error, error_bytes,
                           "KSERVE_URL: not set; set it to http://HOST:8000/v2/models/NAME");
    return 0;
}
