/* Redis Streams, by hiredis: XADD of each message, in transactions.
 * OUTPUTS=redis?url=redis://127.0.0.1:6379&topic=spoton:{kind}
 *
 * A batch is one MULTI ... EXEC: either all of its messages are in their streams or none, so that
 * messages of a camera stay in order whatever fails. The fields of an entry are id, camera, topic
 * and payload. */
#include "common.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, ANSWER_MS = 10000, STEP_MS = 100, CONNECT_S = 5 };

struct spoton_output {
    struct spoton_output_setup setup;
    struct output_url url;
    char user[128], password[512], limit[24];
    redisContext *context; /* NULL: not connected */
};

static void disconnect(struct spoton_output *o)
{
    if (o->context)
        redisFree(o->context);
    o->context = NULL;
}

static int fail_connection(struct spoton_output *o, char *error, size_t error_bytes)
{
    const char *why = o->context && o->context->errstr[0] ? o->context->errstr : "connection lost";
    output_fail(error, error_bytes, "%s:%d: %s; check the server", o->url.host, o->url.port, why);
    disconnect(o);
    return -1;
}

/* The next reply; waits with regard to stopping(). NULL: `error` says why. */
static redisReply *read_reply(struct spoton_output *o, char *error, size_t error_bytes)
{
    void *reply = NULL;
    int done = 0;
    int64_t until_ms = output_now_ms() + ANSWER_MS;
    for (;;) {
        if (redisGetReplyFromReader(o->context, &reply) != REDIS_OK)
            break;
        if (reply)
            return reply;
        if (redisBufferWrite(o->context, &done) != REDIS_OK)
            break;
        struct pollfd fd = {.fd = o->context->fd, .events = (short)(POLLIN | (done ? 0 : POLLOUT))};
        int ready = poll(&fd, 1, STEP_MS);
        if (ready == 0 && (output_now_ms() > until_ms || output_is_stopping(&o->setup))) {
            output_fail(error, error_bytes, "%s:%d: no answer; check the server", o->url.host,
                        o->url.port);
            disconnect(o);
            return NULL;
        }
        if (ready > 0 && (fd.revents & (POLLIN | POLLERR | POLLHUP)) &&
            redisBufferRead(o->context) != REDIS_OK)
            break;
    }
    fail_connection(o, error, error_bytes);
    return NULL;
}

/* Frees the reply. */
static int check_reply(struct spoton_output *o, redisReply *reply, const char *what, char *error,
                       size_t error_bytes)
{
    if (!reply)
        return -1;
    bool failed = reply->type == REDIS_REPLY_ERROR;
    if (failed) {
        bool login = strncmp(reply->str, "NOAUTH", 6) == 0 ||
                     strncmp(reply->str, "WRONGPASS", 9) == 0 || strstr(reply->str, "AUTH");
        bool denied = strncmp(reply->str, "NOPERM", 6) == 0;
        output_fail(error, error_bytes, "%s:%d: %s: %s%.150s", o->url.host, o->url.port, what,
                    login    ? "user or password refused: "
                    : denied ? "stream denied: "
                             : "",
                    reply->str);
    }
    freeReplyObject(reply);
    return failed ? -1 : 0;
}

static int log_in(struct spoton_output *o, char *error, size_t error_bytes)
{
    if (!o->password[0])
        return 0;
    int result = o->user[0] ? redisAppendCommand(o->context, "AUTH %s %s", o->user, o->password)
                            : redisAppendCommand(o->context, "AUTH %s", o->password);
    if (result != REDIS_OK)
        return fail_connection(o, error, error_bytes);
    result = check_reply(o, read_reply(o, error, error_bytes), "login", error, error_bytes);
    if (result < 0)
        disconnect(o);
    return result;
}

static int ensure_connected(struct spoton_output *o, char *error, size_t error_bytes)
{
    if (o->context)
        return 0;
    if (output_reach(&o->url, &o->setup, error, error_bytes) < 0)
        return -1;
    const struct timeval limit = {.tv_sec = CONNECT_S};
    o->context = redisConnectWithTimeout(o->url.host, o->url.port, limit);
    if (!o->context || o->context->err)
        return fail_connection(o, error, error_bytes);
    o->context->flags &= ~REDIS_BLOCK;
    return log_in(o, error, error_bytes);
}

static int append(struct spoton_output *o, const struct spoton_output_message *m)
{
    const char *words[16] = {"XADD", m->topic};
    size_t sizes[16], count = 2;
    if (o->limit[0]) {
        words[count++] = "MAXLEN";
        words[count++] = "~";
        words[count++] = o->limit;
    }
    const char *const rest[] = {"*", "id", m->id, "camera", m->camera, "kind", m->kind, "payload"};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        words[count++] = rest[i];
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(words[i]);
    words[count] = m->payload;
    sizes[count++] = m->payload_bytes;
    return redisAppendCommandArgv(o->context, (int)count, words, sizes);
}

static int redis_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                         size_t count, struct spoton_output_outcome *outcome, char *error,
                         size_t error_bytes)
{
    char text[256];
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    size_t chunk = count < CHUNK ? count : CHUNK;
    int result = redisAppendCommand(o->context, "MULTI");
    for (size_t i = 0; result == REDIS_OK && i < chunk; i++)
        result = append(o, &messages[i]);
    if (result == REDIS_OK)
        result = redisAppendCommand(o->context, "EXEC");
    if (result != REDIS_OK)
        return fail_connection(o, error, error_bytes);
    /* The reply of the command that was refused says why; EXEC only that one was. */
    error[0] = '\0';
    for (size_t i = 0; i < chunk + 1 && o->context; i++)
        if (check_reply(o, read_reply(o, text, sizeof text), "XADD", text, sizeof text) < 0 &&
            !error[0])
            snprintf(error, error_bytes, "%s", text);
    if (!o->context)
        return -1;
    redisReply *reply = read_reply(o, text, sizeof text);
    if (!reply) {
        snprintf(error, error_bytes, "%s", text);
        return -1;
    }
    bool written = reply->type == REDIS_REPLY_ARRAY && reply->elements == chunk;
    for (size_t i = 0; written && i < chunk; i++) {
        written = reply->element[i]->type != REDIS_REPLY_ERROR;
        if (!written)
            output_fail(error, error_bytes, "%s:%d: XADD: %.150s", o->url.host, o->url.port,
                        reply->element[i]->str);
        else
            outcome->delivered = i + 1;
    }
    if (!written && !error[0])
        output_fail(error, error_bytes, "%s:%d: EXEC: %.150s", o->url.host, o->url.port,
                    reply->type == REDIS_REPLY_ERROR ? reply->str : "not executed");
    freeReplyObject(reply);
    return written ? 0 : -1;
}

static int redis_poll(struct spoton_output *o, int wait_ms, char *error, size_t error_bytes)
{
    (void)wait_ms;
    if (ensure_connected(o, error, error_bytes) < 0)
        return -1;
    /* A closed connection is readable. */
    struct pollfd fd = {.fd = o->context->fd, .events = POLLIN};
    if (poll(&fd, 1, 0) > 0)
        return fail_connection(o, error, error_bytes);
    return 0;
}

static int read_options(struct spoton_output *o, const char *options, char *error,
                        size_t error_bytes)
{
    static const struct output_scheme schemes[] = {{"redis", 6379}, {0}};
    static const char *const known[] = {"url",           "user",   "password", "password_env",
                                        "password_file", "maxlen", NULL};
    if (!spoton_option_check(options, known, error, error_bytes) ||
        output_read_url(&o->url, options, schemes, error, error_bytes) < 0 ||
        spoton_option_secret(options, "password", o->password, sizeof o->password, error,
                             error_bytes) < 0)
        return -1;
    spoton_option(options, "user", o->user, sizeof o->user);
    spoton_option(options, "maxlen", o->limit, sizeof o->limit);
    if (strspn(o->limit, "0123456789") != strlen(o->limit))
        return output_fail(error, error_bytes, "maxlen=%s: not a number of entries", o->limit);
    return 0;
}

static int redis_connect(struct spoton_output **out, const struct spoton_output_setup *setup,
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

static void redis_close(struct spoton_output *o)
{
    disconnect(o);
    free(o);
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "redis",
        .close = redis_close,
        .connect = redis_connect,
        .deliver = redis_deliver,
        .poll = redis_poll,
        .default_topic = "spoton:{kind}",
    };
    return &api;
}
