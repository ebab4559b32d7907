/* Shared by the tests of libspoton: images with one bright box, and settings of the fake engine. */
#pragma once

#include "spoton/spoton.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { WIDTH = 320, HEIGHT = 192, BOX_W = 40, BOX_H = 80, FRAMES = 30 };

static inline int box_left(uint64_t sequence)
{
    return 8 * (int)(sequence % 30);
}

static inline int box_top(uint64_t sequence)
{
    return 8 + 8 * (int)(sequence / 30 % 8);
}

static inline uint8_t *draw(int format, uint64_t sequence)
{
    size_t luma = (size_t)WIDTH * HEIGHT;
    bool bgr = format == SPOTON_FORMAT_BGR;
    uint8_t *data = malloc(bgr ? luma * 3 : luma * 3 / 2);
    assert_non_null(data);
    memset(data, 30, bgr ? luma * 3 : luma);
    if (!bgr)
        memset(data + luma, 128, luma / 2);
    int bytes = bgr ? 3 : 1;
    for (int y = box_top(sequence); y < box_top(sequence) + BOX_H; y++)
        memset(data + (y * WIDTH + box_left(sequence)) * bytes, 235, (size_t)(BOX_W * bytes));
    return data;
}

static inline struct spoton_planes describe(int format, const uint8_t *data)
{
    struct spoton_planes planes = {.struct_bytes = sizeof planes,
                                   .format = format,
                                   .width = WIDTH,
                                   .height = HEIGHT,
                                   .plane = {data},
                                   .stride = {WIDTH}};
    if (format == SPOTON_FORMAT_BGR) {
        planes.stride[0] = 3 * WIDTH;
        return planes;
    }
    planes.plane[1] = data + WIDTH * HEIGHT;
    planes.stride[1] = format == SPOTON_FORMAT_NV12 ? WIDTH : WIDTH / 2;
    if (format == SPOTON_FORMAT_I420) {
        planes.plane[2] = data + WIDTH * HEIGHT * 5 / 4;
        planes.stride[2] = WIDTH / 2;
    }
    return planes;
}

static inline bool is_box_of(double x1, double y1, double x2, double y2, uint64_t sequence)
{
    int left = box_left(sequence), top = box_top(sequence);
    return fabs(x1 - left) < 0.01 && fabs(y1 - top) < 0.01 && fabs(x2 - left - BOX_W) < 0.01 &&
           fabs(y2 - top - BOX_H) < 0.01;
}

static inline struct spoton_settings *fake_settings(const char *frame_skip)
{
    static const char *const values[] = {"ENGINE",
                                         "fake",
                                         "YOLO_MODEL_PATH",
                                         "fake",
                                         "ENGINE_CACHE_DIR",
                                         "off",
                                         "YOLO_INPUT_SIZE",
                                         "320",
                                         "THREADS",
                                         "2",
                                         "ENGINE_STREAMS",
                                         "2",
                                         NULL};
    struct spoton_settings *settings;
    struct spoton_error err = {0};
    assert_int_equal(spoton_settings_open(&settings, &err), SPOTON_OK);
    for (int i = 0; values[i]; i += 2)
        assert_int_equal(spoton_settings_set(settings, values[i], values[i + 1], &err), SPOTON_OK);
    assert_int_equal(spoton_settings_set(settings, "FRAME_SKIP", frame_skip, &err), SPOTON_OK);
    return settings;
}
