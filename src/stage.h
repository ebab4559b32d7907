/* The stages of the pipeline and their times.
 *
 * Two clocks are read: wall time per frame, in a histogram (percentiles of latency), and the
 * thread's CPU time, in a sum (utilization). The engine's CPU time cannot be measured from outside
 * its threads; it is the rest of the process's. */
#pragma once

#include "base/stats.h"

#define SP_STAGES(X)                                                                               \
    X(SP_STAGE_DECODE, "decode")       /* demux and decode */                                      \
    X(SP_STAGE_WAIT, "wait")           /* in the mailbox */                                        \
    X(SP_STAGE_GATE, "gate")           /* which frames are inferred; INFERENCE=need only */        \
    X(SP_STAGE_LETTERBOX, "letterbox") /* scale and convert into the engine's memory */            \
    X(SP_STAGE_ENGINE, "engine")       /* submit to result, with queueing in the engine */         \
    X(SP_STAGE_HEAD, "head")           /* outputs to boxes */                                      \
    X(SP_STAGE_TRACK, "track")                                                                     \
    X(SP_STAGE_SPACE, "space")   /* cross-camera association */                                    \
    X(SP_STAGE_EMBED, "embed")   /* crops and re-identification embeddings */                      \
    X(SP_STAGE_DRAW, "draw")     /* copy of the frame, boxes and labels */                         \
    X(SP_STAGE_ENCODE, "encode") /* JPEG */                                                        \
    X(SP_STAGE_WRITE, "write")   /* files, including video encoding */                             \
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

/* Measures work on one thread between begin and end, which returns the wall time. */
struct sp_stage_clock sp_stage_begin(void);
int64_t sp_stage_end(struct sp_stage_stats *stats, struct sp_stage_clock begin);

/* CPU time of the whole process so far. */
int64_t sp_process_cpu_us(void);
