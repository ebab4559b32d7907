/* The viewer throttle: while late frames are dropped, inference has priority, and the HTTP thread
 * is limited to a small share of the CPU. */
#include "api/viewer_throttle.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"

/* Of all cores. For comparison, 400 viewers at 10 frames/s use 5 % of two cores. */
static const double SHARE = 0.02;

enum {
    DROPPED_ONE_IN = 50, /* received frames: the limit applies above this rate of drops */
    HOLD_S = 10,
};

void sp_viewer_throttle_tick(struct sp_api *api)
{
    struct sp_viewer_throttle *throttle = &api->throttle;
    uint64_t received = 0, dropped = 0;
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (!report.used)
            continue;
        received += report.ledger.received;
        dropped += report.ledger.settled[SP_OUTCOME_DROPPED];
    }
    /* Totals decrease when a camera is removed: skip that tick. */
    if (received > throttle->received && dropped > throttle->dropped &&
        (dropped - throttle->dropped) * DROPPED_ONE_IN > received - throttle->received)
        throttle->dropped_us = sp_clock_us();
    throttle->received = received;
    throttle->dropped = dropped;
    bool limited = throttle->dropped_us > 0 &&
                   sp_clock_us() - throttle->dropped_us < HOLD_S * INT64_C(1000000);
    if (limited == throttle->limited)
        return;
    throttle->limited = limited;
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    sp_server_limit(api->server, limited ? SHARE * cpu.cores_usable : 0);
    if (limited)
        sp_log(SP_LOG_INFO, "dropping late frames; limiting the HTTP thread to %.0f %% of the CPU",
               SHARE * 100);
    else
        sp_log(SP_LOG_INFO, "no more late frames; HTTP thread not limited any more");
}
