/* What the files of the network share: server.c (thread, connections), http.c, mjpeg.c, ws.c. All
 * of it belongs to the server's thread, but for what is atomic. */
#pragma once

#include "publish/server.h"

#include <libwebsockets.h>
#include <pthread.h>

enum sp_connection_mode {
    SP_CONNECTION_IDLE,
    SP_CONNECTION_BODY,    /* the rest of a request is awaited */
    SP_CONNECTION_PICTURE, /* one picture is awaited */
    SP_CONNECTION_STREAM,  /* MJPEG */
    SP_CONNECTION_SILENCE,
    SP_CONNECTION_WS,
    SP_CONNECTION_CLOSING, /* what is left of a reply is sent */
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
    char *message;
    size_t message_bytes;
    struct sp_mail mail[SP_WS_MAIL_MAX];
    int mail_count;
    uint64_t missed_told;
};

struct sp_connection {
    struct sp_server *server;
    struct lws *wsi;
    struct sp_connection *next, *previous;
    enum sp_connection_mode mode;
    char address[64];
    bool over_limit;
    struct sp_request *request; /* while its body is awaited */
    char *body;
    size_t body_bytes;
    int64_t waiting_since_us; /* for the client to take something; 0: not */
    int64_t deadline_us;      /* of a picture, or of the rest of a reply */

    /* A viewer's. */
    struct sp_stream *stream;
    int camera;
    uint64_t generation, seen;
    bool head_only;
    char headers[512]; /* of the reply that one picture will be */
    struct sp_ws *ws;
};

/* The message that was made last: the next client often wants the same. */
struct sp_made {
    int camera;
    uint64_t generation, serial;
    enum sp_ws_format format;
    size_t bytes;
};

struct sp_server {
    struct sp_server_options options;
    struct lws_context *context;
    struct lws_vhost *vhost;
    int port;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    _Atomic uint64_t dirty; /* a bit a camera: something new */
    lws_sorted_usec_list_t tick;
    _Atomic int64_t ticked_us;

    double share; /* of a core that viewers may take; 0: no limit */
    lws_sorted_usec_list_t later;
    bool waiting; /* for `later` */
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

/* Sends bytes of the scratch. 0, or -1: disconnect. */
int sp_connection_write(struct sp_connection *connection, uint8_t *data, size_t bytes,
                        enum lws_write_protocol kind);

/* Asks to be called when the client can take more. */
void sp_connection_want(struct sp_connection *connection);

/* http.c: all 0, or -1: disconnect. A connection has one request, and is closed when the client has
 * the reply: of further ones in the same packet libwebsockets 4.1 takes one for the body of
 * another, and then waits in a loop for what never comes (lws_http_action), for all clients. */
int sp_http_begin(struct sp_connection *connection);
int sp_http_body(struct sp_connection *connection, const char *data, size_t bytes);
int sp_http_body_end(struct sp_connection *connection);
void sp_http_forget(struct sp_connection *connection);
bool sp_http_read_request(struct sp_connection *connection, struct sp_request *request);
int sp_http_send(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);

/* The same with {"detail": ...} as its body. */
int sp_http_refuse(struct sp_connection *c, int status, const char *detail, bool head_only);
const char *sp_http_reason(int status);
/* The header of a reply into out; returns its length. length_bytes negative: none is told. */
size_t sp_http_head(char *out, size_t out_bytes, int status, const char *type, int64_t length_bytes,
                    const char *more);

/* mjpeg.c */
int sp_mjpeg_begin(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
int sp_mjpeg_writable(struct sp_connection *connection);
bool sp_mjpeg_has_news(struct sp_connection *connection);
void sp_mjpeg_end(struct sp_connection *connection);

/* ws.c */
int sp_ws_upgrade(struct sp_connection *connection); /* > 0: refused, answered */
int sp_ws_open(struct sp_connection *connection);
int sp_ws_receive(struct sp_connection *connection, const char *data, size_t bytes);
int sp_ws_writable(struct sp_connection *connection);
bool sp_ws_has_news(struct sp_connection *connection, uint64_t dirty);
void sp_ws_close(struct sp_connection *connection);
