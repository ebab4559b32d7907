/* HTTP replies. Server's thread only. */
#pragma once

#include "publish/server_internal.h"

/* All return 0, or -1: disconnect. */
int sp_http_send(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
/* The last byte of a reply was written: continues with the next request, or closes. */
int sp_http_sent(struct sp_connection *connection);

/* Sends an error with the body {"detail": ...}. */
int sp_http_refuse(struct sp_connection *c, int status, const char *detail, bool head_only);
/* Writes the header of a reply into out and returns its length. length_bytes negative: without
 * Content-Length. */
size_t sp_http_head(char *out, size_t out_bytes, int status, const char *type, int64_t length_bytes,
                    bool keep, const char *more);
