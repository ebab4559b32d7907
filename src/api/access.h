/* Access control: token, session cookie, and cross-origin requests. */
#pragma once

#include "api/internal.h"

/* Whether the request may change or read what the token guards. */
bool sp_access_is_known(const struct sp_api *api, const struct sp_request *request);
bool sp_access_allowed(struct sp_call *call, bool open_path); /* false: refused */
bool sp_access_cors(const struct sp_api *api, const struct sp_request *request, bool api_v1);
void sp_access_login(struct sp_call *call);
void sp_access_logout(struct sp_call *call);
