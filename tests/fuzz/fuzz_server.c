/* Any bytes on a connection to the real server, over loopback: HTTP, upgrades and WebSocket frames
 * as libwebsockets parses them, and what http.c, mjpeg.c and ws.c make of it. "\xA7" stands for a
 * pause, so that what follows is read on its own. */
#include "site.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 256 * 1024, PATIENCE_MS = 5, ALIVE_MS = 20000, CONNECTIONS_MOST = 2000 };

static struct site site;
static char task[64];
static struct sockaddr_in address;

static void prepare(void)
{
    struct sp_error err = {0};
    site_open(&site, false);
    site_start_task(&site, task);
    site_must(sp_server_start(site.server, &err), &err);
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)sp_server_port(site.server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_client(void)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(client >= 0);
    int result = connect(client, (struct sockaddr *)&address, sizeof address);
    /* Connections closed in the last minute occupy their ports. */
    for (int i = 0; result < 0 && errno == EADDRNOTAVAIL && i < 200; i++) {
        usleep(100000);
        result = connect(client, (struct sockaddr *)&address, sizeof address);
    }
    FUZZ_CHECK(result == 0);
    return client;
}

/* Reads until the other side closes, has nothing more to say for that long, or has said a lot. */
static size_t drain(int client, int patience_ms)
{
    static char reply[4096];
    size_t got = 0;
    while (got < REPLY_MAX) {
        struct pollfd wait = {.fd = client, .events = POLLIN};
        if (poll(&wait, 1, patience_ms) <= 0)
            break;
        ssize_t n = recv(client, reply, sizeof reply, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

/* After any input the next client is served, and disconnected clients are freed. */
static void check_alive(void)
{
    static const char request[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sp_server_counts counts;
    size_t got = 0;
    /* Thousands of connections a second: a port may be one that the kernel still has a use for. */
    for (int attempt = 0; got == 0 && attempt < 3; attempt++) {
        int client = open_client();
        if (send(client, request, sizeof request - 1, MSG_NOSIGNAL) > 0)
            got = drain(client, ALIVE_MS);
        if (got == 0)
            (void)fprintf(stderr, "attempt %d: no reply\n", attempt + 1);
        close(client);
    }
    FUZZ_CHECK(got > 0);
    sp_server_count(site.server, &counts);
    FUZZ_CHECK(counts.connections < CONNECTIONS_MOST);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct timespec pause = {.tv_nsec = 300000};
    if (!site.server)
        prepare();
    static unsigned inputs;
    size_t left;
    char *text = site_expand(data, bytes, task, &left);
    int client = open_client();
    for (char *at = text; left > 0;) {
        char *end = memchr(at, '\xA7', left);
        size_t n = end ? (size_t)(end - at) : left;
        if (n > 0 && send(client, at, n, MSG_NOSIGNAL) < 0)
            break;
        if (end)
            nanosleep(&pause, NULL);
        left -= n + (end != NULL);
        at += n + (end != NULL);
    }
    shutdown(client, SHUT_WR);
    drain(client, PATIENCE_MS);
    close(client);
    free(text);
    if (++inputs % 100 == 0)
        check_alive();
    return 0;
}
