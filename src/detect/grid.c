#include "detect/grid.h"

#include <assert.h>
#include <stddef.h>

enum { GRID_SETS = 3 };

static const int grid_sets[GRID_SETS][SP_GRIDS_MAX] = {
    {8, 16, 32, 0}, {4, 8, 16, 32}, {8, 16, 32, 64}};

static int64_t cells_of(int stride_px, int width_px, int height_px)
{
    return (int64_t)((width_px + stride_px - 1) / stride_px) *
           ((height_px + stride_px - 1) / stride_px);
}

static int64_t count_cells(const int strides_px[SP_GRIDS_MAX], int width_px, int height_px)
{
    int64_t count = 0;
    for (int i = 0; i < SP_GRIDS_MAX && strides_px[i]; ++i)
        count += cells_of(strides_px[i], width_px, height_px);
    return count;
}

const int *sp_grid_find(int64_t cells, int width_px, int height_px)
{
    for (int i = 0; i < GRID_SETS; ++i) {
        if (count_cells(grid_sets[i], width_px, height_px) == cells)
            return grid_sets[i];
    }
    return NULL;
}

int64_t sp_grid_usual_cells(int width_px, int height_px)
{
    return count_cells(grid_sets[0], width_px, height_px);
}

struct sp_grid_cell sp_grid_locate(const int *strides_px, int64_t index, int width_px,
                                   int height_px)
{
    int grid = 0;
    for (int64_t count; index >= (count = cells_of(strides_px[grid], width_px, height_px));
         ++grid) {
        index -= count;
        assert(grid + 1 < SP_GRIDS_MAX && strides_px[grid + 1]);
    }
    int stride_px = strides_px[grid], columns = (width_px + stride_px - 1) / stride_px;
    return (struct sp_grid_cell){stride_px, (int)(index % columns), (int)(index / columns)};
}
