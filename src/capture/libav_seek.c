/* Seeking in a file, and rewinding it.
 *
 * A decoder that is drained at the file's end must be flushed, and FFmpeg's for H.264 then begins
 * anew: on a GPU it makes another decoder, which takes the driver 80 ms, and decoders wait for each
 * other. So where a file is rewound at its end, the packets of the next pass follow at once, with
 * timestamps behind those of this one. The first frame of the next pass is held back: the source
 * ends, and the seek to 0 continues with it. Frames, numbers and times are those of a source that
 * is drained and flushed. */
#include "capture/libav.h"
#include "capture/libav_log.h"

/* A packet is decoded earlier than it is shown, by less. */
static const int64_t DECODING_LEAD_US = 2000000;

enum { NAL_SLICE = 1, NAL_IDR = 5, NAL_TYPES = 0x1f };

static void forget_packets(struct sp_libav *s)
{
    for (int i = 0; i < SP_LIBAV_WINDOW; i++)
        av_packet_unref(s->window[i].packet);
    s->window_first = s->window_count = 0;
}

static void begin_reading(struct sp_libav *s)
{
    forget_packets(s);
    s->last_dts = s->first_pts = s->end_pts = AV_NOPTS_VALUE;
    s->bad_reads = 0;
    s->input_over = false;
}

static void begin_order(const struct sp_libav *s, struct sp_order *order)
{
    sp_order_init(order, s->numbering == SP_NUMBER_BY_ORDINAL);
    if (s->numbering == SP_NUMBER_BY_COUNT)
        sp_order_stop(order);
}

/* Returns FFmpeg's code. */
static int go_to(struct sp_libav *s, int64_t timestamp)
{
    int rc = av_seek_frame(s->format, s->stream->index, timestamp, AVSEEK_FLAG_BACKWARD);
    if (rc < 0) /* before the first key frame: seek to the beginning */
        rc = av_seek_frame(s->format, s->stream->index, 0, AVSEEK_FLAG_BACKWARD);
    return rc;
}

static int64_t timestamp_of(const struct sp_libav *s, int64_t time_us)
{
    int64_t start_us = s->format->start_time != AV_NOPTS_VALUE ? s->format->start_time : 0;
    int64_t origin_us = s->any_frame ? s->origin_us : start_us;
    return av_rescale_q(time_us + origin_us, AV_TIME_BASE_Q, s->stream->time_base);
}

/* ---- rewinding ---- */

/* Whether the first slice of an H.264 packet is of an IDR frame, which refers to none before. */
static bool begins_with_idr(const AVCodecParameters *parameters, const AVPacket *packet)
{
    const uint8_t *data = packet->data, *end = data + packet->size;
    bool framed = parameters->extradata_size >= 7 && parameters->extradata[0] == 1;
    int length_bytes = framed ? (parameters->extradata[4] & 3) + 1 : 3;
    while (end - data > length_bytes) {
        size_t length = 0;
        for (int i = 0; i < length_bytes; i++)
            length = length << 8 | data[i];
        if (!framed && length != 1) { /* of the start code 00 00 01 */
            data++;
            continue;
        }
        data += length_bytes;
        int type = *data & NAL_TYPES;
        if (type >= NAL_SLICE && type <= NAL_IDR)
            return type == NAL_IDR;
        if (framed && length > (size_t)(end - data))
            return false;
        data += framed ? length : 0;
    }
    return false;
}

/* Whether nothing of this pass is missing, and its timestamps tell the order of its frames. */
static bool is_whole(const struct sp_libav *s)
{
    return s->trouble.first_after == UINT64_MAX && !s->trouble.cut &&
           s->frames_announced <= s->packets_read &&
           s->end_announced_us - s->seen_end_us <= FFMAX(1000000, 3 * s->period_us) &&
           !sp_order_stopped(&s->order) && s->end_pts != AV_NOPTS_VALUE;
}

bool sp_libav_read_next_pass(struct sp_libav *s)
{
    const AVCodecParameters *parameters = s->stream->codecpar;
    struct sp_libav_next *next = &s->next;
    if (!s->options.rewinds || s->info.live || next->reading || s->may_skip ||
        parameters->codec_id != AV_CODEC_ID_H264 || !is_whole(s))
        return false;
    if (!next->frame)
        next->frame = av_frame_alloc();
    int64_t first_pts = s->first_pts;
    if (!next->frame || go_to(s, timestamp_of(s, 0)) < 0)
        return false;
    next->shift = s->shift + s->end_pts - first_pts +
                  av_rescale_q(DECODING_LEAD_US, AV_TIME_BASE_Q, s->stream->time_base);
    next->reading = true;
    begin_order(s, &next->order);
    begin_reading(s);
    int rc = sp_libav_read_packet(s, NULL);
    const AVPacket *packet = s->window[0].packet;
    if (rc == SP_OK && s->window_count == 1 && s->first_pts == first_pts && s->window[0].id >= 0 &&
        begins_with_idr(parameters, packet)) {
        s->frames_announced = s->end_announced_us = 0; /* was kept */
        return true;
    }
    /* A later seek begins from scratch. */
    begin_reading(s);
    next->reading = false;
    s->input_over = true;
    return false;
}

/* ---- seeking ---- */

/* What remains of the frames before. */
static void begin_counting(struct sp_libav *s)
{
    s->failed += s->order.lost + s->trouble.errors; /* frames counted as lost remain counted */
    s->undecoded = 0;
    s->frames_announced = s->end_announced_us = 0;
    s->trouble = (struct sp_libav_trouble){.first_after = UINT64_MAX};
    sp_times_restart(&s->times, -s->period_us - 1);
}

/* The decoder has the next pass's packets already. */
static void continue_with_next_pass(struct sp_libav *s)
{
    begin_counting(s);
    s->order = s->next.order;
    s->shift = s->next.shift;
    s->parity ^= 1;
    s->next.reading = s->over = false;
}

int sp_libav_seek(void *self, int64_t time_us, struct sp_error *err)
{
    struct sp_libav *s = self;
    if (s->info.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "%s: a camera has no position to seek to", s->name);
    if (time_us == 0 && s->over && s->next.reading && s->next.frame->buf[0]) {
        continue_with_next_pass(s);
        return SP_OK;
    }
    int rc = go_to(s, timestamp_of(s, time_us));
    if (rc < 0) {
        char buffer[256];
        return sp_fail(err, SP_ERR_IO, "%s: cannot seek to second %.3f (%s)", s->name,
                       (double)time_us / 1e6, sp_libav_reason(rc, buffer, sizeof buffer));
    }
    avcodec_flush_buffers(s->decoder);
    if (s->next.frame)
        av_frame_unref(s->next.frame);
    s->next.reading = s->draining = s->over = false;
    s->shift = s->bad_drains = 0;
    begin_reading(s);
    begin_counting(s);
    begin_order(s, &s->order);
    return SP_OK;
}
