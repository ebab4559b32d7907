/* Loads output plugins (spoton/output.h) by name or path. */
#pragma once

#include "base/error.h"
#include "spoton/output.h"

#include <stdbool.h>

/* `name`: NAME of a spoton-output-NAME.so in SPOTON_OUTPUT_DIR, beside the program, in its folder
 * `outputs` or in ../lib/spoton/outputs; or a path, which has a '/'. The plugin stays loaded.
 * SP_ERR_NOT_FOUND, SP_ERR_UNSUPPORTED: the text names the plugin and the problem. */
int sp_output_plugin_load(const struct spoton_output_api **out, const char *name,
                          struct sp_error *err);

/* It delivers messages from the outbox. */
bool sp_output_plugin_delivers(const struct spoton_output_api *api);
