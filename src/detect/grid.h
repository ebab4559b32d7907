/* The grids of cells that YOLO heads predict boxes for: one a stride, row by row, one stride after
 * the other. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SP_GRIDS_MAX = 4 };

struct sp_grid_cell {
    int stride_px, column, row;
};

/* The strides of the usual set (8 16 32; 4 8 16 32; 8 16 32 64) that has so many cells at this
 * input size, 0 behind the last where there are fewer than SP_GRIDS_MAX; NULL: none has. */
const int *sp_grid_find(int64_t cells, int width_px, int height_px);

/* Of the first set. */
int64_t sp_grid_usual_cells(int width_px, int height_px);

/* Cell number `index`; strides_px as found above, index within. */
struct sp_grid_cell sp_grid_locate(const int *strides_px, int64_t index, int width_px,
                                   int height_px);
