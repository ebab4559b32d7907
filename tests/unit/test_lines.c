/* Lines of text files with every kind of line end. */
#include "base/lines.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static FILE *file_of(const char *text, size_t bytes)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    rewind(file);
    return file;
}

#define CHECK(text, ...)                                                                           \
    check(text, sizeof text - 1, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void check(const char *text, size_t bytes, const char *const *wanted)
{
    FILE *file = file_of(text, bytes);
    char *line = NULL;
    size_t capacity = 0, i = 0;
    for (; wanted[i]; i++) {
        assert_int_equal(sp_line_read(&line, &capacity, file, i == 0), strlen(wanted[i]));
        assert_string_equal(line, wanted[i]);
    }
    assert_int_equal(sp_line_read(&line, &capacity, file, i == 0), -1);
    assert_false(ferror(file));
    free(line);
    fclose(file);

    const char *at = text + sp_line_mark_bytes(text, bytes), *end = text + bytes;
    for (i = 0; at < end; i++) {
        size_t next, length = sp_line_bytes(at, (size_t)(end - at), &next);
        assert_non_null(wanted[i]);
        assert_int_equal(length, strlen(wanted[i]));
        assert_memory_equal(at, wanted[i], length);
        at += next;
    }
    assert_null(wanted[i]);
}

static void test_every_end_of_a_line(void **state)
{
    (void)state;
    check("", 0, (const char *const[]){NULL});
    CHECK("a", "a");
    CHECK("a\nbc\n", "a", "bc");
    CHECK("a\r\nbc\r\n", "a", "bc");
    CHECK("a\rbc\r", "a", "bc");
    CHECK("\n\r\n\rx", "", "", "", "x");
    CHECK("\xEF\xBB\xBF"
          "a\rb",
          "a", "b");
    CHECK("\xEF\xBB\xBF\r\nb", "", "b");
    CHECK("\xEF\xBB"
          "a\n",
          "\xEF\xBB"
          "a");
    CHECK("a\n\xEF\xBB\xBF"
          "b",
          "a",
          "\xEF\xBB\xBF"
          "b");
}

static void test_long_lines_and_zero_bytes(void **state)
{
    (void)state;
    char text[3000], *line = NULL;
    size_t capacity = 0;
    memset(text, 'x', sizeof text);
    text[2000] = '\r';
    text[2500] = '\0';
    FILE *file = file_of(text, sizeof text);
    assert_int_equal(sp_line_read(&line, &capacity, file, true), 2000);
    assert_int_equal(strlen(line), 2000);
    assert_int_equal(sp_line_read(&line, &capacity, file, false), 999);
    assert_int_equal(strlen(line), 499); /* so that the caller detects a too long line */
    free(line);
    fclose(file);
}

static void test_normalize(void **state)
{
    (void)state;
    char text[] = "\xEF\xBB\xBF"
                  "a\r\nb\rc\nd\r\r\n";
    size_t bytes = sp_lines_normalize(text, sizeof text - 1);
    assert_int_equal(bytes, strlen("a\nb\nc\nd\n\n"));
    assert_memory_equal(text, "a\nb\nc\nd\n\n", bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_end_of_a_line),
        cmocka_unit_test(test_long_lines_and_zero_bytes),
        cmocka_unit_test(test_normalize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
