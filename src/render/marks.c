#include "render/marks.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_MARKS = 256, FIRST_BYTES = 16384 };

void sp_marks_release(struct sp_marks *marks)
{
    free(marks->mark);
    free(marks->coverage);
    *marks = (struct sp_marks){0};
}

void sp_marks_add(struct sp_marks *marks, struct spoton_mark mark)
{
    if (marks->count == marks->capacity) {
        size_t capacity = marks->capacity ? 2 * marks->capacity : FIRST_MARKS;
        struct spoton_mark *grown = realloc(marks->mark, capacity * sizeof *grown);
        if (!grown) {
            marks->incomplete = true;
            return;
        }
        marks->mark = grown;
        marks->capacity = capacity;
    }
    marks->mark[marks->count++] = mark;
}

void sp_marks_add_glyph(struct sp_marks *marks, struct spoton_mark mark, const uint8_t *coverage,
                        int stride_bytes)
{
    size_t width = (size_t)(mark.x1 - mark.x0), height = (size_t)(mark.y1 - mark.y0);
    size_t bytes = marks->coverage_bytes + width * height;
    if (bytes > marks->coverage_capacity) {
        size_t capacity = bytes > FIRST_BYTES / 2 ? 2 * bytes : FIRST_BYTES;
        uint8_t *grown = realloc(marks->coverage, capacity);
        if (!grown) {
            marks->incomplete = true;
            return;
        }
        marks->coverage = grown;
        marks->coverage_capacity = capacity;
    }
    uint8_t *to = marks->coverage + marks->coverage_bytes;
    for (size_t y = 0; y < height; y++)
        memcpy(to + y * width, coverage + (ptrdiff_t)y * stride_bytes, width);
    mark.coverage = (uint32_t)marks->coverage_bytes;
    marks->coverage_bytes = bytes;
    sp_marks_add(marks, mark);
}
