/* A plugin of another interface version: the loader must refuse it. */
#include "spoton/engine.h"

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI + 1, .struct_bytes = sizeof api, .name = "old"};
    return &api;
}
