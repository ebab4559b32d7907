#include "onvif/discovery.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_MAX = 64, ANSWER_BYTES = 65536, PORT = 3702, PROBES = 2, POLL_MS = 100 };

static const int64_t PROBE_AGAIN_US = 500000;
static const char *const HTTP[] = {"http", "https", NULL};

struct sockets {
    struct pollfd poll[SOCKETS_MAX];
    int count;
};

static void open_socket(struct sockets *sockets, struct sockaddr_in address)
{
    int ttl = 1, one = 1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_port = 0;
    if (fd < 0)
        return;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address.sin_addr, sizeof address.sin_addr) <
            0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof one) < 0) {
        close(fd);
        return;
    }
    sockets->poll[sockets->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static int open_sockets(struct sockets *sockets, struct sp_error *err)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0)
        return sp_fail(err, SP_ERR_IO, "network interfaces: %s", strerror(errno));
    for (struct ifaddrs *at = list; at && sockets->count < SOCKETS_MAX; at = at->ifa_next) {
        struct sockaddr_in address;
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP))
            continue;
        memcpy(&address, at->ifa_addr, sizeof address);
        open_socket(sockets, address);
    }
    freeifaddrs(list);
    return SP_OK;
}

static void make_uuid(char out[40])
{
    unsigned char b[16] = {0};
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        memcpy(b, &(int64_t){sp_clock_wall_us()}, sizeof(int64_t));
    snprintf(out, 40, "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11], b[12],
             b[13], b[14], b[15]);
}

/* Devices answer to one type or the other. Returns how many probes were sent. */
static int send_probes(const struct sockets *sockets)
{
    static const char *const types[] = {"dn:NetworkVideoTransmitter", "tds:Device"};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    char request[SP_ONVIF_REQUEST_BYTES], id[40];
    int sent = 0;
    to.sin_addr.s_addr = inet_addr("239.255.255.250");
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        make_uuid(id);
        sp_onvif_probe_request(types[t], id, request);
        for (int i = 0; i < sockets->count; i++)
            if (sendto(sockets->poll[i].fd, request, strlen(request), 0, (struct sockaddr *)&to,
                       sizeof to) > 0)
                sent++;
    }
    return sent;
}

/* The first address on the sender's own host, else the first one with its host replaced. */
static bool choose_address(char *addresses, const char *host, char out[SP_ONVIF_URL_BYTES])
{
    char *rest, first[SP_ONVIF_URL_BYTES] = "";
    for (char *word = strtok_r(addresses, " \t\r\n", &rest); word;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (!sp_onvif_with_host(word, host, HTTP, out, SP_ONVIF_URL_BYTES))
            continue;
        if (strcmp(out, word) == 0)
            return true;
        if (!first[0])
            memcpy(first, out, sizeof first);
    }
    memcpy(out, first, sizeof first);
    return first[0] != '\0';
}

static void add(struct sp_onvif_found_list *list, const char *bytes, size_t count,
                const struct sockaddr_in *from)
{
    struct sp_onvif_match match;
    struct sp_onvif_found found;
    if (list->count == SP_ONVIF_FOUND_MAX ||
        !inet_ntop(AF_INET, &from->sin_addr, found.host, sizeof found.host) ||
        sp_onvif_read_match(bytes, count, &match, NULL) < 0 ||
        !choose_address(match.address, found.host, found.url))
        return;
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->found[i].url, found.url) == 0)
            return;
    memcpy(found.name, match.name, sizeof found.name);
    list->found[list->count++] = found;
}

static void receive(struct sp_onvif_found_list *list, int fd)
{
    static _Thread_local char bytes[ANSWER_BYTES];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    ssize_t count;
    while ((count = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_bytes)) >=
           0) {
        add(list, bytes, (size_t)count, &from);
        from_bytes = sizeof from;
    }
}

int sp_onvif_discover(struct sp_onvif_found_list *list, int64_t duration_us,
                      bool (*interrupted)(void), struct sp_error *err)
{
    struct sockets sockets = {.count = 0};
    int result = open_sockets(&sockets, err);
    int64_t begin = sp_clock_us(), probed = 0;
    int probes = 0, sent = 0;
    while (result == SP_OK && sp_clock_us() - begin < duration_us &&
           !(interrupted && interrupted())) {
        if (probes < PROBES && (probes == 0 || sp_clock_us() - probed >= PROBE_AGAIN_US)) {
            sent += send_probes(&sockets);
            probed = sp_clock_us();
            probes++;
            if (sent == 0)
                result = sp_fail(err, SP_ERR_IO,
                                 "no network interface can send by multicast; name the cameras: "
                                 "spoton init ADDRESS...");
        }
        if (result == SP_OK && poll(sockets.poll, (nfds_t)sockets.count, POLL_MS) > 0)
            for (int i = 0; i < sockets.count; i++)
                if (sockets.poll[i].revents)
                    receive(list, sockets.poll[i].fd);
    }
    for (int i = 0; i < sockets.count; i++)
        close(sockets.poll[i].fd);
    return result;
}
