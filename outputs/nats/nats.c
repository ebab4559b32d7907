/* NATS JetStream, by libnats: each message to a subject, with Nats-Msg-Id, so that the stream drops
 * what is repeated. OUTPUTS=nats?url=nats://127.0.0.1:4222&topic=spoton/{site}/{kind}/{camera}
 *
 * '/' of the topic becomes '.', '.' and blanks become '_'. With stream=NAME, the stream is made if
 * it does not exist. A batch is published asynchronously and complete once all of it is
 * acknowledged. libnats does not reconnect; the program connects again. */
#include "common.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, ANSWER_MS = 10000, STEP_MS = 100, SUBJECT_BYTES = 512 };

struct spoton_output {
    struct spoton_output_setup setup;
    struct output_url url;
    char user[128], password[512], token[512], credentials[512], ca_file[512], stream[128];
    bool tls;
    natsConnection *connection; /* NULL: not connected */
    jsCtx *context;

    pthread_mutex_t mutex; /* guards the next members: acknowledgements come on libnats' threads */
    pthread_cond_t answered;
    const struct spoton_output_message *messages; /* [count], in flight */
    size_t count, pending, next;
    int state[CHUNK]; /* 0: in flight, 1: acknowledged, -1: failed */
    char reason[192];
};

/* Answers mostly come in order. CHUNK: not in flight. With the mutex. */
static size_t find(const struct spoton_output *o, const char *id)
{
    for (size_t i = 0; id && i < o->count; i++) {
        size_t at = (o->next + i) % o->count;
        if (strcmp(o->messages[at].id, id) == 0)
            return at;
    }
    return CHUNK;
}

static void on_answer(jsCtx *context, natsMsg *message, jsPubAck *ack, jsPubAckErr *failure,
                      void *user)
{
    struct spoton_output *o = user;
    const char *text = NULL;
    (void)context;
    natsMsgHeader_Get(message, "Nats-Msg-Id", &text);
    pthread_mutex_lock(&o->mutex);
    size_t index = find(o, text);
    if (index < o->count && o->state[index] == 0) {
        o->state[index] = ack ? 1 : -1;
        o->next = index + 1;
        o->pending--;
        if (!ack && failure)
            snprintf(o->reason, sizeof o->reason, "%s",
                     failure->ErrText ? failure->ErrText : natsStatus_GetText(failure->Err));
        pthread_cond_signal(&o->answered);
    }
    pthread_mutex_unlock(&o->mutex);
    natsMsg_Destroy(message);
}

static void disconnect(struct spoton_output *o)
{
    jsCtx_Destroy(o->context);
    if (o->connection)
        natsConnection_Close(o->connection);
    natsConnection_Destroy(o->connection);
    o->context = NULL;
    o->connection = NULL;
}

static int fail_status(struct spoton_output *o, natsStatus status, const char *what, char *error,
                       size_t error_bytes)
{
    bool login = status == NATS_CONNECTION_AUTH_FAILED || status == NATS_NOT_PERMITTED;
    bool tls = status == NATS_SSL_ERROR;
    output_fail(error, error_bytes, "%s:%d: %s%s: %s; check the %s", o->url.host, o->url.port,
                tls ? "TLS: " : "", what, natsStatus_GetText(status),
                login ? "user, password_env, password_file or token"
                : tls ? "certificate and ca_file"
                      : "server");
    disconnect(o);
    return -1;
}

static natsStatus fill_options(struct spoton_output *o, natsOptions *options)
{
    char url[384];
    bool address = strchr(o->url.host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%d", o->tls ? "tls" : "nats", address ? "[" : "",
             o->url.host, address ? "]" : "", o->url.port);
    natsStatus s = natsOptions_SetURL(options, url);
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(options, false);
    if (s == NATS_OK)
        s = natsOptions_SetTimeout(options, 5000);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(options, 5000);
    if (s == NATS_OK)
        s = natsOptions_SetName(options, o->setup.client_id);
    if (s == NATS_OK && o->user[0])
        s = natsOptions_SetUserInfo(options, o->user, o->password);
    if (s == NATS_OK && o->token[0])
        s = natsOptions_SetToken(options, o->token);
    if (s == NATS_OK && o->credentials[0])
        s = natsOptions_SetUserCredentialsFromFiles(options, o->credentials, NULL);
    if (s == NATS_OK && o->tls)
        s = natsOptions_SetSecure(options, true);
    if (s == NATS_OK && o->tls && o->ca_file[0])
        s = natsOptions_LoadCATrustedCertificates(options, o->ca_file);
    if (s == NATS_OK && o->tls)
        s = natsOptions_SetExpectedHostname(options, o->url.host);
    return s;
}

/* The first level of the topics is that of the stream's subjects. */
static int make_stream(struct spoton_output *o, char *error, size_t error_bytes)
{
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    if (!o->stream[0])
        return 0;
    natsStatus s = js_GetStreamInfo(&info, o->context, o->stream, NULL, &code);
    jsStreamInfo_Destroy(info);
    info = NULL;
    if (s == NATS_NOT_FOUND) {
        jsStreamConfig config;
        char subject[160];
        const char *subjects[] = {subject};
        jsStreamConfig_Init(&config);
        snprintf(subject, sizeof subject, "%s.>", o->stream);
        config.Name = o->stream;
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        s = js_AddStream(&info, o->context, &config, NULL, &code);
        jsStreamInfo_Destroy(info);
    }
    return s == NATS_OK ? 0 : fail_status(o, s, "stream", error, error_bytes);
}

static int ensure_connected(struct spoton_output *o, char *error, size_t error_bytes)
{
    natsOptions *options = NULL;
    if (o->connection && natsConnection_Status(o->connection) == NATS_CONN_STATUS_CONNECTED)
        return 0;
    disconnect(o);
    if (output_reach(&o->url, &o->setup, error, error_bytes) < 0)
        return -1;
    natsStatus s = natsOptions_Create(&options);
    if (s == NATS_OK)
        s = fill_options(o, options);
    if (s == NATS_OK)
        s = natsConnection_Connect(&o->connection, options);
    natsOptions_Destroy(options);
    if (s != NATS_OK)
        return fail_status(o, s, "connection", error, error_bytes);
    jsOptions js;
    jsOptions_Init(&js);
    js.Wait = 5000;
    js.PublishAsync.AckHandler = on_answer;
    js.PublishAsync.AckHandlerClosure = o;
    s = natsConnection_JetStream(&o->context, o->connection, &js);
    if (s != NATS_OK)
        return fail_status(o, s, "JetStream", error, error_bytes);
    return make_stream(o, error, error_bytes);
}

static natsStatus publish(struct spoton_output *o, const struct spoton_output_message *m)
{
    char levels[SUBJECT_BYTES], subject[SUBJECT_BYTES];
    natsMsg *message = NULL;
    output_translate(m->topic, ". \t*>", '_', levels, sizeof levels);
    output_translate(levels, "/", '.', subject, sizeof subject);
    natsStatus s =
        natsMsg_Create(&message, subject, NULL, (const char *)m->payload, (int)m->payload_bytes);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(message, "Content-Type", m->content_type);
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MsgId = m->id;
    if (s == NATS_OK)
        s = js_PublishMsgAsync(o->context, &message, &options);
    natsMsg_Destroy(message); /* NULL once libnats has it */
    return s;
}

/* False: no answer. */
static bool wait_for_answers(struct spoton_output *o)
{
    int64_t progress_ms = output_now_ms();
    size_t last = CHUNK + 1;
    pthread_mutex_lock(&o->mutex);
    while (o->pending > 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&o->answered, &o->mutex, &until);
        if (o->pending != last)
            progress_ms = output_now_ms();
        last = o->pending;
        if (output_now_ms() - progress_ms > ANSWER_MS || output_is_stopping(&o->setup) ||
            natsConnection_Status(o->connection) != NATS_CONN_STATUS_CONNECTED)
            break;
    }
    bool all = o->pending == 0;
    pthread_mutex_unlock(&o->mutex);
    return all;
}

static int nats_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                        size_t count, struct spoton_output_outcome *outcome, char *error,
                        size_t error_bytes)
{
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    pthread_mutex_lock(&o->mutex);
    o->messages = messages;
    o->count = o->pending = count < CHUNK ? count : CHUNK;
    o->next = 0;
    memset(o->state, 0, sizeof o->state);
    o->reason[0] = '\0';
    pthread_mutex_unlock(&o->mutex);
    natsStatus s = NATS_OK;
    size_t sent = 0;
    while (s == NATS_OK && sent < o->count) {
        s = publish(o, &messages[sent]);
        sent += s == NATS_OK;
    }
    pthread_mutex_lock(&o->mutex);
    o->pending -= o->count - sent;
    pthread_mutex_unlock(&o->mutex);
    bool answered = wait_for_answers(o);
    pthread_mutex_lock(&o->mutex);
    while (outcome->delivered < sent && o->state[outcome->delivered] == 1)
        outcome->delivered++;
    bool complete = outcome->delivered == o->count;
    char reason[sizeof o->reason];
    memcpy(reason, o->reason, sizeof reason);
    o->count = 0; /* late answers have no effect */
    pthread_mutex_unlock(&o->mutex);
    if (complete)
        return 0;
    if (s != NATS_OK)
        return fail_status(o, s, "publish", error, error_bytes);
    output_fail(error, error_bytes, "%s:%d: %s; check the server and that a stream has the subject",
                o->url.host, o->url.port,
                reason[0]  ? reason
                : answered ? "refused"
                           : "no acknowledgement");
    disconnect(o);
    return -1;
}

static int nats_poll(struct spoton_output *o, int wait_ms, char *error, size_t error_bytes)
{
    (void)wait_ms;
    return ensure_connected(o, error, error_bytes);
}

static int read_options(struct spoton_output *o, const char *options, char *error,
                        size_t error_bytes)
{
    static const struct output_scheme schemes[] = {{"nats", 4222}, {"tls", 4222}, {0}};
    static const char *const known[] = {
        "url",           "user",      "password",   "password_env",
        "password_file", "token_env", "token_file", "credentials_file",
        "ca_file",       "stream",    "token",      NULL};
    if (!spoton_option_check(options, known, error, error_bytes) ||
        output_read_url(&o->url, options, schemes, error, error_bytes) < 0 ||
        spoton_option_secret(options, "password", o->password, sizeof o->password, error,
                             error_bytes) < 0 ||
        spoton_option_secret(options, "token", o->token, sizeof o->token, error, error_bytes) < 0)
        return -1;
    o->tls = strcmp(o->url.scheme, "tls") == 0;
    spoton_option(options, "user", o->user, sizeof o->user);
    spoton_option(options, "credentials_file", o->credentials, sizeof o->credentials);
    spoton_option(options, "ca_file", o->ca_file, sizeof o->ca_file);
    spoton_option(options, "stream", o->stream, sizeof o->stream);
    return 0;
}

static int nats_connect(struct spoton_output **out, const struct spoton_output_setup *setup,
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
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->answered, &clock);
    pthread_condattr_destroy(&clock);
    *out = o;
    return 0;
}

/* Answers come until the connection is closed and its threads have ended. */
static void nats_close_output(struct spoton_output *o)
{
    disconnect(o);
    nats_CloseAndWait(1000);
    pthread_cond_destroy(&o->answered);
    pthread_mutex_destroy(&o->mutex);
    free(o);
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "nats",
        .close = nats_close_output,
        .connect = nats_connect,
        .deliver = nats_deliver,
        .poll = nats_poll,
        .default_topic = "spoton/{site}/{kind}/{camera}",
    };
    return &api;
}
