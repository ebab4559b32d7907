/* Finds ONVIF devices of the local networks by WS-Discovery.
 *
 * Data flow: Probe by multicast to 239.255.255.250:3702 from every IPv4 interface, twice, as UDP
 * loses packets -> ProbeMatch of each device -> list without duplicates. A device is known by the
 * address that its answer came from; what it reports about itself is used with that host only.
 *
 * One thread; blocks for the given time. */
#pragma once

#include "base/error.h"
#include "onvif/message.h"

#include <stdbool.h>

enum { SP_ONVIF_FOUND_MAX = 256 };

struct sp_onvif_found {
    char host[64];                /* "10.0.0.7" */
    char url[SP_ONVIF_URL_BYTES]; /* of the device service, on that host */
    char name[SP_ONVIF_TEXT_BYTES];
};

struct sp_onvif_found_list {
    struct sp_onvif_found found[SP_ONVIF_FOUND_MAX];
    int count;
};

/* Appends to the list, until it is full, the time is over or `interrupted` (or NULL) returns true.
 * Malformed answers are ignored. SP_ERR_IO: no interface can send. */
int sp_onvif_discover(struct sp_onvif_found_list *list, int64_t duration_us,
                      bool (*interrupted)(void), struct sp_error *err);
