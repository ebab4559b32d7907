/* Error codes of engine plugins (spoton/engine.h) as codes of the program. */
#pragma once

#include "base/error.h"

/* code: negative, as returned by a function of the plugin. SP_ERR_NO_MEMORY, SP_ERR_DEVICE,
 * SP_ERR_ENGINE. */
enum sp_error_code sp_engine_error_code(int code);
