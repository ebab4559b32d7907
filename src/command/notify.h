/* Reports the service's state to systemd (sd_notify protocol: datagrams to $NOTIFY_SOCKET) and
 * feeds its watchdog. No-op if the variables are not set. One thread. */
#pragma once

#include <stdint.h>

struct sp_notify {
    int socket; /* -1: no service manager */
    int64_t interval_us, last_us;
};

/* socket_path, watchdog_us: the values of $NOTIFY_SOCKET and $WATCHDOG_USEC, or NULL. */
void sp_notify_init(struct sp_notify *notify, const char *socket_path, const char *watchdog_us);
void sp_notify(struct sp_notify *notify, const char *state); /* "READY=1" */
void sp_notify_alive(struct sp_notify *notify);              /* rate-limited */
void sp_notify_release(struct sp_notify *notify);
