/* What the plugins of outputs/ share: errors, the URL of the other side, and whether it can be
 * reached. Each plugin contains a copy; output_* are not exported. All functions are called by the
 * output's thread. */
#pragma once

#include "output/option_text.h"

#include <spoton/output.h>

#include <stdbool.h>
#include <stdint.h>

/* Formats into error[error_bytes] and returns -1. */
int output_fail(char *error, size_t error_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct output_url {
    char scheme[16], host[256], path[512]; /* path with its '/' and query; may be empty */
    int port;
};

struct output_scheme {
    const char *name; /* NULL ends the list */
    int port;
};

/* The option `url`. A user name or password in it is refused. -1: `error` says why. */
int output_read_url(struct output_url *url, const char *options,
                    const struct output_scheme *schemes, char *error, size_t error_bytes);

/* Resolves the host and makes a TCP connection, which is closed at once. -1: `error` names the
 * step that failed. Takes at most 5 s, less if stopping() says so; resolving may take longer. */
int output_reach(const struct output_url *url, const struct spoton_output_setup *setup, char *error,
                 size_t error_bytes);

int64_t output_now_ms(void); /* monotonic */

bool output_is_stopping(const struct spoton_output_setup *setup);

/* A copy of `text` in which each character of `from` is `to`. */
void output_translate(const char *text, const char *from, char to, char *out, size_t out_bytes);
