/* The FFmpeg source, shared by libav_open.c (from URL to decoder) and libav.c (from packet to
 * frame). For src/capture only. */
#pragma once

#include "capture/convert.h"
#include "capture/libav_gpu.h"
#include "capture/order.h"
#include "capture/source_impl.h"
#include "capture/times.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

enum {
    /* Packets read ahead of the decoder to know a packet's position in display order: more than
     * the longest run of B-frames (16) and the decoder's delay (16) together. */
    SP_LIBAV_WINDOW = 64,
    SP_LIBAV_NAME_BYTES = 224,
};

/* How packets correspond to frames. */
enum sp_libav_numbering {
    SP_NUMBER_BY_COUNT,   /* unknown: frames are counted as the decoder returns them */
    SP_NUMBER_BY_ORDINAL, /* one packet is one frame; display order is decoding order */
    SP_NUMBER_BY_PTS,     /* one packet is one frame, reordered by timestamp */
};

struct sp_libav_waiting {
    AVPacket *packet;
    int64_t id; /* in `order`; -1: yields no frame */
};

/* Errors so far, for the one error message at the end. */
struct sp_libav_trouble {
    bool cut;             /* the input ended with an error or before its announced end */
    uint64_t damaged;     /* frames returned that the decoder marked as faulty */
    uint64_t errors;      /* of the decoder, where `order` does not reveal what is lost */
    uint64_t missing;     /* announced by the container and absent */
    uint64_t first_after; /* good frames before the first error; UINT64_MAX: none */
    char detail[256];
};

/* The next pass over a file that is rewound at its end (libav_seek.c). */
struct sp_libav_next {
    bool reading; /* the window's packets are its */
    struct sp_order order;
    int64_t shift; /* of its timestamps, in the stream's units */
    AVFrame
        *frame; /* its first one, while the pass before it ends; blank: none; NULL: never used */
};

struct sp_libav {
    struct sp_source_options options; /* url is a copy */
    char *url;
    char name[SP_LIBAV_NAME_BYTES]; /* for messages: redacted, shortened */
    struct sp_source_info info;
    const atomic_bool *interrupted;
    _Atomic int64_t deadline_us; /* of the call into FFmpeg; 0: none */

    AVFormatContext *format;
    struct sp_libav_io *io; /* or NULL: FFmpeg opened the address itself */
    AVStream *stream;
    AVCodecContext *decoder;
    struct sp_libav_memory *memory; /* or NULL */
    struct sp_libav_gpu *gpu;       /* or NULL: decoded on the CPU */
    bool cpu_logged;                /* … although a GPU was requested, and this was logged */
    struct sp_converter *converter;
    bool network;
    struct sp_orientation orientation; /* of the whole stream */
    bool still;                        /* a still-image codec */
    bool images;                       /* … and each frame is a file; decoded by one thread */
    int64_t frames_announced;          /* by a reliable index or header; 0: none */
    int64_t end_announced_us;          /* from the stream's start; 0: none */

    /* Packets, in decoding order. */
    struct sp_libav_waiting window[SP_LIBAV_WINDOW];
    int window_first, window_count;
    int64_t packets_read;
    int64_t last_dts; /* AV_NOPTS_VALUE: none yet */
    int64_t seen_end_us;
    int bad_reads, bad_drains;
    bool input_over, draining, over;
    int64_t first_pts, end_pts; /* of this pass; AV_NOPTS_VALUE: none read yet, or not known */
    int parity;                 /* of this pass; the next one's differs */
    int64_t shift;              /* of this pass's timestamps, so that the decoder's never fall */
    struct sp_libav_next next;

    /* Frames. */
    enum sp_libav_numbering numbering;
    bool may_skip;      /* packets of skipped frames need not be decoded */
    bool skip_unsent;   /* … and need not be sent to the decoder */
    uint64_t undecoded; /* since the last returned frame */
    uint64_t failed;
    struct sp_order order;
    bool any_frame;
    int64_t origin_us, period_us;
    bool clockless; /* live, and only the arrival time is known */
    struct sp_times times;
    int64_t arrived_us[SP_ORDER_PENDING_MAX]; /* of packets, by their id */
    int64_t busy_us;                          /* processing time since the last returned frame */
    struct sp_libav_trouble trouble;
};

/* libav_open.c */
int sp_libav_open(void **out, const struct sp_source_options *options,
                  const atomic_bool *interrupted, struct sp_error *err);
void sp_libav_adopt(void *self, const atomic_bool *interrupted);
void sp_libav_close(void *self);

/* libav_packets.c: SP_OK: the window has another packet, or the input has ended. */
int sp_libav_read_packet(struct sp_libav *s, struct sp_error *err);
/* Keeps the first error for the message at the end. */
void sp_libav_keep_detail(struct sp_libav *s, int rc);

/* libav_io.c: resolves the host name first, for a clear error and to end an opening that was given
 * up during the lookup (opening.h). */
int sp_libav_resolve(struct sp_libav *s, struct sp_error *err);
void sp_libav_choose_transport(const char *url, enum sp_source_transport transport,
                               AVDictionary **settings); /* of RTSP */

/* libav_io.c: restricts what the address may open, before avformat_open_input. `url` as passed to
 * FFmpeg. SP_OK, or an AVERROR; sets *format when the content determines it. */
int sp_libav_io_open(struct sp_libav *s, const char *url, const AVInputFormat **format);
void sp_libav_io_close(struct sp_libav_io *io); /* after the format context; NULL is fine */

/* libav_live.c: whether FFmpeg invents the format's timestamps; and filling the window of a live
 * source until its rate can be measured. */
bool sp_libav_has_no_clock(const char *format);
int sp_libav_measure_rate(struct sp_libav *s, struct sp_error *err);

/* libav_seek.c. True: the window has the first packet of the next pass. */
bool sp_libav_read_next_pass(struct sp_libav *s);
int sp_libav_seek(void *self, int64_t time_us, struct sp_error *err);

static inline bool sp_libav_is_interrupted(const struct sp_libav *s)
{
    return atomic_load_explicit(s->interrupted, memory_order_acquire);
}

static inline int64_t sp_libav_to_us(const struct sp_libav *s, int64_t timestamp)
{
    return av_rescale_q(timestamp, s->stream->time_base, AV_TIME_BASE_Q);
}
