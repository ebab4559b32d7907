#include "schedule/gate.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS_MAX = SP_GATE_SIDE_MAX * SP_GATE_SIDE_MAX,
    BLOCK_PX_MAX = 256, /* column sums of a block fit into 16 bits */
    CHUNK_PX = 4096,    /* columns summed at once */
    SPARSE_BLOCK_PX = 8,
    SHARE = 65536,          /* 1, of a moving average */
    FOLLOW_US = 3200000,    /* time constant of background and noise */
    NOISE_MIN = 128,        /* 0.5 grey levels, in 1/256 */
    NOISE_MAX = 3072,       /* 12 */
    NOISE_START = 256,      /* 1 */
    BLOCKS_CHANGED_MIN = 3, /* of a cell that moves */
    CALM_FRAMES = 10,
    BINS = 2048, /* of a quarter of a grey level */
    GROUP = 16,
};

struct sp_gate {
    struct sp_gate_shape shape;
    bool begun;
    int calm; /* frames since nearly everything moved */
    uint8_t moves[SP_GATE_CELLS_MAX], differs[SP_GATE_CELLS_MAX];
    uint32_t bins[BINS];
    int16_t previous[BLOCKS_MAX];    /* 1/16 grey levels */
    uint16_t background[BLOCKS_MAX]; /* 1/256 grey levels */
    int16_t noise[BLOCKS_MAX];       /* 1/256 grey levels: mean absolute difference */
};

bool sp_gate_shape(int width_px, int height_px, struct sp_gate_shape *shape)
{
    int longer_px = width_px > height_px ? width_px : height_px;
    if (width_px < 1 || height_px < 1 || longer_px > BLOCK_PX_MAX * SP_GATE_SIDE)
        return false;
    int block_px = (longer_px + SP_GATE_SIDE / 2) / SP_GATE_SIDE;
    block_px = block_px < 1 ? 1 : block_px;
    shape->block_px = block_px;
    /* Less than a block at the right and bottom edges is not read. */
    shape->width = width_px >= block_px ? width_px / block_px : 1;
    shape->height = height_px >= block_px ? height_px / block_px : 1;
    shape->columns = (shape->width + SP_GATE_CELL_BLOCKS - 1) / SP_GATE_CELL_BLOCKS;
    shape->rows = (shape->height + SP_GATE_CELL_BLOCKS - 1) / SP_GATE_CELL_BLOCKS;
    return true;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* In groups of a constant size, which compilers vectorize without special flags. */
static void add_row(uint16_t *restrict sum, const uint8_t *restrict row, int count)
{
    int x = 0;
    for (; x + GROUP <= count; x += GROUP)
        for (int k = 0; k < GROUP; k++)
            sum[x + k] = (uint16_t)(sum[x + k] + row[x + k]);
    for (; x < count; x++)
        sum[x] = (uint16_t)(sum[x] + row[x]);
}

/* Rows of a block per row read: a mean of fewer pixels differs by less than the noise. */
static int row_step(int block_px)
{
    return block_px >= 2 * SPARSE_BLOCK_PX ? 4 : block_px >= SPARSE_BLOCK_PX ? 2 : 1;
}

void sp_gate_reduce(const struct sp_frame *frame, const struct sp_gate_shape *shape, int16_t *means)
{
    int block_px = shape->block_px, high_px = least(block_px, frame->height_px);
    int wide_px = least(block_px, frame->width_px), step = row_step(block_px);
    int in_chunk = CHUNK_PX / block_px;
    uint32_t pixels = (uint32_t)(wide_px * ((high_px + step - 1) / step));
    uint32_t scale = (1U << 20) / pixels; /* 16 units a level, 16 bits of fraction */
    uint16_t sum[CHUNK_PX];
    for (int y = 0; y < shape->height; y++) {
        for (int first = 0; first < shape->width; first += in_chunk) {
            int blocks = least(in_chunk, shape->width - first);
            int columns_px = least(blocks * block_px, frame->width_px - first * block_px);
            memset(sum, 0, (size_t)columns_px * sizeof *sum);
            for (int r = 0; r < high_px; r += step)
                add_row(sum,
                        frame->plane[0] + (ptrdiff_t)(y * block_px + r) * frame->stride_bytes[0] +
                            (ptrdiff_t)first * block_px,
                        columns_px);
            for (int x = 0; x < blocks; x++) {
                uint32_t all = 0;
                for (int c = 0; c < wide_px; c++)
                    all += sum[x * block_px + c];
                means[y * shape->width + first + x] = (int16_t)((all * scale + 32768) >> 16);
            }
        }
    }
}

int sp_gate_open(struct sp_gate **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "scheduling policy: out of memory");
}

void sp_gate_close(struct sp_gate *gate)
{
    free(gate);
}

void sp_gate_reset(struct sp_gate *gate, const struct sp_gate_shape *shape)
{
    gate->shape = *shape;
    gate->begun = false;
    memset(gate->moves, 0, sizeof gate->moves);
    memset(gate->differs, 0, sizeof gate->differs);
}

static void begin(struct sp_gate *g, const int16_t *means)
{
    int blocks = g->shape.width * g->shape.height;
    for (int i = 0; i < blocks; i++) {
        g->previous[i] = means[i];
        g->background[i] = (uint16_t)(means[i] * 16);
        g->noise[i] = NOISE_START;
    }
    g->begun = true;
    g->calm = CALM_FRAMES;
}

/* ---- one step ---- */

/* Of every second block, in units of 1/16 grey level, to a quarter of a level. */
static int median_of_bins(const struct sp_gate *g, int blocks)
{
    uint32_t below = 0, all = (uint32_t)(blocks + 1) / 2;
    for (int i = 0; i < BINS; i++) {
        below += g->bins[i];
        if (2 * below >= all)
            return (i - BINS / 2) * 4;
    }
    return 0;
}

static int common_change(struct sp_gate *g, const int16_t *means)
{
    int blocks = g->shape.width * g->shape.height;
    memset(g->bins, 0, sizeof g->bins);
    for (int i = 0; i < blocks; i += 2)
        g->bins[((means[i] - g->previous[i]) >> 2) + BINS / 2]++;
    return median_of_bins(g, blocks);
}

static int common_difference(struct sp_gate *g, const int16_t *means)
{
    int blocks = g->shape.width * g->shape.height;
    memset(g->bins, 0, sizeof g->bins);
    for (int i = 0; i < blocks; i += 2)
        g->bins[((means[i] - (g->background[i] >> 4)) >> 2) + BINS / 2]++;
    return median_of_bins(g, blocks);
}

static int distance(int a, int b)
{
    return a > b ? a - b : b - a;
}

/* Which blocks of a row change, and which differ from the background. */
static void compare_blocks(const int16_t *restrict now, const int16_t *restrict before,
                           const uint16_t *restrict background, const int16_t *restrict noise,
                           int count, int floor, const int common[2], uint8_t *restrict changes,
                           uint8_t *restrict differs)
{
    for (int x = 0; x < count; x++) {
        int limit = noise[x] >> 2; /* four times the noise */
        limit = limit > floor ? limit : floor;
        changes[x] = distance(now[x], before[x] + common[0]) > limit;
        differs[x] = distance(now[x], (background[x] >> 4) + common[1]) > limit + (limit >> 2);
    }
}

/* Adds a row of blocks to its row of cells: how many blocks change and differ. */
static void count_row(const struct sp_gate *g, const int16_t *means, int y, int floor,
                      const int common[2], uint8_t *changing, uint8_t *differing)
{
    int width = g->shape.width;
    const int16_t *now = means + (ptrdiff_t)y * width, *before = g->previous + (ptrdiff_t)y * width;
    const uint16_t *background = g->background + (ptrdiff_t)y * width;
    const int16_t *noise = g->noise + (ptrdiff_t)y * width;
    uint8_t changes[SP_GATE_SIDE_MAX], differs[SP_GATE_SIDE_MAX];
    compare_blocks(now, before, background, noise, width, floor, common, changes, differs);
    for (int x = 0; x < width; x++) {
        changing[x / SP_GATE_CELL_BLOCKS] =
            (uint8_t)(changing[x / SP_GATE_CELL_BLOCKS] + changes[x]);
        differing[x / SP_GATE_CELL_BLOCKS] =
            (uint8_t)(differing[x / SP_GATE_CELL_BLOCKS] + differs[x]);
    }
}

/* Moving averages: value += (target - value) * share. */
static int follow(int value, int target, int share)
{
    return value + (((target - value) * share + SHARE / 2) >> 16);
}

static int within(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static void learn_row(struct sp_gate *g, const int16_t *means, int y, int share,
                      const int common[2], const uint8_t *covered)
{
    int width = g->shape.width;
    size_t row = (size_t)y * (size_t)width;
    size_t cells = (size_t)(y / SP_GATE_CELL_BLOCKS) * (size_t)g->shape.columns;
    int light = follow(0, common[1] * 16, share);
    for (int x = 0; x < width; x++) {
        size_t i = row + (size_t)x, cell = cells + (size_t)(x / SP_GATE_CELL_BLOCKS);
        int noise = g->noise[i];
        int change = least(distance(means[i], g->previous[i] + common[0]) * 16, 3 * noise + 256);
        int background = within(g->background[i] + light, 0, UINT16_MAX);
        if (!covered[cell])
            g->noise[i] = (int16_t)within(follow(noise, change, share), NOISE_MIN, NOISE_MAX);
        if (!g->differs[cell])
            background = within(follow(background, means[i] * 16, share), 0, UINT16_MAX);
        g->background[i] = (uint16_t)background;
        g->previous[i] = means[i];
    }
}

/* In every step at most a quarter. */
static int share_of(int64_t dt_us)
{
    int64_t share = dt_us <= 0 ? 0 : dt_us >= FOLLOW_US ? SHARE : dt_us * SHARE / FOLLOW_US;
    return (int)(share > SHARE / 4 ? SHARE / 4 : share);
}

bool sp_gate_step(struct sp_gate *gate, const int16_t *means, int64_t dt_us, int floor,
                  const uint8_t *covered)
{
    struct sp_gate *g = gate;
    if (!g->begun) {
        begin(g, means);
        return true;
    }
    int cells = g->shape.columns * g->shape.rows, moving = 0;
    const int common[2] = {common_change(g, means), common_difference(g, means)};
    memset(g->moves, 0, (size_t)cells);
    memset(g->differs, 0, (size_t)cells);
    for (int y = 0; y < g->shape.height; y++) {
        int first = y / SP_GATE_CELL_BLOCKS * g->shape.columns;
        count_row(g, means, y, floor, common, g->moves + first, g->differs + first);
    }
    for (int i = 0; i < cells; i++) {
        g->moves[i] = g->moves[i] >= BLOCKS_CHANGED_MIN;
        g->differs[i] = g->differs[i] >= BLOCKS_CHANGED_MIN;
        moving += g->moves[i];
    }
    int share = share_of(dt_us);
    for (int y = 0; y < g->shape.height; y++)
        learn_row(g, means, y, share, common, covered);
    bool changed = moving * 5 > cells * 3, scene = changed && g->calm >= CALM_FRAMES;
    g->calm = changed ? 0 : g->calm + 1;
    return scene;
}

const uint8_t *sp_gate_moves(const struct sp_gate *gate)
{
    return gate->moves;
}

const uint8_t *sp_gate_differs(const struct sp_gate *gate)
{
    return gate->differs;
}

void sp_gate_absorb(struct sp_gate *gate, const uint8_t *cells)
{
    struct sp_gate *g = gate;
    for (int y = 0; y < g->shape.height; y++)
        for (int x = 0; x < g->shape.width; x++)
            if (cells[y / SP_GATE_CELL_BLOCKS * g->shape.columns + x / SP_GATE_CELL_BLOCKS])
                g->background[y * g->shape.width + x] =
                    (uint16_t)(g->previous[y * g->shape.width + x] * 16);
}

/* FNV-1a over the values. */
uint32_t sp_gate_checksum(const struct sp_gate *gate)
{
    uint32_t sum = 2166136261U;
    for (int i = 0; i < gate->shape.width * gate->shape.height; i++) {
        sum = (sum ^ gate->background[i]) * 16777619U;
        sum = (sum ^ (uint32_t)gate->noise[i]) * 16777619U;
    }
    return sum;
}
