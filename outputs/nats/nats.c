/* NATS JetStream, by libnats: each message to a subject, with Nats-Msg-Id, so that the stream drops
 * what is repeated. OUTPUTS=nats?url=nats://127.0.0.1:4222&topic=spoton/{site}/{kind}/{camera}
 *
 * '/' of the topic becomes '.', '.' and blanks become '_'. With stream=NAME, the stream is made if
 * it does not exist. A batch is published first and complete once all of it is acknowledged: each
 * message names an inbox INBOX.BATCH.INDEX for its acknowledgement, and the output's thread reads
 * the inboxes, so libnats calls nothing here from threads of its own, and closing the connection
 * suffices. libnats does not reconnect; the program connects again. */
#include "common.h"

#include <jansson.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK = 512,
    ANSWER_MS = 10000,
    STEP_MS = 100,
    PAUSE_US = 5000,
    FEW = 128, /* messages of a batch that does not catch up */
    SUBJECT_BYTES = 512,
};

struct spoton_output {
    struct spoton_output_setup setup;
    struct output_url url;
    char user[128], password[512], token[512], credentials[512], ca_file[512], stream[128];
    bool tls;
    natsConnection *connection; /* NULL: not connected */
    jsCtx *context;
    natsInbox *inbox;
    natsSubscription *answers; /* of all inboxes INBOX.> */

    /* Of the messages in flight. */
    unsigned long batch;
    size_t count, pending;
    int state[CHUNK]; /* 0: in flight, 1: acknowledged, -1: refused */
    char reason[192];
};

static void disconnect(struct spoton_output *o)
{
    if (o->connection)
        natsConnection_Close(o->connection);
    natsSubscription_Destroy(o->answers);
    natsInbox_Destroy(o->inbox);
    jsCtx_Destroy(o->context);
    natsConnection_Destroy(o->connection);
    o->answers = NULL;
    o->inbox = NULL;
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

static natsStatus listen(struct spoton_output *o)
{
    char subject[SUBJECT_BYTES];
    natsStatus s = natsInbox_Create(&o->inbox);
    if (s != NATS_OK)
        return s;
    snprintf(subject, sizeof subject, "%s.>", o->inbox);
    return natsConnection_SubscribeSync(&o->answers, o->connection, subject);
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
    s = natsConnection_JetStream(&o->context, o->connection, &js);
    if (s == NATS_OK)
        s = listen(o);
    if (s != NATS_OK)
        return fail_status(o, s, "JetStream", error, error_bytes);
    return make_stream(o, error, error_bytes);
}

static natsStatus publish(struct spoton_output *o, const struct spoton_output_message *m,
                          size_t index)
{
    char levels[SUBJECT_BYTES], subject[SUBJECT_BYTES], answer[SUBJECT_BYTES];
    natsMsg *message = NULL;
    output_translate(m->topic, ". \t*>", '_', levels, sizeof levels);
    output_translate(levels, "/", '.', subject, sizeof subject);
    snprintf(answer, sizeof answer, "%s.%lu.%zu", o->inbox, o->batch, index);
    natsStatus s =
        natsMsg_Create(&message, subject, answer, (const char *)m->payload, (int)m->payload_bytes);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(message, "Content-Type", m->content_type);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(message, "Nats-Msg-Id", m->id);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(o->connection, message);
    natsMsg_Destroy(message);
    return s;
}

/* CHUNK: of an earlier batch. */
static size_t index_of(const struct spoton_output *o, natsMsg *answer)
{
    unsigned long batch = 0;
    size_t index = CHUNK, prefix = strlen(o->inbox);
    const char *subject = natsMsg_GetSubject(answer);
    if (strlen(subject) <= prefix || sscanf(subject + prefix, ".%lu.%zu", &batch, &index) != 2 ||
        batch != o->batch || index >= o->count)
        return CHUNK;
    return index;
}

/* {"stream": "spoton", "seq": 812}, or {"error": {"code": 503, "description": "..."}}. */
static bool is_acknowledgement(struct spoton_output *o, natsMsg *answer)
{
    const char *text = natsMsg_GetData(answer);
    if (natsMsg_IsNoResponders(answer)) {
        snprintf(o->reason, sizeof o->reason, "no stream has the subject");
        return false;
    }
    json_t *root = text ? json_loadb(text, (size_t)natsMsg_GetDataLength(answer), 0, NULL) : NULL;
    const json_t *failure = json_object_get(root, "error");
    bool accepted = !failure && json_is_integer(json_object_get(root, "seq"));
    if (!accepted) {
        const char *why = json_string_value(json_object_get(failure, "description"));
        snprintf(o->reason, sizeof o->reason, "%s", why ? why : "not an acknowledgement");
    }
    json_decref(root);
    return accepted;
}

static void read_answer(struct spoton_output *o, natsMsg *answer)
{
    size_t index = index_of(o, answer);
    if (index == CHUNK || o->state[index] != 0)
        return;
    o->state[index] = is_acknowledgement(o, answer) ? 1 : -1;
    o->pending--;
}

/* False: no answer to some. */
static bool wait_for_answers(struct spoton_output *o)
{
    int64_t progress_ms = output_now_ms();
    while (o->pending > 0) {
        natsMsg *answer = NULL;
        natsStatus s = natsSubscription_NextMsg(&answer, o->answers, STEP_MS);
        if (s == NATS_OK) {
            read_answer(o, answer);
            natsMsg_Destroy(answer);
            progress_ms = output_now_ms();
        } else if (s == NATS_NO_RESPONDERS) {
            snprintf(o->reason, sizeof o->reason, "no stream has the subject");
            return false;
        } else if (s != NATS_TIMEOUT || output_now_ms() - progress_ms > ANSWER_MS ||
                   output_is_stopping(&o->setup)) {
            return false;
        }
    }
    return true;
}

static int nats_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                        size_t count, struct spoton_output_outcome *outcome, char *error,
                        size_t error_bytes)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    o->batch++;
    o->count = count < CHUNK ? count : CHUNK;
    memset(o->state, 0, sizeof o->state);
    o->reason[0] = '\0';
    natsStatus s = NATS_OK;
    size_t sent = 0;
    while (s == NATS_OK && sent < o->count) {
        s = publish(o, &messages[sent], sent);
        sent += s == NATS_OK;
    }
    o->pending = sent;
    if (sent < FEW)
        nanosleep(&pause, NULL); /* so that several acknowledgements come at once */
    bool answered = wait_for_answers(o);
    while (outcome->delivered < sent && o->state[outcome->delivered] == 1)
        outcome->delivered++;
    if (outcome->delivered == o->count)
        return 0;
    if (s != NATS_OK)
        return fail_status(o, s, "publish", error, error_bytes);
    output_fail(error, error_bytes, "%s:%d: %s; check the server and that a stream has the subject",
                o->url.host, o->url.port,
                o->reason[0] ? o->reason
                : answered   ? "refused"
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
    *out = o;
    return 0;
}

static void nats_close_output(struct spoton_output *o)
{
    disconnect(o);
    nats_ReleaseThreadMemory();
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
