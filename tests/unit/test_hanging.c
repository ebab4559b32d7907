/* Cameras whose opening hangs: in name resolution, in connecting, in a response that does not come.
 * They release their index when they are removed, and do not delay a stop. */
#include "live.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

static atomic_int lookups;

/* Replaces the system's function in this program and its libraries: one name never resolves. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): its names are reserved */
__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (host && strcmp(host, "hangs.test") == 0) {
        atomic_fetch_add(&lookups, 1);
        sleep(60);
        return EAI_AGAIN;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(host, service, hints, found);
}

/* Fills all indices, removes all cameras, fills them again. */
static void take_every_place_twice(const char *url)
{
    struct live *live = live_open("");
    int camera[SP_CAMERAS_MAX];
    char name[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SP_CAMERAS_MAX; i++) {
            snprintf(name, sizeof name, "c%d", i);
            camera[i] = live_add(live, name, url);
        }
        usleep(200000); /* they are opening */
        for (int i = 0; i < SP_CAMERAS_MAX; i++)
            assert_int_equal(sp_pipeline_remove_camera(live->pipeline, camera[i], NULL), SP_OK);
        for (int i = 0; i < SP_CAMERAS_MAX; i++)
            live_await(&live->camera[camera[i]].ends, (uint64_t)round + 1);
        usleep(50000);
    }
    snprintf(name, sizeof name, "last");
    live_add(live, name, url);
    usleep(100000);
    live_close(live); /* within two seconds */
}

static void test_a_name_that_is_not_resolved(void **state)
{
    (void)state;
    take_every_place_twice("rtsp://hangs.test/live");
    assert_true(atomic_load(&lookups) > 0);
    take_every_place_twice("http://hangs.test/live");
}

/* A server that accepts connections and sends nothing. */
static void test_an_answer_that_does_not_come(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(fd, 1), 0); /* most clients do not even get a connection */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    static const char *const schemes[] = {"rtsp", "http", "https"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        snprintf(url, sizeof url, "%s://127.0.0.1:%d/live", schemes[i], ntohs(address.sin_port));
        take_every_place_twice(url);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_that_is_not_resolved),
        cmocka_unit_test(test_an_answer_that_does_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
