#include "capture/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POLL_US = 5000, POLL_MAX_US = 50000 };

/* Of the one who waits and of the thread: the last frees it. */
struct lookup {
    atomic_int owners;
    atomic_bool done;
    int result;
    char host[];
};

static void leave(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->owners, 1) == 1)
        free(lookup);
}

static void *look_up(void *argument)
{
    struct lookup *lookup = argument;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    lookup->result = getaddrinfo(lookup->host, NULL, &hints, &found);
    if (lookup->result == 0)
        freeaddrinfo(found);
    atomic_store(&lookup->done, true);
    leave(lookup);
    return NULL;
}

static bool start(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, look_up, lookup) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

int sp_resolve(const char *host, bool (*give_up)(void *user), void *user)
{
    size_t n = strlen(host) + 1;
    struct lookup *lookup = calloc(1, sizeof *lookup + n);
    if (!lookup)
        return 0;
    memcpy(lookup->host, host, n);
    atomic_init(&lookup->owners, 2);
    if (!start(lookup)) {
        free(lookup);
        return 0;
    }
    useconds_t wait_us = POLL_US;
    while (!atomic_load(&lookup->done) && !give_up(user)) {
        usleep(wait_us);
        wait_us = wait_us * 2 < POLL_MAX_US ? wait_us * 2 : POLL_MAX_US;
    }
    int result = atomic_load(&lookup->done) ? lookup->result : SP_RESOLVE_GIVEN_UP;
    leave(lookup);
    return result;
}
