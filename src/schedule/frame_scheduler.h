/* Picks the next frame over all cameras.
 *
 * Data flow: each camera's decode thread pushes into its own mailbox; the one scheduler takes the
 * next frame, cameras in turn, whoever has one: a silent camera is passed over, a fast one cannot
 * take more than its turn, and the order inside a camera is kept. The last thing a camera gives is
 * its end. A pushed frame's reference belongs to the scheduler until sp_frame_scheduler_next hands
 * it on.
 *
 * Lossless: push waits while the mailbox is full. With `by_time` frames come in the order of their
 * pts over all cameras, which waits for a camera that has none and has not ended: whoever wants
 * them in that order then has nothing to keep. Live: the oldest frame makes room, settled as
 * stale in the camera's ledger: never a packet, always a decoded frame.
 *
 * Live frames are bound late: the scheduler peeks whose turn it is, waits for a place in the
 * engine, and only then takes the camera's frame, which may be a newer one by then. A camera with
 * as many frames on their way as `credits` allows is passed over until one of them is done, so
 * whatever is slow behind the mailboxes, a frame never waits behind more than these.
 *
 * Live cameras are healthy or not, as their threads find. While one is healthy, the others get what
 * the healthy ones leave: all of them together have so few frames on their way that an engine of
 * two streams and more always has a place for a healthy one, and a camera that connects anew,
 * bursts or sends rubbish costs the healthy ones no time. Who was passed over some times is next,
 * so that nobody starves.
 *
 * Cameras whose frames go to the same place are a group, where there are several places: while one
 * place has no room, its group is passed over, and the others' frames do not wait behind it. */
#pragma once

#include "frame.h"
#include "schedule/ledger.h"

struct sp_frame_scheduler;

enum { SP_GROUPS_MAX = 80 };

struct sp_frame_scheduler_options {
    int cameras;
    int mailbox_frames; /* depth of each mailbox */
    bool live;
    bool by_time;              /* lossless only; every camera gives frames or its end */
    int credits;               /* frames of a camera between take and done; 0: no limit */
    struct sp_ledger *ledgers; /* [cameras]; settled here only as stale */
};

struct sp_schedule_item {
    int camera;
    struct sp_frame *frame; /* NULL: this camera is over */
};

struct sp_schedule_turn {
    int camera;
    bool over;               /* this camera is over: take says so */
    int width_px, height_px; /* in square pixels */
    uint64_t sequence;
    uint32_t epoch;
};

int sp_frame_scheduler_open(struct sp_frame_scheduler **out,
                            const struct sp_frame_scheduler_options *options, struct sp_error *err);
void sp_frame_scheduler_free(
    struct sp_frame_scheduler *scheduler); /* unrefs what is left; NULL is fine */

/* Takes the reference in any case. SP_ERR_CLOSED: nobody will take frames any more. */
int sp_frame_scheduler_push(struct sp_frame_scheduler *scheduler, int camera,
                            struct sp_frame *frame);

/* The camera gives nothing more until its end has been taken. */
void sp_frame_scheduler_end_camera(struct sp_frame_scheduler *scheduler, int camera);

/* Waits at most timeout_us (negative: without limit). SP_ERR_TIMEOUT; SP_ERR_CLOSED when closed and
 * empty. One thread. */
int sp_frame_scheduler_next(struct sp_frame_scheduler *scheduler, struct sp_schedule_item *item,
                            int64_t timeout_us);

/* The same in two steps. Peek waits for a turn and gives nothing away; take gives that camera's
 * frame, or its end, and ends its turn. One thread, no next between them. */
int sp_frame_scheduler_peek(struct sp_frame_scheduler *scheduler, struct sp_schedule_turn *turn,
                            int64_t timeout_us);
void sp_frame_scheduler_take(struct sp_frame_scheduler *scheduler, int camera,
                             struct sp_schedule_item *item);

/* Live: gives out no frame of this size of the camera until release; newer ones go on replacing it.
 * False: the camera has ended or the scheduler is closed, so its frame has to be taken. Any thread.
 */
bool sp_frame_scheduler_hold(struct sp_frame_scheduler *scheduler, int camera, int width_px,
                             int height_px);
void sp_frame_scheduler_release(struct sp_frame_scheduler *scheduler); /* all cameras */

/* Live: as it is said last; not healthy from the start, and after its end has been taken. Any
 * thread.
 */
void sp_frame_scheduler_set_healthy(struct sp_frame_scheduler *scheduler, int camera, bool healthy);

/* How many frames the engine works on at once; 1 from the start. Any thread. */
void sp_frame_scheduler_set_capacity(struct sp_frame_scheduler *scheduler, int frames);

/* Which place its frames go to, 0..SP_GROUPS_MAX-1; -1, from the start: one that always has room.
 */
void sp_frame_scheduler_set_group(struct sp_frame_scheduler *scheduler, int camera, int group);

/* Frames of the group are given out again, or no more until then (ends are). Any thread. */
void sp_frame_scheduler_set_full(struct sp_frame_scheduler *scheduler, int group, bool full);

/* A frame of the camera that was taken is finished. Any thread; needed with credits only. */
void sp_frame_scheduler_done(struct sp_frame_scheduler *scheduler, int camera);

/* No more pushes; what is inside can still be taken. */
void sp_frame_scheduler_close(struct sp_frame_scheduler *scheduler);

size_t sp_frame_scheduler_depth(struct sp_frame_scheduler *scheduler, int camera);
