/* Errors and headers of replies. */
#pragma once

#include "api/internal.h"

/* Replies with an error: {"detail": ...}. */
void sp_call_refuse(struct sp_call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends a header to the reply. */
void sp_call_header(struct sp_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
