/* Webhook, by libcurl: each message is the body of a POST, with the attributes of CloudEvents 1.0
 * as headers (binary content mode).
 * OUTPUTS=webhook?url=https://example.org/hook&secret_env=HOOK_SECRET
 *
 * batch=N sends up to N messages as one JSON array. With a secret, X-Spoton-Signature is
 * "sha256=" and the HMAC-SHA-256, in hexadecimal, of X-Spoton-Timestamp, a '.' and the body.
 *
 * Replies of 2xx are success. 408, 425, 429, 5xx and failed connections are repeated by the
 * program; others are final: the messages go to the file dead_letter, a JSON object per line, and
 * count as rejected. */
#include "common.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_MOST = 512, ANSWER_S = 15, REPLY_BYTES = 160 };

struct spoton_output {
    struct spoton_output_setup setup;
    char url[1024], secret[512], token[1024], ca_file[512], dead_letter[512];
    size_t batch;
    CURL *curl;
    char *body; /* of a batch */
    size_t body_bytes, body_capacity;
    char reply[REPLY_BYTES]; /* the beginning of the last one */
    size_t reply_bytes;
    char failure[CURL_ERROR_SIZE];
};

static size_t on_reply(char *data, size_t size, size_t count, void *user)
{
    struct spoton_output *o = user;
    size_t bytes = size * count, room = sizeof o->reply - 1 - o->reply_bytes;
    size_t kept = bytes < room ? bytes : room;
    memcpy(o->reply + o->reply_bytes, data, kept);
    o->reply_bytes += kept;
    o->reply[o->reply_bytes] = '\0';
    return bytes;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct spoton_output *o = user;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return output_is_stopping(&o->setup);
}

/* ---- the request ---- */

static bool append(struct spoton_output *o, const void *data, size_t bytes)
{
    if (o->body_bytes + bytes > o->body_capacity) {
        size_t more = (o->body_bytes + bytes) * 2;
        char *grown = realloc(o->body, more);
        if (!grown)
            return false;
        o->body = grown;
        o->body_capacity = more;
    }
    memcpy(o->body + o->body_bytes, data, bytes);
    o->body_bytes += bytes;
    return true;
}

static bool make_array(struct spoton_output *o, const struct spoton_output_message *messages,
                       size_t count)
{
    o->body_bytes = 0;
    bool good = append(o, "[", 1);
    for (size_t i = 0; i < count && good; i++)
        good = (i == 0 || append(o, ",", 1)) &&
               append(o, messages[i].payload, messages[i].payload_bytes);
    return good && append(o, "]", 1);
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char text[1280];
    snprintf(text, sizeof text, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool sign(struct spoton_output *o, struct curl_slist **headers, const void *body,
                 size_t bytes)
{
    char stamp[32], text[8 + 2 * EVP_MAX_MD_SIZE] = "sha256=";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    int n = snprintf(stamp, sizeof stamp, "%lld.", (long long)time(NULL));
    unsigned char *signed_text = malloc((size_t)n + bytes);
    if (!signed_text)
        return false;
    memcpy(signed_text, stamp, (size_t)n);
    memcpy(signed_text + n, body, bytes);
    HMAC(EVP_sha256(), o->secret, (int)strlen(o->secret), signed_text, (size_t)n + bytes, digest,
         &length);
    free(signed_text);
    for (unsigned i = 0; i < length; i++)
        sprintf(text + 7 + 2 * (size_t)i, "%02x", digest[i]);
    stamp[n - 1] = '\0';
    return add_header(headers, "X-Spoton-Timestamp", stamp) &&
           add_header(headers, "X-Spoton-Signature", text);
}

static bool add_event_headers(struct curl_slist **headers, const struct spoton_output_message *m)
{
    char stamp[64];
    struct tm utc;
    time_t seconds = (time_t)(m->wall_us / 1000000);
    gmtime_r(&seconds, &utc);
    size_t used = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + used, sizeof stamp - used, ".%03dZ", (int)(m->wall_us / 1000 % 1000));
    return add_header(headers, "Content-Type", m->content_type) &&
           add_header(headers, "ce-specversion", "1.0") && add_header(headers, "ce-id", m->id) &&
           add_header(headers, "ce-source", m->source) && add_header(headers, "ce-type", m->type) &&
           add_header(headers, "ce-time", stamp) && add_header(headers, "X-Spoton-Topic", m->topic);
}

static struct curl_slist *make_headers(struct spoton_output *o,
                                       const struct spoton_output_message *m, size_t count,
                                       const void *body, size_t bytes)
{
    struct curl_slist *headers = NULL;
    char bearer[sizeof o->token + 16];
    bool structured = strcmp(m->content_type, "application/cloudevents+json") == 0;
    bool good = add_header(&headers, "Expect", "");
    if (count > 1)
        good = good &&
               add_header(&headers, "Content-Type",
                          structured ? "application/cloudevents-batch+json" : "application/json");
    else if (structured)
        good = good && add_header(&headers, "Content-Type", m->content_type);
    else
        good = good && add_event_headers(&headers, m);
    if (o->token[0]) {
        snprintf(bearer, sizeof bearer, "Bearer %s", o->token);
        good = good && add_header(&headers, "Authorization", bearer);
    }
    if (o->secret[0])
        good = good && sign(o, &headers, body, bytes);
    if (good)
        return headers;
    curl_slist_free_all(headers);
    return NULL;
}

/* The HTTP status; 0: `error` says why there is none. */
static long post(struct spoton_output *o, const struct spoton_output_message *messages,
                 size_t count, char *error, size_t error_bytes)
{
    long status = 0;
    const void *body = messages->payload;
    size_t bytes = messages->payload_bytes;
    if (count > 1) {
        if (!make_array(o, messages, count)) {
            output_fail(error, error_bytes, "out of memory");
            return 0;
        }
        body = o->body;
        bytes = o->body_bytes;
    }
    struct curl_slist *headers = make_headers(o, messages, count, body, bytes);
    if (!headers) {
        output_fail(error, error_bytes, "out of memory");
        return 0;
    }
    o->reply_bytes = 0;
    o->reply[0] = o->failure[0] = '\0';
    curl_easy_setopt(o->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(o->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(o->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    CURLcode result = curl_easy_perform(o->curl);
    curl_easy_setopt(o->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (result == CURLE_OK) {
        curl_easy_getinfo(o->curl, CURLINFO_RESPONSE_CODE, &status);
        return status;
    }
    const char *what = result == CURLE_COULDNT_RESOLVE_HOST ? "DNS: "
                       : result == CURLE_PEER_FAILED_VERIFICATION ||
                               result == CURLE_SSL_CONNECT_ERROR ||
                               result == CURLE_SSL_CACERT_BADFILE
                           ? "TLS: "
                           : "";
    output_fail(error, error_bytes, "%s%s; check the url and the server", what,
                o->failure[0] ? o->failure : curl_easy_strerror(result));
    return 0;
}

/* ---- what is refused ---- */

static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
    }
    fputc('"', file);
}

/* False: the file cannot be written; the messages must not get lost. */
static bool bury(struct spoton_output *o, const struct spoton_output_message *messages,
                 size_t count, long status, char *error, size_t error_bytes)
{
    if (!o->dead_letter[0])
        return true;
    FILE *file = fopen(o->dead_letter, "ae");
    for (size_t i = 0; file && i < count; i++) {
        const struct spoton_output_message *m = &messages[i];
        fprintf(file, "{\"id\": ");
        write_text(file, m->id);
        fprintf(file, ", \"topic\": ");
        write_text(file, m->topic);
        fprintf(file, ", \"status\": %ld, \"payload\": ", status);
        bool json = strstr(m->content_type, "json") != NULL;
        if (json)
            fwrite(m->payload, 1, m->payload_bytes, file);
        fprintf(file, "%s}\n", json ? "" : "null");
    }
    bool good = file && fflush(file) == 0 && fsync(fileno(file)) == 0;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        output_fail(error, error_bytes, "dead_letter: %s: %s", o->dead_letter, strerror(errno));
    return good;
}

static bool is_temporary(long status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static int webhook_deliver(struct spoton_output *o, const struct spoton_output_message *messages,
                           size_t count, struct spoton_output_outcome *outcome, char *error,
                           size_t error_bytes)
{
    int64_t until_ms = output_now_ms() + ANSWER_S * 1000;
    while (outcome->delivered < count) {
        size_t left = count - outcome->delivered, some = left < o->batch ? left : o->batch;
        const struct spoton_output_message *first = &messages[outcome->delivered];
        long status = post(o, first, some, error, error_bytes);
        if (status == 0)
            return -1;
        bool refused = status < 200 || status >= 300;
        if (refused)
            output_fail(error, error_bytes, "HTTP status %ld: %s", status, o->reply);
        if (refused && (is_temporary(status) || !bury(o, first, some, status, error, error_bytes)))
            return -1;
        outcome->delivered += some;
        outcome->rejected += refused ? some : 0;
        if (output_now_ms() > until_ms || output_is_stopping(&o->setup))
            break; /* the program calls again for the rest */
    }
    return 0;
}

/* There is no connection between two messages. */
static int webhook_poll(struct spoton_output *o, int wait_ms, char *error, size_t error_bytes)
{
    (void)o;
    (void)wait_ms;
    (void)error;
    (void)error_bytes;
    return 0;
}

/* ---- opening and closing ---- */

static int read_options(struct spoton_output *o, const char *options, char *error,
                        size_t error_bytes)
{
    static const char *const known[] = {"url",         "secret",    "secret_env", "secret_file",
                                        "token",       "token_env", "token_file", "ca_file",
                                        "dead_letter", "batch",     NULL};
    static const struct output_scheme schemes[] = {{"https", 443}, {"http", 80}, {0}};
    struct output_url url;
    char batch[16];
    if (!spoton_option_check(options, known, error, error_bytes) ||
        output_read_url(&url, options, schemes, error, error_bytes) < 0 ||
        spoton_option_secret(options, "secret", o->secret, sizeof o->secret, error, error_bytes) <
            0 ||
        spoton_option_secret(options, "token", o->token, sizeof o->token, error, error_bytes) < 0)
        return -1;
    spoton_option(options, "url", o->url, sizeof o->url);
    spoton_option(options, "ca_file", o->ca_file, sizeof o->ca_file);
    spoton_option(options, "dead_letter", o->dead_letter, sizeof o->dead_letter);
    o->batch = 1;
    if (spoton_option(options, "batch", batch, sizeof batch))
        o->batch = strtoul(batch, NULL, 10);
    if (o->batch < 1 || o->batch > BATCH_MOST)
        return output_fail(error, error_bytes, "batch=%s: must be from 1 to %d", batch, BATCH_MOST);
    return 0;
}

static void set_up(struct spoton_output *o)
{
    curl_easy_setopt(o->curl, CURLOPT_URL, o->url);
    curl_easy_setopt(o->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(o->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(o->curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(o->curl, CURLOPT_TIMEOUT, (long)ANSWER_S);
    curl_easy_setopt(o->curl, CURLOPT_USERAGENT, "spoton/" SPOTON_VERSION);
    curl_easy_setopt(o->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(o->curl, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(o->curl, CURLOPT_WRITEDATA, o);
    curl_easy_setopt(o->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(o->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(o->curl, CURLOPT_XFERINFODATA, o);
    curl_easy_setopt(o->curl, CURLOPT_ERRORBUFFER, o->failure);
    if (o->ca_file[0])
        curl_easy_setopt(o->curl, CURLOPT_CAINFO, o->ca_file);
}

static void webhook_close(struct spoton_output *o)
{
    if (o->curl)
        curl_easy_cleanup(o->curl);
    free(o->body);
    free(o);
}

static int webhook_connect(struct spoton_output **out, const struct spoton_output_setup *setup,
                           char *error, size_t error_bytes)
{
    struct spoton_output *o = calloc(1, sizeof *o);
    if (!o)
        return output_fail(error, error_bytes, "out of memory");
    o->setup = *setup;
    if (read_options(o, setup->options, error, error_bytes) < 0) {
        webhook_close(o);
        return -1;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    o->curl = curl_easy_init();
    if (!o->curl) {
        webhook_close(o);
        return output_fail(error, error_bytes, "out of memory");
    }
    set_up(o);
    *out = o;
    return 0;
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "webhook",
        .close = webhook_close,
        .connect = webhook_connect,
        .deliver = webhook_deliver,
        .poll = webhook_poll,
        .default_topic = "{kind}",
    };
    return &api;
}
