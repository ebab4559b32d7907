/* The grids of cells that YOLO heads predict boxes for: one grid per stride, in row-major order,
 * one grid after the other. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SP_GRIDS_MAX = 4 };

struct sp_grid_cell {
    int stride_px, column, row;
};

/* The usual set of strides (8 16 32; 4 8 16 32; 8 16 32 64) with this number of cells at this input
 * size, ended by 0 if shorter than SP_GRIDS_MAX. NULL: no set has it. */
const int *sp_grid_find(int64_t cells, int width_px, int height_px);

/* Number of cells of the set 8 16 32. */
int64_t sp_grid_usual_cells(int width_px, int height_px);

/* The cell with this index; strides_px: of sp_grid_find(). */
struct sp_grid_cell sp_grid_locate(const int *strides_px, int64_t index, int width_px,
                                   int height_px);
