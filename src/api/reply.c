#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sp_call_header(struct sp_call *call, const char *format, ...)
{
    char *headers = call->reply->headers;
    size_t used = strlen(headers), left = sizeof call->reply->headers - used;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(headers + used, left, format, args);
    va_end(args);
    if (n < 0 || (size_t)n + 3 > left)
        headers[used] = '\0'; /* a header that does not fit is omitted */
    else
        memcpy(headers + used + n, "\r\n", 3);
}

void sp_call_refuse(struct sp_call *call, int status, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sp_json_clear(call->json);
    call->reply->kind = SP_REPLY_BODY;
    call->reply->fixed = NULL;
    call->reply->type = NULL;
    call->reply->status = status;
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "detail");
    sp_json_string(call->json, text);
    sp_json_end_object(call->json);
}
