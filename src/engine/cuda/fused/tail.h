/* Of tail.c and tail_source.c alone. */
#pragma once

#include "lower.h"

struct tail {
    struct fused_plan *plan;
    char *text;
    size_t used, room;
    bool *written, *visited; /* [value] */
    bool *address;           /* [value]: its numbers stand somewhere, as they are */
    bool as_address;         /* where: the function that is being written gives that */
    int kernel;              /* its number */
    int kernel_value;        /* whose function is a kernel's, or -1 */
    bool failed;
    char *error;
    size_t error_bytes;
};

void fused_put(struct tail *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fused_write_constant(struct tail *t, int value);
int fused_write_reduce(struct tail *t, const struct fused_node *node, int dense);
int fused_write_node(struct tail *t, const struct fused_node *node, int value);
int fused_tail_refuse(struct tail *t, const struct fused_node *node, const char *what);
