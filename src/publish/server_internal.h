/* Shared by the files of the network server: server.c (thread, connections), server_listen.c
 * (addresses, TLS), http_request.c (incoming requests), http.c (replies), mjpeg.c, ws.c. All of it
 * belongs to the server's thread, except for the atomics.
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
    SP_CONNECTION_IMAGE,   /* waiting for one frame */
    SP_CONNECTION_STREAM,  /* MJPEG */
    SP_CONNECTION_SILENCE,
    SP_CONNECTION_WS,
    SP_CONNECTION_CLOSING, /* all is sent; waiting for the client to close */
};

enum { SP_WS_MAIL_MAX = 16 };

struct sp_mail {
    size_t bytes;
    uint8_t *memory; /* LWS_PRE, then the text */
};

struct sp_ws {
    struct sp_ws_plan plan;
    struct sp_hub_cursor cursor[SP_HUB_CAMERAS_MAX];
    struct sp_stream *stream[SP_HUB_CAMERAS_MAX]; /* SP_WS_BINARY_JPEG */
    uint64_t stream_generation[SP_HUB_CAMERAS_MAX];
    uint64_t seen[SP_HUB_CAMERAS_MAX];
    int turn; /* the camera served last */
    struct wslay_event_context *frames;
    const char *rx; /* received data, while wslay reads it */
    size_t rx_bytes;
    uint8_t control[512]; /* control frames of wslay, written at once */
    size_t control_bytes;
    int64_t heard_us; /* when the client last sent data */
    bool pinged;      /* since heard_us */
    struct sp_mail mail[SP_WS_MAIL_MAX];
    int mail_count;
    int close_code;        /* above 0: close as soon as the connection is writable */
    const char *close_why; /* static; set: nothing else is sent */
    int64_t closed_us;     /* when the close frame was sent; 0: not yet */
};

struct sp_connection {
    struct sp_server *server;
    struct lws *wsi;
    struct sp_connection *next, *previous;
    enum sp_connection_mode mode;
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
    int camera;
    uint64_t generation, seen;
    bool head_only;
    bool ending;               /* the stream is to be closed */
    char tag[64], client[160]; /* of a stream; set by the site */
    char headers[512];         /* of the reply of SP_CONNECTION_IMAGE */
    struct sp_ws *ws;
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
    struct sp_timers *timers;
    _Atomic int64_t ticked_us;

    double share; /* CPU limit of the thread, in cores; 0: no limit */
    bool waiting; /* for the CPU limit before viewers are woken */
    int64_t paid_until_us,
        paid_cpu_us; /* when the used CPU time is paid off; the thread's CPU time */

    struct sp_connection *connections;
    struct sp_json json;
    uint8_t *scratch; /* LWS_PRE, then outgoing data */
    size_t scratch_bytes;
    struct sp_cached_message cached; /* in scratch; valid when camera >= 0 */

    atomic_int connection_count, mjpeg_count, ws_count;
    _Atomic uint64_t requests, refused, stuck, missed, sent_bytes;
};

/* server.c: a buffer of `bytes` after LWS_PRE, or NULL. Overwrites the previous content. */
uint8_t *sp_server_scratch(struct sp_server *server, size_t bytes);

/* Sends data; libwebsockets copies what the socket does not accept. 0, or -1: disconnect. */
int sp_connection_write(struct sp_connection *connection, uint8_t *data, size_t bytes);

/* Requests a callback when the connection is writable. */
void sp_connection_want(struct sp_connection *connection);

/* server_listen.c: listens on every address of HTTP_HOST; server->context and port are set. */
int sp_server_listen(struct sp_server *server, const struct lws_protocols *protocols,
                     struct sp_error *err);

/* Shuts down sending (TLS too) and waits for the client to close: closing while the client still
 * sends would make it lose the reply. */
int sp_connection_finish(struct sp_connection *connection);

/* http_request.c: all 0, or -1: disconnect. Parses one request from the input and answers it once
 * it is complete. */
int sp_http_run(struct sp_connection *connection);
int sp_http_late(struct sp_connection *connection); /* the request timed out */
void sp_http_forget(struct sp_connection *connection);

/* http.c: all 0, or -1: disconnect. */
int sp_http_answer(struct sp_connection *connection, struct sp_request *request);
int sp_http_send(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
/* The last byte of a reply was written: continues with the next request, or closes. */
int sp_http_sent(struct sp_connection *connection);

/* Sends an error with the body {"detail": ...}. */
int sp_http_refuse(struct sp_connection *c, int status, const char *detail, bool head_only);
const char *sp_http_reason(int status);
/* Writes the header of a reply into out and returns its length. length_bytes negative: without
 * Content-Length. */
size_t sp_http_head(char *out, size_t out_bytes, int status, const char *type, int64_t length_bytes,
                    bool keep, const char *more);

/* mjpeg.c */
int sp_mjpeg_begin(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
int sp_mjpeg_writable(struct sp_connection *connection);
bool sp_mjpeg_has_news(struct sp_connection *connection);
void sp_mjpeg_end(struct sp_connection *connection);

/* ws.c: all 0, or -1: disconnect. */
int sp_ws_upgrade(struct sp_connection *connection, const struct sp_request *request,
                  const char *key);
int sp_ws_receive(struct sp_connection *connection, const char *data, size_t bytes);
int sp_ws_check(struct sp_connection *connection, int64_t now_us); /* once a second: pings */
int sp_ws_writable(struct sp_connection *connection);
bool sp_ws_has_news(struct sp_connection *connection, uint64_t dirty);
void sp_ws_close(struct sp_connection *connection);
