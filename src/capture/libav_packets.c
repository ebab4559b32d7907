/* Reads packets into the window ahead of the decoder, and numbers them. */
#include "base/clock.h"
#include "capture/libav.h"
#include "capture/libav_log.h"

#include <unistd.h>

enum {
    BAD_READS_MAX = 64, /* consecutive damaged packets before reading is given up */
    DEVICE_WAIT_US = 2000,
};

void sp_libav_keep_detail(struct sp_libav *s, int rc)
{
    if (s->trouble.detail[0] == '\0')
        sp_libav_reason(rc, s->trouble.detail, sizeof s->trouble.detail);
}

/* Ends the numbering by timestamps as soon as they are inconsistent. */
static void check_times(struct sp_libav *s, struct sp_order *order, const AVPacket *packet)
{
    bool bad = packet->pts == AV_NOPTS_VALUE || sp_order_has_key(order, packet->pts);
    if (packet->dts == AV_NOPTS_VALUE)
        bad = bad || s->info.live; /* for a live source the look-ahead would only add delay */
    else if (packet->dts > packet->pts ||
             (s->last_dts != AV_NOPTS_VALUE && packet->dts < s->last_dts))
        bad = true;
    else
        s->last_dts = packet->dts;
    if (bad)
        sp_order_stop(order);
}

/* Moves the packet's times behind those of the passes before. */
static void shift_times(struct sp_libav *s, AVPacket *packet)
{
    int64_t shift = s->next.reading ? s->next.shift : s->shift;
    if (packet->dts != AV_NOPTS_VALUE)
        packet->dts += shift;
    if (packet->pts != AV_NOPTS_VALUE) {
        if (s->end_pts == AV_NOPTS_VALUE)
            s->first_pts = packet->pts;
        s->end_pts = FFMAX(s->end_pts, packet->pts + FFMAX(packet->duration, 1));
        packet->pts += shift;
    }
}

/* Appends the packet just read to the window. */
static void admit(struct sp_libav *s)
{
    struct sp_libav_waiting *last =
        &s->window[(s->window_first + s->window_count) % SP_LIBAV_WINDOW];
    AVPacket *packet = last->packet;
    s->packets_read++;
    if (packet->size == 0) { /* "repeat the frame"; to the decoder an empty packet means the end */
        av_packet_unref(packet);
        return;
    }
    int64_t time = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    if (time != AV_NOPTS_VALUE) {
        int64_t start = s->stream->start_time != AV_NOPTS_VALUE ? s->stream->start_time : 0;
        int64_t end_us = sp_libav_to_us(s, time + FFMAX(packet->duration, 0) - start);
        if (packet->duration <= 0)
            end_us += s->period_us;
        s->seen_end_us = FFMAX(s->seen_end_us, end_us);
    }
    last->id = -1;
    if (!(packet->flags & AV_PKT_FLAG_DISCARD)) {
        struct sp_order *order = s->next.reading ? &s->next.order : &s->order;
        if (s->numbering == SP_NUMBER_BY_PTS && !sp_order_stopped(order))
            check_times(s, order, packet);
        last->id =
            sp_order_add(order, s->numbering == SP_NUMBER_BY_PTS ? packet->pts : s->packets_read);
    }
    if (s->options.rewinds)
        shift_times(s, packet);
    if (last->id >= 0)
        s->arrived_us[last->id % SP_ORDER_PENDING_MAX] = sp_clock_us();
    s->window_count++;
}

int sp_libav_read_packet(struct sp_libav *s, struct sp_error *err)
{
    AVPacket *packet = s->window[(s->window_first + s->window_count) % SP_LIBAV_WINDOW].packet;
    int64_t start_us = sp_clock_us();
    int64_t timeout_us = s->info.live || s->network ? s->options.read_timeout_us : 0;
    atomic_store_explicit(&s->deadline_us, timeout_us > 0 ? start_us + timeout_us : 0,
                          memory_order_relaxed);
    for (;;) {
        int rc = av_read_frame(s->format, packet);
        if (rc >= 0 && packet->stream_index != s->stream->index) {
            av_packet_unref(packet);
            continue;
        }
        if (rc >= 0) {
            s->bad_reads = 0;
            if (s->info.live) /* waiting for the camera is not processing time */
                s->busy_us -= sp_clock_us() - start_us;
            admit(s);
            return SP_OK;
        }
        if (sp_libav_is_interrupted(s))
            return sp_fail(err, SP_ERR_INTERRUPTED, "%s: reading was interrupted", s->name);
        bool late = timeout_us > 0 && sp_clock_us() > start_us + timeout_us;
        if (late || rc == AVERROR(ETIMEDOUT) || rc == AVERROR_EXIT)
            return sp_fail(err, SP_ERR_TIMEOUT, "%s: no data for %.1f s", s->name,
                           (double)(sp_clock_us() - start_us) / 1e6);
        if (rc == AVERROR(EAGAIN)) {
            usleep(DEVICE_WAIT_US);
            continue;
        }
        if (rc == AVERROR_INVALIDDATA && ++s->bad_reads < BAD_READS_MAX) {
            sp_libav_keep_detail(s, rc);
            s->trouble.cut = true;
            continue;
        }
        const AVIOContext *io = s->format->pb;
        if (rc == AVERROR_EOF && io && io->error < 0 && io->error != AVERROR_EOF)
            rc = io->error;
        if (rc != AVERROR_EOF) {
            sp_libav_keep_detail(s, rc);
            s->trouble.cut = true;
        }
        s->input_over = true;
        return SP_OK;
    }
}
