#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Quoted names come from files and clients and may contain control characters. */
static void keep_on_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

int sp_fail(struct sp_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        keep_on_one_line(err->text);
    }
    return code;
}

int sp_fail_prefix(struct sp_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    char tail[sizeof err->text];
    memcpy(tail, err->text, sizeof tail);
    tail[sizeof tail - 1] = '\0';

    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", tail);
    keep_on_one_line(err->text);
    return err->code;
}

int sp_error_from_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
        return SP_ERR_NO_SPACE;
    case ENOENT:
        return SP_ERR_NOT_FOUND;
    case ENOMEM:
        return SP_ERR_NO_MEMORY;
    default:
        return SP_ERR_IO;
    }
}

const char *sp_error_name(int code)
{
    switch (code) {
#define X(name, value, text)                                                                       \
    case value:                                                                                    \
        return text;
        SP_ERROR_CODES(X)
#undef X
    case SP_OK:
        return "success";
    default:
        return "unknown error";
    }
}
