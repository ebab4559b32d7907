/* Numbers the frames of a stream whose decoder reorders, skips and loses frames.
 *
 * Data flow: each packet that announces one frame is added in decoding order, with a key that rises
 * in display order (its timestamp, or its ordinal where the two orders are the same). Each output
 * frame is looked up by its packet's id. Packets still pending with a smaller key were skipped on
 * purpose or are lost; either way their numbers are used up. So a frame has the same number however
 * many of its neighbours were decoded.
 *
 * A plain value, not thread-safe, no allocation. Independent of FFmpeg. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* More than any decoder buffers: 16 reordered frames, as many threads, and the look-ahead. */
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
    bool started;           /* frames before the first output one have no number */
    uint64_t skipped, lost; /* totals */
};

/* `numbered_from_start`: packets without a frame use up numbers even before the first frame. False
 * for streams that may begin with frames that depend on others before the start. */
void sp_order_init(struct sp_order *order, bool numbered_from_start);

/* The id of the next packet sent. After sp_order_stop it is not tracked. */
int64_t sp_order_add(struct sp_order *order, int64_t key);

/* Keys are unreliable from now on: frames of later packets are counted as they are output. */
void sp_order_stop(struct sp_order *order);
/* Packets were not frames after all: drops those that are pending and not skipped. */
void sp_order_distrust(struct sp_order *order);

bool sp_order_stopped(const struct sp_order *order);

/* The number that the frame of a pending packet will have, if all packets with smaller keys have
 * been added. */
uint64_t sp_order_rank(const struct sp_order *order, int64_t id);

/* Whether a pending packet has this key. */
bool sp_order_has_key(const struct sp_order *order, int64_t key);

/* Marks a packet as skipped on purpose. It may be output all the same, as skipping is a hint. */
void sp_order_skip(struct sp_order *order, int64_t id);

/* The number of an output frame. */
uint64_t sp_order_frame(struct sp_order *order, int64_t id);

/* End of stream: pending packets become skipped or lost. */
void sp_order_finish(struct sp_order *order);
