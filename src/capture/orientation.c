#include "capture/orientation.h"

#include <libyuv.h>

#include <math.h>

struct sp_orientation sp_orientation_from_matrix(const int32_t matrix[9])
{
    double a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
    double straight = fabs(a) + fabs(d), across = fabs(b) + fabs(c);
    if (straight == 0 && across == 0)
        return (struct sp_orientation){0};
    /* x' = a x + c y, y' = b x + d y. */
    if (straight >= across)
        return (struct sp_orientation){.flip_x = a < 0, .flip_y = d < 0};
    return (struct sp_orientation){.flip_x = b < 0, .flip_y = c < 0, .transposed = true};
}

struct sp_orientation sp_orientation_from_exif(int tag)
{
    switch (tag) {
    case 2:
        return (struct sp_orientation){.flip_x = true};
    case 3:
        return (struct sp_orientation){.flip_x = true, .flip_y = true};
    case 4:
        return (struct sp_orientation){.flip_y = true};
    case 5:
        return (struct sp_orientation){.transposed = true};
    case 6:
        return (struct sp_orientation){.flip_y = true, .transposed = true};
    case 7:
        return (struct sp_orientation){.flip_x = true, .flip_y = true, .transposed = true};
    case 8:
        return (struct sp_orientation){.flip_x = true, .transposed = true};
    default:
        return (struct sp_orientation){0};
    }
}

bool sp_orientation_is_plain(struct sp_orientation o)
{
    return !o.flip_x && !o.flip_y && !o.transposed;
}

bool sp_orientation_apply(struct sp_orientation o, const struct sp_frame *frame,
                          uint8_t *const plane[3], const int stride_bytes[3])
{
    /* libyuv rotates by quarters, and a negative height flips vertically first. Clockwise by 90 is
     * "flipped vertically, then transposed". */
    enum RotationMode turn;
    bool upside_down;
    if (o.transposed) {
        turn = o.flip_x ? kRotate270 : kRotate90;
        upside_down = o.flip_x == o.flip_y;
    } else {
        turn = o.flip_x ? kRotate180 : kRotate0;
        upside_down = o.flip_x != o.flip_y;
    }
    int height = upside_down ? -frame->height_px : frame->height_px;
    const int *stride = frame->stride_bytes;
    if (frame->format == SP_PIXEL_NV12)
        return NV12ToI420Rotate(frame->plane[0], stride[0], frame->plane[1], stride[1], plane[0],
                                stride_bytes[0], plane[1], stride_bytes[1], plane[2],
                                stride_bytes[2], frame->width_px, height, turn) == 0;
    return I420Rotate(frame->plane[0], stride[0], frame->plane[1], stride[1], frame->plane[2],
                      stride[2], plane[0], stride_bytes[0], plane[1], stride_bytes[1], plane[2],
                      stride_bytes[2], frame->width_px, height, turn) == 0;
}
