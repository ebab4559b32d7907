/* Looking up a host's name without being held up by it: the system's resolver can neither be
 * interrupted nor told how long to wait. For src/capture only. */
#pragma once

#include <stdbool.h>

enum { SP_RESOLVE_GIVEN_UP = 1 };

/* Waits until the name is resolved (0), cannot be (getaddrinfo's error number), or `give_up` says
 * so (SP_RESOLVE_GIVEN_UP; asked every few milliseconds; the lookup ends by itself later). Without
 * memory or a thread for it: 0. The addresses are not kept: who asks next gets them quickly. */
int sp_resolve(const char *host, bool (*give_up)(void *user), void *user);
