/* What a node of a graph computes, on the CPU in doubles: shapes always, numbers where all of its
 * inputs have them. So graph.c folds constants, and the reference executor runs what is not worth a
 * kernel of its own. Slow and plain on purpose: it is what kernels are compared with. */
#pragma once

#include "onnx.h"

/* Writes the shapes (and numbers) of the node's outputs to onnx->value. -1 and a text: an operation
 * that is not known, or inputs that do not fit it. */
int fused_evaluate(struct fused_onnx *onnx, const struct fused_node *node, char *error,
                   size_t error_bytes);

/* The numbers of a value go; its shape stays. */
void fused_forget(struct fused_tensor *tensor);

/* How a convolution, or a pooling, goes over its input. */
struct fused_window {
    int kernel[2], stride[2], before[2], after[2], dilation[2], groups;
};

int fused_window_read(struct fused_window *window, const struct fused_node *node, int kernel_h,
                      int kernel_w, int height, int width);
int fused_window_size(const struct fused_window *window, int axis, int size);

/* One number in, one out; false: no such operation. */
bool fused_unary(const char *op, double x, double alpha, double *y);
bool fused_binary(const char *op, double a, double b, bool whole, double *y);
