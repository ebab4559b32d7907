#include "choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct fused_choice shipped_90[] = {
#include "choice_sm90.inc"
};

struct fused_choice fused_choice_of(const struct fused_conv *conv)
{
    return (struct fused_choice){
        .images = conv->images,
        .in = conv->in,
        .out = conv->out,
        .height = conv->height,
        .width = conv->width,
        .kernel = conv->window.kernel[0],
        .stride = conv->window.stride[0],
        .activation = (int)conv->activation,
        .residual = conv->residual,
        .chosen = FUSED_BY_HEURISTICS,
    };
}

bool fused_choice_same(const struct fused_choice *a, const struct fused_choice *b)
{
    return memcmp(a, b, offsetof(struct fused_choice, chosen)) == 0;
}

static int find(const struct fused_choices *choices, const struct fused_conv *conv)
{
    struct fused_choice wanted = fused_choice_of(conv);
    for (int i = 0; i < choices->count; ++i)
        if (fused_choice_same(&choices->choice[i], &wanted))
            return i;
    return -1;
}

int fused_choices_find(const struct fused_choices *choices, const struct fused_conv *conv)
{
    int index = find(choices, conv);
    return index >= 0 ? choices->choice[index].chosen : FUSED_BY_HEURISTICS;
}

bool fused_choices_knows(const struct fused_choices *choices, const struct fused_conv *conv)
{
    return find(choices, conv) >= 0;
}

static int add(struct fused_choices *choices, const struct fused_choice *choice)
{
    for (int i = 0; i < choices->count; ++i)
        if (fused_choice_same(&choices->choice[i], choice)) {
            choices->choice[i] = *choice;
            return 0;
        }
    if (choices->count == choices->room) {
        int room = choices->room * 2 + 64;
        struct fused_choice *grown = realloc(choices->choice, (size_t)room * sizeof *grown);
        if (!grown)
            return -1;
        choices->choice = grown;
        choices->room = room;
    }
    choices->choice[choices->count++] = *choice;
    return 0;
}

int fused_choices_set(struct fused_choices *choices, const struct fused_conv *conv, int chosen,
                      float ms)
{
    struct fused_choice choice = fused_choice_of(conv);
    choice.chosen = chosen;
    choice.ms = ms;
    return add(choices, &choice);
}

void fused_choices_shipped(struct fused_choices *choices, int architecture, size_t version)
{
    if (architecture != 90 || version / 100 != 919) /* 9.19, of which they are */
        return;
    for (size_t i = 0; i < sizeof shipped_90 / sizeof *shipped_90; ++i)
        if (shipped_90[i].images > 0)
            add(choices, &shipped_90[i]);
}

int fused_choices_read(struct fused_choices *choices, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256];
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file)) {
        struct fused_choice c = {0};
        if (sscanf(line, "%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%f", &c.images, &c.in, &c.out, &c.height,
                   &c.width, &c.kernel, &c.stride, &c.activation, &c.residual, &c.chosen,
                   &c.ms) == 11 &&
            c.images > 0 && c.chosen >= FUSED_BY_HEURISTICS && c.chosen < FUSED_KERNELS)
            add(choices, &c);
    }
    fclose(file);
    return 0;
}

int fused_choices_write(const struct fused_choices *choices, const char *path)
{
    char part[1024];
    snprintf(part, sizeof part, "%s.part", path);
    FILE *file = fopen(part, "we");
    if (!file)
        return -1;
    for (int i = 0; i < choices->count; ++i) {
        const struct fused_choice *c = &choices->choice[i];
        fprintf(file, "%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%.4f\n", c->images, c->in, c->out, c->height,
                c->width, c->kernel, c->stride, c->activation, c->residual, c->chosen,
                (double)c->ms);
    }
    bool written = fclose(file) == 0 && rename(part, path) == 0;
    if (!written)
        unlink(part);
    return written ? 0 : -1;
}

void fused_choices_free(struct fused_choices *choices)
{
    free(choices->choice);
    memset(choices, 0, sizeof *choices);
}
