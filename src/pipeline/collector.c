/* A collector's thread, one a device: waits for the slots in the order they were submitted, takes
 * the detections out and hands the jobs to their cameras' post workers. */
#include "pipeline/internal.h"

#include "base/clock.h"

#include <string.h>

void sp_ticket_fail(struct sp_pipeline *p, struct sp_ticket *ticket, const struct sp_error *err)
{
    for (struct sp_job *job = ticket->first; job; job = job->next) {
        if (job->image < 0)
            continue;
        job->failed = true;
        sp_camera_fail(&p->cameras[job->camera], err);
    }
}

static void take_detections(struct sp_pipeline *p, struct sp_ticket *ticket, struct sp_job *job,
                            int64_t head_us)
{
    const struct sp_detector_slot *slot = ticket->slot;
    struct sp_stage_stats *stages = p->cameras[job->camera].stages;
    job->detection_count = slot->image[job->image].detection_count;
    memcpy(job->detections, slot->image[job->image].detections,
           job->detection_count * sizeof job->detections[0]);
    sp_histogram_add(&stages[SP_STAGE_ENGINE].wall, slot->finished_us - slot->submitted_us);
    sp_histogram_add(&stages[SP_STAGE_HEAD].wall, head_us);
    atomic_fetch_add(&stages[SP_STAGE_HEAD].cpu_us, (uint64_t)head_us);
    sp_batch_note_engine(job->batch, slot->submitted_us, slot->finished_us);
}

static void collect(struct sp_pipeline *p, struct sp_ticket *ticket)
{
    struct sp_error err = {0};
    struct sp_lane *lane = ticket->lane;
    int result = sp_detector_collect(ticket->detector, ticket->slot, &err);
    sp_device_count(lane->device, ticket->slot);
    sp_device_note(lane->device, result, &err);
    if (result < 0)
        sp_ticket_fail(p, ticket, &err);
    /* Decoding is pure computing, so its wall time is its CPU time; an image has its part of it. */
    const struct sp_detector_slot *slot = ticket->slot;
    int64_t head_us = (sp_clock_us() - slot->finished_us) / (slot->images > 0 ? slot->images : 1);
    for (struct sp_job *job = ticket->first; job && result == SP_OK; job = job->next)
        if (job->image >= 0)
            take_detections(p, ticket, job, head_us);
    sp_detector_release(ticket->detector, ticket->slot);
    if (p->device_count > 1)
        sp_batcher_set_full(p->batcher, (int)(lane - p->lanes), false);
}

void *sp_collector_main(void *argument)
{
    struct sp_device *device = argument;
    struct sp_pipeline *p = device->pipeline;
    void *item;
    while (sp_queue_pop(device->tickets, &item, -1) == SP_OK) {
        struct sp_ticket *ticket = item;
        if (ticket->detector)
            collect(p, ticket);
        for (struct sp_job *job = ticket->first, *next; job; job = next) {
            next = job->next; /* the worker may give the job back at once */
            int camera = job->camera;
            sp_queue_push(p->workers[camera % p->worker_count].jobs, job);
            atomic_fetch_sub(&p->cameras[camera].undelivered, 1);
        }
        sp_queue_push(p->free_tickets, ticket);
    }
    if (atomic_fetch_sub(&p->collectors_running, 1) != 1)
        return NULL;
    for (int i = 0; i < p->worker_count; i++)
        sp_queue_close(p->workers[i].jobs);
    return NULL;
}
