/* Something that happened to a camera or in front of it. Values only. */
#pragma once

#include <stdint.h>

enum {
    SP_EVENT_ID_BYTES = 112,
    SP_EVENT_KIND_BYTES = 32,
    SP_EVENT_CAMERA_BYTES = 64,
    SP_EVENT_PAYLOAD_BYTES = 1024
};

struct sp_event {
    uint64_t serial;                      /* of all events of this process, from 1 */
    char id[SP_EVENT_ID_BYTES];           /* "<camera>/<epoch>/<n>", n from 1 */
    char kind[SP_EVENT_KIND_BYTES];       /* "camera.state" */
    char camera[SP_EVENT_CAMERA_BYTES];   /* empty: of no single camera */
    int camera_index;                     /* -1: of none */
    uint64_t epoch;                       /* of the camera; 0: not known yet */
    int64_t wall_us;                      /* since the Unix epoch */
    char payload[SP_EVENT_PAYLOAD_BYTES]; /* a JSON object */
};
