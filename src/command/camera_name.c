#include "command/camera_name.h"

#include "base/redact.h"

#include <stdio.h>
#include <string.h>

static bool is_safe(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* The part of a URL to name a camera after: the last path segment without extension, or the host if
 * there is no path or the segment holds keys or a secret. `url`: redacted. */
static size_t naming_part(const char *url, const char **start)
{
    const char *scheme = strstr(url, "://");
    const char *at = scheme ? scheme + 3 : url;
    const char *end = scheme ? at + strcspn(at, "?#") : at + strlen(at);
    while (end > at && end[-1] == '/')
        end--;
    const char *path = scheme ? memchr(at, '/', (size_t)(end - at)) : at;
    const char *last = path;
    for (const char *c = path; path && c < end; c++)
        if (*c == '/')
            last = c + 1;
    bool usable = path && !(scheme && memchr(last, '=', (size_t)(end - last))) &&
                  !memmem(last, (size_t)(end - last), "***", 3);
    if (scheme && !usable) { /* user:***@host:port */
        const char *at_sign = memchr(at, '@', (size_t)(end - at));
        if (at_sign && (!path || at_sign < path))
            at = at_sign + 1;
        *start = at;
        return strcspn(at, ":/?#");
    }
    const char *ending = end;
    for (const char *c = last + 1; c < end; c++)
        if (*c == '.')
            ending = c;
    *start = last;
    return (size_t)(ending - last);
}

static bool is_taken(const struct sp_settings *settings, const char *name)
{
    for (int i = 0; i < settings->camera_count; i++)
        if (strcmp(settings->camera[i].name, name) == 0)
            return true;
    return false;
}

void sp_camera_name_from_url(const struct sp_settings *settings, const char *url,
                             char out[SP_CAMERA_NAME_BYTES])
{
    char base[SP_CAMERA_NAME_BYTES - 12]; /* leaves space for "-" and a number */
    char shown[SP_URL_BYTES + 64];
    const char *part;
    sp_redact_url(url, shown, sizeof shown);
    size_t part_bytes = naming_part(shown, &part), used = 0;
    for (size_t i = 0; i < part_bytes && used + 1 < sizeof base; i++) {
        char c = is_safe(part[i]) ? part[i] : '-';
        bool leading = used == 0 && (c == '-' || c == '.');
        bool again = used > 0 && c == '-' && base[used - 1] == '-';
        if (!leading && !again)
            base[used++] = c;
    }
    while (used > 0 && (base[used - 1] == '-' || base[used - 1] == '.'))
        used--;
    base[used] = '\0';
    if (used == 0)
        snprintf(base, sizeof base, "camera");
    snprintf(out, SP_CAMERA_NAME_BYTES, "%s", base);
    for (int n = 2; is_taken(settings, out); n++)
        snprintf(out, SP_CAMERA_NAME_BYTES, "%s-%d", base, n);
}
