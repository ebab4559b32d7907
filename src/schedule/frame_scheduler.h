/* Chooses the next frame over all cameras.
 *
 * Data flow: each camera's decode thread pushes into its own mailbox; the dispatcher takes the next
 * frame, round robin over the cameras that have one. So an idle camera is skipped, a fast one gets
 * no more than its turn, and the order within a camera is kept. A camera's last item is its end.
 * The scheduler owns a pushed frame's reference until sp_frame_scheduler_next returns it.
 *
 * Lossless: push waits while the mailbox is full. With `by_time` frames come in the order of their
 * pts over all cameras, so that the consumer needs no buffer; this waits for a camera that has no
 * frame and has not ended. Live: a new frame replaces the oldest one in a full mailbox, which is
 * settled as dropped in the camera's ledger. Packets are never dropped, only decoded frames.
 *
 * Live frames are bound late: the dispatcher peeks at the next turn, acquires an inference request,
 * and only then takes the camera's frame, which may be a newer one by then. A camera with `credits`
 * frames in flight is skipped until one of them is done, so a frame never waits behind more than
 * these, however slow the later stages are.
 *
 * Live cameras are healthy or not, as their threads report. While any camera is healthy, the others
 * share its spare capacity: together they have so few frames in flight that an engine with two or
 * more streams always has a free one for a healthy camera. A camera that reconnects, bursts or
 * sends damaged data thus costs the healthy ones no time. One that was skipped PASSED_OVER_MAX
 * times is next, so that none starves.
 *
 * The cameras of one detector instance are a group: while the instance has no free request, its
 * group is skipped, and the frames of other groups do not wait behind it. */
#pragma once

#include "frame.h"
#include "schedule/ledger.h"

struct sp_frame_scheduler;

enum { SP_GROUPS_MAX = 80 };

struct sp_frame_scheduler_options {
    int cameras;
    int mailbox_frames; /* depth of each mailbox */
    bool live;
    bool by_time;              /* lossless only; every camera has frames or ends */
    int credits;               /* frames of a camera in flight, from take to done; 0: no limit */
    struct sp_ledger *ledgers; /* [cameras]; the scheduler settles dropped frames only */
};

struct sp_schedule_item {
    int camera;
    struct sp_frame *frame; /* NULL: this camera has ended */
};

struct sp_schedule_turn {
    int camera;
    bool over;               /* this camera has ended: take returns its end */
    int width_px, height_px; /* in square pixels */
    uint64_t sequence;
    uint32_t epoch;
};

int sp_frame_scheduler_open(struct sp_frame_scheduler **out,
                            const struct sp_frame_scheduler_options *options, struct sp_error *err);
void sp_frame_scheduler_free(
    struct sp_frame_scheduler *scheduler); /* unrefs the frames left; NULL is allowed */

/* Takes the reference in any case. SP_ERR_CLOSED: the scheduler was closed. */
int sp_frame_scheduler_push(struct sp_frame_scheduler *scheduler, int camera,
                            struct sp_frame *frame);

/* The camera pushes no more until its end has been taken. */
void sp_frame_scheduler_end_camera(struct sp_frame_scheduler *scheduler, int camera);

/* Waits at most timeout_us (negative: without limit). SP_ERR_TIMEOUT; SP_ERR_CLOSED when closed and
 * empty. One thread. */
int sp_frame_scheduler_next(struct sp_frame_scheduler *scheduler, struct sp_schedule_item *item,
                            int64_t timeout_us);

/* The same in two steps. Peek waits for a turn and changes nothing; take returns that camera's
 * frame or its end, and ends the turn. One thread, no next between them. */
int sp_frame_scheduler_peek(struct sp_frame_scheduler *scheduler, struct sp_schedule_turn *turn,
                            int64_t timeout_us);
void sp_frame_scheduler_take(struct sp_frame_scheduler *scheduler, int camera,
                             struct sp_schedule_item *item);

/* Live: withholds the camera's frames of this size until release; newer ones replace older ones.
 * False: the camera has ended or the scheduler is closed, so its frame must be taken. Any thread.
 */
bool sp_frame_scheduler_hold(struct sp_frame_scheduler *scheduler, int camera, int width_px,
                             int height_px);
void sp_frame_scheduler_release(struct sp_frame_scheduler *scheduler); /* all cameras */

/* Live. Not healthy initially and after the camera's end. Any thread. */
void sp_frame_scheduler_set_healthy(struct sp_frame_scheduler *scheduler, int camera, bool healthy);

/* How many frames the engine processes at once; initially 1. Any thread. */
void sp_frame_scheduler_set_capacity(struct sp_frame_scheduler *scheduler, int frames);

/* The camera's group, 0..SP_GROUPS_MAX-1; initially -1: none, never skipped. */
void sp_frame_scheduler_set_group(struct sp_frame_scheduler *scheduler, int camera, int group);

/* full: the group's frames are withheld, but not the ends of its cameras. Any thread. */
void sp_frame_scheduler_set_full(struct sp_frame_scheduler *scheduler, int group, bool full);

/* How many frames of the camera are in flight at most; 0: as in the options, the initial value. Any
 * thread. */
void sp_frame_scheduler_set_credits(struct sp_frame_scheduler *scheduler, int camera, int frames);

/* A taken frame of the camera is finished. Any thread; needed with credits only. */
void sp_frame_scheduler_done(struct sp_frame_scheduler *scheduler, int camera);

/* No more pushes; frames inside can still be taken. */
void sp_frame_scheduler_close(struct sp_frame_scheduler *scheduler);

size_t sp_frame_scheduler_depth(struct sp_frame_scheduler *scheduler, int camera);
