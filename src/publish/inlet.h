/* Messages that another thread has ready for one viewer: a WebSocket, or an MJPEG stream.
 *
 * Data flow: source (any one thread) -> sp_inlet_put -> the server's thread is woken -> sent once
 * the viewer's connection is writable -> `taken` wakes the source. The source reads no more while
 * there is no room, so that a slow viewer delays its own source only and occupies bounded memory.
 *
 * Ownership: both sides hold the inlet; the last of sp_inlet_leave (viewer) and sp_inlet_close
 * (source) frees it. All functions are thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_inlet;

enum { SP_INLET_HEADROOM = 32, SP_INLET_MESSAGES = 2 };

struct sp_inlet_options {
    void (*news)(void *user); /* sp_server_wake_inlets */
    void *news_user;
    void (*taken)(void *user); /* there may be room, or the viewer has left; must not block */
    void *user;
};

/* SP_ERR_NO_MEMORY. */
int sp_inlet_open(struct sp_inlet **out, const struct sp_inlet_options *options,
                  struct sp_error *err);

/* ---- the source ---- */

bool sp_inlet_has_viewer(struct sp_inlet *inlet);
bool sp_inlet_has_room(struct sp_inlet *inlet);
/* Copies the message, also beyond the room. SP_ERR_NO_MEMORY. */
int sp_inlet_put(struct sp_inlet *inlet, const void *data, size_t bytes, bool text);
/* Nothing follows. `why`: for a viewer who has received nothing yet. */
void sp_inlet_end(struct sp_inlet *inlet, const char *why);
void sp_inlet_close(struct sp_inlet *inlet);

/* ---- the viewer, on the server's thread ---- */

struct sp_inlet_message {
    struct sp_inlet_message *next;
    size_t bytes;
    bool text;
    uint8_t memory[]; /* SP_INLET_HEADROOM, then the message */
};

bool sp_inlet_has_news(struct sp_inlet *inlet); /* a message, or the end */
/* The oldest message, which the caller frees. NULL: none. */
struct sp_inlet_message *sp_inlet_take(struct sp_inlet *inlet);
/* NULL: not ended, or messages are left. The text is valid until sp_inlet_leave. */
const char *sp_inlet_ended(struct sp_inlet *inlet);
void sp_inlet_leave(struct sp_inlet *inlet); /* NULL is allowed */
