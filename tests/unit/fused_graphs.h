/* The graphs of tests/tools/make_fused_graphs.py and what they compute, for the tests of the fused
 * executor. */
#pragma once

#include "../../src/engine/cuda/fused/plan.h"

#include "engines.h"

#include <string.h>

struct fused_case {
    const char *name;
    int height, width;
};

static const struct fused_case fused_cases[] = {
    {"v8", 64, 96}, {"v5", 64, 64}, {"v26", 64, 64}, {"sums", 64, 96}, {"odd", 64, 64},
};

enum { FUSED_CASES = sizeof fused_cases / sizeof *fused_cases };

static char fused_folder[512];

/* False: there is no Python with the onnx package; the tests skip. */
static inline bool make_fused_graphs(const char *name)
{
    char command[2048], tool[600];
    const char *python = getenv("PYTHON");
    scratch_folder(fused_folder, sizeof fused_folder, name);
    source_path(tool, sizeof tool, "tests/tools/make_fused_graphs.py");
    snprintf(command, sizeof command, "LD_PRELOAD= '%s' -c 'import onnx, onnxruntime' 2>/dev/null",
             python ? python : "");
    if (!python || !*python || system(command) != 0) {
        print_message("skipped: no Python with the onnx package\n");
        return false;
    }
    snprintf(command, sizeof command, "LD_PRELOAD= '%s' '%s' '%s'", python, tool, fused_folder);
    assert_int_equal(system(command), 0);
    return true;
}

static inline void fused_path(char *out, size_t out_bytes, const char *name, const char *ending)
{
    snprintf(out, out_bytes, "%s/%s.%s", fused_folder, name, ending);
}

static inline float *read_floats(const char *name, const char *ending, size_t *count)
{
    char path[800];
    fused_path(path, sizeof path, name, ending);
    FILE *file = fopen(path, "rbe");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *count = (size_t)ftell(file) / sizeof(float);
    rewind(file);
    float *numbers = calloc(*count + 1, sizeof *numbers);
    assert_int_equal(fread(numbers, sizeof *numbers, *count, file), *count);
    fclose(file);
    return numbers;
}

/* [3][h][w] to [h][w][3], as the executor's input lies. */
static inline float *read_pixels(const struct fused_case *c)
{
    size_t count, area = (size_t)c->height * (size_t)c->width;
    float *planes = read_floats(c->name, "in", &count), *pixels = calloc(count, sizeof *pixels);
    assert_int_equal(count, 3 * area);
    for (size_t i = 0; i < count; ++i)
        pixels[i % area * 3 + i / area] = planes[i];
    free(planes);
    return pixels;
}
