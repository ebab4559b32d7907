/* Shared by the tests that need an NVIDIA GPU. */
#pragma once

#include <cuda_runtime_api.h>
#include <stdbool.h>

#include "unit.h"

/* False: the reason is printed, and the test is skipped. */
static inline bool have_device(void)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0)
        return true;
    print_message("skipped: no NVIDIA GPU: %s\n", cudaGetErrorString(status));
    return false;
}
