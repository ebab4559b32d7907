/* Numbers the frames of a stream whose decoder reorders them, leaves some out and loses some.
 *
 * Data flow: every packet that announces one frame is added, in the order of decoding, with a key
 * that rises in the order of display (its timestamp, or its ordinal where the two orders are one).
 * Every frame that comes out of the decoder is looked up by its packet's id. What is still
 * waiting with a smaller key never came out: it was skipped on purpose, or it is lost; either way
 * its number is used up. So a frame has the same number however many of its neighbours were
 * decoded.
 *
 * A plain value, not thread-safe, no allocation. Knows nothing of FFmpeg. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* More than any decoder holds back: 16 reordered frames, as many threads, and the look-ahead. */
enum { SP_ORDER_PENDING_MAX = 256 };

struct sp_order_entry {
    int64_t id, key;
    bool skipped;
};

struct sp_order {
    struct sp_order_entry entry[SP_ORDER_PENDING_MAX];
    int count;
    int64_t next_id;
    int64_t stopped_id; /* packets from this id on are no longer tracked */
    uint64_t next_sequence;
    bool started;           /* frames before the first that came out have no number */
    uint64_t skipped, lost; /* totals */
};

/* `numbered_from_start`: packets that give no frame use up numbers even before the first frame.
 * Wrong where a stream may open with frames that lean on others before its beginning. */
void sp_order_init(struct sp_order *order, bool numbered_from_start);

/* The id of the packet that is sent next. After sp_order_stop it is not tracked. */
int64_t sp_order_add(struct sp_order *order, int64_t key);

/* Keys are no longer to be trusted: frames of later packets are counted as they come out. */
void sp_order_stop(struct sp_order *order);
/* Packets turned out not to be frames: forgets those that are pending and not skipped. */
void sp_order_distrust(struct sp_order *order);

bool sp_order_stopped(const struct sp_order *order);

/* The number that the frame of a pending packet will have, if all packets with smaller keys have
 * been added. */
uint64_t sp_order_rank(const struct sp_order *order, int64_t id);

/* Whether a pending packet has this key. */
bool sp_order_has_key(const struct sp_order *order, int64_t key);

/* Not coming out is on purpose. It may still come out (a decoder skips only what it can). */
void sp_order_skip(struct sp_order *order, int64_t id);

/* The number of a frame that came out. */
uint64_t sp_order_frame(struct sp_order *order, int64_t id);

/* No more frames will come: what is pending becomes skipped or lost. */
void sp_order_finish(struct sp_order *order);
