/* From packets to frames: look-ahead, skipping frames that are not requested, numbering,
 * timestamps, and error counts. */
#include "capture/libav.h"

#include "base/clock.h"
#include "base/log.h"
#include "capture/libav_display.h"
#include "capture/libav_log.h"
#include "capture/libav_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BAD_DRAINS_MAX = 256, /* decoder errors while it is flushed at the end */
};

/* `after`: frames decoded before the error. */
static void note_trouble(struct sp_libav *s, uint64_t after)
{
    if (after < s->trouble.first_after)
        s->trouble.first_after = after;
}

static void on_decoder_error(struct sp_libav *s, int rc)
{
    sp_libav_keep_detail(s, rc);
    /* Elsewhere the missing frame itself is noticed; and a recording may begin with frames that
     * depend on others before its start. */
    if (sp_order_stopped(&s->order) && s->any_frame) {
        s->trouble.errors++;
        note_trouble(s, s->order.next_sequence);
    }
}

static uint64_t failed_of(const void *self)
{
    const struct sp_libav *s = self;
    return s->failed + s->order.lost + s->trouble.errors;
}

/* Whether every packet displayed before the window's first one has been read: later packets have
 * later decoding times, and none is displayed before it is decoded. */
static bool first_is_placed(const struct sp_libav *s)
{
    const struct sp_libav_waiting *first = &s->window[s->window_first];
    return !s->may_skip || s->numbering != SP_NUMBER_BY_PTS || first->id < 0 ||
           sp_order_stopped(&s->order) ||
           (s->last_dts != AV_NOPTS_VALUE && s->last_dts >= first->packet->pts);
}

static bool is_off_grid(const struct sp_libav *s, int64_t id)
{
    /* Before the first frame it is unknown which packets have a number at all. */
    if (!s->may_skip || id < 0 || sp_order_stopped(&s->order) || !s->order.started)
        return false;
    return sp_order_rank(&s->order, id) % (uint64_t)s->options.frame_skip != 0;
}

/* Sends the next packet to the decoder. SP_OK also when the packet was skipped or rejected. */
static int feed(struct sp_libav *s, struct sp_error *err)
{
    while (!s->input_over && s->window_count < SP_LIBAV_WINDOW &&
           (s->window_count == 0 || !first_is_placed(s))) {
        int rc = sp_libav_read_packet(s, err);
        if (rc != SP_OK)
            return rc;
    }
    if (s->window_count == 0 && !sp_libav_read_next_pass(s)) {
        s->draining = true;
        avcodec_send_packet(s->decoder, NULL);
        return SP_OK;
    }
    struct sp_libav_waiting *first = &s->window[s->window_first];
    bool placed = s->input_over || first_is_placed(s);
    bool skip = placed && is_off_grid(s, first->id);
    s->window_first = (s->window_first + 1) % SP_LIBAV_WINDOW;
    s->window_count--;
    if (skip)
        sp_order_skip(&s->order, first->id);
    if (!skip || !s->skip_unsent) {
        int64_t mark = first->id * 2 + (s->parity ^ s->next.reading);
        s->decoder->skip_frame = skip ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
        first->packet->opaque = (void *)(intptr_t)mark;
#else
        s->decoder->reordered_opaque = mark;
#endif
        if (s->images)
            sp_libav_log_clear(); /* so that the last error line is about this frame */
        int rc = avcodec_send_packet(s->decoder, first->packet);
        if (rc < 0)
            on_decoder_error(s, rc);
    }
    av_packet_unref(first->packet);
    return SP_OK;
}

static bool is_interlaced(const AVFrame *image)
{
#ifdef AV_FRAME_FLAG_INTERLACED
    return image->flags & AV_FRAME_FLAG_INTERLACED;
#else
    return image->interlaced_frame;
#endif
}

/* What `feed` gave the packet that the frame came from. */
static int64_t mark_of(const AVFrame *image)
{
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
    return (int64_t)(intptr_t)image->opaque;
#else
    return image->reordered_opaque;
#endif
}

/* The number in `order` of that packet. */
static int64_t id_of(const AVFrame *image)
{
    int64_t mark = mark_of(image);
    return mark < 0 ? -1 : mark / 2;
}

static bool is_of_next_pass(const struct sp_libav *s, const AVFrame *image)
{
    int64_t mark = mark_of(image);
    return s->next.reading && mark >= 0 && mark % 2 != s->parity;
}

static uint64_t number(struct sp_libav *s, const AVFrame *image)
{
    int64_t id = id_of(image);
    if (is_interlaced(image) && s->order.stopped_id != 0) /* two packets may be one frame */
        sp_order_distrust(&s->order);
    uint64_t before = s->order.next_sequence, lost = s->order.lost, skipped = s->order.skipped;
    uint64_t sequence = sp_order_frame(&s->order, id);
    s->undecoded += s->order.skipped - skipped;
    if (s->order.lost > lost)
        note_trouble(s, before);
    return sequence;
}

/* The rule is in times.h. */
static int64_t time_of(struct sp_libav *s, const AVFrame *image)
{
    int64_t id = id_of(image);
    int64_t stamp = image->best_effort_timestamp;
    int64_t time_us = stamp == AV_NOPTS_VALUE ? INT64_MIN : sp_libav_to_us(s, stamp - s->shift);
    bool known = time_us > -(INT64_MAX / 16) && time_us < INT64_MAX / 16;
    if (s->clockless && id >= 0) {
        time_us = s->arrived_us[id % SP_ORDER_PENDING_MAX];
        known = true;
    }
    if (!s->any_frame) {
        int64_t start_us = s->info.live ? AV_NOPTS_VALUE : s->format->start_time;
        s->origin_us = start_us != AV_NOPTS_VALUE ? start_us : known ? time_us : 0;
        s->times.live = s->info.live;
        s->times.period_us = s->period_us;
        sp_times_restart(&s->times, known ? time_us - s->origin_us - 1 : -1);
    }
    return sp_times_next(&s->times, known ? time_us - s->origin_us : INT64_MIN,
                         s->info.live ? sp_clock_us() : 0);
}

/* Copies a frame that the GPU decoded to a surface; to the host when no surface is available or
 * the frame must be rotated. */
static int take_surface(struct sp_libav *s, AVFrame *image, bool plain,
                        struct spoton_surface **surface, struct sp_error *err)
{
    if (!sp_libav_gpu_has(image) || (!plain && sp_libav_gpu_bring(image)))
        return SP_OK;
    if (!plain)
        return sp_fail(err, SP_ERR_DEVICE, "a frame cannot be copied from the GPU to rotate it");
    int rc = sp_libav_gpu_take(s->gpu, image, surface, err);
    return rc == SP_ERR_NO_MEMORY && sp_libav_gpu_bring(image) ? SP_OK : rc;
}

/* Converts the decoder's AVFrame to a frame. */
static int make_frame(struct sp_libav *s, AVFrame *image, struct sp_frame **out,
                      struct sp_error *err)
{
    struct spoton_surface *surface = NULL;
    struct sp_orientation orientation = sp_libav_frame_orientation(image, s->orientation);
    AVRational aspect = sp_libav_pixel_aspect(s->format, s->stream, image, s->still);
    bool plain = sp_orientation_is_plain(orientation);
    int rc = take_surface(s, image, plain, &surface, err);
    if (rc != SP_OK) {
        av_frame_unref(image);
        return rc;
    }
    rc = sp_converter_finish(s->converter, s->still, orientation, out, err);
    if (rc == SP_OK && aspect.num > 0) {
        (*out)->pixel_aspect[orientation.transposed ? 1 : 0] = aspect.num;
        (*out)->pixel_aspect[orientation.transposed ? 0 : 1] = aspect.den;
    }
    if (surface && rc == SP_OK)
        sp_frame_attach(*out, s->options.gpu.api, surface);
    else if (surface)
        s->options.gpu.api->device_api->surface_free(surface);
    if (s->gpu && !surface && !s->cpu_logged)
        sp_log(SP_LOG_WARNING, "%s: %s %s", s->name,
               plain ? "decoded on the CPU: the GPU has no memory or rejects this stream"
                     : "frames are rotated on the CPU; codec",
               s->info.codec);
    s->cpu_logged = s->cpu_logged || !surface;
    return rc;
}

/* The frame in the converter's target. *out stays NULL when it is skipped. */
static int deliver(struct sp_libav *s, AVFrame *image, struct sp_frame **out, struct sp_error *err)
{
    uint64_t sequence = number(s, image);
    int64_t pts_us = time_of(s, image);
    s->any_frame = true;
    bool faulty = (image->flags & AV_FRAME_FLAG_CORRUPT) || image->decode_error_flags;
    /* Decoders of image files conceal missing data and only log it. */
    if (s->images && sp_libav_log_last()[0] != '\0')
        faulty = true;
    if (faulty) {
        sp_libav_keep_detail(s, AVERROR_INVALIDDATA);
        s->trouble.damaged++;
        note_trouble(s, sequence);
    }
    if (s->options.sparse && sequence % (uint64_t)s->options.frame_skip != 0) {
        s->undecoded++;
        av_frame_unref(image);
        return SP_OK;
    }
    struct sp_frame *frame;
    int rc = make_frame(s, image, &frame, err);
    if (rc == SP_ERR_NO_MEMORY) { /* only this frame is lost */
        s->failed++;
        note_trouble(s, sequence);
        return SP_OK;
    }
    if (rc != SP_OK) {
        s->over = true;
        return sp_fail_prefix(err, rc, "%s", s->name);
    }
    frame->pinned = frame->plane[0] && sp_libav_memory_has(s->memory, frame->plane[0]);
    frame->camera = s->options.camera;
    frame->sequence = sequence;
    frame->pts_us = pts_us;
    frame->undecoded = (uint32_t)s->undecoded;
    s->undecoded = 0;
    *out = frame;
    return SP_OK;
}

/* Adds what the container announced but did not contain. */
static void check_promises(struct sp_libav *s)
{
    struct sp_libav_trouble *t = &s->trouble;
    uint64_t images = s->order.next_sequence;
    if (s->frames_announced > s->packets_read) {
        t->missing = (uint64_t)(s->frames_announced - s->packets_read);
        t->cut = true;
    } else if (s->end_announced_us > 0) {
        /* Headers round, and the last frame's duration is often unknown. */
        int64_t slack_us = FFMAX(1000000, 3 * s->period_us);
        int64_t gap_us = s->end_announced_us - s->seen_end_us;
        if (gap_us > slack_us) {
            t->missing = (uint64_t)(gap_us / s->period_us);
            t->cut = true;
        }
    }
    if (t->cut)
        note_trouble(s, images);
}

static void count_in(char *text, size_t text_bytes, uint64_t n, const char *what)
{
    size_t used = strlen(text);
    if (n > 0)
        snprintf(text + used, text_bytes - used, "%s%" PRIu64 " %s", used ? ", " : "", n, what);
}

/* SP_ERR_END, or one summary of all errors. */
static int finish(struct sp_libav *s, struct sp_error *err)
{
    struct sp_libav_trouble *t = &s->trouble;
    uint64_t skipped = s->order.skipped, lost = s->order.lost, before = s->order.next_sequence;
    sp_order_finish(&s->order);
    s->undecoded += s->order.skipped - skipped;
    if (s->order.lost > lost)
        note_trouble(s, before);
    s->over = true;
    if (!s->info.live)
        check_promises(s);
    uint64_t failed = failed_of(s);

    if (!s->any_frame)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: no frame could be decoded (%s, %" PRId64
                       " packets%s%s); check that the file is complete",
                       s->name, s->info.codec, s->packets_read, t->detail[0] ? ", " : "",
                       t->detail);
    if (t->first_after == UINT64_MAX)
        return sp_fail(err, SP_ERR_END, "%s: the end", s->name);

    char counts[128] = "", total[32] = "";
    count_in(counts, sizeof counts, failed, "not decodable");
    count_in(counts, sizeof counts, t->damaged, "decoded with errors");
    count_in(counts, sizeof counts, t->missing, "missing");
    if (s->info.frames_total > 0)
        snprintf(total, sizeof total, " of %" PRId64, s->info.frames_total);
    const char *detail = t->detail[0] ? t->detail : "the data ends early";
    return sp_fail(err, SP_ERR_FORMAT,
                   "%s: damaged or cut short after frame %" PRIu64 "%s: %s%s%s%s; copy or record "
                   "it again",
                   s->name, t->first_after, total, detail, counts[0] ? " (" : "", counts,
                   counts[0] ? ")" : "");
}

static int read_image(struct sp_libav *s, struct sp_frame **out, struct sp_error *err)
{
    for (;;) {
        if (sp_libav_is_interrupted(s))
            return sp_fail(err, SP_ERR_INTERRUPTED, "%s: reading was interrupted", s->name);
        AVFrame *target = sp_converter_target(s->converter);
        if (!target)
            return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", s->name);
        bool held = s->next.frame && s->next.frame->buf[0];
        if (held)
            av_frame_move_ref(target, s->next.frame);
        int rc = held ? 0 : avcodec_receive_frame(s->decoder, target);
        if (rc == 0 && is_of_next_pass(s, target)) {
            av_frame_move_ref(s->next.frame, target);
            return finish(s, err);
        }
        if (rc == 0)
            rc = deliver(s, target, out, err);
        else if (rc == AVERROR(EAGAIN))
            rc = feed(s, err);
        else if (rc == AVERROR_EOF || (s->draining && ++s->bad_drains > BAD_DRAINS_MAX))
            return finish(s, err);
        else {
            on_decoder_error(s, rc);
            rc = SP_OK;
        }
        if (rc != SP_OK || *out)
            return rc;
    }
}

static int read_source(void *self, struct sp_frame **out, struct sp_error *err)
{
    struct sp_libav *s = self;
    if (s->over)
        return sp_fail(err, SP_ERR_END, "%s: the end", s->name);
    sp_libav_log_clear();
    struct sp_frame *frame = NULL;
    int64_t start_us = sp_clock_us();
    int rc = read_image(s, &frame, err);
    int64_t now_us = sp_clock_us();
    s->busy_us += now_us - start_us;
    if (rc != SP_OK)
        return rc;
    assert(frame);
    frame->received_us = now_us;
    frame->decode_us = FFMAX(s->busy_us, 0);
    s->busy_us = 0;
    *out = frame;
    return SP_OK;
}

static void info_of(const void *self, struct sp_source_info *info)
{
    const struct sp_libav *s = self;
    *info = s->info;
}

static uint64_t tail_of(const void *self)
{
    const struct sp_libav *s = self;
    return s->undecoded;
}

static bool accepts_all(const char *url)
{
    return url != NULL;
}

const struct sp_source_kind sp_source_kind_libav = {
    .accepts = accepts_all,
    .open = sp_libav_open,
    .adopt = sp_libav_adopt,
    .close = sp_libav_close,
    .info = info_of,
    .read = read_source,
    .failed = failed_of,
    .tail_undecoded = tail_of,
    .seek = sp_libav_seek,
};
