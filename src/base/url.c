#include "base/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How much a text resembles a host. From DOTTED on it is one for certain. */
enum { NO_HOST, LABEL, LABEL_AND_PORT, DOTTED, ADDRESS };

bool sp_url_has_scheme(const char *url, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncasecmp(url, scheme, n) == 0 && strncmp(url + n, "://", 3) == 0;
}

static bool is_host_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || c == '-' || c == '_' ||
           c == '.';
}

static int rate_name(const char *name, size_t n)
{
    char text[64];
    struct in_addr v4;
    if (n < sizeof text) {
        memcpy(text, name, n);
        text[n] = '\0';
        if (inet_pton(AF_INET, text, &v4) == 1 || strcasecmp(text, "localhost") == 0)
            return ADDRESS;
    }
    const char *dot = memchr(name, '.', n);
    return dot && dot > name && dot + 1 < name + n ? DOTTED : LABEL;
}

/* Also of a URL within a sentence: blanks and quotes end it too. */
static bool ends_host(const char *at)
{
    return *at == '\0' || strchr("/?#'\",;)> \t", *at) != NULL;
}

static int rate_host(const char *at)
{
    size_t n = 0;
    int rating = ADDRESS;
    if (*at == '[') {
        n = 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
        if (at[n] == '%') /* a zone */
            n += strspn(at + n,
                        "%-_.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (n < 3 || at[n++] != ']')
            return NO_HOST;
    } else {
        while (is_host_byte(at[n]))
            n++;
        if (n == 0)
            return NO_HOST;
        rating = rate_name(at, n);
    }
    if (at[n] == ':') {
        size_t digits = strspn(at + n + 1, "0123456789");
        if (digits == 0)
            return at[n + 1] == '\0' || at[n + 1] == ' ' ? rating : NO_HOST;
        if (digits > 5 || strtol(at + n + 1, NULL, 10) > 65535)
            return NO_HOST;
        n += 1 + digits;
        if (rating == LABEL)
            rating = LABEL_AND_PORT;
    }
    return ends_host(at + n) ? rating : NO_HOST;
}

/* "host/path?key=a@b": that '@' belongs to a value. */
static bool is_in_query(const char *host, const char *at)
{
    size_t n = strcspn(host, "/?#");
    if (host[n] != '/' || rate_host(host) == NO_HOST)
        return false;
    const char *query = memchr(host, '?', (size_t)(at - host));
    return query && memchr(query, '=', (size_t)(at - query));
}

static size_t user_bytes(const char *rest, bool in_doubt_more)
{
    size_t authority = strcspn(rest, "/?#");
    const char *host = rest;
    for (const char *c = rest; c < rest + authority; c++)
        if (*c == '@')
            host = c + 1;
    bool well_formed = host > rest;
    int best = rate_host(host);
    const char *end = host, *last = host;
    for (const char *c = host; *c; c++) {
        if (best > NO_HOST && strncmp(c, "://", 3) == 0)
            break; /* the next URL */
        if (*c != '@')
            continue;
        last = c + 1;
        bool unsure = in_doubt_more && best < DOTTED;
        int rating = rate_host(c + 1);
        if (rating == NO_HOST || (!unsure && is_in_query(host, c)))
            continue;
        if (rating > best || unsure || (rating == best && (well_formed || in_doubt_more)))
            end = c + 1;
        if (rating > best)
            best = rating;
    }
    if (best == NO_HOST)
        end = last;
    return (size_t)(end - rest);
}

size_t sp_url_user_bytes(const char *rest)
{
    return user_bytes(rest, false);
}

size_t sp_url_secret_bytes(const char *rest)
{
    return user_bytes(rest, true);
}

static long port_of(const char *url, const char *host, size_t host_bytes)
{
    if (host[host_bytes] == ':')
        return strtol(host + host_bytes + 1, NULL, 10);
    return sp_url_has_scheme(url, "https") ? 443 : sp_url_has_scheme(url, "http") ? 80 : -1;
}

/* The host's length, *host where it begins; 0: it is no URL. */
static size_t find_host(const char *url, const char **host)
{
    const char *mark = strstr(url, "://");
    if (!mark)
        return 0;
    *host = mark + 3 + sp_url_user_bytes(mark + 3);
    return **host == '[' ? strcspn(*host, "]/?#") + 1 : strcspn(*host, ":/?#");
}

bool sp_url_host(const char *url, char *out, size_t out_bytes)
{
    const char *host;
    size_t n = find_host(url, &host);
    if (n > 2 && *host == '[') {
        host++;
        n -= 2;
    }
    if (n == 0 || n >= out_bytes)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return true;
}

bool sp_url_same_server(const char *a, const char *b)
{
    const char *host_a, *host_b;
    size_t n = find_host(a, &host_a);
    size_t scheme = strcspn(a, ":");
    return n > 0 && n == find_host(b, &host_b) && strncasecmp(host_a, host_b, n) == 0 &&
           scheme == strcspn(b, ":") && strncasecmp(a, b, scheme) == 0 &&
           port_of(a, host_a, n) == port_of(b, host_b, n);
}

int sp_url_normalise(const char *url, char *out, size_t out_bytes, struct sp_error *err)
{
    size_t scheme =
        strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    size_t used = 0, user = 0;
    const char *at = url;
    bool network = scheme > 0 && strncmp(url + scheme, "://", 3) == 0;
    if (network) {
        user = sp_url_user_bytes(url + scheme + 3);
        for (; at < url + scheme + 3 && used + 1 < out_bytes; at++)
            out[used++] = (char)tolower((unsigned char)*at);
    }
    network = network && !sp_url_has_scheme(url, "file"); /* a path has no encoding */
    const char *user_end = user && network ? at + user - 1 : at;
    for (; *at && used + 4 < out_bytes; at++) {
        bool encoded = at[0] == '%' && isxdigit((unsigned char)at[1]) &&
                       isxdigit((unsigned char)at[2]) && at + 2 < user_end;
        if ((network && *at == ' ') || (at < user_end && strchr("/?#%@[]", *at) && !encoded))
            used += (size_t)snprintf(out + used, 4, "%%%02X", (unsigned)(unsigned char)*at);
        else
            out[used++] = *at;
    }
    out[used] = '\0';
    if (*at)
        return sp_fail(err, SP_ERR_INVALID, "the URL is too long: at most %zu bytes are allowed",
                       out_bytes - 5);
    return SP_OK;
}
