/* Apache Kafka, by librdkafka's idempotent producer. OUTPUTS=kafka?url=kafka://127.0.0.1:9092
 *
 * The key is the camera, so that its messages are in one partition and in order; the header `id`
 * holds the message's id, and ce_* headers those of CloudEvents. '/' of the topic becomes '.'. Any
 * property of librdkafka may be an option: linger.ms=5. */
#include "common.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, ANSWER_MS = 20000, STEP_MS = 50, TOPIC_BYTES = 256 };

struct spoton_output {
    struct spoton_output_setup setup;
    struct output_url url;
    char servers[512], user[128], password[512], ca_file[512], mechanism[32];
    bool tls;
    char *options;        /* of librdkafka */
    rd_kafka_t *producer; /* NULL: none */
    size_t count, pending;
    int state[CHUNK]; /* 0: in flight, 1: acknowledged, -1: failed, -2: refused for good */
    char reason[256];
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *user)
{
    struct spoton_output *o = user;
    int *state = message->_private; /* an element of o->state */
    (void)producer;
    if (!state || (size_t)(state - o->state) >= o->count || *state != 0)
        return;
    o->pending--;
    rd_kafka_resp_err_t why = message->err;
    bool refused = why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                   why == RD_KAFKA_RESP_ERR_INVALID_MSG ||
                   why == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    *state = !why ? 1 : refused ? -2 : -1;
    if (why)
        snprintf(o->reason, sizeof o->reason, "%s", rd_kafka_err2str(why));
}

static void on_error(rd_kafka_t *producer, int code, const char *reason, void *user)
{
    struct spoton_output *o = user;
    (void)producer;
    const char *what = code == RD_KAFKA_RESP_ERR__AUTHENTICATION ? "user or password refused: "
                       : code == RD_KAFKA_RESP_ERR__SSL          ? "TLS: "
                       : code == RD_KAFKA_RESP_ERR__RESOLVE      ? "DNS: "
                                                                 : "";
    snprintf(o->reason, sizeof o->reason, "%s%.200s", what, reason);
}

static void on_log(const rd_kafka_t *producer, int level, const char *facility, const char *text)
{
    (void)producer; /* the program logs what deliver() returns */
    (void)level;
    (void)facility;
    (void)text;
}

static void disconnect(struct spoton_output *o)
{
    if (!o->producer)
        return;
    o->count = 0;
    rd_kafka_purge(o->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(o->producer, 0);
    rd_kafka_destroy_flags(o->producer, 0);
    o->producer = NULL;
}

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, char *error,
               size_t error_bytes)
{
    char text[192];
    if (rd_kafka_conf_set(conf, key, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return 0;
    return output_fail(error, error_bytes, "option %s: %s", key, text);
}

/* The options that are not the plugin's: names with a '.'. */
static int set_properties(struct spoton_output *o, rd_kafka_conf_t *conf, char *error,
                          size_t error_bytes)
{
    char key[96], value[512];
    for (const char *at = o->options; *at; at += *at == '&') {
        size_t bytes = strcspn(at, "&"), name = strcspn(at, "=&");
        if (bytes > 0) {
            snprintf(key, sizeof key, "%.*s", (int)name, at);
            spoton_option(o->options, key, value, sizeof value);
            if (set(conf, key, value, error, error_bytes) < 0)
                return -1;
        }
        at += bytes;
    }
    return 0;
}

static int fill(struct spoton_output *o, rd_kafka_conf_t *conf, char *error, size_t error_bytes)
{
    const char *const pairs[][2] = {
        {"bootstrap.servers", o->servers},
        {"client.id", o->setup.client_id},
        {"enable.idempotence", "true"},
        {"enable.gapless.guarantee", "true"},
        {"linger.ms", "2"},
        {"message.timeout.ms", "15000"},
        {"socket.timeout.ms", "10000"},
        {"reconnect.backoff.max.ms", "2000"},
        {"security.protocol", o->tls && o->user[0] ? "sasl_ssl"
                              : o->tls             ? "ssl"
                              : o->user[0]         ? "sasl_plaintext"
                                                   : "plaintext"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (set(conf, pairs[i][0], pairs[i][1], error, error_bytes) < 0)
            return -1;
    if (o->user[0] && (set(conf, "sasl.mechanism", o->mechanism, error, error_bytes) < 0 ||
                       set(conf, "sasl.username", o->user, error, error_bytes) < 0 ||
                       set(conf, "sasl.password", o->password, error, error_bytes) < 0))
        return -1;
    if (o->tls && o->ca_file[0] && set(conf, "ssl.ca.location", o->ca_file, error, error_bytes) < 0)
        return -1;
    return set_properties(o, conf, error, error_bytes);
}

static int make_producer(struct spoton_output *o, char *error, size_t error_bytes)
{
    char text[192];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (fill(o, conf, error, error_bytes) < 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    rd_kafka_conf_set_opaque(conf, o);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    o->reason[0] = '\0';
    o->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (o->producer)
        return 0;
    rd_kafka_conf_destroy(conf);
    return output_fail(error, error_bytes, "%s", text);
}

static rd_kafka_resp_err_t produce(struct spoton_output *o, const struct spoton_output_message *m,
                                   size_t index)
{
    char topic[TOPIC_BYTES];
    output_translate(m->topic, "/ \t", '.', topic, sizeof topic);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(5);
    rd_kafka_header_add(headers, "id", -1, m->id, -1);
    rd_kafka_header_add(headers, "ce_id", -1, m->id, -1);
    rd_kafka_header_add(headers, "ce_type", -1, m->type, -1);
    rd_kafka_header_add(headers, "ce_source", -1, m->source, -1);
    rd_kafka_header_add(headers, "content-type", -1, m->content_type, -1);
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)m->camera, strlen(m->camera)}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)m->payload, m->payload_bytes}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = m->wall_us / 1000},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = &o->state[index]},
    };
    rd_kafka_error_t *failure =
        rd_kafka_produceva(o->producer, parts, sizeof parts / sizeof parts[0]);
    rd_kafka_resp_err_t why = failure ? rd_kafka_error_code(failure) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (failure)
        rd_kafka_error_destroy(failure);
    if (why)
        rd_kafka_headers_destroy(headers);
    return why;
}

static void produce_all(struct spoton_output *o, const struct spoton_output_message *messages)
{
    for (size_t i = 0; i < o->count; i++) {
        rd_kafka_resp_err_t why = produce(o, &messages[i], i);
        if (!why)
            continue;
        bool refused =
            why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || why == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        snprintf(o->reason, sizeof o->reason, "%s", rd_kafka_err2str(why));
        for (size_t k = i; k < o->count; k += refused ? o->count : 1, o->pending--)
            o->state[k] = refused ? -2 : -1;
        if (!refused)
            return;
    }
}

static int kafka_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                         size_t count, struct spoton_output_outcome *outcome, char *error,
                         size_t error_bytes)
{
    if (!o->producer && make_producer(o, error, error_bytes) < 0)
        return -1;
    o->count = o->pending = count < CHUNK ? count : CHUNK;
    memset(o->state, 0, sizeof o->state);
    o->reason[0] = '\0';
    produce_all(o, messages);
    int64_t until_ms = output_now_ms() + ANSWER_MS;
    while (o->pending > 0 && output_now_ms() < until_ms && !output_is_stopping(&o->setup))
        rd_kafka_poll(o->producer, STEP_MS);
    size_t wanted = o->count;
    while (outcome->delivered < wanted &&
           (o->state[outcome->delivered] == 1 || o->state[outcome->delivered] == -2))
        outcome->rejected += o->state[outcome->delivered++] == -2;
    o->count = 0;
    if (outcome->delivered == wanted) {
        if (outcome->rejected > 0)
            output_fail(error, error_bytes, "%zu messages refused: %s", outcome->rejected,
                        o->reason);
        return 0;
    }
    output_fail(error, error_bytes, "%s: %s; check the brokers", o->servers,
                o->reason[0] ? o->reason : "no acknowledgement");
    disconnect(o);
    return -1;
}

static int kafka_poll(struct spoton_output *o, int wait_ms, char *error, size_t error_bytes)
{
    if (!o->producer && make_producer(o, error, error_bytes) < 0)
        return -1;
    rd_kafka_poll(o->producer, wait_ms);
    if (!o->reason[0])
        return 0;
    output_fail(error, error_bytes, "%s: %s; check the brokers", o->servers, o->reason);
    o->reason[0] = '\0'; /* librdkafka connects again by itself */
    return -1;
}

static int read_options(struct spoton_output *o, const char *options, char *error,
                        size_t error_bytes)
{
    static const struct output_scheme schemes[] = {{"kafka", 9092}, {"kafkas", 9093}, {0}};
    static const char *const own[] = {"url",          "user",          "password",
                                      "password_env", "password_file", "ca_file",
                                      "brokers",      "mechanism",     NULL};
    char more[256];
    o->options = malloc(strlen(options) + 1);
    if (!o->options)
        return output_fail(error, error_bytes, "out of memory");
    spoton_option_split(options, own, false, o->options);
    for (const char *at = o->options; *at; at += *at == '&') {
        size_t name = strcspn(at, "=&");
        if (name > 0 && !memchr(at, '.', name))
            return output_fail(error, error_bytes,
                               "option %.*s: unknown; there are url, brokers, user, mechanism, "
                               "password_env, password_file, ca_file and librdkafka's properties",
                               (int)name, at);
        at += strcspn(at, "&");
    }
    if (output_read_url(&o->url, options, schemes, error, error_bytes) < 0 ||
        spoton_option_secret(options, "password", o->password, sizeof o->password, error,
                             error_bytes) < 0)
        return -1;
    o->tls = strcmp(o->url.scheme, "kafkas") == 0;
    spoton_option(options, "user", o->user, sizeof o->user);
    spoton_option(options, "ca_file", o->ca_file, sizeof o->ca_file);
    if (!spoton_option(options, "mechanism", o->mechanism, sizeof o->mechanism))
        snprintf(o->mechanism, sizeof o->mechanism, "SCRAM-SHA-512");
    int n = snprintf(o->servers, sizeof o->servers, "%s:%d", o->url.host, o->url.port);
    if (spoton_option(options, "brokers", more, sizeof more)) /* further ones */
        snprintf(o->servers + n, sizeof o->servers - (size_t)n, ",%s", more);
    return 0;
}

static void kafka_close(struct spoton_output *o)
{
    disconnect(o);
    free(o->options);
    free(o);
}

static int kafka_connect(struct spoton_output **out, const struct spoton_output_setup *setup,
                         char *error, size_t error_bytes)
{
    struct spoton_output *o = calloc(1, sizeof *o);
    if (!o)
        return output_fail(error, error_bytes, "out of memory");
    o->setup = *setup;
    if (read_options(o, setup->options, error, error_bytes) < 0) {
        kafka_close(o);
        return -1;
    }
    *out = o;
    return 0;
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "kafka",
        .close = kafka_close,
        .connect = kafka_connect,
        .deliver = kafka_deliver,
        .poll = kafka_poll,
        .default_topic = "spoton.{kind}",
    };
    return &api;
}
