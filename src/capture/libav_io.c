/* Restricts what an address may open, and determines the format from the content.
 *
 * FFmpeg follows everything that a playlist or a session description names: other protocols, other
 * hosts, local files. Each kind of address gets the protocols that it consists of; a playlist may
 * name its own server, a file its own folder. HTTP is opened here, so that the content type and the
 * first bytes determine the format, and not the end of the URL. */
#include "base/log.h"
#include "base/redact.h"
#include "base/url.h"
#include "capture/libav.h"
#include "capture/libav_log.h"
#include "capture/multipart.h"

#include <ctype.h>
#include <libavutil/opt.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_BYTES = 64, BUFFER_BYTES = 65536, FORMATS_BYTES = 8192 };

struct sp_libav_io {
    AVIOContext *http;
    struct sp_multipart *multipart; /* or NULL */
    AVIOContext *regular;           /* reads from `multipart` */
    char *location;                 /* after redirects; or NULL */
    char *folder;                   /* of a file; or NULL */
    int (*open)(AVFormatContext *format, AVIOContext **out, const char *url, int flags,
                AVDictionary **options); /* FFmpeg's own */
    bool refusal_logged;
};

/* ---- what may be opened ---- */

static const struct {
    const char *scheme, *protocols;
} kinds[] = {
    {"http", "http,https,httpproxy,tcp,tls,crypto,data"},
    {"https", "http,https,httpproxy,tcp,tls,crypto,data"},
    {"rtsp", "tcp,tls,udp,rtp,srtp"},
    {"rtsps", "tcp,tls,udp,rtp,srtp"},
    {"rtp", "rtp,srtp,udp"},
    {"rtmp", "rtmp,rtmpt,rtmpe,rtmps,ffrtmphttp,ffrtmpcrypt,http,tcp,tls"},
};

/* `out` gets the protocols of a URL; a path has none, and opens files. */
static void allowed_protocols(const struct sp_libav *s, const char *url, char out[128])
{
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (sp_url_has_scheme(url, kinds[i].scheme)) {
            snprintf(out, 128, "%s", kinds[i].protocols);
            return;
        }
    if (s->network)
        snprintf(out, 128, "%.*s,tcp,tls,udp", (int)(n < 40 ? n : 40), url);
    else if (n > 0 && (url[n] == ':' || url[n] == ',')) /* FFmpeg syntax such as "pipe:0" */
        snprintf(out, 128, "%.*s,file,crypto,data", (int)(n < 40 ? n : 40), url);
    else
        snprintf(out, 128, "file,crypto,data");
}

/* Formats that open nested addresses without allow_nested. */
static bool is_list_of_others(const char *format)
{
    static const char *const names[] = {"concat", "dash", "imf", "sdp", "webm_dash_manifest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(format, names[i]) == 0)
            return true;
    return false;
}

static char *allowed_formats(void)
{
    char *names = calloc(1, FORMATS_BYTES);
    void *state = NULL;
    const AVInputFormat *format;
    size_t used = 0;
    while (names && (format = av_demuxer_iterate(&state)) != NULL) {
        size_t n = strlen(format->name);
        if (is_list_of_others(format->name) || used + n + 2 > FORMATS_BYTES)
            continue;
        used += (size_t)sprintf(names + used, "%s%s", used ? "," : "", format->name);
    }
    char *copy = names ? av_strdup(names) : NULL;
    free(names);
    return copy;
}

static bool is_in_folder(const char *folder, const char *path)
{
    char real[PATH_MAX];
    size_t n = strlen(folder);
    if (strncmp(path, "file:", 5) == 0)
        path += strncmp(path, "file://", 7) == 0 ? 7 : 5;
    return realpath(path, real) && strncmp(real, folder, n) == 0 && real[n] == '/';
}

static bool allow_nested(const struct sp_libav *s, const char *url)
{
    if (strncasecmp(url, "crypto", 6) == 0 && (url[6] == '+' || url[6] == ':'))
        url += 7;
    if (strncasecmp(url, "data:", 5) == 0)
        return true;
    if (s->network)
        return sp_url_same_server(url, s->url) ||
               (s->io->location && sp_url_same_server(url, s->io->location));
    return !s->io->folder || is_in_folder(s->io->folder, url);
}

static int open_nested(AVFormatContext *format, AVIOContext **out, const char *url, int flags,
                       AVDictionary **options)
{
    struct sp_libav *s = format->opaque;
    bool outermost = !format->pb && strcmp(url, format->url) == 0;
    if (outermost || allow_nested(s, url)) {
        if (!outermost && s->network) /* its own server must not redirect elsewhere either */
            av_dict_set_int(options, "max_redirects", 0, 0);
        return s->io->open(format, out, url, flags, options);
    }
    char shown[200];
    sp_redact_url(url, shown, sizeof shown);
    if (!s->io->refusal_logged)
        sp_log(SP_LOG_WARNING, "%s: it refers to %s, which is not opened: %s", s->name, shown,
               s->network ? "only addresses of its own server are allowed"
                          : "only files in its folder are allowed");
    s->io->refusal_logged = true;
    return AVERROR(EACCES);
}

/* ---- HTTP ---- */

static int read_http(void *user, uint8_t *data, int n)
{
    return avio_read_partial(user, data, n);
}

static int read_regular(void *user, uint8_t *data, int n)
{
    int rc = sp_multipart_read(user, data, n);
    return rc == 0 ? AVERROR_EOF : rc == SP_MULTIPART_ERROR ? AVERROR_INVALIDDATA : rc;
}

static bool begins_multipart(const uint8_t *head, int n)
{
    int at = 0;
    while (at < n && isspace(head[at]))
        at++;
    const char *text = (const char *)head + at;
    return (n - at > 2 && memcmp(text, "--", 2) == 0 && isgraph((unsigned char)text[2])) ||
           (n - at > 8 && strncasecmp(text, "Content-", 8) == 0);
}

/* The demuxer of a single image; NULL: unknown. */
static const char *image_format(const uint8_t *head, int n)
{
    static const struct {
        int bytes;
        const char *begin, *format;
    } images[] = {
        {3, "\xFF\xD8\xFF", "jpeg_pipe"},
        {4, "\x89PNG", "png_pipe"},
        {2, "BM", "bmp_pipe"},
        {4, "RIFF", "webp_pipe"},
    };
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        if (n >= images[i].bytes && memcmp(head, images[i].begin, (size_t)images[i].bytes) == 0)
            return images[i].format;
    return NULL;
}

static int make_regular(struct sp_libav_io *io)
{
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    io->multipart = sp_multipart_open(read_http, io->http);
    if (buffer && io->multipart)
        io->regular =
            avio_alloc_context(buffer, BUFFER_BYTES, 0, io->multipart, read_regular, NULL, NULL);
    if (io->regular)
        return 0;
    av_free(buffer);
    return AVERROR(ENOMEM);
}

/* Chooses the demuxer for the open `io->http`. */
static int judge_http(struct sp_libav *s, const AVInputFormat **format)
{
    struct sp_libav_io *io = s->io;
    uint8_t head[HEAD_BYTES], *type = NULL, *location = NULL;
    av_opt_get(io->http, "mime_type", AV_OPT_SEARCH_CHILDREN, &type);
    av_opt_get(io->http, "location", AV_OPT_SEARCH_CHILDREN, &location);
    io->location = (char *)location;
    const char *kind = type ? (const char *)type : "";
    bool multipart = strncasecmp(kind, "multipart/", 10) == 0;
    bool image = strncasecmp(kind, "image/", 6) == 0;
    int rc = 0;
    if (!multipart) {
        int n = avio_read_partial(io->http, head, sizeof head);
        rc = n < 0 ? n : 0;
        if (n > 0 && avio_seek(io->http, 0, SEEK_SET) < 0)
            rc = AVERROR(EIO);
        multipart = n > 0 && begins_multipart(head, n);
        const char *name = n > 0 ? image_format(head, n) : NULL;
        bool jpeg = name && strcmp(name, "jpeg_pipe") == 0;
        if (jpeg && !image && avio_size(io->http) <= 0)
            multipart = true; /* JPEGs one after the other without separators */
        if (!image && !jpeg)
            name = NULL;
        if (name)
            *format = av_find_input_format(name);
    }
    if (rc == 0 && multipart) {
        rc = make_regular(io);
        *format = av_find_input_format("mpjpeg");
    }
    av_free(type);
    s->format->pb = io->regular ? io->regular : io->http;
    s->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    return rc;
}

static int open_http(struct sp_libav *s, const char *url, const AVInputFormat **format)
{
    AVDictionary *options = NULL;
    av_dict_set(&options, "protocol_whitelist", s->format->protocol_whitelist, 0);
    int rc =
        avio_open2(&s->io->http, url, AVIO_FLAG_READ, &s->format->interrupt_callback, &options);
    av_dict_free(&options);
    return rc < 0 ? rc : judge_http(s, format);
}

/* ---- names ---- */

static bool has_proxy(const char *url)
{
    const char *proxy = getenv("http_proxy");
    return proxy && *proxy && strncmp(url, "http", 4) == 0;
}

int sp_libav_resolve(struct sp_libav *s, struct sp_error *err)
{
    static const char *const schemes[] = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "tcp"};
    char host[256];
    bool has_host = false;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        has_host = has_host || sp_url_has_scheme(s->url, schemes[i]);
    if (!has_host || has_proxy(s->url) || !sp_url_host(s->url, host, sizeof host))
        return SP_OK;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc == 0)
        freeaddrinfo(found);
    if (sp_libav_is_interrupted(s))
        return sp_fail(err, SP_ERR_INTERRUPTED, "%s: opening was interrupted", s->name);
    if (rc == 0)
        return SP_OK;
    return sp_fail(err, SP_ERR_IO,
                   "%s: its host name cannot be resolved (%s); check the address and the "
                   "name server",
                   s->name, gai_strerror(rc));
}

/* UDP loses packets: only for cameras that refuse TCP, and for URLs that end in ?udp. */
void sp_libav_choose_transport(const char *url, enum sp_source_transport transport,
                               AVDictionary **settings)
{
    const char *query = strrchr(url, '?');
    bool udp = query && strcmp(query, "?udp") == 0, tcp = query && strcmp(query, "?tcp") == 0;
    if (!udp && !tcp) {
        udp = transport == SP_SOURCE_UDP;
        tcp = transport == SP_SOURCE_TCP;
    }
    av_dict_set(settings, "rtsp_transport", udp ? "udp" : tcp ? "tcp" : "udp+tcp", 0);
    if (!udp && !tcp)
        av_dict_set(settings, "rtsp_flags", "prefer_tcp", 0);
}

/* ---- opening ---- */

static char *folder_of(const char *path)
{
    char real[PATH_MAX];
    if (strncmp(path, "file:", 5) == 0)
        path += 5;
    if (!realpath(path, real))
        return NULL; /* a pattern of numbered images */
    char *slash = strrchr(real, '/');
    *slash = '\0';
    return strdup(real);
}

int sp_libav_io_open(struct sp_libav *s, const char *url, const AVInputFormat **format)
{
    char protocols[128];
    s->io = calloc(1, sizeof *s->io);
    if (!s->io)
        return AVERROR(ENOMEM);
    if (*format) /* a device */
        return 0;
    allowed_protocols(s, url, protocols);
    s->format->protocol_whitelist = av_strdup(protocols);
    s->format->format_whitelist = allowed_formats();
    if (!s->format->protocol_whitelist || !s->format->format_whitelist)
        return AVERROR(ENOMEM);
    s->io->open = s->format->io_open;
    s->format->opaque = s;
    s->format->io_open = open_nested;
    if (sp_url_has_scheme(url, "http") || sp_url_has_scheme(url, "https"))
        return open_http(s, url, format);
    if (!s->network)
        s->io->folder = folder_of(url);
    return 0;
}

void sp_libav_io_close(struct sp_libav_io *io)
{
    if (!io)
        return;
    if (io->regular) {
        av_freep(&io->regular->buffer);
        avio_context_free(&io->regular);
    }
    sp_multipart_close(io->multipart);
    avio_closep(&io->http);
    av_free(io->location);
    free(io->folder);
    free(io);
}
