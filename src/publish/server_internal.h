/* What the files of the network share: server.c (thread, connections), server_listen.c (addresses,
 * TLS), http_request.c (requests as they arrive), http.c (replies), mjpeg.c, ws.c. All of it
 * belongs to the server's thread, but for what is atomic.
 *
 * libwebsockets is the event loop, the sockets and TLS: connections are "raw" for it. Its own
 * parser of HTTP takes a request of a packet with several for the body of another (4.1,
 * lws_http_action), and so sees none of them; http_parser and wslay read what arrives. A connection
 * has one request at a time: while a reply is sent nothing more is read, and what came behind the
 * request waits in `input`. */
#pragma once

#include "publish/server.h"

#include <pthread.h>

/* libwebsockets.h and http_parser.h give the same names to different things: a file sees one. */
struct lws;
struct lws_context;
struct lws_protocols;

enum sp_connection_mode {
    SP_CONNECTION_IDLE,    /* between requests */
    SP_CONNECTION_REQUEST, /* the rest of one is awaited */
    SP_CONNECTION_SENDING, /* a reply */
    SP_CONNECTION_IMAGE,   /* one frame is awaited */
    SP_CONNECTION_STREAM,  /* MJPEG */
    SP_CONNECTION_SILENCE,
    SP_CONNECTION_WS,
    SP_CONNECTION_CLOSING, /* all is sent; the client is to close too */
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
    int turn; /* the camera that was served last */
    struct wslay_event_context *frames;
    const char *rx; /* what arrived, while it is read */
    size_t rx_bytes;
    uint8_t control[512]; /* frames of wslay's that are written in one go */
    size_t control_bytes;
    int64_t heard_us; /* when the client sent something last */
    bool pinged;      /* since then */
    struct sp_mail mail[SP_WS_MAIL_MAX];
    int mail_count;
    uint64_t missed_told;
    int close_code;        /* above 0: to be closed as soon as the client can take that */
    const char *close_why; /* static; set: nothing else is sent any more */
    int64_t closed_us;     /* when the close was sent; 0: it was not */
};

struct sp_connection {
    struct sp_server *server;
    struct lws *wsi;
    struct sp_connection *next, *previous;
    enum sp_connection_mode mode;
    char address[64];
    bool over_limit, secure;
    struct sp_incoming *incoming; /* while a request arrives */
    bool keep;                    /* the connection, when the reply to this one is sent */
    char *input;                  /* what arrived and is not read yet */
    size_t input_bytes;
    int64_t waiting_since_us; /* for the client to take something; 0: not */
    int64_t deadline_us;      /* of what the mode waits for; streams and WebSockets have none */

    /* A viewer's. */
    struct sp_stream *stream;
    int camera;
    uint64_t generation, seen;
    bool head_only;
    bool ending;               /* a stream that takes no more */
    char tag[64], client[160]; /* of a stream, the site's own */
    char headers[512];         /* of the reply that one frame will be */
    struct sp_ws *ws;
};

/* The message that was made last: the next client often wants the same. */
struct sp_made {
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
    _Atomic uint64_t dirty; /* a bit a camera: something new */
    struct sp_timers *timers;
    _Atomic int64_t ticked_us;

    double share; /* of a core that viewers may take; 0: no limit */
    bool waiting; /* until viewers are told */
    int64_t paid_until_us,
        paid_cpu_us; /* until when what was spent suffices; the thread's CPU time */

    struct sp_connection *connections;
    struct sp_json json;
    uint8_t *scratch; /* LWS_PRE, then what is sent */
    size_t scratch_bytes;
    struct sp_made made; /* in scratch; format says whether it is valid with camera >= 0 */

    atomic_int connection_count, mjpeg_count, ws_count;
    _Atomic uint64_t requests, refused, stuck, missed, sent_bytes;
};

/* server.c: room for `bytes` behind LWS_PRE, or NULL; what was there is lost. */
uint8_t *sp_server_scratch(struct sp_server *server, size_t bytes);

/* Sends bytes; what the socket does not take, the library keeps a copy of. 0, or -1: disconnect. */
int sp_connection_write(struct sp_connection *connection, uint8_t *data, size_t bytes);

/* Asks to be called when the client can take more. */
void sp_connection_want(struct sp_connection *connection);

/* server_listen.c: listens on every address of HTTP_HOST; server->context and port are set. */
int sp_server_listen(struct sp_server *server, const struct lws_protocols *protocols,
                     struct sp_error *err);

/* Says that no more is sent, to TLS as well, and waits for the client to close: closing while it
 * still sends would take the reply from it. */
int sp_connection_finish(struct sp_connection *connection);

/* http_request.c: all 0, or -1: disconnect. Reads one request from the input, and answers it when
 * it is whole. */
int sp_http_run(struct sp_connection *connection);
int sp_http_late(struct sp_connection *connection); /* the rest did not come in time */
void sp_http_forget(struct sp_connection *connection);

/* http.c: all 0, or -1: disconnect. */
int sp_http_answer(struct sp_connection *connection, struct sp_request *request);
int sp_http_send(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
/* The last byte of a reply was written: the next request, when the client has taken all. */
int sp_http_sent(struct sp_connection *connection);

/* The same with {"detail": ...} as its body. */
int sp_http_refuse(struct sp_connection *c, int status, const char *detail, bool head_only);
const char *sp_http_reason(int status);
/* The header of a reply into out; returns its length. length_bytes negative: none is told. */
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
