/* Draws tracks on the planes of an image: no conversion to RGB and back.
 *
 * Data flow: shared frame -> sp_canvas_load copies its planes (I420) -> sp_draw_* -> JPEG or video
 * encoder read the canvas. A canvas belongs to one thread; it allocates only when the size grows.
 *
 * A canvas has its own range and matrix (full_range, matrix), used by drawing, JPEG and video. Load
 * it as SP_CANVAS_JPEG when its images become JPEG only: the copy then converts range and matrix in
 * the same pass, and the encoder has nothing left to convert. */
#pragma once

#include "class_names.h"
#include "frame.h"
#include "spoton/device.h"
#include "track.h"

#include <stdbool.h>

/* The planes have even sizes inside: with an odd width or height the last column or row is
 * duplicated (JPEG's 4:2:0 reads it), and drawing covers both. */
struct sp_canvas {
    uint8_t *plane[3]; /* I420; strides multiples of 64 */
    int stride_bytes[3];
    int width_px, height_px;
    bool full_range;
    enum sp_color_matrix matrix;
    int pixel_aspect[2]; /* as the frame's */
    size_t capacity_bytes;
    uint8_t *memory;
};

void sp_canvas_release(struct sp_canvas *canvas); /* zeroed memory is an empty canvas */

enum sp_canvas_color {
    SP_CANVAS_AS_FRAME, /* a plain copy: for video, or for video and JPEG */
    SP_CANVAS_JPEG,     /* full range, BT.601: for JPEG only */
};

/* SP_ERR_NO_MEMORY, SP_ERR_INVALID (a frame without planes or of no size). */
int sp_canvas_load(struct sp_canvas *canvas, const struct sp_frame *frame,
                   enum sp_canvas_color color, struct sp_error *err);

struct sp_text; /* a font face with its glyph cache; render/text.h */

struct sp_draw_style {
    bool ids, confidences;
    const struct sp_class_names *names; /* beside the id; NULL: no class is drawn */
    bool predicted;                     /* a frame without inference: boxes are dashed */
    const char *title;                  /* camera name, top left; NULL: none */
    const char *clock;                  /* under or beside the title; NULL: none */
};

/* Boxes (a colour per id that stays the same), labels, title. Line width and text size follow the
 * image's height: crisp at 360p and at 2160p. Boxes are clipped to the image. `text` may be
 * NULL: no labels. */
void sp_draw_tracks(struct sp_canvas *canvas, struct sp_text *text, const struct sp_track *tracks,
                    size_t track_count, const struct sp_draw_style *style);

/* The same as steps for a device that draws (spoton/device.h). Belongs to one thread; zeroed memory
 * is empty; grows only. */
struct sp_marks {
    struct spoton_mark *mark;
    size_t count, capacity;
    uint8_t *coverage; /* of the glyphs */
    size_t coverage_bytes, coverage_capacity;
    bool incomplete; /* out of memory */
};

void sp_marks_release(struct sp_marks *marks);

/* What sp_draw_tracks() draws on a canvas of this size that was loaded as SP_CANVAS_JPEG, in place
 * of what was there. SP_ERR_NO_MEMORY. */
int sp_draw_marks(struct sp_marks *marks, int width_px, int height_px, struct sp_text *text,
                  const struct sp_track *tracks, size_t track_count,
                  const struct sp_draw_style *style, struct sp_error *err);

/* RGB of a track id: distinct for neighbouring ids, the same on every run. */
void sp_draw_color(uint32_t id, uint8_t rgb[3]);
