#include "capture/libav_display.h"

#include <stdlib.h>

/* A larger ratio is a damaged header. */
enum { ASPECT_MAX = 16 };

static const int32_t *stream_matrix(const AVStream *stream)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
    const AVCodecParameters *parameters = stream->codecpar;
    const AVPacketSideData *data = av_packet_side_data_get(
        parameters->coded_side_data, parameters->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    return data && data->size >= 9 * sizeof(int32_t) ? (const int32_t *)data->data : NULL;
#else
    size_t bytes = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    return data && bytes >= 9 * sizeof(int32_t) ? (const int32_t *)data : NULL;
#endif
}

struct sp_orientation sp_libav_stream_orientation(const AVStream *stream)
{
    const int32_t *matrix = stream_matrix(stream);
    return matrix ? sp_orientation_from_matrix(matrix) : (struct sp_orientation){0};
}

struct sp_orientation sp_libav_frame_orientation(const AVFrame *image,
                                                 struct sp_orientation of_stream)
{
    const AVFrameSideData *data = av_frame_get_side_data(image, AV_FRAME_DATA_DISPLAYMATRIX);
    if (data && data->size >= 9 * sizeof(int32_t))
        return sp_orientation_from_matrix((const int32_t *)data->data);
    /* Some decoders of still images pass on the EXIF tag unprocessed. */
    const AVDictionaryEntry *tag = av_dict_get(image->metadata, "Orientation", NULL, 0);
    return tag ? sp_orientation_from_exif(atoi(tag->value)) : of_stream;
}

AVRational sp_libav_pixel_aspect(AVFormatContext *format, AVStream *stream, AVFrame *image,
                                 bool still)
{
    AVRational aspect =
        still ? stream->sample_aspect_ratio : av_guess_sample_aspect_ratio(format, stream, image);
    if (aspect.num <= 0 || aspect.den <= 0 || aspect.num == aspect.den ||
        aspect.num / aspect.den >= ASPECT_MAX || aspect.den / aspect.num >= ASPECT_MAX)
        return (AVRational){0, 1};
    return aspect;
}
