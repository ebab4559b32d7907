/* Steps of drawing, collected for a device (struct sp_marks of render/draw.h). Private to render/.
 * Out of memory: nothing is added, and the marks are incomplete. */
#pragma once

#include "render/draw.h"

void sp_marks_add(struct sp_marks *marks, struct spoton_mark mark);

/* Copies the coverage of the mark's rectangle: [height][stride_bytes]. */
void sp_marks_add_glyph(struct sp_marks *marks, struct spoton_mark mark, const uint8_t *coverage,
                        int stride_bytes);
