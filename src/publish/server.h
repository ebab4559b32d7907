/* The network: HTTP/1.1, WebSocket and TLS on one thread: sockets by libwebsockets, requests by
 * http_parser, frames by wslay.
 *
 * Data flow: request -> site.request fills a reply (a body, or a frame stream to join) -> sent.
 * WebSocket: site.upgrade says what the client gets -> hub and encoder wake the thread -> each
 * connection that can take more gets its next message, or the newest frame. The network knows no
 * path and no meaning; the site (src/api) knows no socket. All functions of the site are called on
 * the server's thread, one at a time.
 *
 * Limits: headers, bodies, messages, connections of an address, and time for a request to arrive; a
 * viewer that takes nothing for SP_SERVER_STUCK_S is disconnected. A connection holds at most one
 * message or frame of ours in memory. */
#pragma once

#include "base/json.h"
#include "publish/encoder.h"
#include "publish/message.h"

enum {
    SP_SERVER_BODY_BYTES = 64 * 1024,
    SP_SERVER_HEADER_BYTES = 8 * 1024, /* with the request line */
    SP_SERVER_MESSAGE_BYTES = 64 * 1024,
    SP_SERVER_ADDRESS_CONNECTIONS = 256, /* but loopback's */
    SP_SERVER_CONNECTIONS = 4096,
    SP_SERVER_REQUEST_S = 10,
    SP_SERVER_IDLE_S = 60, /* between the requests of a connection */
    SP_SERVER_STUCK_S = 10,
};

enum sp_method { SP_GET, SP_HEAD, SP_POST, SP_DELETE, SP_OPTIONS, SP_OTHER };

struct sp_request {
    enum sp_method method;
    char path[1024];  /* decoded, terminated; never holds a zero byte inside */
    char query[2048]; /* "a=1&b=2", decoded */
    const char *body; /* terminated */
    size_t body_bytes;
    char authorization[600];
    char cookie[2048];
    char origin[300], host[300];
    bool secure;      /* came over TLS */
    char address[64]; /* of the client */
};

/* The value of a key in the query or, cut to fit; false: not there. */
bool sp_request_query(const struct sp_request *request, const char *key, char *out,
                      size_t out_bytes);

enum sp_reply_kind {
    SP_REPLY_BODY,
    SP_REPLY_IMAGE,   /* the newest frame of `stream`, then done */
    SP_REPLY_STREAM,  /* MJPEG of `stream`, without end */
    SP_REPLY_SILENCE, /* MJPEG that never shows anything */
};

struct sp_reply {
    enum sp_reply_kind kind;
    int status;
    const char *type;    /* static; NULL: JSON */
    struct sp_json body; /* the server's memory, empty */
    const void *fixed;   /* instead of `body`: outlives the server */
    size_t fixed_bytes;
    struct sp_stream_options stream;
    char tag[64], client[160]; /* of a stream, the site's own: sp_server_end_streams */
    char headers[1024];        /* more of them, each ended by "\r\n" */
};

/* What a WebSocket client gets. */
enum sp_ws_format {
    SP_WS_JSON,
    SP_WS_BINARY,
    SP_WS_BINARY_JPEG, /* with the frame; `stream` but its camera says which */
    SP_WS_SITE,        /* text that site.format makes */
    SP_WS_MAIL,        /* only what sp_server_mail sends */
};

struct sp_ws_plan {
    enum sp_ws_format format;
    char cameras[2048]; /* names, comma separated; empty: all */
    struct sp_stream_options stream;
    char tag[64];               /* the site's own */
    char client[160], peer[64]; /* the site's own */
};

struct sp_ws;     /* a connection */
struct sp_server; /* the network */

struct sp_site {
    void *user;
    void (*request)(void *user, const struct sp_request *request, struct sp_reply *reply);
    /* True: accepted, *plan says how, and the reply's headers are sent with it. False: `reply` says
     * why not. */
    bool (*upgrade)(void *user, const struct sp_request *request, struct sp_ws_plan *plan,
                    struct sp_reply *reply);
    /* For SP_WS_SITE: one text message; an empty one is not sent. */
    void (*format)(void *user, const struct sp_ws_plan *plan, const struct sp_update *update,
                   struct sp_json *json);
    /* A whole text message of a client. Binary ones are ignored. */
    void (*message)(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes);
    /* What it writes to `first` is sent to this client before anything else. */
    void (*opened)(void *user, const struct sp_ws_plan *plan, struct sp_json *first);
    void (*closed)(void *user, const struct sp_ws_plan *plan);
    void (*tick)(void *user); /* once a second */
};

struct sp_server_options {
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_site site;
    const struct sp_class_names *classes; /* outlive the server; NULL: none */
    const char *host;                     /* name or address */
    int port;                             /* 0: any */
    const char *tls_cert, *tls_key;       /* files; NULL or empty: no TLS */
};

/* Binds, but serves nobody yet. SP_ERR_INVALID: HTTP_HOST is no address of this machine; SP_ERR_IO
 * names the address, or the certificate, and what is in the way; SP_ERR_NO_MEMORY. */
int sp_server_open(struct sp_server **out, const struct sp_server_options *options,
                   struct sp_error *err);
int sp_server_start(struct sp_server *server, struct sp_error *err);

int sp_server_port(const struct sp_server *server);

/* Something is new for the viewers of a camera. Any thread; never waits. To be given to hub and
 * encoder. */
void sp_server_wake(void *argument, int camera); /* the server */

/* Ends the thread: the site is called no more, but by close. Wakes are still fine. Idempotent. */
void sp_server_stop(struct sp_server *server);

/* Stops, disconnects everyone, frees. The hub and the encoder must outlive it. NULL is
 * fine. */
void sp_server_close(struct sp_server *server);

/* On the server's thread: text to all SP_WS_MAIL and SP_WS_SITE clients whose tag is this one. A
 * client that has 16 unread ones loses this one. */
void sp_server_mail(struct sp_server *server, const char *tag, const char *text, size_t bytes);

/* On the server's thread: ends all streams of this tag (sp_reply) and client; NULL: of any. */
void sp_server_end_streams(struct sp_server *server, const char *tag, const char *client);

/* On the server's thread: closes the WebSockets that are chosen, with a code of RFC 6455 and a
 * reason of at most 123 bytes, which stays where it is. */
void sp_server_close_ws(struct sp_server *server,
                        bool (*chosen)(void *user, const struct sp_ws_plan *plan), void *user,
                        int code, const char *reason);

/* On the server's thread: from now on it takes at most so much of a core (CPU seconds a second);
 * what that does not suffice for, viewers miss. 0: no limit. */
void sp_server_limit(struct sp_server *server, double share);

/* Since its thread last came round, which it does once a second: much more, and it hangs. Any
 * thread. */
int64_t sp_server_silence_us(struct sp_server *server);

struct sp_server_counts {
    int connections, mjpeg, ws;
    uint64_t requests, refused, stuck;
    uint64_t missed; /* results that WebSocket clients were too slow for */
    uint64_t sent_bytes;
};
void sp_server_count(struct sp_server *server, struct sp_server_counts *counts); /* any thread */
