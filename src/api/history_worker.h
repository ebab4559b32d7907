/* Answers questions about stored tracks away from the server's thread.
 *
 * Data flow: sp_history_ask (server's thread) -> one of two bounded queues, for quick and for slow
 * questions -> a thread with a connection of its own to the store -> sp_history_answer ->
 * sp_server_reply. */
#pragma once

#include "publish/server.h"
#include "store/history.h"

struct sp_history_worker;

/* location: of sp_store_open, copied. */
int sp_history_worker_open(struct sp_history_worker **out, const char *location,
                           struct sp_error *err);
/* Before the server starts. */
void sp_history_worker_attach(struct sp_history_worker *worker, struct sp_server *server);
/* Ends questions in progress; afterwards none is answered. Before the server is closed. */
void sp_history_worker_stop(struct sp_history_worker *worker); /* NULL is allowed, also below */
void sp_history_worker_close(struct sp_history_worker *worker);

/* `begun` (may be NULL): JSON that precedes the answer; emptied. True: the reply is sent later, and
 * the request's body is freed then. False: too many questions wait. */
bool sp_history_ask(struct sp_history_worker *worker, const struct sp_history_query *query,
                    struct sp_json *begun, const struct sp_request *request,
                    struct sp_reply *reply);
