/* The first operations of an ONNX graph: the only sign that an export scales 0..255 to 0..1 itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the graph begins by dividing its input by about 255, multiplying it by the inverse, or
 * subtracting a mean that only values up to 255 can have. False for files that are not ONNX or
 * cannot be read. */
bool sp_onnx_takes_bytes(const char *path, const char *input_name);

/* The value of a metadata entry of the file; points into data. False: there is none. */
bool sp_onnx_metadata(const char *data, size_t bytes, const char *key, const char **value,
                      size_t *value_bytes);
