#include "command/notify.h"

#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void sp_notify_init(struct sp_notify *notify, const char *socket_path, const char *watchdog_us)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    *notify = (struct sp_notify){.socket = -1};
    size_t length = socket_path ? strlen(socket_path) : 0;
    if (length < 2 || length >= sizeof to.sun_path ||
        (socket_path[0] != '/' && socket_path[0] != '@'))
        return;
    memcpy(to.sun_path, socket_path, length);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    notify->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->socket >= 0 &&
        connect(notify->socket, (struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        sp_notify_release(notify);
    /* Twice as often as required. */
    notify->interval_us = watchdog_us ? strtoll(watchdog_us, NULL, 10) / 2 : 0;
}

void sp_notify_release(struct sp_notify *notify)
{
    if (notify->socket >= 0)
        close(notify->socket);
    notify->socket = -1;
}

void sp_notify(struct sp_notify *notify, const char *state)
{
    char text[128];
    int64_t now_us = sp_clock_us();
    /* Type=notify-reload requires the time at which reloading began. */
    int length = snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%lld", state, (long long)now_us);
    if (notify->socket >= 0 && send(notify->socket, text, (size_t)length, MSG_NOSIGNAL) < 0)
        return; /* the service manager is gone */
}

void sp_notify_alive(struct sp_notify *notify)
{
    int64_t now_us = sp_clock_us();
    if (notify->interval_us <= 0 || now_us - notify->last_us < notify->interval_us)
        return;
    notify->last_us = now_us;
    sp_notify(notify, "WATCHDOG=1");
}
