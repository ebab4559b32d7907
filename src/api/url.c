/* Checks of camera URLs added over HTTP, and of the listening address. */
#include "api/api.h"

#include "base/redact.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

int sp_api_check_exposure(const struct sp_settings *settings, struct sp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    if (settings->api_token[0] || settings->allow_insecure)
        return SP_OK;
    int failed = getaddrinfo(settings->http_host, NULL, &hints, &found);
    if (failed)
        return sp_fail(err, SP_ERR_INVALID, "HTTP_HOST=%s: %s", settings->http_host,
                       gai_strerror(failed));
    bool safe = true;
    for (struct addrinfo *at = found; at; at = at->ai_next)
        safe = safe && is_loopback(at->ai_addr);
    freeaddrinfo(found);
    if (safe)
        return SP_OK;
    return sp_fail(err, SP_ERR_INVALID,
                   "HTTP_HOST=%s: reachable from other machines without API_TOKEN; set API_TOKEN, "
                   "or ALLOW_INSECURE=1 to let everyone view and add cameras",
                   settings->http_host);
}

static const char *after_scheme(const char *url, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncasecmp(url, scheme, n) == 0 ? url + n : NULL;
}

static int copy_url(const char *url, char out[SP_URL_BYTES], struct sp_error *err)
{
    if (strlen(url) >= SP_URL_BYTES)
        return sp_fail(err, SP_ERR_INVALID, "url: %zu bytes; use at most %d", strlen(url),
                       SP_URL_BYTES - 1);
    snprintf(out, SP_URL_BYTES, "%s", url);
    return SP_OK;
}

static int check_device(const struct sp_settings *settings, const char *device,
                        char out[SP_URL_BYTES], struct sp_error *err)
{
    size_t length = strlen(device);
    for (const char *at = settings->v4l2_devices; *at;) {
        at += strspn(at, " ,");
        size_t n = strcspn(at, " ,");
        if (n == length && memcmp(at, device, n) == 0)
            return copy_url(device, out, err);
        at += n;
    }
    return sp_fail(err, SP_ERR_INVALID, "device %.100s: not allowed; add it to V4L2_DEVICES",
                   device);
}

static int check_file(const struct sp_settings *settings, const char *path, char out[SP_URL_BYTES],
                      struct sp_error *err)
{
    char dir[PATH_MAX], whole[SP_PATH_BYTES + SP_URL_BYTES], file[PATH_MAX];
    if (settings->video_dir[0] == '\0')
        return sp_fail(err, SP_ERR_INVALID,
                       "files: not allowed without VIDEO_DIR; set it to their folder");
    if (!realpath(settings->video_dir, dir))
        return sp_fail(err, SP_ERR_INVALID, "VIDEO_DIR: %s; check the path", strerror(errno));
    if (path[0] == '/')
        snprintf(whole, sizeof whole, "%s", path);
    else
        snprintf(whole, sizeof whole, "%s/%s", dir, path);
    size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    /* The same text for files outside and missing files: clients must not learn which files exist.
     */
    if (!realpath(whole, file) || strncmp(file, dir, n) != 0 || file[n] != '/')
        return sp_fail(err, SP_ERR_INVALID, "%.200s: no such file under VIDEO_DIR", path);
    return copy_url(file, out, err);
}

int sp_api_check_url(const struct sp_settings *settings, const char *url, char out[SP_URL_BYTES],
                     struct sp_error *err)
{
    static const char *const networks[] = {"rtsp://", "rtsps://", "http://", "https://"};
    const char *rest;
    for (const unsigned char *c = (const unsigned char *)url; *c; c++)
        if (*c < 0x20 || *c == 0x7F)
            return sp_fail(err, SP_ERR_INVALID, "url: contains a control character; remove it");
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        rest = after_scheme(url, networks[i]);
        if (rest && (*rest == '\0' || *rest == '/' || *rest == '?' || *rest == '#'))
            return sp_fail(err, SP_ERR_INVALID, "url: no host; use %sHOST/...", networks[i]);
        if (rest)
            return copy_url(url, out, err);
    }
    if (after_scheme(url, "sim://"))
        return copy_url(url, out, err);
    if ((rest = after_scheme(url, "v4l2://")) || strncmp(url, "/dev/", 5) == 0)
        return check_device(settings, rest ? rest : url, out, err);
    if ((rest = after_scheme(url, "file://")))
        return check_file(settings, rest, out, err);
    if (url[0] == '\0')
        return sp_fail(err, SP_ERR_INVALID, "url: empty; send the address of the camera");
    if (strstr(url, "://") || (strchr(url, ':') && url[0] != '/')) {
        char shown[120];
        sp_redact_url(url, shown, sizeof shown);
        return sp_fail(
            err, SP_ERR_INVALID,
            "%s: unsupported; use rtsp://, rtsps://, http://, https://, sim://, a device "
            "of V4L2_DEVICES or a file under VIDEO_DIR",
            shown);
    }
    return check_file(settings, url, out, err);
}
