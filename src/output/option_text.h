/* Options of an output as text, "key=value&key=value"; values are percent-encoded where they hold
 * '&', '%' or a blank. Compiled into the program and into the plugins of outputs/, so it includes
 * nothing of either. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The value of `key`, decoded. False: there is none; `out` is then "". Truncates to fit. */
bool spoton_option(const char *options, const char *key, char *out, size_t out_bytes);

/* The key is present with a value that is neither false nor 0. */
bool spoton_option_is_on(const char *options, const char *key);

/* Copies the options whose keys are (take) or are not among keys[], which ends with NULL, into
 * out, which has the size of the options at least. */
void spoton_option_split(const char *options, const char *const *keys, bool take, char *out);

/* False: a key is not among keys[]; `error` names it. */
bool spoton_option_check(const char *options, const char *const *keys, char *error,
                         size_t error_bytes);

/* A secret: of the environment variable that KEY_env names, or the first line of the file that
 * KEY_file names. 1: found; 0: neither option; -1: `error` says why it cannot be read. */
int spoton_option_secret(const char *options, const char *key, char *out, size_t out_bytes,
                         char *error, size_t error_bytes);
