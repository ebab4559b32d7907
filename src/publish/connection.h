/* Output of a connection. Server's thread only. */
#pragma once

#include "publish/server_internal.h"

/* A buffer of `bytes` after LWS_PRE, or NULL. Overwrites the previous content. */
uint8_t *sp_server_scratch(struct sp_server *server, size_t bytes);

/* Sends data; libwebsockets copies what the socket does not accept. 0, or -1: disconnect. */
int sp_connection_write(struct sp_connection *connection, uint8_t *data, size_t bytes);

/* Requests a callback when the connection is writable. */
void sp_connection_want(struct sp_connection *connection);

/* Shuts down sending (TLS too) and waits for the client to close: closing while the client still
 * sends would make it lose the reply. */
int sp_connection_finish(struct sp_connection *connection);
