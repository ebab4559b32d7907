/* Incoming HTTP requests: parsing, and calling the site. Server's thread only. */
#pragma once

#include "publish/server_internal.h"

/* All return 0, or -1: disconnect. Parses one request from the input and answers it once
 * it is complete. */
int sp_http_run(struct sp_connection *connection);
int sp_http_late(struct sp_connection *connection); /* the request timed out */
void sp_http_forget(struct sp_connection *connection);
