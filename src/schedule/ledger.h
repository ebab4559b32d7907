/* The ledger of one camera: the outcome of every frame.
 *
 *     received = inferred + skipped + unneeded + dropped + failed + in flight
 *
 * A frame is received once and settled once. The equation holds at every instant: both sides change
 * under one lock, and in_flight is counted, not computed. Thread-safe. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum sp_outcome {
    SP_OUTCOME_INFERRED,
    SP_OUTCOME_SKIPPED,  /* by FRAME_SKIP, decoded or not */
    SP_OUTCOME_UNNEEDED, /* by INFERENCE=need */
    SP_OUTCOME_DROPPED,  /* late, live only: replaced by a newer frame */
    SP_OUTCOME_FAILED,   /* undecodable, or the engine failed */
    SP_OUTCOME_COUNT,
};

struct sp_ledger_counts {
    uint64_t received;
    uint64_t settled[SP_OUTCOME_COUNT];
    uint64_t in_flight;
};

struct sp_ledger {
    pthread_mutex_t mutex;
    struct sp_ledger_counts counts;
};

void sp_ledger_init(struct sp_ledger *ledger);
void sp_ledger_release(struct sp_ledger *ledger);

/* Back to zero for another camera. No frame of the previous one may be in flight. */
void sp_ledger_clear(struct sp_ledger *ledger);

void sp_ledger_receive(struct sp_ledger *ledger, uint64_t frames);
void sp_ledger_settle(struct sp_ledger *ledger, enum sp_outcome outcome, uint64_t frames);

/* Frames received and settled in one step, such as those never decoded. */
void sp_ledger_pass(struct sp_ledger *ledger, enum sp_outcome outcome, uint64_t frames);

void sp_ledger_read(struct sp_ledger *ledger, struct sp_ledger_counts *counts);

bool sp_ledger_balances(const struct sp_ledger_counts *counts);
void sp_ledger_sum(struct sp_ledger_counts *to, const struct sp_ledger_counts *from);
const char *sp_outcome_name(enum sp_outcome outcome); /* "inferred" */
