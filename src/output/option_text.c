#include "output/option_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 64, PATH_BYTES = 1024 };

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode(const char *text, size_t bytes, char *out, size_t out_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes && used + 1 < out_bytes; i++) {
        int high = text[i] == '%' && i + 2 < bytes ? digit(text[i + 1]) : -1;
        int low = high >= 0 ? digit(text[i + 2]) : -1;
        if (low >= 0 && high * 16 + low != 0) {
            out[used++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[used++] = text[i];
        }
    }
    out[used] = '\0';
}

bool spoton_option(const char *options, const char *key, char *out, size_t out_bytes)
{
    size_t key_bytes = strlen(key);
    out[0] = '\0';
    for (const char *at = options; *at; at += *at == '&') {
        size_t bytes = strcspn(at, "&");
        if (bytes > key_bytes && at[key_bytes] == '=' && strncmp(at, key, key_bytes) == 0) {
            decode(at + key_bytes + 1, bytes - key_bytes - 1, out, out_bytes);
            return true;
        }
        at += bytes;
    }
    return false;
}

bool spoton_option_is_on(const char *options, const char *key)
{
    char value[8];
    return spoton_option(options, key, value, sizeof value) && strcmp(value, "false") != 0 &&
           strcmp(value, "0") != 0;
}

static bool is_among(const char *at, size_t bytes, const char *const *keys)
{
    size_t key_bytes = 0;
    while (key_bytes < bytes && at[key_bytes] != '=')
        key_bytes++;
    for (int i = 0; keys[i]; i++)
        if (strlen(keys[i]) == key_bytes && strncmp(keys[i], at, key_bytes) == 0)
            return true;
    return false;
}

void spoton_option_split(const char *options, const char *const *keys, bool take, char *out)
{
    size_t used = 0;
    for (const char *at = options; *at; at += *at == '&') {
        size_t bytes = strcspn(at, "&");
        if (bytes > 0 && is_among(at, bytes, keys) == take) {
            if (used > 0)
                out[used++] = '&';
            memcpy(out + used, at, bytes);
            used += bytes;
        }
        at += bytes;
    }
    out[used] = '\0';
}

bool spoton_option_check(const char *options, const char *const *keys, char *error,
                         size_t error_bytes)
{
    for (const char *at = options; *at; at += *at == '&') {
        size_t bytes = strcspn(at, "&");
        if (bytes > 0 && !is_among(at, bytes, keys)) {
            size_t used = 0;
            used += (size_t)snprintf(error, error_bytes, "option %.*s: unknown; there are",
                                     (int)strcspn(at, "=&"), at);
            for (int i = 0; keys[i] && used < error_bytes; i++)
                used += (size_t)snprintf(error + used, error_bytes - used, "%s %s", i ? "," : "",
                                         keys[i]);
            return false;
        }
        at += bytes;
    }
    return true;
}

static int read_file(const char *key, const char *path, char *out, size_t out_bytes, char *error,
                     size_t error_bytes)
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, (int)out_bytes, file)) {
        snprintf(error, error_bytes, "%s_file: %s: %s", key, path,
                 file ? "is empty" : strerror(errno));
        if (file)
            fclose(file);
        return -1;
    }
    fclose(file);
    out[strcspn(out, "\r\n")] = '\0';
    return 1;
}

int spoton_option_secret(const char *options, const char *key, char *out, size_t out_bytes,
                         char *error, size_t error_bytes)
{
    char name[KEY_BYTES], value[PATH_BYTES];
    out[0] = '\0';
    if (spoton_option(options, key, value, sizeof value)) {
        snprintf(error, error_bytes,
                 "%s: a secret may not be in the settings; write %s_env=VARIABLE or %s_file=PATH",
                 key, key, key);
        return -1;
    }
    snprintf(name, sizeof name, "%s_file", key);
    if (spoton_option(options, name, value, sizeof value))
        return read_file(key, value, out, out_bytes, error, error_bytes);
    snprintf(name, sizeof name, "%s_env", key);
    if (!spoton_option(options, name, value, sizeof value))
        return 0;
    const char *found = getenv(value);
    if (!found || !*found) {
        snprintf(error, error_bytes, "%s_env: the environment variable %s is not set", key, value);
        return -1;
    }
    snprintf(out, out_bytes, "%s", found);
    return 1;
}
