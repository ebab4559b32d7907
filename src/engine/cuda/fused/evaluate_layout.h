/* Operations that move numbers, or go along an axis. Of evaluate.c alone. */
#pragma once

#include "evaluate.h"

struct fused_eval {
    struct fused_onnx *onnx;
    const struct fused_node *node;
    struct fused_tensor *in[FUSED_PORTS_MAX], *out[FUSED_PORTS_MAX]; /* NULL: left out */
    bool known;                                                      /* all inputs have numbers */
    char *error;
    size_t error_bytes;
};

typedef int fused_eval_fn(struct fused_eval *e);

fused_eval_fn *fused_layout_find(const char *op);
fused_eval_fn *fused_axis_find(const char *op);

/* Sets shape, type and, when the inputs are known, memory of an output. */
int fused_make(struct fused_eval *e, int index, enum fused_type type, int rank,
               const int64_t *dims);
int fused_refuse(struct fused_eval *e, const char *what);

int64_t fused_broadcast(const struct fused_tensor *t, int rank, const int64_t *at);
void fused_unravel(int64_t index, int rank, const int64_t *dims, int64_t *at);

/* An axis, or several, of the attribute or of input `port`; negative ones from the end. Returns how
 * many, or -1. */
int fused_axes(const struct fused_onnx *onnx, const struct fused_node *node, int port, int rank,
               int *axes);

/* Slice: begin and step of each dimension. -1: not constant, or not read. */
int fused_slice_read(const struct fused_onnx *onnx, const struct fused_node *node, int64_t *begin,
                     int64_t *step, int64_t *size);
