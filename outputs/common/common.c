#include "common.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REACH_MS = 5000, STEP_MS = 100 };

int output_fail(char *error, size_t error_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    for (char *at = error; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    return -1;
}

int64_t output_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool output_is_stopping(const struct spoton_output_setup *setup)
{
    return setup->stopping && setup->stopping(setup->user) != 0;
}

void output_translate(const char *text, const char *from, char to, char *out, size_t out_bytes)
{
    size_t i = 0;
    for (; text[i] && i + 1 < out_bytes; i++)
        out[i] = strchr(from, text[i]) ? to : text[i];
    out[i] = '\0';
}

static const struct output_scheme *find_scheme(const struct output_scheme *schemes,
                                               const char *name)
{
    for (; schemes->name; schemes++)
        if (strcmp(schemes->name, name) == 0)
            return schemes;
    return NULL;
}

/* "host", "host:port", "[address]:port" */
static bool read_host(struct output_url *url, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    const char *colon = memrchr(text, ':', bytes);
    if (bytes > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', bytes);
        if (!close)
            return false;
        colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
        text++;
        bytes = (size_t)(close - text);
    } else if (colon) {
        bytes = (size_t)(colon - text);
    }
    if (bytes == 0 || bytes >= sizeof url->host)
        return false;
    memcpy(url->host, text, bytes);
    url->host[bytes] = '\0';
    if (colon) {
        char *last;
        long port = strtol(colon + 1, &last, 10);
        if (last != end || port < 1 || port > 65535)
            return false;
        url->port = (int)port;
    }
    return true;
}

int output_read_url(struct output_url *url, const char *options,
                    const struct output_scheme *schemes, char *error, size_t error_bytes)
{
    char text[sizeof url->host + sizeof url->path];
    *url = (struct output_url){0};
    if (!spoton_option(options, "url", text, sizeof text))
        return output_fail(error, error_bytes, "no url; write url=%s://HOST:PORT", schemes->name);
    char *rest = strstr(text, "://");
    if (rest) {
        *rest = '\0';
        rest += 3;
        snprintf(url->scheme, sizeof url->scheme, "%s", text);
    }
    const struct output_scheme *scheme = find_scheme(schemes, url->scheme);
    if (!scheme || !rest)
        return output_fail(error, error_bytes, "url: does not begin with %s://", schemes->name);
    url->port = scheme->port;
    size_t host_bytes = strcspn(rest, "/?");
    if (memchr(rest, '@', host_bytes))
        return output_fail(error, error_bytes,
                           "url: contains a user or password; write user=NAME and "
                           "password_env=VARIABLE or password_file=PATH");
    snprintf(url->path, sizeof url->path, "%s", rest + host_bytes);
    if (!read_host(url, rest, host_bytes))
        return output_fail(error, error_bytes, "url: no host, or not a port; write %s://HOST:PORT",
                           schemes->name);
    return 0;
}

/* 0: connected; otherwise an errno. */
static int try_address(const struct addrinfo *address, const struct spoton_output_setup *setup,
                       int64_t until_ms)
{
    int socket_error = 0, left;
    socklen_t bytes = sizeof socket_error;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        socket_error = errno;
        close(fd);
        return socket_error;
    }
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    do
        left = poll(&wait, 1, STEP_MS);
    while (left == 0 && output_now_ms() < until_ms && !output_is_stopping(setup));
    if (left <= 0)
        socket_error = ETIMEDOUT;
    else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &socket_error, &bytes);
    close(fd);
    return socket_error;
}

int output_reach(const struct output_url *url, const struct spoton_output_setup *setup, char *error,
                 size_t error_bytes)
{
    char port[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%d", url->port);
    int failed = getaddrinfo(url->host, port, &hints, &list);
    if (failed)
        return output_fail(error, error_bytes, "%s: DNS: %s; check the host name", url->host,
                           gai_strerror(failed));
    int64_t until_ms = output_now_ms() + REACH_MS;
    int why = EHOSTUNREACH;
    for (const struct addrinfo *at = list; at && why != 0; at = at->ai_next)
        why = try_address(at, setup, until_ms);
    freeaddrinfo(list);
    if (why)
        return output_fail(error, error_bytes, "%s:%d: %s; check that the server runs", url->host,
                           url->port, strerror(why));
    return 0;
}
