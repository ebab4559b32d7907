/* One convolution with what follows it, as a kernel is chosen for. Needs no CUDA. */
#pragma once

#include "plan.h"

/* A kernel's number, or that cuDNN's heuristics are to propose one. */
enum { FUSED_BY_HEURISTICS = -1, FUSED_KERNELS = 64 };

struct fused_conv {
    int images, in, out, height, width; /* of the input */
    struct fused_window window;
    enum cuda_activation activation;
    float low, high;
    bool residual;
    int x_pitch, y_pitch, residual_pitch;
};
