#include "pipeline/count_history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 512 };
static const int64_t MINUTE_US = 60000000;

struct dwell {
    int64_t left_us;
    float dwell_s;
};

struct entry {
    char name[SP_COUNTING_NAME_BYTES];
    bool zone;
    int64_t minute; /* the newest; its place in the ring is minute % SP_COUNT_MINUTES */
    uint16_t count[2][SP_COUNT_MINUTES]; /* in, out; visits, unused */
    uint64_t dwells;                     /* all of them */
    struct dwell *dwell;                 /* [SP_COUNT_DWELLS] of a zone */
};

struct sp_count_history {
    int count;
    struct entry *entry[NAMES_MAX];
    float sorted[SP_COUNT_DWELLS];
};

int sp_count_history_open(struct sp_count_history **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "counts: out of memory");
}

static void free_entry(struct entry *entry)
{
    free(entry->dwell);
    free(entry);
}

void sp_count_history_close(struct sp_count_history *history)
{
    if (!history)
        return;
    for (int i = 0; i < history->count; i++)
        free_entry(history->entry[i]);
    free(history);
}

static struct entry *find(const struct sp_count_history *history, const char *name, bool zone)
{
    for (int i = 0; i < history->count; i++)
        if (history->entry[i]->zone == zone && strcmp(history->entry[i]->name, name) == 0)
            return history->entry[i];
    return NULL;
}

/* NULL: out of memory; the event is then not counted by time. */
static struct entry *make(struct sp_count_history *history, const char *name, bool zone,
                          int64_t minute)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry && zone)
        entry->dwell = calloc(SP_COUNT_DWELLS, sizeof *entry->dwell);
    if (!entry || (zone && !entry->dwell)) {
        free(entry);
        return NULL;
    }
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->zone = zone;
    entry->minute = minute;
    int at = history->count;
    if (at == NAMES_MAX) { /* the one that has been quiet for longest */
        at = 0;
        for (int i = 1; i < NAMES_MAX; i++)
            if (history->entry[i]->minute < history->entry[at]->minute)
                at = i;
        free_entry(history->entry[at]);
        history->count--;
    }
    history->count++;
    history->entry[at] = entry;
    return entry;
}

static void advance(struct entry *entry, int64_t minute)
{
    int64_t first = entry->minute + 1;
    if (first < minute - SP_COUNT_MINUTES + 1)
        first = minute - SP_COUNT_MINUTES + 1;
    for (int64_t m = first; m <= minute; m++)
        for (int k = 0; k < 2; k++)
            entry->count[k][m % SP_COUNT_MINUTES] = 0;
    if (minute > entry->minute)
        entry->minute = minute;
}

static void add_count(struct entry *entry, int64_t minute, int which)
{
    uint16_t *count = &entry->count[which][minute % SP_COUNT_MINUTES];
    if (minute > entry->minute - SP_COUNT_MINUTES && *count < UINT16_MAX)
        ++*count;
}

void sp_count_history_add(struct sp_count_history *history, const struct sp_counting_event *event,
                          int64_t wall_us)
{
    bool line = event->kind == SP_EVENT_LINE_CROSSED,
         entered = event->kind == SP_EVENT_ZONE_ENTERED;
    bool left = event->kind == SP_EVENT_ZONE_LEFT;
    int64_t minute = wall_us / MINUTE_US;
    if ((!line && !entered && !left) || wall_us < 0)
        return;
    struct entry *entry = find(history, event->name, !line);
    if (!entry)
        entry = make(history, event->name, !line, minute);
    if (!entry)
        return;
    advance(entry, minute);
    if (line)
        add_count(entry, minute, event->inward ? 0 : 1);
    else if (entered)
        add_count(entry, minute, 0);
    else
        entry->dwell[entry->dwells++ % SP_COUNT_DWELLS] =
            (struct dwell){wall_us, (float)event->dwell_s};
}

static uint64_t sum(const struct entry *entry, int which, int64_t since_us)
{
    int64_t first = since_us > 0 ? since_us / MINUTE_US : 0;
    uint64_t total = 0;
    if (first < entry->minute - SP_COUNT_MINUTES + 1)
        first = entry->minute - SP_COUNT_MINUTES + 1;
    for (int64_t m = first; m <= entry->minute; m++)
        total += entry->count[which][m % SP_COUNT_MINUTES];
    return total;
}

struct sp_line_sums sp_count_history_line(const struct sp_count_history *history, const char *name,
                                          int64_t since_us)
{
    const struct entry *entry = find(history, name, false);
    if (!entry)
        return (struct sp_line_sums){0};
    return (struct sp_line_sums){sum(entry, 0, since_us), sum(entry, 1, since_us)};
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The least value that a share of them does not exceed. */
static double percentile(const float *sorted, int count, double share)
{
    int at = (int)ceil(share * count) - 1;
    return sorted[at < 0 ? 0 : at];
}

struct sp_zone_sums sp_count_history_zone(struct sp_count_history *history, const char *name,
                                          int64_t since_us)
{
    const struct entry *entry = find(history, name, true);
    if (!entry)
        return (struct sp_zone_sums){0};
    struct sp_zone_sums sums = {.visits = sum(entry, 0, since_us)};
    uint64_t kept = entry->dwells < SP_COUNT_DWELLS ? entry->dwells : SP_COUNT_DWELLS;
    int64_t from_us = since_us > 0 ? since_us / MINUTE_US * MINUTE_US : 0;
    double total = 0;
    for (uint64_t i = 0; i < kept; i++) {
        if (entry->dwell[i].left_us < from_us)
            continue;
        history->sorted[sums.dwells++] = entry->dwell[i].dwell_s;
        total += entry->dwell[i].dwell_s;
    }
    if (sums.dwells == 0)
        return sums;
    qsort(history->sorted, (size_t)sums.dwells, sizeof history->sorted[0], compare);
    sums.p50_s = percentile(history->sorted, sums.dwells, 0.5);
    sums.p90_s = percentile(history->sorted, sums.dwells, 0.9);
    sums.mean_s = total / sums.dwells;
    sums.max_s = history->sorted[sums.dwells - 1];
    return sums;
}
