/* An operation of our own for ONNX Runtime: what follows a convolution, in one pass.
 *
 * spoton.BiasAct(x, bias, summands...) -> y and spoton.BiasActF32, whose y is f32. x is
 * [n][h][w][c], bias f32 [c], the summands are like x. Attributes: activation (0 none, 1 SiLU, 2
 * clip), low, high, before: how many of the summands are added before the activation; at most one
 * comes after it. tools/cuda-model writes graphs with it. Private to the plugin. */
#pragma once

#include "../ort.h"

/* Makes them known to a session. provider: "CUDAExecutionProvider"; NULL: the CPU's, in tests,
 * which bring a cuda_bias_act() of their own. The first call's provider is that of all. */
int custom_ops_add(const struct ort *ort, OrtSessionOptions *settings, const char *provider,
                   char *error, size_t error_bytes);
