#include "base/redact.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { FORGOTTEN_BYTES = 256 };

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

/* In "user:password@host" that begins at `at`: true with where the password begins and ends. */
static bool find_password(const char *at, const char **begin, const char **end)
{
    size_t length = strcspn(at, "/?#");
    const char *last = NULL;
    const char *colon = memchr(at, ':', length);
    if (!colon)
        return false;
    /* A password may itself hold '@', so the last one before the path ends the user part. */
    for (const char *c = colon; c < at + length; c++)
        if (*c == '@')
            last = c;
    /* It may even hold '/', '?' or '#' that somebody forgot to escape: what follows the colon is
     * then no port, and an '@' comes later. */
    size_t port = strspn(colon + 1, "0123456789");
    if (!last && colon + 1 + port < at + length)
        for (const char *c = at + length; *c && c < at + length + FORGOTTEN_BYTES; c++) {
            if (strncmp(c, "://", 3) == 0)
                break; /* the next URL */
            if (*c == '@')
                last = c;
        }
    *begin = colon + 1;
    *end = last;
    return last != NULL;
}

/* URLs may stand in one another: http://proxy/?from=rtsp://user:password@host/ */
void sp_redact_url(const char *url, char *out, size_t out_bytes)
{
    if (out_bytes == 0)
        return;
    struct text t = {out, out_bytes};
    bool is_url = false;
    out[0] = '\0';
    while (*url) {
        const char *begin, *end;
        size_t key;
        if (strncmp(url, "://", 3) == 0) {
            is_url = true;
            append(&t, url, 3);
            url += 3;
            if (find_password(url, &begin, &end)) {
                append(&t, url, (size_t)(begin - url));
                append(&t, "***", 3);
                url = end;
            }
        } else if (is_url && strchr("?&;", *url)) {
            append(&t, url++, 1);
            key = strcspn(url, "=?&;");
            if (url[key] == '=' && is_secret_key(url, key)) {
                append(&t, url, key + 1);
                append(&t, "***", 3);
                url += strcspn(url, "&;");
            }
        } else {
            append(&t, url++, 1);
        }
    }
}
