/* The class names of a model file, from wherever its exporter put them. */
#pragma once

#include "class_names.h"

/* ONNX: metadata "names" (or "classes", "class_names", "labels"). OpenVINO IR: rt_info (labels of
 * OpenVINO Model API, or the metadata of the ONNX file that it was made of), spelled as in the
 * metadata.yaml or NAME.yaml beside it where that holds the same names, and else from there.
 * TFLite: the ZIP archive behind the model, or metadata.yaml. Any other file: the first {0: ...} in
 * it. A file that cannot be read has no names. */
void sp_model_names_find(struct sp_class_names *names, const char *path);

/* Of a file's content: for each kind by itself. False: there are none. */
bool sp_names_onnx(struct sp_class_names *names, const char *data, size_t bytes);
bool sp_names_ir(struct sp_class_names *names, const char *data, size_t bytes);
bool sp_names_zip(struct sp_class_names *names, const char *data, size_t bytes);
