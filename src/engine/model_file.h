/* What a runtime does not tell of a model file, found in its bytes: TFLite files are FlatBuffers,
 * in ONNX and OpenVINO IR the names of operations stand as text. For engine plugins; any bytes are
 * fine, and a file that cannot be read holds nothing. */
#pragma once

#include <stdbool.h>

/* Its graph computes in small integers: it has quantise or fake-quantise operations. */
bool sp_model_file_is_quantised(const char *path);

/* Weights stored as 8- or 4-bit integers that the runtime unpacks to float while it builds its
 * graphs. Where the activations are quantised too (NNCF's files), OpenVINO multiplies integers
 * instead: 80 compilations with 2 and 4 streams gave the very numbers of one stream. */
bool sp_model_file_unpacks_weights(const char *path);
