/* Asks one ONVIF device for its streams.
 *
 * Data flow: URL of the device service -> GetSystemDateAndTime (its clock, for the signatures) ->
 * GetCapabilities (the media service) -> GetProfiles -> the profile of each video source that suits
 * the model -> GetStreamUri -> struct sp_onvif_streams.
 *
 * The device is asked without a login first, then with each login in turn, until one is accepted;
 * no login is tried twice, as devices lock accounts. A login is sent as a digest (WS-UsernameToken;
 * HTTP Digest, if the device asks for that), never as text, and to no other host. Each request ends
 * after seconds and 1 MiB. Blocks; several threads may ask different devices after sp_onvif_begin.
 */
#pragma once

#include "base/error.h"
#include "onvif/message.h"

#include <stdbool.h>

enum { SP_ONVIF_STREAMS_MAX = 32, SP_ONVIF_LOGINS_MAX = 8 };

struct sp_onvif_ask {
    const char *host, *url;
    const struct sp_onvif_login *logins;
    int login_count;
    int input_size_px; /* of the model */
    int timeout_ms;    /* of a request; 0: 5 s */
    bool (*interrupted)(void);
};

struct sp_onvif_stream {
    struct sp_onvif_profile profile;
    char url[SP_ONVIF_URL_BYTES]; /* without login */
};

struct sp_onvif_streams {
    struct sp_onvif_stream stream[SP_ONVIF_STREAMS_MAX];
    int count;
    struct sp_onvif_login login; /* that was accepted; user "": none was needed */
};

/* Once, before any thread asks. SP_ERR_NO_MEMORY. */
int sp_onvif_begin(struct sp_error *err);
void sp_onvif_end(void);

/* Errors begin with the host. SP_ERR_UNAUTHORIZED: no login is accepted. SP_ERR_TIMEOUT, SP_ERR_IO,
 * SP_ERR_FORMAT, SP_ERR_INTERRUPTED, SP_ERR_NO_MEMORY. */
int sp_onvif_ask(struct sp_onvif_streams *out, const struct sp_onvif_ask *ask,
                 struct sp_error *err);
