#include "schedule/ledger.h"

#include <assert.h>

void sp_ledger_init(struct sp_ledger *ledger)
{
    *ledger = (struct sp_ledger){0};
    pthread_mutex_init(&ledger->mutex, NULL);
}

void sp_ledger_release(struct sp_ledger *ledger)
{
    pthread_mutex_destroy(&ledger->mutex);
}

void sp_ledger_clear(struct sp_ledger *ledger)
{
    pthread_mutex_lock(&ledger->mutex);
    assert(ledger->counts.in_flight == 0);
    ledger->counts = (struct sp_ledger_counts){0};
    pthread_mutex_unlock(&ledger->mutex);
}

void sp_ledger_receive(struct sp_ledger *ledger, uint64_t frames)
{
    pthread_mutex_lock(&ledger->mutex);
    ledger->counts.received += frames;
    ledger->counts.in_flight += frames;
    pthread_mutex_unlock(&ledger->mutex);
}

void sp_ledger_settle(struct sp_ledger *ledger, enum sp_outcome outcome, uint64_t frames)
{
    pthread_mutex_lock(&ledger->mutex);
    assert(ledger->counts.in_flight >= frames);
    ledger->counts.in_flight -= frames;
    ledger->counts.settled[outcome] += frames;
    pthread_mutex_unlock(&ledger->mutex);
}

void sp_ledger_pass(struct sp_ledger *ledger, enum sp_outcome outcome, uint64_t frames)
{
    if (frames == 0)
        return;
    pthread_mutex_lock(&ledger->mutex);
    ledger->counts.received += frames;
    ledger->counts.settled[outcome] += frames;
    pthread_mutex_unlock(&ledger->mutex);
}

void sp_ledger_read(struct sp_ledger *ledger, struct sp_ledger_counts *counts)
{
    pthread_mutex_lock(&ledger->mutex);
    *counts = ledger->counts;
    pthread_mutex_unlock(&ledger->mutex);
}

bool sp_ledger_balances(const struct sp_ledger_counts *counts)
{
    uint64_t sum = counts->in_flight;
    for (int i = 0; i < SP_OUTCOME_COUNT; i++)
        sum += counts->settled[i];
    return sum == counts->received;
}

void sp_ledger_sum(struct sp_ledger_counts *to, const struct sp_ledger_counts *from)
{
    to->received += from->received;
    to->in_flight += from->in_flight;
    for (int i = 0; i < SP_OUTCOME_COUNT; i++)
        to->settled[i] += from->settled[i];
}

const char *sp_outcome_name(enum sp_outcome outcome)
{
    static const char *const names[] = {"inferred", "skipped", "unneeded", "dropped", "failed"};
    return names[outcome];
}
