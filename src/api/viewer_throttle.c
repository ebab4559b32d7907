/* Cameras before viewers: while frames go stale, the network takes a small share of the cores. */
#include "api/internal.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"

/* Of all cores. 400 viewers of 10 frames a second take 5 % of two. */
static const double SHARE = 0.02;

enum { DROPPED_SHARE = 50 /* one of so many */, HOLD_S = 10 };

void sp_viewer_throttle_tick(struct sp_api *api)
{
    struct sp_viewer_throttle *load = &api->load;
    uint64_t received = 0, stale = 0;
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (!report.used)
            continue;
        received += report.ledger.received;
        stale += report.ledger.settled[SP_OUTCOME_DROPPED];
    }
    /* With a camera its counts go: then there is nothing to compare. */
    if (received > load->received && stale > load->stale &&
        (stale - load->stale) * DROPPED_SHARE > received - load->received)
        load->busy_us = sp_clock_us();
    load->received = received;
    load->stale = stale;
    bool limited = load->busy_us > 0 && sp_clock_us() - load->busy_us < HOLD_S * INT64_C(1000000);
    if (limited == load->limited)
        return;
    load->limited = limited;
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    sp_server_limit(api->server, limited ? SHARE * cpu.cores_usable : 0);
    if (limited)
        sp_log(SP_LOG_INFO, "frames go stale: viewers get at most %.0f %% of the cores",
               SHARE * 100);
    else
        sp_log(SP_LOG_INFO, "viewers get all frames again");
}
