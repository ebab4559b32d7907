#include "render/text.h"

#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct ink {
    int glyphs, left, top, right, bottom;
    long coverage;
    bool bad;
};

static void collect(void *user, int x_px, int y_px, int width_px, int height_px, int stride_bytes,
                    const uint8_t *coverage)
{
    struct ink *ink = user;
    if (ink->glyphs++ == 0)
        *ink = (struct ink){1, x_px, y_px, x_px, y_px, 0, ink->bad};
    ink->bad = ink->bad || width_px < 1 || height_px < 1 || stride_bytes < width_px;
    if (x_px < ink->left)
        ink->left = x_px;
    if (y_px < ink->top)
        ink->top = y_px;
    if (x_px + width_px > ink->right)
        ink->right = x_px + width_px;
    if (y_px + height_px > ink->bottom)
        ink->bottom = y_px + height_px;
    for (int y = 0; y < height_px; y++)
        for (int x = 0; x < width_px; x++)
            ink->coverage += coverage[y * stride_bytes + x];
}

static struct sp_text *open_text(void)
{
    struct sp_text *text;
    struct sp_error err = {0};
    if (sp_text_open(&text, NULL, &err)) {
        print_message("no font installed: %s\n", err.text);
        skip();
    }
    return text;
}

static void test_ink_lies_where_it_was_measured(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    static const int sizes[] = {4, 11, 13, 24, 48, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int width, ascent, descent;
        sp_text_measure(text, sizes[i], "Gate 17", &width, &ascent, &descent);
        assert_in_range(width, sizes[i] * 2, sizes[i] * 7);
        assert_in_range(ascent + descent, sizes[i], sizes[i] * 2);
        struct ink ink = {0};
        sp_text_render(text, sizes[i], 1000, 500, "Gate 17", collect, &ink);
        assert_false(ink.bad);
        assert_int_equal(ink.glyphs, 6); /* the space has no ink */
        assert_true(ink.left >= 1000 - 1 && ink.right <= 1000 + width + 1);
        assert_true(ink.top >= 500 - ascent - 1 && ink.bottom <= 500 + descent + 1);
        assert_true(ink.coverage > 255L * sizes[i] * sizes[i] / 4);
    }
    sp_text_close(text);
}

static void test_the_cache_changes_nothing(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    struct ink first = {0};
    sp_text_render(text, 16, 0, 0, "0.87", collect, &first);
    for (int size = 5; size < 40; size++) { /* evicts size 16 */
        struct ink other = {0};
        sp_text_render(text, size, 0, 0, "0.87", collect, &other);
        assert_int_equal(other.glyphs, 4);
    }
    struct ink again = {0};
    sp_text_render(text, 16, 0, 0, "0.87", collect, &again);
    assert_memory_equal(&first, &again, sizeof first);

    char utf8[8];
    for (unsigned c = 0x100; c < 0x700; c++) { /* more characters than a size caches */
        int width, ascent, descent;
        snprintf(utf8, sizeof utf8, "%c%c", (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)));
        sp_text_measure(text, 16, utf8, &width, &ascent, &descent);
    }
    again = (struct ink){0};
    sp_text_render(text, 16, 0, 0, "0.87", collect, &again);
    assert_memory_equal(&first, &again, sizeof first);
    sp_text_close(text);
}

static int width_of(struct sp_text *text, const char *string)
{
    int width, ascent, descent;
    sp_text_measure(text, 20, string, &width, &ascent, &descent);
    return width;
}

static void test_bad_utf8_shows_a_mark_for_each_byte(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    int mark = width_of(text, "\xEF\xBF\xBD");
    assert_true(mark > 0);
    static const struct {
        const char *string;
        int marks;
    } cases[] = {
        {"\xFF", 1},
        {"\xC3", 1}, /* cut at the end */
        {"\xE2\x82", 2},
        {"\xF0\x9F\x98", 3},
        {"\xC0\x80", 2},         /* overlong */
        {"\xE0\x80\x80", 3},     /* overlong */
        {"\xED\xA0\x80", 3},     /* a surrogate */
        {"\xF4\x90\x80\x80", 4}, /* beyond Unicode */
        {"\x80\x80", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(width_of(text, cases[i].string), cases[i].marks * mark);
    assert_int_equal(width_of(text, "\xC3\xA4"), width_of(text, "a")); /* a umlaut, DejaVu or not */
    assert_int_equal(width_of(text, "a\nb"), width_of(text, "a b"));
    assert_int_equal(width_of(text, ""), 0);
    sp_text_close(text);
}

static void test_odd_sizes_are_survived(void **state)
{
    (void)state;
    struct sp_text *text = open_text();
    int width, ascent, descent, smallest;
    sp_text_measure(text, -7, "x", &smallest, &ascent, &descent);
    sp_text_measure(text, 1 << 30, "x", &width, &ascent, &descent);
    assert_true(smallest > 0 && width > smallest && width < 1000);
    sp_text_close(text);
}

static void test_a_font_that_is_none_is_named(void **state)
{
    (void)state;
    struct sp_text *text = NULL;
    struct sp_error err = {0};
    assert_int_equal(sp_text_open(&text, "/nowhere/font.ttf", &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/font.ttf"));
    assert_int_equal(sp_text_open(&text, "/proc/self/exe", &err), SP_ERR_NOT_FOUND);
    sp_text_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ink_lies_where_it_was_measured),
        cmocka_unit_test(test_the_cache_changes_nothing),
        cmocka_unit_test(test_bad_utf8_shows_a_mark_for_each_byte),
        cmocka_unit_test(test_odd_sizes_are_survived),
        cmocka_unit_test(test_a_font_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
