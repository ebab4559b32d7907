#include "base/redact.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Bounded output: appends what fits and keeps the text terminated. */
struct text {
    char *at;
    size_t left_bytes;
};

static void append(struct text *t, const char *from, size_t n)
{
    if (t->left_bytes <= 1)
        return;
    if (n > t->left_bytes - 1)
        n = t->left_bytes - 1;
    memcpy(t->at, from, n);
    t->at += n;
    *t->at = '\0';
    t->left_bytes -= n;
}

static bool is_secret_key(const char *key, size_t n)
{
    static const char *const words[] = {"password", "passwd", "pwd",    "pass",
                                        "token",    "key",    "secret", "auth"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i]);
        for (size_t at = 0; at + length <= n; at++)
            if (strncasecmp(key + at, words[i], length) == 0)
                return true;
    }
    return false;
}

static void append_query(struct text *t, const char *query)
{
    while (*query) {
        size_t n = strcspn(query, "&;");
        size_t key = strcspn(query, "=&;");
        if (key < n && is_secret_key(query, key)) {
            append(t, query, key + 1);
            append(t, "***", 3);
        } else {
            append(t, query, n);
        }
        query += n;
        if (*query)
            append(t, query++, 1);
    }
}

void sp_redact_url(const char *url, char *out, size_t out_bytes)
{
    if (out_bytes == 0)
        return;
    struct text t = {out, out_bytes};
    out[0] = '\0';

    const char *scheme_end = strstr(url, "://");
    if (!scheme_end) {
        append(&t, url, strlen(url));
        return;
    }
    const char *authority = scheme_end + 3;
    append(&t, url, (size_t)(authority - url));

    /* A password may itself hold '@', so the last one before the path ends the user part. */
    size_t authority_length = strcspn(authority, "/?#");
    const char *at = NULL;
    for (size_t i = 0; i < authority_length; i++)
        if (authority[i] == '@')
            at = authority + i;
    if (at) {
        const char *colon = memchr(authority, ':', (size_t)(at - authority));
        if (colon) {
            append(&t, authority, (size_t)(colon - authority) + 1);
            append(&t, "***", 3);
        } else {
            append(&t, authority, (size_t)(at - authority));
        }
    } else {
        at = authority;
    }
    const char *query = strchr(at, '?');
    if (!query) {
        append(&t, at, strlen(at));
        return;
    }
    append(&t, at, (size_t)(query - at) + 1);
    append_query(&t, query + 1);
}
