/* The stages of the pipeline, and how long each takes.
 *
 * Two clocks run: wall time of every frame into a histogram (percentiles: what a frame waits for),
 * and CPU time of the thread into a sum (shares: what the box is busy with). The engine's CPU time
 * cannot be seen from outside its threads; it is what remains of the process. */
#pragma once

#include "base/stats.h"

#define SP_STAGES(X)                                                                               \
    X(SP_STAGE_DECODE, "decode")       /* demux and decode */                                      \
    X(SP_STAGE_WAIT, "wait")           /* in the mailbox, until the scheduler takes it */          \
    X(SP_STAGE_LETTERBOX, "letterbox") /* scale and convert into the engine's memory */            \
    X(SP_STAGE_ENGINE, "engine")       /* submit to result, queueing inside the engine included */ \
    X(SP_STAGE_HEAD, "head")           /* outputs to boxes */                                      \
    X(SP_STAGE_TRACK, "track")                                                                     \
    X(SP_STAGE_SPACE, "space")   /* who is who over all cameras */                                 \
    X(SP_STAGE_EMBED, "embed")   /* crops and their embeddings: what people look like */           \
    X(SP_STAGE_DRAW, "draw")     /* copy of the frame and boxes on it */                           \
    X(SP_STAGE_ENCODE, "encode") /* JPEG */                                                        \
    X(SP_STAGE_WRITE, "write")   /* files; with video: its encoder */                              \
    X(SP_STAGE_TOTAL, "total")   /* decoded to done */

enum sp_stage {
#define X(id, name) id,
    SP_STAGES(X)
#undef X
        SP_STAGE_COUNT
};

const char *sp_stage_name(enum sp_stage stage);

struct sp_stage_stats {
    struct sp_histogram wall;
    _Atomic uint64_t cpu_us;
};

struct sp_stage_clock {
    int64_t wall_us, cpu_us;
};

struct sp_stage_sum {
    uint64_t wall_us, cpu_us;
};

/* A measurement on one thread: begin, the work, end. Returns the wall time it took. */
struct sp_stage_clock sp_stage_begin(void);
int64_t sp_stage_end(struct sp_stage_stats *stats, struct sp_stage_clock begin);

/* CPU time of the whole process so far. */
int64_t sp_process_cpu_us(void);
