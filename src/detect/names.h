/* Reads the class names of a model file, wherever its exporter stored them. */
#pragma once

#include "class_names.h"

/* ONNX: metadata "names" (or "classes", "class_names", "labels"). OpenVINO IR: rt_info (labels of
 * OpenVINO Model API, or the metadata of the original ONNX file); if metadata.yaml or NAME.yaml has
 * the same names, its spelling is used; without names in rt_info, its names. TFLite: the ZIP
 * archive appended to the model, or metadata.yaml. Any other file: the first {0: ...} in it. A file
 * that cannot be read has no names. */
void sp_model_names_find(struct sp_class_names *names, const char *path);

/* From a file's content, by format. False: there are none. */
bool sp_names_onnx(struct sp_class_names *names, const char *data, size_t bytes);
bool sp_names_ir(struct sp_class_names *names, const char *data, size_t bytes);
bool sp_names_zip(struct sp_class_names *names, const char *data, size_t bytes);
