/* Seeking in a file. */
#include "capture/libav.h"
#include "capture/libav_log.h"

static void forget_packets(struct sp_libav *s)
{
    for (int i = 0; i < SP_LIBAV_WINDOW; i++)
        av_packet_unref(s->window[i].packet);
    s->window_first = s->window_count = 0;
    s->last_dts = AV_NOPTS_VALUE;
    s->bad_reads = s->bad_drains = 0;
    s->input_over = s->draining = s->over = false;
}

int sp_libav_seek(void *self, int64_t time_us, struct sp_error *err)
{
    struct sp_libav *s = self;
    if (s->info.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "%s: a camera has no position to seek to", s->name);
    int64_t start_us = s->format->start_time != AV_NOPTS_VALUE ? s->format->start_time : 0;
    int64_t origin_us = s->any_frame ? s->origin_us : start_us;
    int64_t at = av_rescale_q(time_us + origin_us, AV_TIME_BASE_Q, s->stream->time_base);
    int rc = av_seek_frame(s->format, s->stream->index, at, AVSEEK_FLAG_BACKWARD);
    if (rc < 0) /* before the first key frame: seek to the beginning */
        rc = av_seek_frame(s->format, s->stream->index, 0, AVSEEK_FLAG_BACKWARD);
    if (rc < 0) {
        char buffer[256];
        return sp_fail(err, SP_ERR_IO, "%s: cannot seek to second %.3f (%s)", s->name,
                       (double)time_us / 1e6, sp_libav_reason(rc, buffer, sizeof buffer));
    }
    avcodec_flush_buffers(s->decoder);
    forget_packets(s);
    s->failed += s->order.lost; /* frames counted as lost remain counted */
    s->undecoded = 0;
    sp_order_init(&s->order, s->numbering == SP_NUMBER_BY_ORDINAL);
    if (s->numbering == SP_NUMBER_BY_COUNT)
        sp_order_stop(&s->order);
    s->frames_announced = s->end_announced_us = 0;
    s->failed += s->trouble.errors;
    s->trouble = (struct sp_libav_trouble){.first_after = UINT64_MAX};
    sp_times_restart(&s->times, -s->period_us - 1);
    return SP_OK;
}
