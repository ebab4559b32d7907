/* Replies that wait for news (struct sp_feed): a stream of server-sent events, or a long poll.
 *
 * Data flow: sp_server_news -> sp_feed_wake -> site.feed makes the text behind the position of a
 * writable connection -> sent, and the position moves. A connection that is not writable keeps its
 * position, so it misses nothing that the site still has. Server's thread only. All return 0, or
 * -1: disconnect. */
#pragma once

#include "publish/server_internal.h"

int sp_feed_begin(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
int sp_feed_writable(struct sp_connection *connection);
int sp_feed_check(struct sp_connection *connection, int64_t now_us); /* once a second */
void sp_feed_wake(struct sp_server *server);
