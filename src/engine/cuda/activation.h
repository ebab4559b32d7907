/* What may follow a convolution. Needs no CUDA. */
#pragma once

/* Functions for the device and, for the tests, for the CPU. */
#ifdef __CUDACC__
#define CUDA_BOTH static inline __host__ __device__
#else
#define CUDA_BOTH static inline
#endif

enum cuda_activation { CUDA_ACTIVATION_NONE, CUDA_ACTIVATION_SILU, CUDA_ACTIVATION_CLIP };
