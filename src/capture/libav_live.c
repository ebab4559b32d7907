/* Measures the frame rate of a live source: what a camera announces is often wrong. */
#include "base/clock.h"
#include "capture/libav.h"

#include <string.h>

enum { RATE_PACKETS = 12, RATE_PACKETS_MIN = 5 };

static const int64_t ENOUGH_US = 1000000, TOO_LONG_US = 2500000;

/* Formats without timestamps, which FFmpeg generates from an assumed rate. */
bool sp_libav_has_no_clock(const char *format)
{
    static const char *const formats[] = {"mpjpeg", "mjpeg", "h264", "hevc"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(format, formats[i]) == 0)
            return true;
    return false;
}

/* Probing has already read most of it, so this seldom waits. With interlaced fields two packets may
 * be one frame. */
int sp_libav_measure_rate(struct sp_libav *s, struct sp_error *err)
{
    int64_t time_us[RATE_PACKETS], begin_us = sp_clock_us();
    int count = 0;
    if (!s->info.live || !s->network || s->numbering == SP_NUMBER_BY_COUNT)
        return SP_OK;
    while (count < RATE_PACKETS && !s->input_over) {
        int64_t passed_us = sp_clock_us() - begin_us;
        if (passed_us > TOO_LONG_US || (passed_us > ENOUGH_US && count >= RATE_PACKETS_MIN))
            break;
        int before = s->window_count, rc = sp_libav_read_packet(s, err);
        if (rc == SP_ERR_TIMEOUT)
            break; /* the next read reports it */
        if (rc != SP_OK)
            return rc;
        const struct sp_libav_waiting *last =
            &s->window[(s->window_first + s->window_count - 1) % SP_LIBAV_WINDOW];
        if (s->window_count == before || last->id < 0)
            continue;
        if (s->clockless)
            time_us[count++] = s->arrived_us[last->id % SP_ORDER_PENDING_MAX];
        else if (last->packet->pts != AV_NOPTS_VALUE)
            time_us[count++] =
                av_rescale_q(last->packet->pts, s->stream->time_base, AV_TIME_BASE_Q);
        if (s->window_count == SP_LIBAV_WINDOW)
            break;
    }
    double rate = sp_times_rate(time_us, count, s->info.frame_rate);
    if (rate > 0) {
        s->info.frame_rate = rate;
        s->period_us = (int64_t)(1e6 / rate + 0.5);
    }
    return SP_OK;
}
