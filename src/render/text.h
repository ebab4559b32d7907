/* Label text by FreeType: 8-bit coverage glyphs, rendered once per size and cached.
 * One thread at a time uses a face. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct sp_text;

/* `path` NULL: Debian's DejaVu Sans, then any sans font found in the usual folders (without
 * fontconfig). SP_ERR_NOT_FOUND lists what was tried. */
int sp_text_open(struct sp_text **out, const char *path, struct sp_error *err);
void sp_text_close(struct sp_text *text); /* NULL is fine */

/* Extent of UTF-8 `string` at this size. */
void sp_text_measure(struct sp_text *text, int size_px, const char *string, int *width_px,
                     int *ascent_px, int *descent_px);

/* Calls blend for each glyph bitmap: coverage [height][stride] 0..255 at (x, y), the top left
 * corner relative to (x_px, baseline_px). */
typedef void sp_text_blend(void *user, int x_px, int y_px, int width_px, int height_px,
                           int stride_bytes, const uint8_t *coverage);
void sp_text_render(struct sp_text *text, int size_px, int x_px, int baseline_px,
                    const char *string, sp_text_blend *blend, void *user);
