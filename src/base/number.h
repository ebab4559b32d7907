/* Decimal numbers as text, with a point whatever locale the process runs in. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* -?digits */
bool sp_number_is_whole(const char *text);

/* Reads -?digits[.digits][e[+-]digits] with a digit on at least one side of the point: no
 * hexadecimal, no infinity. False: something else; *out is unchanged. */
bool sp_number_read(const char *text, double *out);

/* The fewest digits that read back to the same number. */
void sp_number_format(double number, char *out, size_t out_bytes);
