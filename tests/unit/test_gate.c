#include "schedule/gate.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The frames of tests/tools/gate_reference.py. */
static uint8_t pixel(int width, int height, int n, int x, int y)
{
    uint32_t level = ((uint32_t)x * 7 / 5 + (uint32_t)y * 3 + (uint32_t)(x / 16 * (y / 16))) % 97;
    level += 40;
    if (n >= 40)
        level = ((uint32_t)x * 3 + (uint32_t)y * 11) % 61 + 120;
    uint32_t noise = (uint32_t)x * 2654435761U + (uint32_t)y * 40503U + (uint32_t)n * 69069U;
    noise = (noise ^ noise >> 15) * 2246822519U;
    level += (noise >> 28) % 5;
    if (n >= 20 && n < 30)
        level += 25;
    int left = n * width / 50, top = height / 3, side = height / 4 > 2 ? height / 4 : 2;
    if (x >= left && x < left + side && y >= top && y < top + side)
        level = 200;
    if (x < width / 8 && y < height / 8)
        level += 15U * (uint32_t)(n % 2);
    return (uint8_t)(level < 255 ? level : 255);
}

static void draw(uint8_t *plane, int width, int height, int n)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            plane[y * width + x] = pixel(width, height, n, x, y);
}

static uint32_t checksum(const struct sp_gate *gate, int cells)
{
    uint32_t sum = 2166136261U;
    for (int i = 0; i < cells; i++) {
        sum = (sum ^ sp_gate_moves(gate)[i]) * 16777619U;
        sum = (sum ^ sp_gate_differs(gate)[i]) * 16777619U;
    }
    return sum;
}

static int count(const uint8_t *cells, int number)
{
    int sum = 0;
    for (int i = 0; i < number; i++)
        sum += cells[i];
    return sum;
}

static void check_scene(struct sp_gate *gate, FILE *expected, int width, int height, int64_t dt_us,
                        int frames)
{
    static int16_t means[SP_GATE_SIDE_MAX * SP_GATE_SIDE_MAX];
    static uint8_t covered[SP_GATE_CELLS_MAX], absorbed[SP_GATE_CELLS_MAX];
    struct sp_gate_shape shape;
    assert_true(sp_gate_shape(width, height, &shape));
    sp_gate_reset(gate, &shape);
    uint8_t *plane = malloc((size_t)width * (size_t)height);
    assert_non_null(plane);
    for (int n = 0; n < frames; n++) {
        struct sp_frame frame = {
            .plane = {plane}, .stride_bytes = {width}, .width_px = width, .height_px = height};
        draw(plane, width, height, n);
        sp_gate_reduce(&frame, &shape, means);
        int cells = shape.columns * shape.rows;
        for (int i = 0; i < cells; i++) {
            covered[i] = (i % shape.columns + n) % 7 == 0;
            absorbed[i] = (i / shape.columns + i % shape.columns) % 3 == 0;
        }
        bool scene = sp_gate_step(gate, means, dt_us, n % 16 < 8 ? 96 : 48, covered);
        if (n % 10 == 5)
            sp_gate_absorb(gate, absorbed);
        char line[128], found[128];
        assert_non_null(fgets(line, sizeof line, expected));
        snprintf(found, sizeof found, "%d %d %d %d %u %u\n", n, scene,
                 count(sp_gate_moves(gate), cells), count(sp_gate_differs(gate), cells),
                 checksum(gate, cells), sp_gate_checksum(gate));
        assert_string_equal(found, line);
    }
    free(plane);
}

static void test_equals_the_reference(void **state)
{
    (void)state;
    char path[4096], line[128];
    struct sp_gate *gate;
    snprintf(path, sizeof path, "%s/tests/data/need/gate.txt", getenv("SPOTON_SOURCE_DIR"));
    FILE *expected = fopen(path, "re");
    assert_non_null(expected);
    assert_int_equal(sp_gate_open(&gate, NULL), SP_OK);
    int scenes = 0;
    while (fgets(line, sizeof line, expected)) {
        int width, height, frames;
        long long dt_us;
        assert_int_equal(sscanf(line, "# %d %d %lld %d", &width, &height, &dt_us, &frames), 4);
        check_scene(gate, expected, width, height, dt_us, frames);
        scenes++;
    }
    assert_int_equal(scenes, 5);
    sp_gate_close(gate);
    fclose(expected);
}

static void test_shapes(void **state)
{
    (void)state;
    struct sp_gate_shape shape;
    for (int width = 1; width < 5000; width++) {
        assert_true(sp_gate_shape(width, width, &shape));
        assert_in_range(shape.width, 1, SP_GATE_SIDE_MAX);
        assert_in_range(shape.columns * shape.rows, 1, SP_GATE_CELLS_MAX);
        assert_true(shape.width * shape.block_px <= width);
        assert_true(sp_gate_shape(width, 2, &shape));
        assert_in_range(shape.height, 1, 2);
    }
    assert_true(sp_gate_shape(1920, 1080, &shape));
    assert_int_equal(shape.block_px, 12);
    assert_int_equal(shape.columns, 40);
    assert_int_equal(shape.rows, 23);
    assert_false(sp_gate_shape(0, 10, &shape));
    assert_false(sp_gate_shape(50000, 10, &shape));
}

/* Frozen and black cameras: nothing ever moves. */
static void test_a_constant_frame_never_moves(void **state)
{
    (void)state;
    static int16_t means[160 * 90];
    static const uint8_t covered[SP_GATE_CELLS_MAX];
    struct sp_gate *gate;
    struct sp_gate_shape shape;
    assert_int_equal(sp_gate_open(&gate, NULL), SP_OK);
    assert_true(sp_gate_shape(640, 360, &shape));
    for (int level = 0; level <= 255; level += 51) {
        for (int i = 0; i < shape.width * shape.height; i++)
            means[i] = (int16_t)(level * SP_GATE_LEVEL);
        sp_gate_reset(gate, &shape);
        for (int n = 0; n < 100; n++) {
            assert_int_equal(sp_gate_step(gate, means, 40000, SP_GATE_FLOOR, covered), n == 0);
            assert_int_equal(count(sp_gate_moves(gate), shape.columns * shape.rows), 0);
            assert_int_equal(count(sp_gate_differs(gate), shape.columns * shape.rows), 0);
        }
    }
    sp_gate_close(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_reference),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_a_constant_frame_never_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
