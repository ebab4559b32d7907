/* From a URL to an open decoder, with a clear error message at each step. */
#include "base/clock.h"
#include "base/log.h"
#include "base/redact.h"
#include "base/url.h"
#include "capture/libav.h"
#include "capture/libav_device.h"
#include "capture/libav_display.h"
#include "capture/libav_image.h"
#include "capture/libav_log.h"
#include "capture/libav_memory.h"

#include <errno.h>
#include <libavcodec/codec_desc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above any camera (16384 x 8192): limits the memory that a damaged header can request. */
#define MAX_PIXELS (INT64_C(16384) * 8192)

static void initialise(void)
{
    sp_libav_log_install();
    avformat_network_init();
}

static bool is_late(const struct sp_libav *s)
{
    int64_t deadline_us = atomic_load_explicit(&s->deadline_us, memory_order_relaxed);
    return deadline_us != 0 && sp_clock_us() > deadline_us;
}

static int on_interrupt(void *opaque)
{
    const struct sp_libav *s = opaque;
    return atomic_load_explicit(s->interrupted, memory_order_acquire) || is_late(s);
}

static bool is_network(const char *url)
{
    return strstr(url, "://") && strncmp(url, "file:", 5) != 0;
}

/* Has no "scheme:" before its first slash. */
static bool is_path(const char *url)
{
    size_t n = strcspn(url, "/:");
    return url[n] != ':';
}

/* A long name is shortened at its beginning, as its end distinguishes files. */
static void make_name(struct sp_libav *s)
{
    char shown[4096];
    sp_redact_url(s->url, shown, sizeof shown);
    size_t n = strlen(shown);
    if (n < sizeof s->name)
        memcpy(s->name, shown, n + 1);
    else if (is_network(shown))
        snprintf(s->name, sizeof s->name, "%.*s...", (int)sizeof s->name - 4, shown);
    else
        snprintf(s->name, sizeof s->name, "...%s", shown + n - (sizeof s->name - 4));
}

/* True when the file begins with printable text only. */
static bool holds_text(const char *path)
{
    unsigned char head[256];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(head, 1, sizeof head, file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i < n; i++)
        if (head[i] < ' ' && (head[i] < '\t' || head[i] > '\r'))
            return false;
    return n > 0;
}

static const char *local_path(const struct sp_libav *s)
{
    if (strncmp(s->url, "file://", 7) == 0)
        return s->url + 7;
    if (strncmp(s->url, "file:", 5) == 0)
        return s->url + 5;
    return s->url;
}

/* Checks a local path, for clearer messages than FFmpeg's. */
static int check_path(struct sp_libav *s, const AVInputFormat **device, struct sp_error *err)
{
    const char *path = local_path(s);
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT && strchr(path, '%'))
            return SP_OK; /* a pattern of numbered images */
        if (errno == ENOENT && access(path, F_OK) != 0 && !is_path(s->url) && path == s->url)
            return SP_OK; /* FFmpeg syntax "protocol:address" */
        return sp_fail(err, errno == ENOTDIR ? SP_ERR_NOT_FOUND : sp_error_from_errno(errno),
                       "%s: %s; check the path", s->name,
                       errno == ENOENT ? "no such file" : strerror(errno));
    }
    if (S_ISDIR(st.st_mode))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: a directory, not a video; name a file in it, or numbered images such "
                       "as img%%03d.jpg",
                       s->name);
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* opening it might block for ever */
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "%s: %s, neither a file nor a video device; name a file, or a device such as "
            "/dev/video0",
            s->name,
            S_ISFIFO(st.st_mode)   ? "a pipe"
            : S_ISSOCK(st.st_mode) ? "a socket"
                                   : "a block device");
    if (S_ISREG(st.st_mode) && st.st_size == 0)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: the file is empty (0 bytes); copy or record it again", s->name);
    if (access(path, R_OK) != 0)
        return sp_fail(err, SP_ERR_IO, "%s: cannot be read (%s); check its permissions", s->name,
                       strerror(errno));
    if (S_ISCHR(st.st_mode)) {
        int rc = sp_libav_device(device, s->name, err);
        if (rc != SP_OK)
            return rc;
        s->info.live = true;
    }
    return SP_OK;
}

static int fail_open(const struct sp_libav *s, int rc, struct sp_error *err)
{
    char buffer[256];
    const char *reason = sp_libav_reason(rc, buffer, sizeof buffer);
    if (rc == AVERROR_EXIT && atomic_load(s->interrupted))
        return sp_fail(err, SP_ERR_INTERRUPTED, "%s: opening was interrupted", s->name);
    /* Some demuxers treat what was read before an interruption as the whole file. */
    if (rc == AVERROR_EXIT || rc == AVERROR(ETIMEDOUT) || is_late(s))
        return sp_fail(err, SP_ERR_TIMEOUT,
                       "%s: no answer within %.1f s; check the address and the network", s->name,
                       (double)s->options.open_timeout_us / 1e6);
    if (rc == AVERROR(ENOMEM))
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", s->name);
    if (rc == AVERROR(ENOTTY) && !s->network)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: a device, but not a video device; name a camera such as /dev/video0",
                       s->name);
    if (strstr(reason, "on whitelist"))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: it refers to files or addresses that it may not open; give their own "
                       "address",
                       s->name);
    if (rc == AVERROR_PROTOCOL_NOT_FOUND || rc == AVERROR_DEMUXER_NOT_FOUND)
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "%s: this kind of address is unknown (%s); use a file, rtsp://, http:// or a "
            "device",
            s->name, reason);
    if (rc == AVERROR_HTTP_UNAUTHORIZED || rc == AVERROR_HTTP_FORBIDDEN)
        return sp_fail(err, SP_ERR_UNAUTHORIZED,
                       "%s: access refused (%s); check the user name and password", s->name,
                       reason);
    if (rc == AVERROR(ENOENT) || rc == AVERROR_HTTP_NOT_FOUND || rc == AVERROR_STREAM_NOT_FOUND)
        return sp_fail(err, SP_ERR_NOT_FOUND, "%s: not found (%s); check the %s", s->name, reason,
                       s->network ? "address" : "path");
    if (s->network && rc != AVERROR_INVALIDDATA)
        return sp_fail(err, SP_ERR_IO,
                       "%s: cannot be opened (%s); check the address, and that the camera is on",
                       s->name, reason);
    if (rc == AVERROR_INVALIDDATA || rc == AVERROR_EOF || rc == AVERROR(EINVAL))
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: not a video that can be read%s (%s); check that it is a video and "
                       "complete",
                       s->name,
                       !s->network && holds_text(local_path(s)) ? ", it begins with text" : "",
                       reason);
    return sp_fail(err, SP_ERR_IO, "%s: cannot be opened (%s)", s->name, reason);
}

/* The URL for FFmpeg: a path that resembles "scheme:..." gets the prefix "file:". */
static char *ffmpeg_url(const struct sp_libav *s)
{
    struct stat st;
    char *url = NULL;
    bool marked = !is_path(s->url) && strncmp(s->url, "file:", 5) != 0 && stat(s->url, &st) == 0;
    const char *plain = strncmp(s->url, "file:", 5) == 0 ? local_path(s) : s->url;
    if (asprintf(&url, "%s%s", marked || plain != s->url ? "file:" : "", plain) < 0)
        return NULL;
    return url;
}

static int open_input(struct sp_libav *s, struct sp_error *err)
{
    const AVInputFormat *device = NULL;
    if (!s->network) {
        int rc = check_path(s, &device, err);
        if (rc != SP_OK)
            return rc;
    }
    int rc = sp_libav_resolve(s, err);
    if (rc != SP_OK)
        return rc;
    char *url = ffmpeg_url(s);
    s->format = avformat_alloc_context();
    if (!url || !s->format) {
        free(url);
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", s->name);
    }
    s->format->interrupt_callback = (AVIOInterruptCB){on_interrupt, s};
    if (device) /* non-blocking, so that a silent device can be interrupted; libav.c waits */
        s->format->flags |= AVFMT_FLAG_NONBLOCK;
    AVDictionary *settings = NULL;
    if (strncmp(s->url, "rtsp", 4) == 0)
        sp_libav_choose_transport(s->url, s->options.rtsp_transport, &settings);
    rc = sp_libav_io_open(s, url, &device);
    if (rc >= 0)
        rc = avformat_open_input(&s->format, url, device, &settings);
    av_dict_free(&settings);
    free(url);
    return rc < 0 ? fail_open(s, rc, err) : SP_OK;
}

/* The index of the video stream, or -1. Audio is never read; a cover image of an audio file is not
 * a video. */
static int find_video(AVFormatContext *format)
{
    int best = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (best >= 0 && (format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC))
        best = -1;
    for (unsigned i = 0; best < 0 && i < format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
            !(stream->disposition & AV_DISPOSITION_ATTACHED_PIC))
            best = (int)i;
    }
    for (unsigned i = 0; i < format->nb_streams; i++)
        if ((int)i != best)
            format->streams[i]->discard = AVDISCARD_ALL;
    return best;
}

static int fail_no_video(const struct sp_libav *s, struct sp_error *err)
{
    char found[128] = "";
    size_t used = 0;
    for (unsigned i = 0; i < s->format->nb_streams && used < sizeof found - 1; i++) {
        const AVStream *stream = s->format->streams[i];
        const char *kind = av_get_media_type_string(stream->codecpar->codec_type);
        bool cover = stream->disposition & AV_DISPOSITION_ATTACHED_PIC;
        int n = snprintf(found + used, sizeof found - used, "%s%s", i ? ", " : "",
                         cover  ? "cover image"
                         : kind ? kind
                                : "data");
        used += n > 0 ? (size_t)n : 0;
    }
    return sp_fail(err, SP_ERR_FORMAT,
                   "%s: no video stream (format %s, found: %s); use a file or camera with video",
                   s->name, s->format->iformat->name, found[0] ? found : "nothing");
}

static int find_streams(struct sp_libav *s, struct sp_error *err)
{
    /* By its file name alone, FFmpeg may take any text for ANSI art. */
    if (strcmp(s->format->iformat->name, "tty") == 0)
        return sp_fail(err, SP_ERR_FORMAT, "%s: not a video but text; use a video file", s->name);
    unsigned n = s->format->nb_streams;
    AVDictionary **settings = n ? calloc(n, sizeof(void *)) : NULL;
    for (unsigned i = 0; settings && i < n; i++) {
        av_dict_set_int(&settings[i], "max_pixels", MAX_PIXELS, 0);
        av_dict_set(&settings[i], "threads", "1", 0);
    }
    int rc = avformat_find_stream_info(s->format, settings);
    for (unsigned i = 0; settings && i < n; i++)
        av_dict_free(&settings[i]);
    free(settings);
    if (rc < 0)
        return fail_open(s, rc, err);
    int video = find_video(s->format);
    if (video < 0)
        return fail_no_video(s, err);
    s->stream = s->format->streams[video];
    return SP_OK;
}

static int open_decoder(struct sp_libav *s, struct sp_error *err)
{
    AVCodecParameters *parameters = s->stream->codecpar;
    const char *name = avcodec_get_name(parameters->codec_id);
    const AVCodec *codec = avcodec_find_decoder(parameters->codec_id);
    if (!codec)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: its codec (%s) has no decoder here; convert it to H.264", s->name,
                       name);
    s->decoder = avcodec_alloc_context3(codec);
    if (!s->decoder || avcodec_parameters_to_context(s->decoder, parameters) < 0)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", s->name);
    s->decoder->pkt_timebase = s->stream->time_base;
    s->decoder->max_pixels = MAX_PIXELS;
    /* All later stages accept unaligned planes, so cropping can be exact. */
    s->decoder->flags |= AV_CODEC_FLAG_UNALIGNED;
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
    s->decoder->flags |= AV_CODEC_FLAG_COPY_OPAQUE;
#endif
    int threads = s->options.decode_threads;
    s->decoder->thread_count = threads > 0 && !s->images ? threads : 1;
    /* Frame threads delay output by one frame a thread, so not for live sources. */
    s->decoder->thread_type = s->info.live ? FF_THREAD_SLICE : FF_THREAD_SLICE | FF_THREAD_FRAME;
    int rc = sp_libav_memory_open(&s->memory, s->decoder, &s->options.memory, err);
    if (rc < 0)
        return rc;
    if (!s->still && sp_orientation_is_plain(s->orientation)) /* rotation is done on the CPU */
        s->gpu = sp_libav_gpu_open(s->decoder, codec, &s->options.gpu, &s->info, s->name);
    rc = avcodec_open2(s->decoder, codec, NULL);
    if (rc < 0) {
        char buffer[256];
        return sp_fail(err, SP_ERR_FORMAT, "%s: the %s decoder rejects it (%s)", s->name, name,
                       sp_libav_reason(rc, buffer, sizeof buffer));
    }
    return SP_OK;
}

/* Matroska stores each stream's duration as a tag. */
static int64_t tagged_duration_us(const AVStream *stream)
{
    const AVDictionaryEntry *tag = av_dict_get(stream->metadata, "DURATION", NULL, 0);
    int hours, minutes;
    double seconds;
    if (!tag || sscanf(tag->value, "%d:%d:%lf", &hours, &minutes, &seconds) != 3)
        return 0;
    return (int64_t)(((double)hours * 3600 + minutes * 60 + seconds) * 1e6);
}

/* Indexed packets that are not empty: AVI fills gaps with empty ones. */
static int64_t count_indexed(const AVStream *stream)
{
    int entries = avformat_index_get_entries_count(stream);
    int64_t filled = 0;
    for (int i = 0; i < entries; i++)
        filled += avformat_index_get_entry((AVStream *)stream, i)->size > 0;
    return filled;
}

/* Whether the file is shorter than its first RIFF chunk declares. */
static bool is_cut_riff(AVIOContext *io)
{
    int64_t bytes = avio_size(io), at = avio_tell(io);
    if (bytes < 0 || avio_seek(io, 4, SEEK_SET) < 0)
        return false;
    int64_t announced = (int64_t)avio_rl32(io) + 8;
    avio_seek(io, at, SEEK_SET);
    return bytes < announced;
}

/* The container's frame count; 0: unknown or unreliable. */
static int64_t announced_frames(const struct sp_libav *s)
{
    const AVStream *stream = s->stream;
    const char *name = s->format->iformat->name;
    int64_t frames = stream->nb_frames;
    if (strncmp(name, "mov", 3) == 0) /* the header counts frames that an edit list hides, and
                                         omits those in fragments */
        return frames > 0 && avformat_index_get_entries_count(stream) > 0 ? frames : 0;
    if (strcmp(name, "avi") == 0) {
        if (s->format->pb && is_cut_riff(s->format->pb))
            return frames; /* more than there were, if gaps were filled; but the file is cut */
        int64_t indexed = count_indexed(stream);
        return indexed > 1 ? indexed : 0; /* one entry is no index: reading began there */
    }
    if (strcmp(name, "image2") == 0 && stream->duration > 0)
        return stream->duration;
    return frames;
}

/* The container's announced length, to detect truncated files. */
static void read_promises(struct sp_libav *s)
{
    const AVFormatContext *format = s->format;
    const AVStream *stream = s->stream;
    int64_t frames = announced_frames(s);
    s->frames_announced = frames > 0 ? frames : 0;

    /* Muxers disagree on whether that is a duration or, as in FFmpeg, the end time: a segment that
     * does not begin at 0 is not longer than its frames. */
    int64_t start = stream->start_time != AV_NOPTS_VALUE ? stream->start_time : 0;
    int64_t start_us = av_rescale_q(start, stream->time_base, AV_TIME_BASE_Q);
    int64_t duration_us = tagged_duration_us(stream);
    if (!duration_us && format->nb_streams == 1 && format->duration > 0 &&
        format->duration_estimation_method == AVFMT_DURATION_FROM_STREAM)
        duration_us = format->duration;
    if (duration_us > start_us && start_us > 0)
        duration_us -= start_us;
    if (!s->frames_announced && !s->info.live)
        s->end_announced_us = duration_us;

    AVRational rate = av_guess_frame_rate(s->format, s->stream, NULL);
    s->info.frame_rate = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    s->period_us =
        (int64_t)(1e6 / (s->info.frame_rate > 0.001 ? s->info.frame_rate : SP_FRAME_RATE_DEFAULT) +
                  0.5);
    if (s->period_us < 1)
        s->period_us = 1;
    if (!duration_us && format->duration > 0)
        duration_us = format->duration;
    s->info.frames_total = frames > 0 ? frames
                           : !s->info.live && duration_us > 0 && s->info.frame_rate > 0
                               ? (int64_t)((double)duration_us * s->info.frame_rate / 1e6 + 0.5)
                               : 0;
}

/* HEVC frames that no other frame of their temporal layer references may be referenced by a higher
 * layer: only in streams of one layer is it known which frames can be skipped. */
static bool hevc_has_one_layer(const AVCodecParameters *parameters)
{
    const uint8_t *data = parameters->extradata;
    int n = parameters->extradata_size;
    if (!data || n < 23)
        return false;
    if (data[0] == 1) /* hvcC: numTemporalLayers */
        return ((data[21] >> 3) & 7) == 1;
    for (int i = 0; i + 5 < n; i++) /* Annex B: sps_max_sub_layers_minus1 */
        if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1 && ((data[i + 3] >> 1) & 63) == 33)
            return ((data[i + 5] >> 1) & 7) == 0;
    return false;
}

static bool is_image_format(const char *format)
{
    size_t length = strlen(format);
    return strcmp(format, "image2") == 0 ||
           (length > 5 && strcmp(format + length - 5, "_pipe") == 0);
}

/* Packets are counted as frames only where one packet is known to be one frame. */
static void choose_numbering(struct sp_libav *s)
{
    const AVCodecParameters *parameters = s->stream->codecpar;
    const AVCodecDescriptor *codec = avcodec_descriptor_get(parameters->codec_id);
    bool fields = parameters->field_order != AV_FIELD_UNKNOWN &&
                  parameters->field_order != AV_FIELD_PROGRESSIVE;
    bool intra_only = codec && (codec->props & AV_CODEC_PROP_INTRA_ONLY);
    bool can_skip = false;
    s->numbering = SP_NUMBER_BY_COUNT;
    s->still = intra_only;
    s->images = intra_only && is_image_format(s->format->iformat->name);
    if (fields) {
        /* Two packets may be one frame. */
    } else if (intra_only) {
        s->numbering = SP_NUMBER_BY_ORDINAL;
        s->skip_unsent = true;
        can_skip = true;
    } else {
        switch (parameters->codec_id) {
        case AV_CODEC_ID_MSMPEG4V1:
        case AV_CODEC_ID_MSMPEG4V2:
        case AV_CODEC_ID_MSMPEG4V3:
            s->numbering = SP_NUMBER_BY_ORDINAL;
            break;
        case AV_CODEC_ID_H264:
            s->numbering = SP_NUMBER_BY_PTS;
            can_skip = true;
            break;
        case AV_CODEC_ID_HEVC:
            s->numbering = SP_NUMBER_BY_PTS;
            can_skip = hevc_has_one_layer(parameters);
            break;
        default:
            break;
        }
    }
    s->may_skip = can_skip && s->options.sparse && s->options.frame_skip > 1;
    sp_order_init(&s->order, s->numbering == SP_NUMBER_BY_ORDINAL);
    if (s->numbering == SP_NUMBER_BY_COUNT)
        sp_order_stop(&s->order);
}

static void describe(struct sp_libav *s)
{
    const AVCodecParameters *parameters = s->stream->codecpar;
    struct sp_source_info *info = &s->info;
    snprintf(info->format, sizeof info->format, "%s", s->format->iformat->name);
    snprintf(info->codec, sizeof info->codec, "%s", avcodec_get_name(parameters->codec_id));
    s->orientation = sp_libav_stream_orientation(s->stream);
    info->width_px = s->orientation.transposed ? parameters->height : parameters->width;
    info->height_px = s->orientation.transposed ? parameters->width : parameters->height;
}

static int open_all(struct sp_libav *s, struct sp_error *err)
{
    sp_libav_log_clear();
    if (s->options.open_timeout_us > 0)
        atomic_store(&s->deadline_us, sp_clock_us() + s->options.open_timeout_us);
    int rc = open_input(s, err);
    if (rc == SP_OK)
        rc = find_streams(s, err);
    if (rc != SP_OK)
        return rc;
    if (s->network && s->format->duration <= 0)
        s->info.live = true;
    s->clockless = s->info.live && s->network && sp_libav_has_no_clock(s->format->iformat->name);
    read_promises(s);
    describe(s);
    choose_numbering(s);
    rc = open_decoder(s, err);
    if (rc == SP_OK)
        rc = sp_converter_open(&s->converter, s->options.pool, err);
    for (int i = 0; rc == SP_OK && i < SP_LIBAV_WINDOW; i++) {
        s->window[i].packet = av_packet_alloc();
        if (!s->window[i].packet)
            rc = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", s->name);
    }
    if (rc == SP_OK)
        rc = sp_libav_measure_rate(s, err);
    atomic_store(&s->deadline_us, 0);
    return rc;
}

int sp_libav_open(void **out, const struct sp_source_options *options,
                  const atomic_bool *interrupted, struct sp_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);

    struct sp_libav *s = calloc(1, sizeof *s);
    size_t url_bytes = 3 * strlen(options->url) + 8;
    char *url = malloc(url_bytes);
    if (!s || !url || sp_url_normalise(options->url, url, url_bytes, err) < 0) {
        free(s);
        free(url);
        return sp_fail(err, SP_ERR_NO_MEMORY, "source: out of memory");
    }
    s->options = *options;
    s->options.url = s->url = url;
    if (s->options.frame_skip < 1)
        s->options.frame_skip = 1;
    s->interrupted = interrupted;
    atomic_init(&s->deadline_us, 0);
    s->last_dts = s->first_pts = s->end_pts = AV_NOPTS_VALUE;
    s->trouble.first_after = UINT64_MAX;
    s->network = is_network(url);
    make_name(s);

    int rc = open_all(s, err);
    if (rc != SP_OK) {
        sp_libav_close(s);
        return rc;
    }
    const struct sp_source_info *info = &s->info;
    sp_log(SP_LOG_DEBUG, "%s: %s, %s, %dx%d, %.3f frames/s%s", s->name, info->format, info->codec,
           info->width_px, info->height_px, info->frame_rate, s->gpu ? ", for the GPU" : "");
    *out = s;
    return SP_OK;
}

void sp_libav_adopt(void *self, const atomic_bool *interrupted)
{
    struct sp_libav *s = self;
    s->interrupted = interrupted;
    s->options.gpu.choose_device = NULL; /* needed for opening only */
    s->options.gpu.user = NULL;
}

bool sp_libav_is_image(const void *source)
{
    const struct sp_libav *s = source;
    return is_image_format(s->format->iformat->name) && s->frames_announced <= 1;
}

void sp_libav_close(void *self)
{
    struct sp_libav *s = self;
    for (int i = 0; i < SP_LIBAV_WINDOW; i++)
        av_packet_free(&s->window[i].packet);
    av_frame_free(&s->next.frame);
    sp_converter_close(s->converter);
    avcodec_free_context(&s->decoder);
    sp_libav_gpu_close(s->gpu);
    sp_libav_memory_close(s->memory);
    avformat_close_input(&s->format);
    sp_libav_io_close(s->io);
    free(s->url);
    free(s);
}
