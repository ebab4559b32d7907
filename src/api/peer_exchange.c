/* HTTP exchanges with other nodes. */
#include "api/peers_internal.h"

#include <string.h>

static const long CONNECT_MS = 3000, KEEP_IDLE_S = 10, KEEP_INTERVAL_S = 5;

/* ---- the target ---- */

static bool encode(const char *text, const char *plain, char *out, size_t room, size_t *used)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool as_is = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     strchr(plain, c);
        if (*used + 4 > room)
            return false;
        if (as_is) {
            out[(*used)++] = (char)c;
        } else {
            out[(*used)++] = '%';
            out[(*used)++] = digits[c >> 4];
            out[(*used)++] = digits[c & 15];
        }
    }
    out[*used] = '\0';
    return true;
}

/* The first '=' of a part separates key and value; a further one is of the value. */
bool sp_peer_target(const struct sp_request *request, char out[SP_PEERS_TARGET_BYTES])
{
    size_t used = 0;
    char separator = '?';
    if (!encode(request->path, "-._~/", out, SP_PEERS_TARGET_BYTES, &used))
        return false;
    for (const char *at = request->query; *at; at += strlen(at) + 1) {
        if (used + 2 > SP_PEERS_TARGET_BYTES)
            return false;
        out[used++] = separator;
        separator = '&';
        if (!encode(at, "-._~=,:", out, SP_PEERS_TARGET_BYTES, &used))
            return false;
    }
    return true;
}

/* ---- exchanges ---- */

static size_t on_data(char *data, size_t size, size_t count, void *user)
{
    struct sp_peer_exchange *exchange = user;
    return exchange->received(exchange, data, size * count);
}

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    struct sp_peer_exchange *exchange = user;
    if (exchange->header)
        exchange->header(exchange, line, size * count);
    return size * count;
}

void sp_peer_set_common(CURL *easy, struct sp_peers *peers)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEP_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEP_INTERVAL_S);
    if (peers->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, peers->ca_file);
}

void sp_peer_authorization(struct sp_peers *peers, char *out, size_t out_bytes)
{
    out[0] = '\0';
    pthread_mutex_lock(&peers->mutex);
    if (peers->token[0])
        snprintf(out, out_bytes, "Authorization: Bearer %s", peers->token);
    pthread_mutex_unlock(&peers->mutex);
}

static bool add_header(struct sp_peer_exchange *exchange, const char *line)
{
    struct curl_slist *more = curl_slist_append(exchange->headers, line);
    if (more)
        exchange->headers = more;
    return more != NULL;
}

static bool set_headers(struct sp_peer_exchange *exchange, struct sp_peers *peers)
{
    char line[sizeof peers->token + 32];
    snprintf(line, sizeof line, "X-Spoton-Node: %s", peers->node);
    bool good = add_header(exchange, line) && add_header(exchange, "Expect:") &&
                add_header(exchange, "Content-Type: application/json");
    sp_peer_authorization(peers, line, sizeof line);
    if (good && line[0])
        good = add_header(exchange, line);
    memset(line, 0, sizeof line);
    return good && curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers) == 0;
}

static void set_method(CURL *easy, const struct sp_peer_options *options)
{
    if (options->method == SP_GET || options->method == SP_HEAD)
        return; /* the server leaves the body of a HEAD out, and needs its length */
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, options->body ? options->body : "");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)options->body_bytes);
    if (options->method != SP_POST)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method == SP_PUT ? "PUT" : "DELETE");
}

int sp_peer_exchange_begin(struct sp_peer_exchange *exchange, struct sp_peers *peers,
                           const struct sp_peer_options *options)
{
    char url[SP_PEERS_URL_BYTES];
    exchange->peers = peers;
    exchange->easy = curl_easy_init();
    exchange->headers = NULL;
    exchange->error[0] = '\0';
    if (!exchange->easy)
        return SP_ERR_NO_MEMORY;
    snprintf(url, sizeof url, "%s%s", options->http, options->target);
    sp_peer_set_common(exchange->easy, peers);
    curl_easy_setopt(exchange->easy, CURLOPT_URL, url);
    curl_easy_setopt(exchange->easy, CURLOPT_TIMEOUT_MS, options->timeout_ms);
    curl_easy_setopt(exchange->easy, CURLOPT_ERRORBUFFER, exchange->error);
    curl_easy_setopt(exchange->easy, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, exchange);
    if (options->connects_only)
        curl_easy_setopt(exchange->easy, CURLOPT_CONNECT_ONLY, 1L);
    set_method(exchange->easy, options);
    if (set_headers(exchange, peers) &&
        curl_multi_add_handle(peers->multi, exchange->easy) == CURLM_OK)
        return SP_OK;
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    exchange->easy = NULL;
    exchange->headers = NULL;
    return SP_ERR_NO_MEMORY;
}

void sp_peer_exchange_end(struct sp_peer_exchange *exchange)
{
    if (!exchange->easy)
        return;
    curl_multi_remove_handle(exchange->peers->multi, exchange->easy);
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    exchange->easy = NULL;
    exchange->headers = NULL;
}

void sp_peer_explain(const char *node, const struct sp_peer_exchange *exchange, CURLcode code,
                     char *out, size_t out_bytes)
{
    const char *text = exchange->error[0] ? exchange->error : curl_easy_strerror(code);
    snprintf(out, out_bytes, "node %s: no reply (%.200s)", node, text);
}
