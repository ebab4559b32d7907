#include "transfer.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REPLY_FIRST_BYTES = 64 * 1024, BUFFER_BYTES = 512 * 1024 };
static const size_t REPLY_BYTES_MAX = (size_t)256 * 1024 * 1024;

/* ---- libcurl's callbacks ---- */

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
    struct kserve_transfer *t = user;
    size_t room = size * count, used = 0, skip = t->sent;
    for (int i = 0; i < 2 && used < room; ++i) {
        if (skip >= t->part_bytes[i]) {
            skip -= t->part_bytes[i];
            continue;
        }
        size_t n = t->part_bytes[i] - skip;
        n = n < room - used ? n : room - used;
        memcpy(out + used, t->part[i] + skip, n);
        used += n;
        skip = 0;
    }
    t->sent += used;
    return used;
}

/* A connection that was reused and turned out to be closed: libcurl sends the body again. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct kserve_transfer *t = user;
    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_CANTSEEK;
    t->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *data, size_t size, size_t count, void *user)
{
    struct kserve_transfer *t = user;
    size_t bytes = size * count;
    if (bytes > REPLY_BYTES_MAX - t->reply_bytes)
        return 0;
    if (t->reply_bytes + bytes > t->reply_room) {
        size_t room = t->reply_room ? t->reply_room : REPLY_FIRST_BYTES;
        while (room < t->reply_bytes + bytes)
            room *= 2;
        char *grown = realloc(t->reply, room);
        if (!grown)
            return 0;
        t->reply = grown;
        t->reply_room = room;
    }
    memcpy(t->reply + t->reply_bytes, data, bytes);
    t->reply_bytes += bytes;
    return bytes;
}

/* The value of a header as a number; -1: another header. */
static int64_t read_header(const char *line, size_t bytes, const char *name)
{
    char number[24];
    size_t n = strlen(name);
    if (bytes <= n + 1 || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return -1;
    snprintf(number, sizeof number, "%.*s", (int)(bytes - n - 1), line + n + 1);
    long long value = strtoll(number, NULL, 10);
    return value > 0 ? value : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct kserve_transfer *t = user;
    size_t bytes = size * count;
    int64_t json = read_header(data, bytes, "Inference-Header-Content-Length");
    int64_t retry = read_header(data, bytes, "Retry-After");
    if (json >= 0)
        t->json_bytes = (size_t)json;
    if (retry >= 0)
        t->retry_after_s = retry;
    return bytes;
}

/* ---- preparing ---- */

bool kserve_transfer_open(struct kserve_transfer *t, void *user)
{
    *t = (struct kserve_transfer){.easy = curl_easy_init()};
    if (!t->easy)
        return false;
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, user);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "spoton/" SPOTON_VERSION);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->problem);
    curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    return true;
}

void kserve_transfer_close(struct kserve_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t->reply);
    *t = (struct kserve_transfer){0};
}

static bool add_header(struct kserve_transfer *t, const char *text)
{
    struct curl_slist *longer = curl_slist_append(t->headers, text);
    if (longer)
        t->headers = longer;
    return longer != NULL;
}

/* The callbacks' argument is set here, because a transfer may have been moved since it was opened.
 */
static void set_callbacks(struct kserve_transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
}

bool kserve_transfer_prepare(struct kserve_transfer *t, const struct kserve_target *target,
                             const char *json, size_t json_bytes, const void *data,
                             size_t data_bytes)
{
    char line[600];
    bool done = true;
    t->part[0] = json;
    t->part_bytes[0] = json_bytes;
    t->part[1] = data;
    t->part_bytes[1] = data_bytes;
    t->sent = t->reply_bytes = t->json_bytes = 0;
    t->retry_after_s = 0;
    t->problem[0] = '\0';
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    set_callbacks(t);
    if (target->token[0]) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", target->token);
        done = add_header(t, line);
    }
    curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    if (json) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(json_bytes + data_bytes));
        snprintf(line, sizeof line, "Inference-Header-Content-Length: %zu", json_bytes);
        done = done && add_header(t, line) && add_header(t, "Expect:") &&
               add_header(t, "Content-Type: application/octet-stream");
    }
    done = done && curl_easy_setopt(t->easy, CURLOPT_URL, target->url) == CURLE_OK;
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, target->timeout_ms);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, target->timeout_ms);
    if (target->ca_file[0])
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, target->ca_file);
    return done;
}

/* ---- the result ---- */

static enum kserve_outcome judge_status(struct kserve_transfer *t, long status, char *error,
                                        size_t error_bytes)
{
    char text[160];
    if (status >= 200 && status < 300)
        return KSERVE_OK;
    kserve_read_error(text, sizeof text, t->reply ? t->reply : "", t->reply_bytes);
    const char *colon = text[0] ? ": " : "";
    if (status == 429 || status == 503) {
        kserve_fail(error, error_bytes, "is busy (status %ld%s%s)", status, colon, text);
        return KSERVE_BUSY;
    }
    if (status == 401 || status == 403)
        kserve_fail(error, error_bytes, "refuses the token (status %ld); correct KSERVE_TOKEN",
                    status);
    else
        kserve_fail(error, error_bytes, "status %ld%s%s", status, colon, text);
    return status >= 500 ? KSERVE_ERROR : KSERVE_REFUSES;
}

enum kserve_outcome kserve_transfer_result(struct kserve_transfer *t, CURLcode code, char *error,
                                           size_t error_bytes)
{
    long status = 0;
    if (t->json_bytes == 0)
        t->json_bytes = t->reply_bytes;
    if (code == CURLE_OK) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        return judge_status(t, status, error, error_bytes);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        kserve_fail(error, error_bytes, "no reply in time (KSERVE_TIMEOUT_MS)");
        return KSERVE_LATE;
    }
    kserve_fail(error, error_bytes, "%.200s",
                t->problem[0] ? t->problem : curl_easy_strerror(code));
    return KSERVE_UNREACHABLE;
}
