/* Normalised bodies of HTTP cameras: the JPEGs are output whole, whatever is between them. */
#include "capture/multipart.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

/* SOI; an application segment with a thumbnail; SOS, data with a stuffed byte and a restart; EOI.
 */
#define JPEG                                                                                       \
    "\xFF\xD8\xFF\xE1\x00\x08\xFF\xD8\xFF\xD9xx\xFF\xDA\x00\x03.abc\xFF\x00\xFF\xD0-\xFF\xD9"
#define CUT "\xFF\xD8\xFF\xDA\x00\x03.ab"

struct input {
    const char *data;
    size_t left;
    int piece, end;
};

static int read_input(void *user, uint8_t *data, int n)
{
    struct input *input = user;
    size_t given = (size_t)(n < input->piece ? n : input->piece);
    given = given < input->left ? given : input->left;
    memcpy(data, input->data, given);
    input->data += given;
    input->left -= given;
    return given ? (int)given : input->end;
}

/* `whole`: the expected JPEGs, one after the other. */
static void expect(const char *body, size_t bytes, const char *const *whole,
                   const size_t *jpeg_bytes, int count)
{
    for (int piece = 1; piece <= 4096; piece *= 8) {
        struct input input = {body, bytes, piece, -77};
        struct sp_multipart *multipart = sp_multipart_open(read_input, &input);
        uint8_t out[2048], expected[2048];
        size_t used = 0, wanted = 0;
        int n;
        while ((n = sp_multipart_read(multipart, out + used, 100)) > 0)
            used += (size_t)n;
        assert_int_equal(n, -77); /* the reader's result */
        for (int i = 0; i < count; i++) {
            wanted += (size_t)snprintf(
                (char *)expected + wanted, sizeof expected - wanted,
                "--spoton\r\nContent-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n",
                jpeg_bytes[i]);
            memcpy(expected + wanted, whole[i], jpeg_bytes[i]);
            wanted += jpeg_bytes[i];
            expected[wanted++] = '\r';
            expected[wanted++] = '\n';
        }
        assert_int_equal(used, wanted);
        assert_memory_equal(out, expected, used);
        sp_multipart_close(multipart);
    }
}

static void test_every_habit_gives_the_same(void **state)
{
    (void)state;
    static const char regular[] =
        "--f\r\nContent-Type: image/jpeg\r\nContent-Length: 27\r\n\r\n" JPEG
        "\r\n--f\r\nContent-Type: image/jpeg\r\n\r\n" JPEG "\r\n--f--";
    static const char no_first[] =
        "Content-Type: image/jpg\r\nContent-Length: 9\r\n\r\n" JPEG "\nother\n\n" JPEG;
    static const char bare[] = JPEG JPEG;
    static const char *const whole[] = {JPEG, JPEG};
    static const size_t jpeg_bytes[] = {sizeof JPEG - 1, sizeof JPEG - 1};
    expect(regular, sizeof regular - 1, whole, jpeg_bytes, 2);
    expect(no_first, sizeof no_first - 1, whole, jpeg_bytes, 2);
    expect(bare, sizeof bare - 1, whole, jpeg_bytes, 2);
}

static void test_a_cut_one_does_not_take_the_next_with_it(void **state)
{
    (void)state;
    static const char body[] = CUT JPEG CUT;
    static const char *const whole[] = {CUT, JPEG};
    static const size_t jpeg_bytes[] = {sizeof CUT - 1, sizeof JPEG - 1};
    expect(body, sizeof body - 1, whole, jpeg_bytes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_habit_gives_the_same),
        cmocka_unit_test(test_a_cut_one_does_not_take_the_next_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
