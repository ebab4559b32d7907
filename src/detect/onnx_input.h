/* What an ONNX graph does to its image first: exporters that bring 0..255 down to 0..1 inside the
 * graph leave no other trace of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the graph divides its input by some 255 (or multiplies it with the inverse), or takes a
 * mean off that only values up to 255 can have, before anything else. False for files that are not
 * ONNX or cannot be read. */
bool sp_onnx_takes_bytes(const char *path, const char *input_name);

/* The value of an entry of the file's metadata, which lies in data. False: there is none. */
bool sp_onnx_metadata(const char *data, size_t bytes, const char *key, const char **value,
                      size_t *value_bytes);
