#include "capture/libav_log.h"

#include "base/log.h"
#include "base/redact.h"

#include <libavutil/error.h>
#include <libavutil/log.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 1024 };

static _Thread_local char last_error[256];

const char *sp_libav_log_last(void)
{
    return last_error;
}

void sp_libav_log_clear(void)
{
    last_error[0] = '\0';
}

/* Word by word: a URL contains no blank (sp_url_normalise). */
void sp_libav_redact_text(const char *text, char *out, size_t out_bytes)
{
    char word[LINE_BYTES];
    if (out_bytes == 0)
        return;
    out[0] = '\0';
    while (*text && out_bytes > 1) {
        size_t n = strcspn(text, " ");
        n += strspn(text + n, " ");
        if (n >= sizeof word)
            n = sizeof word - 1;
        memcpy(word, text, n);
        word[n] = '\0';
        sp_redact_url(word, out, out_bytes);
        size_t used = strlen(out);
        out += used;
        out_bytes -= used;
        text += n;
    }
}

static void on_line(void *context, int level, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void on_line(void *context, int level, const char *format, va_list args)
{
    level &= 0xff; /* the upper bits are a colour */
    bool show = level <= AV_LOG_VERBOSE && sp_log_enabled(SP_LOG_DEBUG);
    if (level > AV_LOG_ERROR && !show)
        return;

    char raw[LINE_BYTES], line[LINE_BYTES];
    vsnprintf(raw, sizeof raw, format, args);
    size_t n = strlen(raw);
    while (n > 0 && (unsigned char)raw[n - 1] <= ' ')
        raw[--n] = '\0';
    if (n <= 1) /* FFmpeg writes some lines in pieces */
        return;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)raw[i] < ' ')
            raw[i] = ' ';
    sp_libav_redact_text(raw, line, sizeof line);

    AVClass *class = context ? *(AVClass **)context : NULL;
    const char *who = class && class->item_name ? class->item_name(context) : "ffmpeg";
    if (strstr(who, "://") || strcmp(who, "NULL") == 0)
        who = "ffmpeg"; /* some contexts are named after their URL, others not at all */
    if (level <= AV_LOG_ERROR)
        snprintf(last_error, sizeof last_error, "%.30s: %.220s", who, line);
    if (show)
        sp_log(SP_LOG_DEBUG, "ffmpeg: %s: %s", who, line);
}

static void install(void)
{
    av_log_set_callback(on_line);
}

void sp_libav_log_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

const char *sp_libav_reason(int rc, char *buffer, size_t buffer_bytes)
{
    const char *line = sp_libav_log_last();
    if (line[0] != '\0') {
        snprintf(buffer, buffer_bytes, "%s", line);
        return buffer;
    }
    if (av_strerror(rc, buffer, buffer_bytes) < 0)
        snprintf(buffer, buffer_bytes, "error %d", rc);
    return buffer;
}
