#include "base/redact.h"

#include "base/url.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char separators[] = "/?&;#,";
static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
static const char hidden[] = "***";

enum { USER_NAME_MAX = 32, OPAQUE_MIN = 12, OPAQUE_HEX_MIN = 16, OPAQUE_CHANGES = 4 };

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

static void hide(struct text *t)
{
    append(t, hidden, sizeof hidden - 1);
}

static bool has_word(const char *key, size_t n, const char *const *words)
{
    for (; *words; words++) {
        size_t length = strlen(*words);
        for (size_t at = 0; at + length <= n; at++)
            if (strncasecmp(key + at, *words, length) == 0)
                return true;
    }
    return false;
}

/* Words in keys whose values are never shown. */
static bool is_secret_key(const char *key, size_t n)
{
    static const char *const words[] = {"pas",  "pw",  "psw", "pin",   "code", "token",  "key",
                                        "auth", "sig", "jwt", "sess",  "sid",  "secret", "cred",
                                        "otp",  "mac", "sas", "batch", "hash", "login",  NULL};
    return has_word(key, n, words);
}

/* Query keys that never hold a secret: an allow list, as a list of secret keys cannot be complete.
 */
static bool is_harmless_key(const char *key, size_t n)
{
    static const char *const words[] = {
        "action", "audio",       "bitrate",    "cam",      "camera",  "ch",        "channel",
        "cmd",    "codec",       "date",       "fps",      "format",  "framerate", "height",
        "mode",   "profile",     "proto",      "protocol", "quality", "res",       "resolution",
        "size",   "stream",      "streamtype", "subtype",  "timeout", "track",     "transport",
        "type",   "unicast",     "user",       "username", "usr",     "video",     "videocodec",
        "width",  "compression", "rotation",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == n && strncasecmp(key, words[i], n) == 0)
            return true;
    return false;
}

/* Probably generated: a token, a hash, a stream key. */
static bool is_opaque(const char *text, size_t n)
{
    size_t changes = 0, hex = 0, digits = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i], before = i ? (unsigned char)text[i - 1] : 0;
        changes += (isdigit(c) && isalpha(before)) || (isalpha(c) && isdigit(before));
        hex += isxdigit(c) != 0;
        digits += isdigit(c) != 0;
    }
    return (n >= OPAQUE_MIN && changes >= OPAQUE_CHANGES) ||
           (n >= OPAQUE_HEX_MIN && hex == n && digits > 0 && digits < n) ||
           (n >= OPAQUE_MIN && strncmp(text, "eyJ", 3) == 0); /* a JSON web token */
}

static bool is_url_begin(const char *text)
{
    size_t n = strspn(text, name_bytes);
    return n > 0 && strncmp(text + n, "://", 3) == 0;
}

/* Length of a key followed by '='; 0: none. */
static size_t key_length(const char *text, char separator)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '-' || text[n] == '.' ||
           (text[n] == '_' && separator != '_'))
        n++;
    return n > 0 && text[n] == '=' ? n : 0;
}

/* Up to the next "&key=": a value may hold every separator, unescaped. */
static size_t value_length(const char *value)
{
    size_t n = 0;
    while (value[n] && !((strchr(separators, value[n]) || value[n] == '_') &&
                         key_length(value + n + 1, value[n]) > 0))
        n++;
    return n;
}

static bool may_show(const char *key, size_t key_bytes, const char *value, size_t n)
{
    if (n == 0)
        return true;
    if (is_harmless_key(key, key_bytes)) {
        size_t first = strcspn(value, separators); /* the rest is examined separately */
        n = first < n ? first : n;
        return strspn(value, name_bytes) >= n && !is_opaque(value, n);
    }
    return !is_secret_key(key, key_bytes) && ((n <= 3 && strspn(value, "0123456789") >= n) ||
                                              (is_url_begin(value) && strcspn(value, "?&;#") > 3));
}

/* Behind a separator, `*url` at the first byte of a key or a part of the path. */
static void append_part(struct text *t, const char **url, char separator)
{
    size_t key = key_length(*url, separator);
    if (key > 0) {
        const char *value = *url + key + 1;
        size_t n = value_length(value);
        append(t, *url, key + 1);
        *url = value;
        if (may_show(value - key - 1, key, value, n))
            return;
        hide(t);
        *url += n;
        return;
    }
    if (separator == '_' || is_url_begin(*url))
        return;
    size_t n = strcspn(*url, separators), name = strcspn(*url, ":");
    if (name < n && isalpha((unsigned char)**url) && name + 1 < n && (*url)[name + 1] != ' ') {
        append(t, *url, name + 1); /* "/admin:password/live" */
        hide(t);
        *url += n;
    } else if (is_opaque(*url, n)) {
        hide(t);
        *url += n;
    }
}

static void append_user(struct text *t, const char *user, size_t n)
{
    size_t name = strspn(user, name_bytes);
    if (name > 0 && name <= USER_NAME_MAX && user[name] == ':' && name + 2 < n &&
        !is_opaque(user, name))
        append(t, user, name + 1);
    hide(t);
    append(t, "@", 1);
}

/* Behind "://": the user part and the host. */
static void append_authority(struct text *t, const char **url)
{
    size_t user = sp_url_secret_bytes(*url);
    if (user > 0)
        append_user(t, *url, user);
    *url += user;
    size_t host = strcspn(*url, separators);
    append(t, *url, host);
    *url += host;
}

/* Malformed URLs: "admin:password@host/live", "rtsp:/admin:password@host". */
static bool append_without_scheme(struct text *t, const char **url)
{
    const char *at = strrchr(*url, '@'), *colon = strchr(*url, ':');
    if ((strchr("/.", **url) && strncmp(*url, "//", 2) != 0) || !at || !colon || colon > at)
        return false;
    size_t scheme = strspn(*url, name_bytes);
    size_t slashes = strspn(*url + scheme, ":/\\;");
    if (slashes > 1)
        append(t, *url, scheme + slashes);
    hide(t);
    *url = at;
    return true;
}

/* Text before "://" at `mark`, without user and secret. */
static bool is_local(const char *begin, const char *mark)
{
    static const char *const schemes[] = {"sim", "file", "v4l2"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if ((size_t)(mark - begin) >= n && strncasecmp(mark - n, schemes[i], n) == 0 &&
            (mark - begin == (ptrdiff_t)n || !isalnum((unsigned char)mark[-(ptrdiff_t)n - 1])))
            return true;
    }
    return false;
}

/* URLs may be nested: http://proxy/?from=rtsp://user:password@host/ */
void sp_redact_url(const char *url, char *out, size_t out_bytes)
{
    if (out_bytes == 0)
        return;
    struct text t = {out, out_bytes};
    const char *begin = url;
    out[0] = '\0';
    bool is_url = !strstr(url, "://") && append_without_scheme(&t, &url);
    while (*url) {
        if (strncmp(url, "://", 3) == 0) {
            append(&t, url, 3);
            is_url = !is_local(begin, url);
            url += 3;
            if (is_url)
                append_authority(&t, &url);
        } else if (is_url && (strchr(separators, *url) || *url == '_')) {
            char separator = *url;
            append(&t, url++, 1);
            append_part(&t, &url, separator);
        } else {
            append(&t, url++, 1);
        }
    }
}
