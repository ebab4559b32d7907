/* A collector's thread, one a device: waits for the slots in the order they were submitted, takes
 * the detections out and hands the jobs to their cameras' post workers. What a device that is lost
 * leaves over it first brings to another one, in its own slot there; the scheduler waits meanwhile
 * with the cameras' next frames (sp_camera_route). */
#include "pipeline/internal.h"

#include "base/clock.h"

#include <string.h>

/* More than a working engine ever needs for the batches in its slots. */
static const int64_t PLACE_TIMEOUT_US = 30000000;

static void fail_job(struct sp_pipeline *p, struct sp_job *job, const struct sp_error *err)
{
    job->failed = true;
    sp_camera_fail(&p->cameras[job->camera], err);
}

void sp_ticket_fail(struct sp_pipeline *p, struct sp_ticket *ticket, int result,
                    const struct sp_error *err)
{
    bool again = sp_device_retries(ticket->lane->device, result);
    for (struct sp_job *job = ticket->first; job; job = job->next) {
        if (job->image < 0)
            continue;
        job->again = again;
        if (!again)
            fail_job(p, job, err);
    }
}

static void take_detections(struct sp_pipeline *p, const struct sp_detector_slot *slot,
                            struct sp_job *job, int64_t head_us)
{
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
        sp_ticket_fail(p, ticket, result, &err);
    /* Decoding is pure computing, so its wall time is its CPU time; an image has its part of it. */
    const struct sp_detector_slot *slot = ticket->slot;
    int64_t head_us = (sp_clock_us() - slot->finished_us) / (slot->images > 0 ? slot->images : 1);
    for (struct sp_job *job = ticket->first; job && result == SP_OK; job = job->next)
        if (job->image >= 0)
            take_detections(p, slot, job, head_us);
    sp_detector_release(ticket->detector, ticket->slot);
    if (p->device_count > 1)
        sp_batcher_set_full(p->batcher, (int)(lane - p->lanes), false);
}

/* ---- on another device ---- */

/* Of the same shape, ready, on a device that works; or NULL. */
static struct sp_lane *lane_elsewhere(struct sp_pipeline *p, const struct sp_lane *lane)
{
    struct sp_lane *other;
    for (int i = 0; (other = sp_lane_ready(p, i)); i++)
        if (other->width_px == lane->width_px && other->height_px == lane->height_px &&
            !atomic_load(&other->device->lost))
            return other;
    return NULL;
}

/* The next ones that are to be inferred again, as many as a slot holds; returns whose turn is
 * then. */
static struct sp_job *infer_some(struct sp_pipeline *p, struct sp_lane *lane,
                                 struct sp_detector_slot *slot, struct sp_job *first)
{
    struct sp_error err = {0};
    struct sp_job *job, *end;
    int result = SP_OK;
    for (job = first; job && slot->images < sp_detector_batch(lane->detector); job = job->next) {
        if (!job->again)
            continue;
        job->image = slot->images;
        result = sp_detector_fill(lane->detector, slot, job->frame, &err);
        if (result < 0) {
            job->again = false;
            fail_job(p, job, &err);
        }
    }
    end = job;
    result = slot->images > 0 ? sp_detector_submit(lane->detector, slot, &err) : SP_OK;
    if (result == SP_OK && slot->images > 0)
        result = sp_detector_collect(lane->detector, slot, &err);
    sp_device_note(lane->device, result, &err);
    for (job = first; job != end; job = job->next) {
        if (!job->again)
            continue;
        job->again = false;
        if (result < 0)
            fail_job(p, job, &err);
        else
            take_detections(p, slot, job, 0);
    }
    if (result == SP_OK) {
        atomic_fetch_add(&lane->images, (uint64_t)slot->images);
        atomic_fetch_add(&lane->device->batches, slot->images > 0);
        atomic_fetch_add(&lane->device->images, (uint64_t)slot->images);
    }
    return end;
}

static void infer_again(struct sp_pipeline *p, struct sp_ticket *ticket)
{
    struct sp_job *job = ticket->first;
    while (job && !job->again)
        job = job->next;
    while (job) {
        struct sp_lane *lane = lane_elsewhere(p, ticket->lane);
        struct sp_detector_slot *slot =
            lane ? sp_detector_acquire_within(lane->detector, PLACE_TIMEOUT_US) : NULL;
        if (slot) {
            job = infer_some(p, lane, slot, job);
            sp_detector_release(lane->detector, slot);
            sp_batcher_set_full(p->batcher, (int)(lane - p->lanes), false);
            continue;
        }
        for (; job; job = job->next)
            if (job->again)
                fail_job(p, job, &ticket->lane->device->error);
    }
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
        if (ticket->lane && atomic_load(&ticket->lane->device->lost))
            infer_again(p, ticket);
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
