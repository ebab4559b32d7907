/* Results and error texts.
 *
 * A function that can fail returns 0 or a negative SP_ERR_* and takes `struct sp_error *err` last.
 * `err` may be NULL. It is unchanged on success. The text is one line, "<thing>: <problem>; <what
 * to do>"; control characters become '?'. It never contains a password (see base/redact.h). */
#pragma once

#define SP_ERROR_CODES(X)                                                                          \
    X(SP_ERR_INVALID, -1, "invalid input")                                                         \
    X(SP_ERR_NOT_FOUND, -2, "not found")                                                           \
    X(SP_ERR_IO, -3, "input or output failed")                                                     \
    X(SP_ERR_NO_SPACE, -4, "no space left")                                                        \
    X(SP_ERR_NO_MEMORY, -5, "out of memory")                                                       \
    X(SP_ERR_UNSUPPORTED, -6, "not supported")                                                     \
    X(SP_ERR_FORMAT, -7, "malformed data")                                                         \
    X(SP_ERR_ENGINE, -8, "inference engine failed")                                                \
    X(SP_ERR_CLOSED, -9, "closed")                                                                 \
    X(SP_ERR_END, -10, "end of stream")                                                            \
    X(SP_ERR_TIMEOUT, -11, "timed out")                                                            \
    X(SP_ERR_INTERRUPTED, -12, "interrupted")                                                      \
    X(SP_ERR_DEVICE, -13, "inference device failed")                                               \
    X(SP_ERR_UNAUTHORIZED, -14, "access refused")

enum sp_error_code {
    SP_OK = 0,
#define X(name, value, text) name = (value),
    SP_ERROR_CODES(X)
#undef X
};

struct sp_error {
    int code; /* SP_ERR_* */
    char text[512];
};

/* Fills *err (if not NULL) and returns `code`, so that `return sp_fail(...)` reads as one step. */
int sp_fail(struct sp_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prepends "PREFIX: " to the text and returns err->code (`code` if err is NULL). */
int sp_fail_prefix(struct sp_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ENOSPC and EDQUOT: SP_ERR_NO_SPACE; ENOENT: SP_ERR_NOT_FOUND; ENOMEM: SP_ERR_NO_MEMORY; otherwise
 * SP_ERR_IO. */
int sp_error_from_errno(int errno_value);

/* Static text of a code; "unknown error" for any other number. */
const char *sp_error_name(int code);
