/* How many people the scheduling policy misses, measured while it runs.
 *
 * Every 2 s of video, or at most 0.3 s later, the policy audits a frame: at times that do not
 * depend on people of whom it does not know. The frame's detections that could start a track are
 * the sightings; those that the policy knew nothing of are missed. The share of missed sightings
 * estimates the share of the time of all people that the policy misses. Upper 95 % bound: the
 * Poisson limit of the missed ones over the sightings. Sightings of one person are not independent,
 * so it is optimistic. It does not include people whom the model misses.
 *
 * The level makes the policy stricter. It rises when the bound exceeds 1 % although the sightings
 * suffice for a smaller one (300 without a miss), and earlier once the misses exceed 1 % of those
 * 300. It falls after an hour of less than 0.3 % missed. Counted from the last change of the level.
 *
 * Plain values; one thread at a time. */
#pragma once

#include <stdint.h>

/* At the last level every frame is inferred. */
enum { SP_AUDIT_LEVELS = 3 };

struct sp_audit {
    uint64_t audits, sightings, missed; /* in all */
    int level;                          /* 0..SP_AUDIT_LEVELS */

    uint64_t recent_sightings, recent_missed; /* since the level changed */
    int64_t changed_us;                       /* when it did */
};

void sp_audit_begin(struct sp_audit *audit, int64_t pts_us);
void sp_audit_add(struct sp_audit *audit, int sightings, int missed, int64_t pts_us);

/* The bound on the share, at most 1; 1 without sightings. */
double sp_audit_bound(uint64_t missed, uint64_t sightings);
