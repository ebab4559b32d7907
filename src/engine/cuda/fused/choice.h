/* Which kernel runs which convolution: the numbers that were measured best, for an architecture and
 * a version of cuDNN; shipped, and in the cache what a sweep found on this machine. Pure C. */
#pragma once

#include "conv.h"

struct fused_choice {
    int images, in, out, height, width, kernel, stride, activation, residual;
    int chosen;
    float ms;
};

struct fused_choices {
    struct fused_choice *choice;
    int count, room;
};

struct fused_choice fused_choice_of(const struct fused_conv *conv);
bool fused_choice_same(const struct fused_choice *a, const struct fused_choice *b);
int fused_choices_find(const struct fused_choices *choices, const struct fused_conv *conv);
/* Whether it was measured, also where what the heuristics propose was the fastest. */
bool fused_choices_knows(const struct fused_choices *choices, const struct fused_conv *conv);
int fused_choices_set(struct fused_choices *choices, const struct fused_conv *conv, int chosen,
                      float ms);

/* What ships for this architecture (90 for 9.0) and version; nothing if none was measured. */
void fused_choices_shipped(struct fused_choices *choices, int architecture, size_t version);

/* Lines of a file; what is no such line is left out. Added to what is there already. */
int fused_choices_read(struct fused_choices *choices, const char *path);
int fused_choices_write(const struct fused_choices *choices, const char *path);
void fused_choices_free(struct fused_choices *choices);
