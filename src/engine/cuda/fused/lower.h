/* Of lower.c, merge.c and place.c alone. */
#pragma once

#include "evaluate_layout.h"
#include "plan.h"

struct lowering {
    struct fused_plan *plan;
    bool *image, *leads; /* [value] */
    bool *taken;         /* [node]: part of an operation already */
    char *error;
    size_t error_bytes;
};

struct attention {
    int qkv, q, k, v; /* values */
    int heads, key, head;
    float scale;
};

/* Convolutions of one window whose results are added: one over their inputs side by side. */
int fused_join_sums(struct fused_plan *plan, char *error, size_t error_bytes);

/* By their place in the file. */
void fused_sort(struct fused_plan *plan);

/* Where a value's channels are: in those of another value (a part of a Split, a Slice, of two
 * convolutions that were merged), or its own. */
struct fused_view {
    int value, offset;
};
struct fused_view fused_view_of(const struct fused_plan *plan, int value);
