#include "engine_error.h"

#include "spoton/engine.h"

enum sp_error_code sp_engine_error_code(int code)
{
    switch (code) {
    case SPOTON_NO_MEMORY:
        return SP_ERR_NO_MEMORY;
    case SPOTON_DEVICE_LOST:
        return SP_ERR_DEVICE;
    default:
        return SP_ERR_ENGINE;
    }
}
