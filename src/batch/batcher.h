/* Picks the next frame over all cameras.
 *
 * Data flow: each camera's decode thread pushes into its own mailbox; the one scheduler takes the
 * next frame, cameras in turn, whoever has one: a silent camera is passed over, a fast one cannot
 * take more than its turn, and the order inside a camera is kept. The last thing a camera gives is
 * its end. A pushed frame's reference belongs to the batcher until sp_batcher_next hands it on.
 *
 * Lossless: push waits while the mailbox is full. With `by_time` frames come in the order of their
 * pts over all cameras, which waits for a camera that has none and has not ended: whoever wants
 * them in that order then has nothing to keep. Live: the oldest frame makes room, settled as
 * stale in the camera's ledger: never a packet, always a decoded picture.
 *
 * Live frames are bound late: the scheduler peeks whose turn it is, waits for a place in the
 * engine, and only then takes the camera's frame, which may be a newer one by then. A camera with
 * as many frames on their way as `credits` allows is passed over until one of them is done, so
 * whatever is slow behind the mailboxes, a frame never waits behind more than these.
 *
 * Live cameras are steady or not, as their threads find. While one is steady, the others get what
 * the steady ones leave: all of them together have so few frames on their way that an engine of
 * two streams and more always has a place for a steady one, and a camera that connects anew,
 * bursts or sends rubbish costs the steady ones no time. Who was passed over some times is next, so
 * that nobody starves.
 *
 * Cameras whose frames go to the same place are a group, where there are several places: while one
 * place has no room, its group is passed over, and the others' frames do not wait behind it. */
#pragma once

#include "batch/ledger.h"
#include "frame.h"

struct sp_batcher;

enum { SP_GROUPS_MAX = 80 };

struct sp_batcher_options {
    int cameras;
    int mailbox_frames; /* depth of each mailbox */
    bool live;
    bool by_time;              /* lossless only; every camera gives frames or its end */
    int credits;               /* frames of a camera between take and done; 0: no limit */
    struct sp_ledger *ledgers; /* [cameras]; settled here only as stale */
};

struct sp_batch_item {
    int camera;
    struct sp_frame *frame; /* NULL: this camera is over */
};

struct sp_batch_turn {
    int camera;
    bool over;               /* this camera is over: take says so */
    int width_px, height_px; /* in square pixels */
    uint64_t sequence;
    uint32_t epoch;
};

int sp_batcher_open(struct sp_batcher **out, const struct sp_batcher_options *options,
                    struct sp_error *err);
void sp_batcher_free(struct sp_batcher *batcher); /* unrefs what is left; NULL is fine */

/* Takes the reference in any case. SP_ERR_CLOSED: nobody will take frames any more. */
int sp_batcher_push(struct sp_batcher *batcher, int camera, struct sp_frame *frame);

/* The camera gives nothing more until its end has been taken. */
void sp_batcher_end_camera(struct sp_batcher *batcher, int camera);

/* Waits at most timeout_us (negative: without limit). SP_ERR_TIMEOUT; SP_ERR_CLOSED when closed and
 * empty. One thread. */
int sp_batcher_next(struct sp_batcher *batcher, struct sp_batch_item *item, int64_t timeout_us);

/* The same in two steps. Peek waits for a turn and gives nothing away; take gives that camera's
 * frame, or its end, and ends its turn. One thread, no next between them. */
int sp_batcher_peek(struct sp_batcher *batcher, struct sp_batch_turn *turn, int64_t timeout_us);
void sp_batcher_take(struct sp_batcher *batcher, int camera, struct sp_batch_item *item);

/* Live: gives out no frame of this size of the camera until release; newer ones go on replacing it.
 * False: the camera has ended or the batcher is closed, so its frame has to be taken. Any thread.
 */
bool sp_batcher_hold(struct sp_batcher *batcher, int camera, int width_px, int height_px);
void sp_batcher_release(struct sp_batcher *batcher); /* all cameras */

/* Live: as it is said last; not steady from the start, and after its end has been taken. Any
 * thread.
 */
void sp_batcher_set_steady(struct sp_batcher *batcher, int camera, bool steady);

/* How many frames the engine works on at once; 1 from the start. Any thread. */
void sp_batcher_set_room(struct sp_batcher *batcher, int frames);

/* Which place its frames go to, 0..SP_GROUPS_MAX-1; -1, from the start: one that always has room.
 */
void sp_batcher_set_group(struct sp_batcher *batcher, int camera, int group);

/* Frames of the group are given out again, or no more until then (ends are). Any thread. */
void sp_batcher_set_full(struct sp_batcher *batcher, int group, bool full);

/* A frame of the camera that was taken is finished. Any thread; needed with credits only. */
void sp_batcher_done(struct sp_batcher *batcher, int camera);

/* No more pushes; what is inside can still be taken. */
void sp_batcher_close(struct sp_batcher *batcher);

size_t sp_batcher_depth(struct sp_batcher *batcher, int camera);
