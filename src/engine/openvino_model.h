/* Reads and describes model files with OpenVINO. Private to the openvino plugin. */
#pragma once

#include "spoton/engine.h"

#include <openvino/c/openvino.h>

/* Writes "THING: OpenVINO's message" on one line, without source positions; returns -1. */
int ov_fail(char *error, size_t error_bytes, const char *thing);

/* Checks the first bytes before reading: on unknown content OpenVINO tries all frontends, which
 * write to stderr. */
int ov_read(ov_core_t *core, const char *path, ov_model_t **model, char *error, size_t error_bytes);

int ov_describe_model(const ov_model_t *model, const char *path, struct spoton_model_info *info,
                      char *error, size_t error_bytes);
