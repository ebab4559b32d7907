/* A WebSocket to another node, whose messages go to an inlet.
 *
 * libcurl connects (names, TLS, time limits); the handshake is made here, and wslay parses the
 * frames. Thread of the peers only. */
#pragma once

#include "api/peers_internal.h"

struct sp_peer_socket;

/* `http`, `target`: as in struct sp_peer_options. SP_ERR_NO_MEMORY. */
int sp_peer_socket_open(struct sp_peer_socket **out, struct sp_peers *peers, const char *http,
                        const char *target, struct sp_inlet *inlet);
void sp_peer_socket_close(struct sp_peer_socket *socket); /* NULL is allowed */

/* Receives what has arrived, while the inlet has room. SP_ERR_CLOSED: it has ended. */
int sp_peer_socket_step(struct sp_peer_socket *socket, struct sp_error *err);
bool sp_peer_socket_is_open(const struct sp_peer_socket *socket); /* the handshake is done */
/* False: nothing to wait for. */
bool sp_peer_socket_wait(struct sp_peer_socket *socket, struct curl_waitfd *fd);
