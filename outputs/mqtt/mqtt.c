/* MQTT 3.1.1 and 5, by libmosquitto: messages with QoS 1, a last will, TLS, user and password.
 * OUTPUTS=mqtt?url=mqtt://127.0.0.1:1883&topic=site/{camera}/{kind}
 *
 * The client has no thread of its own: deliver and poll do its input and output. After any failure
 * the client is destroyed and a new one made, so that libmosquitto repeats nothing itself; the
 * program does. */
#include "common.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    KEEPALIVE_S = 15,
    CONNECT_MS = 10000,
    ACKNOWLEDGE_MS = 10000, /* without progress */
    CLOSE_MS = 300,
    STEP_MS = 100,
    PAUSE_US = 1000,
    FEW = 128,    /* messages of a batch that does not catch up */
    CHUNK = 1024, /* messages in flight; below 65535, the number of ids */
    SECRET_BYTES = 512,
};

struct spoton_output {
    struct spoton_output_setup setup;
    struct output_url url;
    bool tls, version_5;
    char user[256], password[SECRET_BYTES];
    char ca_file[512], cert_file[512], key_file[512];
    struct mosquitto *client; /* NULL: not connected */
    bool accepted;            /* by CONNACK */
    int refused;              /* reason code of CONNACK; 0: none */
    char reason[192];         /* the last error that libmosquitto logged, or of a PUBACK */

    /* Of the messages in flight. */
    int count, pending;
    bool done[CHUNK];
    size_t rejected;
    uint16_t index[65536]; /* of a message id, + 1; 0: none */
};

/* ---- callbacks, during mosquitto_loop_* ---- */

static void on_connect(struct mosquitto *client, void *user, int code, int flags,
                       const mosquitto_property *properties)
{
    struct spoton_output *o = user;
    (void)client;
    (void)flags;
    (void)properties;
    o->accepted = code == 0;
    o->refused = code;
}

static void on_publish(struct mosquitto *client, void *user, int id, int code,
                       const mosquitto_property *properties)
{
    struct spoton_output *o = user;
    (void)client;
    (void)properties;
    int index = id > 0 && id < 65536 ? o->index[id] - 1 : -1;
    if (index < 0 || index >= o->count || o->done[index])
        return;
    o->index[id] = 0; /* also so that none is left when all are acknowledged */
    o->done[index] = true;
    o->pending--;
    if (code < 0x80)
        return;
    o->rejected++;
    snprintf(o->reason, sizeof o->reason, "%s",
             code == MQTT_RC_NOT_AUTHORIZED ? "topic denied by the broker"
                                            : mosquitto_reason_string(code));
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    struct spoton_output *o = user;
    (void)client;
    (void)properties;
    o->setup.received(o->setup.user, message->topic, message->payload, (size_t)message->payloadlen);
}

static void on_log(struct mosquitto *client, void *user, int level, const char *text)
{
    struct spoton_output *o = user;
    (void)client;
    if (level == MOSQ_LOG_ERR)
        snprintf(o->reason, sizeof o->reason, "%s", text);
}

/* ---- the connection ---- */

static void disconnect(struct spoton_output *o)
{
    if (o->client)
        mosquitto_destroy(o->client);
    memset(o->index, 0, sizeof o->index);
    o->client = NULL;
    o->accepted = false;
}

static int fail_connection(struct spoton_output *o, int code, char *error, size_t error_bytes)
{
    const char *why = code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code);
    disconnect(o);
    if (code == MOSQ_ERR_TLS)
        return output_fail(error, error_bytes, "%s:%d: TLS: %s; check the certificate and ca_file",
                           o->url.host, o->url.port, o->reason[0] ? o->reason : why);
    return output_fail(
        error, error_bytes, "%s:%d: %s; check the broker, and that the user may write %s",
        o->url.host, o->url.port, why, o->setup.status_topic ? o->setup.status_topic : "the topic");
}

/* One round of input and output; waits up to wait_ms for it. Returns a MOSQ_ERR_*. */
static int turn(struct spoton_output *o, int wait_ms)
{
    struct pollfd fd = {.fd = mosquitto_socket(o->client), .events = POLLIN};
    if (fd.fd < 0)
        return MOSQ_ERR_CONN_LOST;
    if (mosquitto_want_write(o->client))
        fd.events |= POLLOUT;
    int result = MOSQ_ERR_SUCCESS, on = 1;
    /* A broker that collects small packets (Nagle) waits for this side's TCP acknowledgement. */
    setsockopt(fd.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    if (poll(&fd, 1, wait_ms) > 0) {
        if (fd.revents & (POLLIN | POLLERR | POLLHUP))
            result = mosquitto_loop_read(o->client, CHUNK);
        if (result == MOSQ_ERR_SUCCESS && (fd.revents & POLLOUT))
            result = mosquitto_loop_write(o->client, CHUNK);
    }
    return result == MOSQ_ERR_SUCCESS ? mosquitto_loop_misc(o->client) : result;
}

static int make_client(struct spoton_output *o, char *error, size_t error_bytes)
{
    int result = MOSQ_ERR_SUCCESS;
    o->client = mosquitto_new(o->setup.client_id, true, o);
    if (!o->client)
        return output_fail(error, error_bytes, "out of memory");
    mosquitto_connect_v5_callback_set(o->client, on_connect);
    mosquitto_publish_v5_callback_set(o->client, on_publish);
    mosquitto_message_v5_callback_set(o->client, on_message);
    mosquitto_log_callback_set(o->client, on_log);
    mosquitto_int_option(o->client, MOSQ_OPT_PROTOCOL_VERSION,
                         o->version_5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    mosquitto_int_option(o->client, MOSQ_OPT_SEND_MAXIMUM, CHUNK);
    mosquitto_int_option(o->client, MOSQ_OPT_TCP_NODELAY, 1);
    if (o->user[0])
        result = mosquitto_username_pw_set(o->client, o->user, o->password);
    if (result == MOSQ_ERR_SUCCESS && o->setup.status_topic)
        result = mosquitto_will_set(o->client, o->setup.status_topic, 7, "offline", 1, true);
    if (result == MOSQ_ERR_SUCCESS && o->tls && !o->ca_file[0])
        result = mosquitto_int_option(o->client, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
    if (result == MOSQ_ERR_SUCCESS && o->tls && (o->ca_file[0] || o->cert_file[0]))
        result = mosquitto_tls_set(
            o->client, o->ca_file[0] ? o->ca_file : NULL, o->ca_file[0] ? NULL : "/etc/ssl/certs",
            o->cert_file[0] ? o->cert_file : NULL, o->key_file[0] ? o->key_file : NULL, NULL);
    return result == MOSQ_ERR_SUCCESS ? 0 : fail_connection(o, result, error, error_bytes);
}

static int fail_refused(struct spoton_output *o, char *error, size_t error_bytes)
{
    int code = o->refused;
    bool login = code == MQTT_RC_BAD_USERNAME_OR_PASSWORD || code == MQTT_RC_NOT_AUTHORIZED ||
                 code == 4 || code == 5;
    disconnect(o);
    if (login)
        return output_fail(error, error_bytes,
                           "%s:%d: user or password refused; check user, password_env or "
                           "password_file",
                           o->url.host, o->url.port);
    return output_fail(
        error, error_bytes, "%s:%d: connection refused by the broker: %s%s", o->url.host,
        o->url.port, mosquitto_reason_string(code),
        code == MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION || code == 1 ? "; try version=3.1.1" : "");
}

static int greet(struct spoton_output *o, char *error, size_t error_bytes)
{
    int result = MOSQ_ERR_SUCCESS;
    if (o->setup.status_topic)
        result = mosquitto_publish(o->client, NULL, o->setup.status_topic, 6, "online", 1, true);
    for (int i = 0;
         result == MOSQ_ERR_SUCCESS && o->setup.subscriptions && o->setup.subscriptions[i]; i++)
        result = mosquitto_subscribe(o->client, NULL, o->setup.subscriptions[i], 1);
    return result == MOSQ_ERR_SUCCESS ? 0 : fail_connection(o, result, error, error_bytes);
}

static int ensure_connected(struct spoton_output *o, char *error, size_t error_bytes)
{
    if (o->accepted)
        return 0;
    o->refused = 0;
    o->reason[0] = '\0';
    if (output_reach(&o->url, &o->setup, error, error_bytes) < 0 ||
        make_client(o, error, error_bytes) < 0)
        return -1;
    int result = mosquitto_connect(o->client, o->url.host, o->url.port, KEEPALIVE_S);
    int64_t until_ms = output_now_ms() + CONNECT_MS;
    while (result == MOSQ_ERR_SUCCESS && !o->accepted && !o->refused) {
        if (output_now_ms() > until_ms || output_is_stopping(&o->setup)) {
            disconnect(o);
            return output_fail(error, error_bytes,
                               "%s:%d: no answer to the MQTT connection; check the broker",
                               o->url.host, o->url.port);
        }
        result = turn(o, STEP_MS);
    }
    if (o->refused)
        return fail_refused(o, error, error_bytes);
    if (result != MOSQ_ERR_SUCCESS)
        return fail_connection(o, result, error, error_bytes);
    /* Otherwise libmosquitto formats a text for each packet. */
    mosquitto_log_callback_set(o->client, NULL);
    o->reason[0] = '\0';
    return greet(o, error, error_bytes);
}

/* ---- messages ---- */

/* While corked, TCP collects what libmosquitto writes message by message. */
static void cork(struct spoton_output *o, int on)
{
    int fd = mosquitto_socket(o->client);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

static mosquitto_property *make_properties(const struct spoton_output_message *message)
{
    mosquitto_property *properties = NULL;
    mosquitto_property_add_string(&properties, MQTT_PROP_CONTENT_TYPE, message->content_type);
    mosquitto_property_add_string_pair(&properties, MQTT_PROP_USER_PROPERTY, "id", message->id);
    return properties;
}

static int publish(struct spoton_output *o, const struct spoton_output_message *message, int index)
{
    int id = 0;
    mosquitto_property *properties = o->version_5 ? make_properties(message) : NULL;
    int result = mosquitto_publish_v5(o->client, &id, message->topic, (int)message->payload_bytes,
                                      message->payload, 1, message->retain != 0, properties);
    mosquitto_property_free_all(&properties);
    if (result == MOSQ_ERR_SUCCESS)
        o->index[id] = (uint16_t)(index + 1);
    return result;
}

/* What will never be accepted must not block what follows. */
static bool is_unsendable(int result)
{
    return result == MOSQ_ERR_PAYLOAD_SIZE || result == MOSQ_ERR_OVERSIZE_PACKET ||
           result == MOSQ_ERR_MALFORMED_UTF8 || result == MOSQ_ERR_INVAL;
}

static int publish_all(struct spoton_output *o, const struct spoton_output_message *messages)
{
    int result = MOSQ_ERR_SUCCESS;
    cork(o, 1);
    for (int i = 0; i < o->count && result == MOSQ_ERR_SUCCESS; i++) {
        result = publish(o, &messages[i], i);
        if (is_unsendable(result)) {
            o->done[i] = true;
            o->pending--;
            o->rejected++;
            snprintf(o->reason, sizeof o->reason, "message %.100s: %s", messages[i].id,
                     mosquitto_strerror(result));
            result = MOSQ_ERR_SUCCESS;
        }
    }
    cork(o, 0);
    return result;
}

static int wait_for_all(struct spoton_output *o, char *error, size_t error_bytes)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
    int last = o->pending;
    int64_t progress_ms = output_now_ms();
    while (o->pending > 0) {
        int result = turn(o, STEP_MS);
        if (result != MOSQ_ERR_SUCCESS)
            return fail_connection(o, result, error, error_bytes);
        int64_t now_ms = output_now_ms();
        if (o->pending != last)
            progress_ms = now_ms;
        if (o->pending > 0 && o->pending != last && o->count < FEW)
            nanosleep(&pause, NULL); /* so that several acknowledgements come at once */
        last = o->pending;
        if (now_ms - progress_ms > ACKNOWLEDGE_MS || output_is_stopping(&o->setup)) {
            disconnect(o);
            return output_fail(error, error_bytes,
                               "%s:%d: no acknowledgement of %d messages; check the broker",
                               o->url.host, o->url.port, o->pending);
        }
    }
    return 0;
}

static int mqtt_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                        size_t count, struct spoton_output_outcome *outcome, char *error,
                        size_t error_bytes)
{
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    o->count = o->pending = count < CHUNK ? (int)count : CHUNK;
    o->rejected = 0;
    memset(o->done, 0, (size_t)o->count * sizeof o->done[0]);
    int result = publish_all(o, messages);
    result = result == MOSQ_ERR_SUCCESS ? wait_for_all(o, error, error_bytes)
                                        : fail_connection(o, result, error, error_bytes);
    while (outcome->delivered < (size_t)o->count && o->done[outcome->delivered])
        outcome->delivered++;
    outcome->rejected = o->rejected < outcome->delivered ? o->rejected : outcome->delivered;
    o->count = 0;
    if (result == 0 && outcome->rejected > 0)
        snprintf(error, error_bytes, "%zu messages refused: %s", outcome->rejected, o->reason);
    return result;
}

static int mqtt_poll(struct spoton_output *o, int wait_ms, char *error, size_t error_bytes)
{
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    int result = turn(o, wait_ms);
    return result == MOSQ_ERR_SUCCESS ? 0 : fail_connection(o, result, error, error_bytes);
}

/* ---- opening and closing ---- */

static const char *const known[] = {"url",      "user",    "password",  "password_env",
                                    "version",  "ca_file", "cert_file", "password_file",
                                    "key_file", NULL};

static int read_options(struct spoton_output *o, const char *options, char *error,
                        size_t error_bytes)
{
    static const struct output_scheme schemes[] = {{"mqtt", 1883}, {"mqtts", 8883}, {0}};
    char version[16];
    if (!spoton_option_check(options, known, error, error_bytes) ||
        output_read_url(&o->url, options, schemes, error, error_bytes) < 0 ||
        spoton_option_secret(options, "password", o->password, sizeof o->password, error,
                             error_bytes) < 0)
        return -1;
    o->tls = strcmp(o->url.scheme, "mqtts") == 0;
    spoton_option(options, "user", o->user, sizeof o->user);
    spoton_option(options, "ca_file", o->ca_file, sizeof o->ca_file);
    spoton_option(options, "cert_file", o->cert_file, sizeof o->cert_file);
    spoton_option(options, "key_file", o->key_file, sizeof o->key_file);
    if (!spoton_option(options, "version", version, sizeof version))
        snprintf(version, sizeof version, "5");
    o->version_5 = strcmp(version, "5") == 0;
    if (!o->version_5 && strcmp(version, "3.1.1") != 0)
        return output_fail(error, error_bytes, "version=%s: must be 5 or 3.1.1", version);
    return 0;
}

static void mqtt_close(struct spoton_output *o)
{
    int64_t until_ms = output_now_ms() + CLOSE_MS;
    if (o->accepted) {
        if (o->setup.status_topic)
            mosquitto_publish(o->client, NULL, o->setup.status_topic, 7, "offline", 1, true);
        mosquitto_disconnect(o->client);
        while (output_now_ms() < until_ms && mosquitto_want_write(o->client) &&
               turn(o, STEP_MS) == MOSQ_ERR_SUCCESS)
            ;
    }
    disconnect(o);
    mosquitto_lib_cleanup();
    free(o);
}

static int mqtt_connect(struct spoton_output **out, const struct spoton_output_setup *setup,
                        char *error, size_t error_bytes)
{
    struct spoton_output *o = calloc(1, sizeof *o);
    if (!o)
        return output_fail(error, error_bytes, "out of memory");
    o->setup = *setup;
    if (read_options(o, setup->options, error, error_bytes) < 0) {
        free(o);
        return -1;
    }
    mosquitto_lib_init();
    *out = o;
    return 0;
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "mqtt",
        .close = mqtt_close,
        .connect = mqtt_connect,
        .deliver = mqtt_deliver,
        .poll = mqtt_poll,
        .default_topic = "spoton/{site}/{kind}/{camera}",
    };
    return &api;
}
