/* Shared by the files of the network server: server.c (thread, events), server_listen.c (addresses,
 * TLS), http_request.c -> ws.c, mjpeg.c, feed.c -> http_reply.c -> connection.c. All of it belongs
 * to the server's thread, except for the atomics.
 *
 * libwebsockets provides the event loop, sockets and TLS, and handles connections as "raw". Its own
 * HTTP parser (4.1, lws_http_action) takes pipelined requests for the body of the first one, so
 * http_parser and wslay parse the input instead. A connection handles one request at a time: while
 * a reply is being sent nothing is read, and pipelined data waits in `input`. */
#pragma once

#include "publish/server.h"

#include <pthread.h>

/* libwebsockets.h and http_parser.h define conflicting names: a file includes only one of them. */
struct lws;
struct lws_context;
struct lws_protocols;

enum sp_connection_mode {
    SP_CONNECTION_IDLE,    /* between requests */
    SP_CONNECTION_REQUEST, /* waiting for the rest of a request */
    SP_CONNECTION_SENDING, /* a reply */
    SP_CONNECTION_LATER,   /* waiting for sp_server_reply() */
    SP_CONNECTION_IMAGE,   /* waiting for one frame */
    SP_CONNECTION_STREAM,  /* MJPEG */
    SP_CONNECTION_SILENCE,
    SP_CONNECTION_FEED, /* server-sent events */
    SP_CONNECTION_WAIT, /* waiting for news for one reply, or for its deadline */
    SP_CONNECTION_WS,
    SP_CONNECTION_CLOSING, /* all is sent; waiting for the client to close */
};

struct sp_connection {
    struct sp_server *server;
    struct lws *wsi;
    struct sp_connection *next, *previous;
    enum sp_connection_mode mode;
    uint64_t id; /* of the request, for sp_server_reply() */
    char address[64];
    bool over_limit, secure;
    struct sp_incoming *incoming; /* while a request arrives */
    bool keep;                    /* keep the connection after this reply */
    char *input;                  /* received, not parsed yet */
    size_t input_bytes;
    int64_t waiting_since_us; /* for the client to read; 0: not waiting */
    int64_t deadline_us;      /* of the mode; streams and WebSockets have none */

    /* Viewers only. */
    struct sp_stream *stream;
    struct sp_inlet *inlet; /* of an MJPEG stream */
    bool begun;             /* its head is sent */
    int camera;
    uint64_t generation, seen;
    bool head_only;            /* also of a late reply */
    bool ending;               /* the stream is to be closed */
    char tag[64], client[160]; /* of a stream; set by the site */
    bool handed_over;          /* scratch of sp_server_hand_over_streams */
    int64_t opened_us;         /* of a stream; sp_clock_us() */
    char headers[512];         /* of the reply of SP_CONNECTION_IMAGE, SP_CONNECTION_WAIT, inlets */
    struct sp_feed feed;       /* of SP_CONNECTION_FEED and SP_CONNECTION_WAIT */
    int64_t fed_us;            /* when the former was last sent text; sp_clock_us() */
    struct sp_ws *ws;
};

struct sp_late_item {
    struct sp_late_item *next;
    uint64_t id;
    struct sp_late_reply reply;
};

/* The last message formatted, cached because other clients often get the same one. */
struct sp_cached_message {
    int camera;
    uint64_t generation, serial;
    enum sp_ws_format format;
    size_t bytes;
};

enum { SP_SERVER_ADDRESSES = 4 };

struct sp_server {
    struct sp_server_options options;
    struct lws_context *context;
    int port;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    _Atomic uint64_t dirty; /* one bit per camera that has new data */
    atomic_bool news, inlet_news;
    struct sp_timers *timers;
    _Atomic int64_t ticked_us;

    double share; /* CPU limit of the thread, in cores; 0: no limit */
    bool waiting; /* for the CPU limit before viewers are woken */
    int64_t paid_until_us,
        paid_cpu_us; /* when the used CPU time is paid off; the thread's CPU time */

    struct sp_connection *connections;
    uint64_t last_id;
    pthread_mutex_t late_lock; /* guards the list */
    struct sp_late_item *late; /* the newest first */
    struct sp_json json;
    uint8_t *scratch; /* LWS_PRE, then outgoing data */
    size_t scratch_bytes;
    struct sp_cached_message cached; /* in scratch; valid when camera >= 0 */

    atomic_int connection_count, mjpeg_count, ws_count;
    _Atomic uint64_t requests, refused, stuck, missed, sent_bytes;
};

/* server_listen.c: listens on every address of HTTP_HOST; server->context and port are set. */
int sp_server_listen(struct sp_server *server, const struct lws_protocols *protocols,
                     struct sp_error *err);
