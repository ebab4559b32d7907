/* How a frame is turned and mirrored to stand as it was meant to: one of the eight of EXIF.
 *
 * Data flow: a display matrix (of a container, of the codec's messages, of EXIF) -> orientation ->
 * sp_orientation_apply() writes the planes as they are to be seen. Pure; any thread. */
#pragma once

#include "frame.h"

struct sp_orientation {  /* applied in this order; all false: as it is */
    bool flip_x, flip_y; /* of the frame as it was decoded */
    bool transposed;     /* then rows become columns */
};

/* ISO/IEC 14496-12, 6.2.2: {a b u, c d v, x y w}, row by row, a..d in 16.16. An angle between two
 * of the eight becomes the nearest; what is degenerate is as it is. */
struct sp_orientation sp_orientation_from_matrix(const int32_t matrix[9]);

/* EXIF's tag 0x112, 1 to 8; anything else: as it is. */
struct sp_orientation sp_orientation_from_exif(int tag);

bool sp_orientation_is_plain(struct sp_orientation orientation);

/* I420 planes of the turned frame (its sizes exchanged where it is transposed). `frame` is I420 or
 * NV12. False: libyuv refuses the size. */
bool sp_orientation_apply(struct sp_orientation orientation, const struct sp_frame *frame,
                          uint8_t *const plane[3], const int stride_bytes[3]);
