/* spoton bench --mix: a site of 16 cameras, most of which see little, with INFERENCE=every and with
 * INFERENCE=need.
 *
 * Every camera plays the same number of frames, as cameras of one rate do. Rounds of both policies
 * alternate, so that a drift in the machine's speed affects both. The ratios are computed per round
 * and their medians reported; CPU time depends less on what else the machine does.
 *
 * Values only; one thread. */
#pragma once

#include "command/report.h"

enum { SP_BENCH_MIX_ROUNDS_MAX = 9, SP_BENCH_MIX_FRAMES = 100 };

enum sp_bench_mix_kind { SP_MIX_BUSY, SP_MIX_MEDIUM, SP_MIX_QUIET, SP_MIX_KINDS };

/* A round with one policy. */
struct sp_bench_mix_run {
    struct sp_run_measure measure;
    struct sp_ledger_counts ledger[SP_MIX_KINDS]; /* of the whole round */
};

struct sp_bench_mix {
    struct sp_bench_mix_run round[SP_BENCH_MIX_ROUNDS_MAX][2]; /* [][enum sp_inference_policy] */
    int count;
};

/* Replaces the cameras of the settings by the 16. It takes none (the demo clip, and simulated
 * cameras for the medium and quiet ones) or three: a busy, a medium and a quiet one.
 * SP_ERR_INVALID: another number; SP_ERR_NOT_FOUND: no demo clip. */
int sp_bench_mix_cameras(struct sp_settings *settings, struct sp_error *err);

/* After a round of that policy, which has ended. */
void sp_bench_mix_note(struct sp_bench_mix *mix, enum sp_inference_policy policy,
                       const struct sp_run_measure *measure, struct sp_pipeline *pipeline);

void sp_bench_mix_print_json(const struct sp_bench_mix *mix, struct sp_pipeline *pipeline,
                             const struct sp_settings *settings, bool jpeg);
void sp_bench_mix_print_table(const struct sp_bench_mix *mix, struct sp_pipeline *pipeline,
                              bool jpeg);
