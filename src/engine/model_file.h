/* Properties of a model file that runtimes do not report, found in its bytes: TFLite files are
 * FlatBuffers; ONNX and OpenVINO IR contain the names of operations as text. For engine plugins.
 * Any content is accepted; a file that cannot be read has neither property. */
#pragma once

#include <stdbool.h>

/* The graph computes in integers: it has quantize or fake-quantize operations. */
bool sp_model_file_is_quantized(const char *path);

/* The weights are 8- or 4-bit integers that the runtime unpacks to float at compile time. If the
 * activations are quantized too (NNCF), OpenVINO multiplies integers instead: in 80 compilations, 2
 * and 4 streams gave exactly the results of one stream. */
bool sp_model_file_unpacks_weights(const char *path);
