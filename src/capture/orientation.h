/* Rotation and mirroring of a frame for display: one of the eight EXIF orientations.
 *
 * Data flow: a display matrix (of a container, of codec side data, of EXIF) -> orientation ->
 * sp_orientation_apply() writes the planes in display orientation. Pure; any thread. */
#pragma once

#include "frame.h"

struct sp_orientation {  /* applied in this order; all false: none */
    bool flip_x, flip_y; /* of the decoded frame */
    bool transposed;     /* afterwards, rows become columns */
};

/* ISO/IEC 14496-12, 6.2.2: {a b u, c d v, x y w}, row by row, a..d in 16.16. Other angles are
 * rounded to the nearest of the eight; a degenerate matrix means none. */
struct sp_orientation sp_orientation_from_matrix(const int32_t matrix[9]);

/* EXIF tag 0x112, 1 to 8; anything else: none. */
struct sp_orientation sp_orientation_from_exif(int tag);

bool sp_orientation_is_plain(struct sp_orientation orientation);

/* I420 planes in display orientation (width and height swapped where transposed). `frame` is I420
 * or NV12. False: libyuv rejects the size. */
bool sp_orientation_apply(struct sp_orientation orientation, const struct sp_frame *frame,
                          uint8_t *const plane[3], const int stride_bytes[3]);
