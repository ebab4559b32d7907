#include "publish/mp4.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/common.h>
#include <libavutil/opt.h>
#include <libyuv.h>

enum { QUIET = 100 /* silences the encoder's own log */ };

struct sp_mp4 {
    const struct sp_atomic_file *part;
    const AVCodec *codec;
    double frame_rate;
    int crf;
    AVCodecContext *encoder; /* NULL until the first frame */
    AVFormatContext *muxer;
    AVStream *stream;
    AVFrame *image;
    AVPacket *packet;
    bool header_written, finished;
    int packets;         /* written without an error */
    int64_t whole_bytes; /* up to the end of the last complete fragment */
    int64_t first_pts_us, last_pts;
    int64_t gap; /* between the last two frames; the duration of the last one */
};

/* FFmpeg's codes are negative errno values or tags of its own. */
static int fail_av(const struct sp_mp4 *mp4, int av_error, const char *what, struct sp_error *err)
{
    if (av_error < 0 && av_error > -4096 && AVUNERROR(av_error) != EINVAL)
        return sp_atomic_file_fail(mp4->part, AVUNERROR(av_error), err);
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(av_error, text, sizeof text);
    return sp_fail(err, SP_ERR_IO, "%s: %s: %s", sp_atomic_file_name(mp4->part), what, text);
}

int sp_mp4_open(struct sp_mp4 **out, const struct sp_atomic_file *part,
                const struct sp_mp4_options *options, struct sp_error *err)
{
    const AVCodec *codec =
        avcodec_find_encoder_by_name(options->encoder ? options->encoder : "libx264");
    if (!codec && !options->encoder)
        codec = avcodec_find_encoder_by_name("mpeg4");
    if (!codec)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: FFmpeg has no video encoder %s; run without video, or install "
                       "FFmpeg's full libavcodec",
                       sp_atomic_file_name(part),
                       options->encoder ? options->encoder : "libx264 or mpeg4");
    struct sp_mp4 *mp4 = calloc(1, sizeof *mp4);
    if (!mp4)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", sp_atomic_file_name(part));
    mp4->part = part;
    mp4->codec = codec;
    mp4->frame_rate = options->frame_rate;
    mp4->crf = options->crf;
    mp4->packet = av_packet_alloc();
    mp4->image = av_frame_alloc();
    if (!mp4->packet || !mp4->image) {
        sp_mp4_close(mp4);
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", sp_atomic_file_name(part));
    }
    *out = mp4;
    return SP_OK;
}

void sp_mp4_close(struct sp_mp4 *mp4)
{
    if (!mp4)
        return;
    if (mp4->muxer) {
        avio_closep(&mp4->muxer->pb);
        avformat_free_context(mp4->muxer);
    }
    avcodec_free_context(&mp4->encoder);
    av_packet_free(&mp4->packet);
    av_frame_free(&mp4->image);
    free(mp4);
}

static void tag_colors(AVCodecContext *encoder, const struct sp_canvas *canvas)
{
    encoder->color_range = canvas->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    encoder->chroma_sample_location = AVCHROMA_LOC_LEFT;
    switch (canvas->matrix) {
    case SP_MATRIX_BT601:
        encoder->colorspace = AVCOL_SPC_SMPTE170M;
        encoder->color_primaries = AVCOL_PRI_SMPTE170M;
        encoder->color_trc = AVCOL_TRC_SMPTE170M;
        break;
    case SP_MATRIX_BT709:
        encoder->colorspace = AVCOL_SPC_BT709;
        encoder->color_primaries = AVCOL_PRI_BT709;
        encoder->color_trc = AVCOL_TRC_BT709;
        break;
    case SP_MATRIX_BT2020:
        encoder->colorspace = AVCOL_SPC_BT2020_NCL;
        encoder->color_primaries = AVCOL_PRI_BT2020;
        encoder->color_trc = AVCOL_TRC_BT2020_10;
        break;
    }
}

static int open_encoder(struct sp_mp4 *mp4, const struct sp_canvas *canvas, struct sp_error *err)
{
    AVCodecContext *encoder = mp4->encoder = avcodec_alloc_context3(mp4->codec);
    if (!encoder)
        return fail_av(mp4, AVERROR(ENOMEM), "encoder", err);
    bool x264 = strcmp(mp4->codec->name, "libx264") == 0;
    encoder->log_level_offset = QUIET;
    encoder->width = canvas->width_px < 2 ? 2 : canvas->width_px & ~1;
    encoder->height = canvas->height_px < 2 ? 2 : canvas->height_px & ~1;
    encoder->pix_fmt = AV_PIX_FMT_YUV420P;
    encoder->time_base = (AVRational){1, x264 ? 90000 : 60000}; /* MPEG-4 counts to 65535 */
    encoder->framerate = av_d2q(mp4->frame_rate, 100000);
    encoder->sample_aspect_ratio =
        canvas->pixel_aspect[0] > 0 ? (AVRational){canvas->pixel_aspect[0], canvas->pixel_aspect[1]}
                                    : (AVRational){1, 1};
    encoder->gop_size = (int)fmin(fmax(round(2 * mp4->frame_rate), 12), 250);
    encoder->thread_count = 1;
    encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    tag_colors(encoder, canvas);

    AVDictionary *settings = NULL;
    if (x264) {
        char crf[12];
        snprintf(crf, sizeof crf, "%d", mp4->crf);
        av_dict_set(&settings, "preset", "veryfast", 0);
        av_dict_set(&settings, "crf", crf, 0);
        /* otherwise the bytes would depend on the CPU's instruction sets */
        av_dict_set(&settings, "x264-params", "cpu-independent=1", 0);
    } else {
        encoder->flags |= AV_CODEC_FLAG_QSCALE;
        encoder->global_quality = FF_QP2LAMBDA * (mp4->crf < 12 ? 2 : 2 + (mp4->crf - 12) / 4);
    }
    int rc = avcodec_open2(encoder, mp4->codec, &settings);
    av_dict_free(&settings);
    if (rc < 0) {
        char text[AV_ERROR_MAX_STRING_SIZE] = "";
        av_strerror(rc, text, sizeof text);
        return sp_fail(err, SP_ERR_UNSUPPORTED, "%s: the encoder %s rejects %dx%d: %s",
                       sp_atomic_file_name(mp4->part), mp4->codec->name, encoder->width,
                       encoder->height, text);
    }
    return SP_OK;
}

static int open_muxer(struct sp_mp4 *mp4, struct sp_error *err)
{
    char url[4096]; /* "file:", so that a colon in the path starts no protocol */
    int rc = avformat_alloc_output_context2(&mp4->muxer, NULL, "mp4", NULL);
    if (rc < 0)
        return fail_av(mp4, rc, "MP4", err);
    if (snprintf(url, sizeof url, "file:%s", sp_atomic_file_path(mp4->part)) >= (int)sizeof url)
        return fail_av(mp4, AVERROR(ENAMETOOLONG), "MP4", err);
    mp4->muxer->url = av_strdup(url);
    mp4->muxer->flags |= AVFMT_FLAG_BITEXACT;
    mp4->stream = avformat_new_stream(mp4->muxer, NULL);
    if (!mp4->muxer->url || !mp4->stream)
        return fail_av(mp4, AVERROR(ENOMEM), "MP4", err);
    mp4->stream->time_base = mp4->encoder->time_base;
    mp4->stream->avg_frame_rate = mp4->encoder->framerate;
    mp4->stream->sample_aspect_ratio = mp4->encoder->sample_aspect_ratio;
    rc = avcodec_parameters_from_context(mp4->stream->codecpar, mp4->encoder);
    if (rc >= 0)
        rc = avio_open(&mp4->muxer->pb, url, AVIO_FLAG_WRITE);
    AVDictionary *settings = NULL;
    av_dict_set(&settings, "movflags",
                "+frag_every_frame+delay_moov+default_base_moof+skip_trailer", 0);
    if (rc >= 0)
        rc = avformat_write_header(mp4->muxer, &settings);
    av_dict_free(&settings);
    if (rc < 0)
        return fail_av(mp4, rc, "MP4", err);
    mp4->header_written = true;
    return SP_OK;
}

static int start(struct sp_mp4 *mp4, const struct sp_canvas *canvas, struct sp_error *err)
{
    int rc = open_encoder(mp4, canvas, err);
    if (!rc)
        rc = open_muxer(mp4, err);
    if (rc)
        return rc;
    mp4->image->format = AV_PIX_FMT_YUV420P;
    mp4->image->width = mp4->encoder->width;
    mp4->image->height = mp4->encoder->height;
    mp4->image->color_range = mp4->encoder->color_range;
    mp4->image->colorspace = mp4->encoder->colorspace;
    int av = av_frame_get_buffer(mp4->image, 0);
    return av < 0 ? fail_av(mp4, av, "frame", err) : SP_OK;
}

/* Copies the canvas, letterboxed when its size differs from the video's. */
static void copy_image(const struct sp_mp4 *mp4, const struct sp_canvas *canvas)
{
    AVFrame *to = mp4->image;
    uint8_t *const *in = canvas->plane;
    const int *stride = canvas->stride_bytes;
    int width = to->width, height = to->height;
    bool same = canvas->width_px >= width && canvas->width_px - width < 2 &&
                canvas->height_px >= height && canvas->height_px - height < 2;
    if (same) {
        I420Copy(in[0], stride[0], in[1], stride[1], in[2], stride[2], to->data[0], to->linesize[0],
                 to->data[1], to->linesize[1], to->data[2], to->linesize[2], width, height);
        return;
    }
    double scale = fmin((double)width / canvas->width_px, (double)height / canvas->height_px);
    int inner_width = (int)fmin(width, fmax(2, 2 * lround(canvas->width_px * scale / 2)));
    int inner_height = (int)fmin(height, fmax(2, 2 * lround(canvas->height_px * scale / 2)));
    int x = (width - inner_width) / 4 * 2, y = (height - inner_height) / 4 * 2;
    I420Rect(to->data[0], to->linesize[0], to->data[1], to->linesize[1], to->data[2],
             to->linesize[2], 0, 0, width, height, canvas->full_range ? 0 : 16, 128, 128);
    I420Scale(in[0], stride[0], in[1], stride[1], in[2], stride[2], canvas->width_px,
              canvas->height_px, to->data[0] + (ptrdiff_t)y * to->linesize[0] + x, to->linesize[0],
              to->data[1] + (ptrdiff_t)y / 2 * to->linesize[1] + x / 2, to->linesize[1],
              to->data[2] + (ptrdiff_t)y / 2 * to->linesize[2] + x / 2, to->linesize[2],
              inner_width, inner_height, kFilterBox);
}

/* image NULL: flushes the encoder. */
static int encode(struct sp_mp4 *mp4, const AVFrame *image, struct sp_error *err)
{
    int rc = avcodec_send_frame(mp4->encoder, image);
    while (rc >= 0) {
        rc = avcodec_receive_packet(mp4->encoder, mp4->packet);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            return SP_OK;
        if (rc < 0)
            break;
        mp4->packet->stream_index = mp4->stream->index;
        mp4->packet->duration = mp4->gap;
        av_packet_rescale_ts(mp4->packet, mp4->encoder->time_base, mp4->stream->time_base);
        rc = av_interleaved_write_frame(mp4->muxer, mp4->packet);
        avio_flush(mp4->muxer->pb); /* the previous frame's fragment, which ends here */
        if (rc >= 0 && mp4->muxer->pb->error < 0)
            rc = mp4->muxer->pb->error;
        if (rc >= 0 && ++mp4->packets > 1)
            mp4->whole_bytes = avio_tell(mp4->muxer->pb);
    }
    return fail_av(mp4, rc, "encoding", err);
}

int sp_mp4_frame(struct sp_mp4 *mp4, const struct sp_canvas *canvas, int64_t pts_us,
                 struct sp_error *err)
{
    int64_t pts = 0;
    if (!mp4->encoder) {
        int rc = start(mp4, canvas, err);
        if (rc)
            return rc;
        mp4->first_pts_us = pts_us;
        mp4->gap = av_rescale_q(1, av_inv_q(mp4->encoder->framerate), mp4->encoder->time_base);
    } else {
        pts = av_rescale_q(av_sat_sub64(pts_us, mp4->first_pts_us), AV_TIME_BASE_Q,
                           mp4->encoder->time_base);
        if (pts <= mp4->last_pts)
            pts = mp4->last_pts + 1;
        mp4->gap = pts - mp4->last_pts;
    }
    int rc = av_frame_make_writable(mp4->image); /* the encoder may still read the last one */
    if (rc < 0)
        return fail_av(mp4, rc, "frame", err);
    copy_image(mp4, canvas);
    mp4->image->pts = mp4->last_pts = pts;
    return encode(mp4, mp4->image, err);
}

/* Each frame lasts until the next one, the last for mp4->gap. */
static int copy_packets(AVFormatContext *in, AVFormatContext *out, const struct sp_mp4 *mp4)
{
    AVPacket *packet = mp4->packet;
    AVStream *from = in->streams[0], *to = avformat_new_stream(out, NULL);
    AVDictionary *settings = NULL;
    if (!to || avcodec_parameters_copy(to->codecpar, from->codecpar) < 0)
        return AVERROR(ENOMEM);
    to->codecpar->codec_tag = 0;
    to->time_base = from->time_base;
    to->avg_frame_rate = from->avg_frame_rate;
    to->sample_aspect_ratio = from->sample_aspect_ratio;
    out->flags |= AVFMT_FLAG_BITEXACT;
    av_dict_set(&settings, "movflags", "+faststart", 0);
    int rc = avformat_write_header(out, &settings);
    av_dict_free(&settings);
    while (rc >= 0) {
        rc = av_read_frame(in, packet);
        if (rc == AVERROR_EOF) {
            rc = av_write_trailer(out);
            avio_flush(out->pb);
            return rc < 0 ? rc : out->pb->error;
        }
        if (rc < 0)
            return rc;
        packet->pos = -1;
        av_packet_rescale_ts(packet, from->time_base, to->time_base);
        packet->duration = av_rescale_q(mp4->gap, mp4->encoder->time_base, to->time_base);
        rc = av_interleaved_write_frame(out, packet);
        av_packet_unref(packet);
        if (rc >= 0)
            rc = out->pb->error;
    }
    return rc;
}

/* Writes the video unfragmented to a second file. */
static int rewrite(const char *from, const char *to, const struct sp_mp4 *mp4)
{
    AVFormatContext *in = NULL, *out = NULL;
    int rc = avformat_open_input(&in, from, av_find_input_format("mp4"), NULL);
    if (rc >= 0 && in->nb_streams != 1)
        rc = AVERROR_INVALIDDATA;
    if (rc >= 0)
        rc = avformat_alloc_output_context2(&out, NULL, "mp4", NULL);
    if (rc >= 0) {
        out->url = av_strdup(to); /* read again by the muxer's second pass */
        rc = out->url ? avio_open(&out->pb, to, AVIO_FLAG_WRITE) : AVERROR(ENOMEM);
    }
    if (rc >= 0) {
        in->streams[0]->avg_frame_rate = mp4->encoder->framerate;
        rc = copy_packets(in, out, mp4);
    }
    avformat_close_input(&in);
    if (out) {
        int closed = avio_closep(&out->pb);
        rc = rc < 0 ? rc : closed;
        avformat_free_context(out);
    }
    return rc;
}

static void defragment(struct sp_mp4 *mp4, struct sp_atomic_file *part)
{
    char from[4096], to[4096];
    if (snprintf(from, sizeof from, "file:%s", sp_atomic_file_path(part)) >= (int)sizeof from ||
        snprintf(to, sizeof to, "file:%s2", sp_atomic_file_path(part)) >= (int)sizeof to)
        return;
    const char *path = to + strlen("file:");
    if (rewrite(from, to, mp4) < 0 || sp_atomic_file_replace(part, path, NULL) != SP_OK)
        unlink(path); /* no space: the fragmented file is a valid video too */
}

bool sp_mp4_rescue(struct sp_mp4 *mp4, struct sp_atomic_file *part)
{
    if (mp4->muxer)
        avio_closep(&mp4->muxer->pb);
    return sp_atomic_file_cut(part, mp4->whole_bytes, NULL) == SP_OK && mp4->whole_bytes > 0;
}

int sp_mp4_finish(struct sp_mp4 *mp4, struct sp_atomic_file *part, bool *complete,
                  struct sp_error *err)
{
    *complete = false;
    if (!mp4->header_written || mp4->finished)
        return SP_OK;
    mp4->finished = true;
    int rc = encode(mp4, NULL, err);
    if (rc)
        return rc;
    int av = av_write_trailer(mp4->muxer);
    avio_flush(mp4->muxer->pb);
    if (av >= 0 && mp4->muxer->pb->error < 0)
        av = mp4->muxer->pb->error;
    int closed = avio_closep(&mp4->muxer->pb);
    if (av < 0 || closed < 0)
        return fail_av(mp4, av < 0 ? av : closed, "MP4", err);
    defragment(mp4, part);
    *complete = true;
    return SP_OK;
}
