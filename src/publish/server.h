/* The network server: HTTP/1.1, WebSocket and TLS on one thread. libwebsockets provides the
 * sockets, http_parser parses requests, wslay parses WebSocket frames.
 *
 * Data flow: request -> site.request fills a reply (a body, or a stream to join) -> sent.
 * WebSocket: site.upgrade fills a plan of what to send -> hub and encoder wake the thread -> each
 * writable connection is sent its next message, or the newest frame. The server has no knowledge of
 * paths or of the data; the site (src/api) has none of sockets. All functions of the site are
 * called on the server's thread, one at a time.
 *
 * Limits: size of headers, bodies and messages, connections per address, and time for a request to
 * arrive (SP_SERVER_LATER_S: for a late reply to be made). A viewer that reads nothing for
 * SP_SERVER_STUCK_S is disconnected. A connection holds at most one outgoing message or frame in
 * memory. */
#pragma once

#include "base/json.h"
#include "publish/encoder.h"
#include "publish/inlet.h"
#include "publish/message.h"

enum {
    SP_SERVER_BODY_BYTES = 64 * 1024,
    SP_SERVER_HEADER_BYTES = 8 * 1024, /* including the request line */
    SP_SERVER_MESSAGE_BYTES = 64 * 1024,
    SP_SERVER_ADDRESS_CONNECTIONS = 256, /* loopback is exempt */
    SP_SERVER_CONNECTIONS = 4096,
    SP_SERVER_REQUEST_S = 10,
    SP_SERVER_IDLE_S = 60, /* between two requests on a connection */
    SP_SERVER_STUCK_S = 10,
    SP_SERVER_LATER_S = 30,
};

enum sp_method { SP_GET, SP_HEAD, SP_POST, SP_PUT, SP_DELETE, SP_OPTIONS, SP_OTHER };

struct sp_request {
    enum sp_method method;
    char path[1024];  /* decoded, terminated, without embedded zero bytes */
    char query[2048]; /* "a=1&b=2", decoded */
    const char *body; /* terminated */
    size_t body_bytes;
    char authorization[600];
    char cookie[2048];
    char origin[300], host[300];
    bool secure;               /* received over TLS */
    char address[64];          /* of the client */
    char inference_header[24]; /* Inference-Header-Content-Length; empty: none */
    char accept[2048];         /* Accept; empty: none */
    char last_event_id[128];   /* Last-Event-ID; empty: none */
    char node[64];             /* X-Spoton-Node: of the node that passes it on; empty: none */
    uint64_t reply;            /* for sp_server_reply() */
};

/* Copies the value of a key of the query, truncated to fit. False: the query has no such key. */
bool sp_request_query(const struct sp_request *request, const char *key, char *out,
                      size_t out_bytes);

enum sp_reply_kind {
    SP_REPLY_BODY,
    SP_REPLY_IMAGE,   /* one JPEG: the newest frame of `stream` */
    SP_REPLY_STREAM,  /* MJPEG of `stream`, or of `inlet`, unbounded */
    SP_REPLY_SILENCE, /* MJPEG that never sends a frame */
    SP_REPLY_FEED,    /* by site.feed, as `feed` says */
    SP_REPLY_LATER,   /* by sp_server_reply(): the site now owns the request's body (free) */
};

/* A reply made of what the site has after a position, whenever that is more than before. */
struct sp_feed {
    uint64_t after, limit; /* the site's: the position, and the most that one reply has */
    int64_t wait_us;       /* above 0: one reply, within that time; 0: a stream without end */
};

struct sp_reply {
    enum sp_reply_kind kind;
    int status;
    const char *type;    /* static; NULL: JSON */
    struct sp_json body; /* empty; the server owns the memory */
    const void *fixed;   /* instead of `body`: outlives the server */
    size_t fixed_bytes;
    struct sp_stream_options stream;
    struct sp_inlet *inlet; /* parts of an MJPEG stream; now the server's to leave; NULL: none */
    struct sp_feed feed;
    char tag[64], client[160]; /* of a stream; set by the site for sp_server_end_streams */
    char headers[1024];        /* additional ones, each terminated by "\r\n" */
};

/* What a WebSocket client is sent. */
enum sp_ws_format {
    SP_WS_JSON,
    SP_WS_BINARY,
    SP_WS_BINARY_JPEG, /* with the JPEG, encoded as `stream` says (its camera is ignored) */
    SP_WS_SITE,        /* text from site.format */
    SP_WS_MAIL,        /* only messages of sp_server_mail */
};

struct sp_ws_plan {
    enum sp_ws_format format;
    char cameras[2048]; /* names, comma separated; empty: all */
    struct sp_stream_options stream;
    struct sp_inlet *inlet; /* further messages; now the server's to leave; NULL: none */
    char tag[64], client[160], peer[64]; /* set and read by the site */
};

struct sp_ws;     /* a connection */
struct sp_server; /* the network */

struct sp_site {
    void *user;
    void (*request)(void *user, const struct sp_request *request, struct sp_reply *reply);
    /* True: accepted; fills *plan, and the reply's headers are sent with the handshake. False:
     * refused with `reply`. */
    bool (*upgrade)(void *user, const struct sp_request *request, struct sp_ws_plan *plan,
                    struct sp_reply *reply);
    /* For SP_WS_SITE: one text message; an empty one is not sent. */
    void (*format)(void *user, const struct sp_ws_plan *plan, const struct sp_result *result,
                   struct sp_json *json);
    /* A complete text message from a client. Binary messages are ignored. */
    void (*message)(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes);
    /* Text written to `first` is sent to this client before any other message. */
    void (*opened)(void *user, const struct sp_ws_plan *plan, struct sp_json *first);
    void (*closed)(void *user, const struct sp_ws_plan *plan);
    void (*tick)(void *user); /* once a second */
    /* The largest body of a request, whose headers have arrived; NULL: SP_SERVER_BODY_BYTES. */
    size_t (*body_limit)(void *user, const struct sp_request *request);
    void (*news)(void *user); /* after sp_server_news; several calls of it may be one of these */
    /* For SP_REPLY_FEED, at first and after sp_server_news: writes what follows feed->after and
     * moves it. False: nothing to send. `last`: the time of the one reply is over, so that an empty
     * one is written too. */
    bool (*feed)(void *user, struct sp_feed *feed, bool last, struct sp_json *json);
};

struct sp_server_options {
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_site site;
    const struct sp_class_names *classes; /* outlives the server; NULL: none */
    const char *host;                     /* name or address */
    int port;                             /* 0: any */
    const char *tls_cert, *tls_key;       /* files; NULL or empty: no TLS */
};

/* Binds, without accepting connections yet. SP_ERR_INVALID: HTTP_HOST is not an address of this
 * machine. SP_ERR_IO: the text names the address or certificate and the problem. SP_ERR_NO_MEMORY.
 */
int sp_server_open(struct sp_server **out, const struct sp_server_options *options,
                   struct sp_error *err);
int sp_server_start(struct sp_server *server, struct sp_error *err);

int sp_server_port(const struct sp_server *server);

/* Reports that a camera has new data for viewers: the wake callback of hub and encoder. `argument`
 * is the server. Any thread; does not block. */
void sp_server_wake(void *argument, int camera);

/* Reports that an inlet has news. `argument` is the server. Any thread; does not block. */
void sp_server_wake_inlets(void *argument);

/* Calls site.news soon. Any thread; does not block. NULL is allowed. */
void sp_server_news(struct sp_server *server);

/* Ends the thread: afterwards only sp_server_close calls the site. sp_server_wake remains valid.
 * Idempotent. */
void sp_server_stop(struct sp_server *server);

/* Stops, disconnects all clients, frees. The hub and the encoder must outlive the server. NULL is
 * allowed. */
void sp_server_close(struct sp_server *server);

/* On the server's thread: sends text to all WebSocket clients with this tag. Dropped for a client
 * with 16 unsent messages. */
void sp_server_mail(struct sp_server *server, const char *tag, const char *text, size_t bytes);

/* On the server's thread: ends all streams with this tag and client (sp_reply). client NULL: any.
 */
void sp_server_end_streams(struct sp_server *server, const char *tag, const char *client);

/* On the server's thread: of the streams with this tag and client, the first one of each camera, or
 * the later ones, become next_client's. */
enum sp_streams_of_camera { SP_STREAMS_FIRST, SP_STREAMS_LATER };
void sp_server_hand_over_streams(struct sp_server *server, const char *tag, const char *client,
                                 const char *next_client, enum sp_streams_of_camera which);

/* On the server's thread: closes the WebSockets for which `chosen` returns true, with a code of
 * RFC 6455 and a static reason of at most 123 bytes. */
void sp_server_close_ws(struct sp_server *server,
                        bool (*chosen)(void *user, const struct sp_ws_plan *plan), void *user,
                        int code, const char *reason);

/* On the server's thread: limits the thread to `share` CPU seconds per second. Viewers skip the
 * frames that do not fit. 0: no limit. */
void sp_server_limit(struct sp_server *server, double share);

/* Time since the last iteration of the server's thread, which runs at least once a second; a much
 * larger value means that it hangs. Any thread. */
int64_t sp_server_silence_us(struct sp_server *server);

/* The reply to a request that was answered by SP_REPLY_LATER; ignored if the client has left. Takes
 * over `body` (malloc). Any thread, until sp_server_close(). */
struct sp_late_reply {
    int status;
    const char *type;   /* static; NULL: JSON */
    char headers[1024]; /* additional ones, each terminated by "\r\n" */
    char *body;
    size_t bytes;
};
void sp_server_reply(struct sp_server *server, uint64_t id, const struct sp_late_reply *reply);

struct sp_server_counts {
    int connections, mjpeg, ws;
    uint64_t requests, refused, stuck;
    uint64_t missed; /* results dropped for slow WebSocket clients */
    uint64_t sent_bytes;
};
void sp_server_count(struct sp_server *server, struct sp_server_counts *counts); /* any thread */
