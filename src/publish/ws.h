/* WebSocket connections. Server's thread only. */
#pragma once

#include "publish/server_internal.h"

/* All return 0, or -1: disconnect. */
int sp_ws_upgrade(struct sp_connection *connection, const struct sp_request *request,
                  const char *key);
int sp_ws_receive(struct sp_connection *connection, const char *data, size_t bytes);
int sp_ws_check(struct sp_connection *connection, int64_t now_us); /* once a second: pings */
int sp_ws_writable(struct sp_connection *connection);
bool sp_ws_has_news(struct sp_connection *connection, uint64_t dirty);
void sp_ws_close(struct sp_connection *connection);
