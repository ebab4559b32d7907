/* The luma gate: in which cells of a frame something moves, and where the frame differs from its
 * background.
 *
 * Data flow: the decode thread reduces the Y plane to block means (sp_gate_reduce), about 160
 * blocks on the longer side; the scheduling policy compares them with those of the previous frame
 * and with a background, in the order of the frames (sp_gate_step). A cell is 4x4 blocks, 16x16
 * pixels of an input of 640. A change of light that the whole frame has in common, the median of
 * the differences, is removed first. The threshold of a block is `floor`, or four times the block's
 * own noise, if that is more. The background follows where the frame does not differ from it, and
 * in cells that the policy found to hold no person (sp_gate_absorb).
 *
 * Integers only, so the result is a function of the pixels and the time between frames, equal on
 * every CPU: tests/tools/gate_reference.py computes the same bytes. Rates are in time, not frames.
 *
 * Memory is allocated by open. One thread at a time; sp_gate_reduce: any thread. */
#pragma once

#include "base/error.h"
#include "frame.h"

enum {
    SP_GATE_SIDE = 160,       /* blocks on the longer side, about */
    SP_GATE_SIDE_MAX = 239,   /* of a frame of 239 pixels, whose blocks are single pixels */
    SP_GATE_CELL_BLOCKS = 4,  /* blocks on the side of a cell */
    SP_GATE_CELLS_MAX = 3600, /* 60 x 60 */
    SP_GATE_LEVEL = 16,       /* units of a block mean in a grey level */
    SP_GATE_FLOOR = 6 * SP_GATE_LEVEL, /* the least difference that counts as motion */
};

struct sp_gate_shape {
    int block_px;      /* pixels on the side of a block */
    int width, height; /* in blocks */
    int columns, rows; /* in cells; the last ones may be partial */
};

struct sp_gate;

/* The shape for a frame of this size. False: too large (41,000 pixels) or empty. */
bool sp_gate_shape(int width_px, int height_px, struct sp_gate_shape *shape);

/* The block means of the frame's Y plane, [height][width], in 1/16 grey levels. Of blocks of 8 and
 * more pixels every second row is read, of 16 and more every fourth. */
void sp_gate_reduce(const struct sp_frame *frame, const struct sp_gate_shape *shape,
                    int16_t *means);

/* SP_ERR_NO_MEMORY. */
int sp_gate_open(struct sp_gate **out, struct sp_error *err);
void sp_gate_close(struct sp_gate *gate); /* NULL is allowed */

/* Forgets everything: the next frame is the background. */
void sp_gate_reset(struct sp_gate *gate, const struct sp_gate_shape *shape);

/* The next frame, dt_us after the previous one. covered [rows][columns]: cells in which noise is
 * not measured, because people are there. True: nearly everything changed at once after calm
 * frames, so the scene or the light is another. */
bool sp_gate_step(struct sp_gate *gate, const int16_t *means, int64_t dt_us, int floor,
                  const uint8_t *covered);

/* Of the last step, [rows][columns], 0 or 1. */
const uint8_t *sp_gate_moves(const struct sp_gate *gate);
const uint8_t *sp_gate_differs(const struct sp_gate *gate); /* from the background */

/* In these cells [rows][columns] the last frame becomes the background. */
void sp_gate_absorb(struct sp_gate *gate, const uint8_t *cells);

/* For tests: a checksum over the background and the noise of all blocks. */
uint32_t sp_gate_checksum(const struct sp_gate *gate);
