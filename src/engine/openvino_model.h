/* What a model file holds, as OpenVINO reads it. Private to the openvino plugin. */
#pragma once

#include "spoton/engine.h"

#include <openvino/c/openvino.h>

/* Writes "THING: what OpenVINO said" on one line, without its source positions; returns -1. */
int ov_fail(char *error, size_t error_bytes, const char *thing);

/* Reads a file after a look at its first bytes: OpenVINO tries one frontend after the other on what
 * it does not know, and they write to stderr. */
int ov_read(ov_core_t *core, const char *path, ov_model_t **model, char *error, size_t error_bytes);

int ov_describe_model(const ov_model_t *model, const char *path, struct spoton_model_info *info,
                      char *error, size_t error_bytes);
