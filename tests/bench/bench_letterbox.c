/* CPU time of one letterbox: bench_letterbox [ROUNDS]; sizes of cameras into the model's input of
 * 640 pixels, planes of bytes. Not a test: it prints the tenth percentile, which a busy machine
 * spoils least, and the median.
 *
 * bench_letterbox --images FILE writes the images instead, for the comparison of two machines. */
#include "detect/letterbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 10000, SIZE_PX = 640, STRIDE_PX = 32 };

static double round_ms[ROUNDS_MAX];

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* One size: timed if images is NULL, else its image is written there. */
static int measure(struct sp_letterbox *letterbox, int width, int height, int rounds, FILE *images)
{
    struct sp_frame frame = {.width_px = width, .height_px = height, .format = SP_PIXEL_I420};
    struct sp_letterbox_geometry last = {0};
    int input_width, input_height, result = SP_OK;
    sp_letterbox_input_shape(width, height, SIZE_PX, STRIDE_PX, &input_width, &input_height);
    size_t luma = (size_t)width * (size_t)height;
    uint8_t *planes = malloc(luma * 2), *input = malloc((size_t)3 * SIZE_PX * SIZE_PX);
    if (!planes || !input)
        result = SP_ERR_NO_MEMORY;
    for (size_t i = 0; result == SP_OK && i < luma * 2; ++i)
        planes[i] = (uint8_t)rand();
    for (int i = 0; i < 3; ++i) {
        frame.plane[i] = planes + (i ? luma + (size_t)(i - 1) * luma / 4 : 0);
        frame.stride_bytes[i] = i ? width / 2 : width;
    }
    for (int i = 0; i < rounds && result == SP_OK; ++i) {
        double begin = cpu_ms();
        result = sp_letterbox_fill(letterbox, &frame, input, SPOTON_LAYOUT_NCHW, input_width,
                                   input_height, &last, NULL);
        round_ms[i] = cpu_ms() - begin;
    }
    size_t bytes = (size_t)3 * (size_t)input_width * (size_t)input_height;
    if (images) {
        if (result == SP_OK && fwrite(input, 1, bytes, images) != bytes)
            result = SP_ERR_IO;
        free(planes);
        free(input);
        return result;
    }
    qsort(round_ms, (size_t)rounds, sizeof *round_ms, compare);
    printf("%4dx%-4d to %dx%d: p10 %.3f ms, p50 %.3f ms\n", width, height, input_width,
           input_height, round_ms[rounds / 10], round_ms[rounds / 2]);
    free(planes);
    free(input);
    return result;
}

int main(int argc, char **argv)
{
    static const int sizes[][2] = {{640, 360},  {768, 576},   {960, 540},
                                   {1280, 720}, {1920, 1080}, {352, 288}};
    bool write = argc == 3 && strcmp(argv[1], "--images") == 0;
    int rounds = write ? 1 : argc > 1 ? atoi(argv[1]) : 500;
    struct sp_letterbox *letterbox = NULL;
    FILE *images = NULL;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_letterbox [ROUNDS, at most %d]\n", ROUNDS_MAX);
        return 2;
    }
    if (write && !(images = fopen(argv[2], "wbe"))) {
        perror(argv[2]);
        return 1;
    }
    int result = sp_letterbox_open(&letterbox, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && result == SP_OK; ++i)
        result = measure(letterbox, sizes[i][0], sizes[i][1], rounds, images);
    sp_letterbox_close(letterbox);
    if (images && fclose(images) != 0)
        result = SP_ERR_IO;
    return result == SP_OK ? 0 : 1;
}
