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
    /* Packets read ahead of the decoder to know a packet's place in the order of display: more than
     * the longest run of B-frames (16) and the decoder's delay (16) together. */
    SP_LIBAV_WINDOW = 64,
    SP_LIBAV_NAME_BYTES = 224,
};

/* How packets and frames belong together. */
enum sp_libav_numbering {
    SP_NUMBER_BY_COUNT,   /* unknown: frames are counted as they come out */
    SP_NUMBER_BY_ORDINAL, /* one packet is one frame, displayed in the order of decoding */
    SP_NUMBER_BY_PTS,     /* one packet is one frame, reordered */
};

struct sp_libav_waiting {
    AVPacket *packet;
    int64_t id; /* in `order`; -1: gives no frame */
};

/* What went wrong on the way, for the one error text at the end. */
struct sp_libav_trouble {
    bool cut;             /* the input ended with an error or before its announced end */
    uint64_t damaged;     /* frames given out that the decoder marked as faulty */
    uint64_t errors;      /* of the decoder, where `order` does not tell what is lost */
    uint64_t missing;     /* announced by the container and not there */
    uint64_t first_after; /* good frames before the first trouble; UINT64_MAX: none */
    char detail[256];
};

struct sp_libav {
    struct sp_source_options options; /* url is our own copy */
    char *url;
    char name[SP_LIBAV_NAME_BYTES]; /* for texts: without secrets, cut */
    struct sp_source_info info;
    const atomic_bool *interrupted;
    _Atomic int64_t deadline_us; /* of the call into FFmpeg; 0: none */

    AVFormatContext *format;
    struct sp_libav_io *io; /* or NULL: FFmpeg opened the address itself */
    AVStream *stream;
    AVCodecContext *decoder;
    struct sp_libav_memory *memory; /* or NULL */
    struct sp_libav_gpu *gpu;       /* or NULL: it is decoded on the CPU */
    bool told_of_cpu;               /* … although the GPU was to */
    struct sp_converter *converter;
    bool network;
    struct sp_orientation orientation; /* of the whole stream */
    bool still;                        /* a still-image codec */
    bool images;              /* … and each frame a file of its own; one thread decodes them */
    int64_t frames_announced; /* by a trustworthy index or header; 0: none */
    int64_t end_announced_us; /* from the stream's start; 0: none */

    /* Packets, in the order of decoding. */
    struct sp_libav_waiting window[SP_LIBAV_WINDOW];
    int window_first, window_count;
    int64_t packets_read;
    int64_t last_dts; /* AV_NOPTS_VALUE: none yet */
    int64_t seen_end_us;
    int bad_reads, bad_drains;
    bool input_over, draining, over;

    /* Frames. */
    enum sp_libav_numbering numbering;
    bool may_skip;      /* packets off the grid need not be decoded */
    bool skip_unsent;   /* … and need not even reach the decoder */
    uint64_t undecoded; /* since the last one given out */
    uint64_t failed;
    struct sp_order order;
    bool any_frame;
    int64_t origin_us, period_us;
    bool clockless; /* live, and only arrival tells when a frame was taken */
    struct sp_times times;
    int64_t arrived_us[SP_ORDER_PENDING_MAX]; /* of packets, by their id */
    int64_t busy_us;                          /* spent since the last frame was given out */
    struct sp_libav_trouble trouble;
};

/* libav_open.c */
int sp_libav_open(void **out, const struct sp_source_options *options,
                  const atomic_bool *interrupted, struct sp_error *err);
void sp_libav_adopt(void *self, const atomic_bool *interrupted);
void sp_libav_close(void *self);

/* libav.c: SP_OK: a packet more in the window, or the input is over. */
int sp_libav_read_packet(struct sp_libav *s, struct sp_error *err);

/* libav_io.c: that the host's name is resolved, as FFmpeg cannot be interrupted while it asks. */
int sp_libav_resolve(struct sp_libav *s, struct sp_error *err);
void sp_libav_choose_transport(const char *url, AVDictionary **settings); /* of RTSP */

/* libav_io.c: what the address may open, before avformat_open_input. `url` as FFmpeg gets it.
 * SP_OK, or FFmpeg's error number; *format stays or is the one that the content is known to have.
 */
int sp_libav_io_open(struct sp_libav *s, const char *url, const AVInputFormat **format);
void sp_libav_io_close(struct sp_libav_io *io); /* after the format; NULL is fine */

/* libav_live.c: whether FFmpeg makes the times of the format up; and what fills the window of a
 * live source until its rate can be told by what comes. */
bool sp_libav_has_no_clock(const char *format);
int sp_libav_measure_rate(struct sp_libav *s, struct sp_error *err);

/* libav_seek.c */
int sp_libav_seek(void *self, int64_t time_us, struct sp_error *err);

/* An FFmpeg error number as text: the last error line it wrote, else the number's meaning. */
const char *sp_libav_reason(int rc, char *buffer, size_t buffer_bytes);
